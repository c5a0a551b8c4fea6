"""The table of `evalsuite verify`."""

from __future__ import annotations

from evalsuite.report.format import counted, cut, points, rate, sentence
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line, entries
from evalsuite.runner.verify import BenchmarkAgreement, Verification

SHOWN = 3
"""Number of different predictions shown for each benchmark."""
_LENGTH = 60
"""Maximum length of a prediction, in characters."""


def grid(verified: Verification) -> Grid:
    """The comparison, one line per benchmark."""
    return Grid(
        title=f"{verified.checkpoint} on {verified.device} in {verified.dtype}",
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(name) for name in ("samples", "identical", "score", "VLMEvalKit's score")),
        ),
        lines=tuple(Line(_line(compared)) for compared in verified.benchmarks),
        remarks=(*_verdict(verified), *_speed(verified), *_examples(verified), *_stopped(verified)),
    )


def _line(compared: BenchmarkAgreement) -> tuple[Entry, ...]:
    return entries((
        compared.benchmark,
        str(compared.n),
        str(compared.same),
        points(compared.score),
        points(compared.their_score),
    ))  # fmt: skip


def _stopped(verified: Verification) -> list[str]:
    return [
        f"{compared.benchmark}: VLMEvalKit's loop stopped: {sentence(compared.stopped)}"
        for compared in verified.benchmarks
        if compared.stopped is not None
    ]


def _verdict(verified: Verification) -> list[str]:
    different = sum(len(compared.differences) for compared in verified.benchmarks)
    if not different:
        return [f"all predictions are identical: {counted(verified.n, 'sample')}"]
    said = (
        f"{different} of {counted(verified.n, 'prediction')} differ; known deviations are in "
        "docs/evidence/differences.md"
    )
    if verified.dtype != "float32":
        said += f"; differences may come from {verified.dtype} rounding; rerun with --dtype float32"
    return [said]


def _speed(verified: Verification) -> list[str]:
    if not (verified.complete and verified.seconds and verified.their_seconds):
        return []
    ours, theirs = verified.n / verified.seconds, verified.n / verified.their_seconds
    return [
        f"samples per second, from the first sample to the last prediction: {rate(ours)}, "
        f"VLMEvalKit {rate(theirs)} ({ours / theirs:.1f}x). The first figure includes part of the "
        "loading time, VLMEvalKit's does not: with few samples the factor is understated"
    ]


def _examples(verified: Verification) -> list[str]:
    return [
        f"{compared.benchmark} {item.id}: {cut(item.ours, _LENGTH)!r}, "
        f"VLMEvalKit: {cut(item.theirs, _LENGTH)!r}"
        for compared in verified.benchmarks
        for item in compared.differences[:SHOWN]
    ]
