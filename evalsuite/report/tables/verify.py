"""What `evalsuite verify` found, as a table."""

from __future__ import annotations

from evalsuite.report.format import counted, cut, points, rate, sentence
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line, entries
from evalsuite.runner.verify import Compared, Verified

SHOWN = 3
"""So many differing answers are shown a benchmark."""
_LENGTH = 60
"""An answer is cut there."""


def grid(verified: Verified) -> Grid:
    """Lay out the comparison: a line a benchmark."""
    return Grid(
        title=f"{verified.checkpoint} on {verified.device} in {verified.dtype}",
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(name) for name in ("samples", "same answer", "ours", "VLMEvalKit's")),
        ),
        lines=tuple(Line(_line(compared)) for compared in verified.benchmarks),
        remarks=(*_verdict(verified), *_speed(verified), *_examples(verified), *_stopped(verified)),
    )


def _line(compared: Compared) -> tuple[Entry, ...]:
    return entries((
        compared.benchmark,
        str(compared.n),
        str(compared.same),
        points(compared.score),
        points(compared.their_score),
    ))  # fmt: skip


def _stopped(verified: Verified) -> list[str]:
    return [
        f"{compared.benchmark}: VLMEvalKit's own loop stopped: {sentence(compared.stopped)}"
        for compared in verified.benchmarks
        if compared.stopped is not None
    ]


def _verdict(verified: Verified) -> list[str]:
    different = sum(len(compared.differences) for compared in verified.benchmarks)
    if not different:
        return [f"every answer is the same: {counted(verified.n, 'sample')}"]
    said = (
        f"{different} of {counted(verified.n, 'answer')} differ; docs/evidence/differences.md "
        "names what VLMEvalKit reads or shows wrong"
    )
    if verified.dtype != "float32":
        said += f": in {verified.dtype} batches round differently; --dtype float32 leaves no excuse"
    return [said]


def _speed(verified: Verified) -> list[str]:
    if not (verified.complete and verified.seconds and verified.their_seconds):
        return []
    ours, theirs = verified.n / verified.seconds, verified.n / verified.their_seconds
    return [
        f"samples a second, from the first sample to the last prediction: {rate(ours)} against "
        f"{rate(theirs)}, {ours / theirs:.1f} times; ours includes what is left of loading the "
        "model once the data is read, VLMEvalKit's does not, so few samples understate it"
    ]


def _examples(verified: Verified) -> list[str]:
    return [
        f"{compared.benchmark} {item.id}: ours {cut(item.ours, _LENGTH)!r}, "
        f"VLMEvalKit's {cut(item.theirs, _LENGTH)!r}"
        for compared in verified.benchmarks
        for item in compared.differences[:SHOWN]
    ]
