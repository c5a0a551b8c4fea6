"""Print the parity of all benchmarks as a page: docs/evidence/parity.md (``make parity``).

Takes a minute or two. The exit code is 1 if the roads part anywhere without a name for why.
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
from evalsuite.runner.source import SampleSource
from evalsuite.vlmevalkit import workarounds
from evalsuite.vlmevalkit.client import Kit
from tests.builders.checkpoints import derive_idefics3
from tests.builders.paper_tables import variants
from tests.conftest import Bench
from tests.parity.roads import Compared, Ours, compare, odd_ones, shows, walk
from tests.parity.test_paper import NO_NUMBER

INTRODUCTION = """\
# Parity with VLMEvalKit

`make parity` writes this page; the tests in `tests/parity` check it.

VLMEvalKit's own `SmolVLM2` and `SmolVLM` classes, inference loops, dataset classes and `evaluate`,
without workarounds and with new objects for each benchmark (settings:
`evalsuite/vlmevalkit/reference.py`), compared with `evalsuite run`. The data is generated, in the
real schema of each benchmark. The checkpoint is the demo's, and for the older class the same
weights as an Idefics3 checkpoint. A prompt is the same if its text is equal byte for byte, and
every image pixel for pixel. Video-MME, MLVU, WorldSense and TempCompass round their number. Parts
that only a judge can score are predicted, but not scored.

Samples that VLMEvalKit reads, shows or scores wrong are left out. The last column names the
workaround that explains why (`evalsuite/vlmevalkit/workarounds.py`). A test for each shows that
VLMEvalKit has this defect.
"""


def main() -> int:
    """Walk both roads with both families and print where they meet."""
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
    roads = walk(bench, folder)
    family = bench.checkpoint.family
    rows: list[tuple[str, ...]] = []
    for name in variants():
        if not isinstance(ours := roads.ours[name], Ours):
            rows.append((name, family, *("",) * 5, f"UNEXPLAINED: {ours}", ""))
            continue
        compared = compare(roads, name)
        odd = [mend for id_, mend in compared.odd.items() if shows(roads, name, id_)]
        rows.append(_row(compared, family, " + ".join(ours.score.deviations) or "agrees", odd))
        if len(odd) < len(odd_ones([name])):
            rows.append((name, family, *("",) * 6, "UNEXPLAINED: a mend that says otherwise"))
    return rows


def _row(compared: Compared, family: str, agreement: str, odd: Sequence[str]) -> tuple[str, ...]:
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
            f"{count}: `{mend}`" if hasattr(workarounds, mend) else f"{count}: {mend}"
            for mend, count in Counter(odd).items()
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
