"""Print the parity table: docs/evidence/parity.md (``make parity``). Takes one or two minutes.

The exit code is 1 if there is a difference without a known workaround.
"""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

from evalsuite.checkpoint import checkpoint
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.vlmevalkit import workarounds
from evalsuite.vlmevalkit.client import Kit
from tests.builders.checkpoints import derive_idefics3
from tests.builders.paper_tables import variants
from tests.conftest import Bench
from tests.parity.runs import (
    Compared,
    Ours,
    compare,
    deviating_samples,
    run_both,
    shows_defect,
)
from tests.parity.test_paper import NO_NUMBER

INTRODUCTION = """\
# Parity with VLMEvalKit

`make parity` writes this page; the tests in `tests/parity` check it.

VLMEvalKit's own `SmolVLM2` and `SmolVLM` classes, inference loops, dataset classes and `evaluate`,
without workarounds and with new objects for each benchmark (`evalsuite/vlmevalkit/reference.py`
lists the settings), compared with `evalsuite run`. The data are generated in each benchmark's real
schema. The checkpoint is the demo's; for the older class, its weights as an Idefics3 checkpoint.
Prompts are equal if their texts are equal byte for byte and their images pixel for pixel.
Video-MME, MLVU, WorldSense and TempCompass round their scores. Parts that only a judge can score
are predicted but not scored.

Samples that VLMEvalKit reads, shows or scores incorrectly are left out. The last column names their
workaround (`evalsuite/vlmevalkit/workarounds.py`). A test checks for each of them that VLMEvalKit
has this defect.
"""


def main() -> int:
    """Run both for both families and print the comparison."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["EVALSUITE_CACHE"] = str(folder / "cache")
        demo = checkpoint.read("demo")
        older = checkpoint.read(str(derive_idefics3(demo.path, folder / "idefics3")))
        with Kit(work=folder / "kit", media=folder / "media", log=folder / "kit.log") as kit:
            bench = Bench(SampleSource(kit), demo)
            for tested in (demo, older):
                one = bench.of(tested)
                rows += _rows(one, folder / tested.family)
    print(INTRODUCTION)
    print(
        f"ms-vlmeval {version('ms-vlmeval')}, transformers {version('transformers')}, "
        f"torch {version('torch')}, evalsuite {version('evalsuite')}; float32 on the CPU.\n"
    )
    heads = (
        "benchmark", "family", "samples", "same prompts", "same predictions", "evalsuite",
        "VLMEvalKit", "agreement", "left out",
    )  # fmt: skip
    print(tabulate(rows, heads, tablefmt="github", disable_numparse=True))
    return int(any("UNEXPLAINED" in cell for row in rows for cell in row))


def _rows(bench: Bench, folder: Path) -> list[tuple[str, ...]]:
    runs = run_both(bench, folder)
    family = bench.checkpoint.family
    rows: list[tuple[str, ...]] = []
    for name in variants():
        if not isinstance(ours := runs.ours[name], Ours):
            rows.append((name, family, *("",) * 5, f"UNEXPLAINED: {ours}", ""))
            continue
        compared = compare(runs, name)
        deviating = [
            workaround
            for id_, workaround in compared.deviating.items()
            if shows_defect(runs, name, id_)
        ]
        rows.append(
            _row(compared, family, " + ".join(ours.score.deviations) or "agrees", deviating)
        )
        if len(deviating) < len(deviating_samples([name])):
            rows.append((name, family, *("",) * 6, "UNEXPLAINED: a workaround without a defect"))
    return rows


def _row(
    compared: Compared, family: str, agreement: str, deviating: Sequence[str]
) -> tuple[str, ...]:
    n = compared.n
    agrees = compared.agreement
    if agrees == NO_NUMBER.get(compared.benchmark):
        agrees = "no score without a judge"
    elif agrees != "agrees" or compared.differing_prompts or compared.differing_predictions:
        agrees = f"UNEXPLAINED: {agrees}"
    elif agreement != "agrees":
        agrees = f"`{agreement}`"
    return (
        compared.benchmark,
        family,
        str(n),
        f"{n - len(compared.differing_prompts)} of {n}",
        f"{n - len(compared.differing_predictions)} of {n}",
        f"{compared.score:.2f}",
        "" if compared.theirs is None else f"{compared.theirs:.2f}",
        agrees,
        ", ".join(
            f"{count}: `{workaround}`"
            if hasattr(workarounds, workaround)
            else f"{count}: {workaround}"
            for workaround, count in Counter(deviating).items()
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
