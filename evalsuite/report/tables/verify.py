"""The result of `evalsuite verify` as a table."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from evalsuite.report.format import cut, points, rate, sentence
from evalsuite.report.model.column import Column
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.runner.verify import BenchmarkAgreement, Verification
from evalsuite.system.text import counted

SHOWN = 3
"""Most different predictions that are shown for a benchmark."""
_LENGTH = 60
"""Most characters of a prediction that are shown."""

COLUMNS: tuple[Column[BenchmarkAgreement], ...] = (
    Column("benchmark", "benchmark", attrgetter("benchmark"), numeric=False, wraps=True),
    Column("n", "samples", attrgetter("n")),
    Column("same", "same prediction", attrgetter("same")),
    Column("score", "evalsuite", attrgetter("score"), points),
    Column("their_score", "VLMEvalKit", attrgetter("their_score"), points),
)


def grid(verified: Verification) -> Grid:
    """Lay out the comparison: a line a benchmark."""
    return lay_out(
        COLUMNS,
        verified.benchmarks,
        title=f"{verified.checkpoint} on {verified.device} in {verified.dtype}",
        remarks=list(_remarks(verified)),
    )


def _remarks(verified: Verification) -> Iterator[str]:
    different = sum(len(compared.differences) for compared in verified.benchmarks)
    if not different:
        yield f"all predictions are equal: {counted(verified.n, 'sample')}"
    else:
        hint = f"; differences may come from {verified.dtype} rounding: rerun with --dtype float32"
        yield (
            f"{different} of {counted(verified.n, 'prediction')} differ; "
            "docs/evidence/differences.md lists the known deviations"
            + ("" if verified.dtype == "float32" else hint)
        )
    if verified.complete and verified.seconds and verified.their_seconds:
        ours, theirs = verified.n / verified.seconds, verified.n / verified.their_seconds
        yield (
            f"samples/s from the first sample to the last prediction: evalsuite {rate(ours)}, "
            f"VLMEvalKit {rate(theirs)}, ratio {ours / theirs:.1f}; evalsuite's time includes the "
            "rest of loading the model, VLMEvalKit's does not, so the ratio is too low for few "
            "samples"
        )
    for compared in verified.benchmarks:
        for item in compared.differences[:SHOWN]:
            yield (
                f"{compared.benchmark} {item.id}: evalsuite {cut(item.ours, _LENGTH)!r}, "
                f"VLMEvalKit {cut(item.theirs, _LENGTH)!r}"
            )
    for compared in verified.benchmarks:
        if compared.stopped is not None:
            yield (
                f"{compared.benchmark}: VLMEvalKit's own loop stopped: {sentence(compared.stopped)}"
            )
