"""Batch-size sensitivity: repeat some samples at batch size 1 and compare the predictions.

In exact arithmetic a prediction does not depend on the other samples of its batch. In bfloat16 the
rounding of sums depends on the shape of the batch, so that sometimes another token has the highest
probability. The standard error over samples does not include this effect.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.errors import UsageError
from evalsuite.runs.records import BatchSensitivity, Prediction, SampleScore
from evalsuite.stats import mean
from evalsuite.system.files import disk_errors, read_bytes, to_json_line, write_atomically
from evalsuite.system.scratch import scratch_directory
from evalsuite.vlmevalkit.client import Kit

SAMPLES = 64
"""Default number of repeated samples of a run, over all benchmarks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunPair:
    """One sample answered in a batch, and at batch size 1."""

    id: str
    cluster: str
    prediction: str
    alone: str
    value: float
    value_alone: float

    def __post_init__(self) -> None:
        # Values also come from disk. Also refuses NaN.
        if not (0 <= self.value <= 1 and 0 <= self.value_alone <= 1):
            raise ValueError(f"{self.id}: values are not within 0-1")
        if not all(isinstance(text, str) for text in (self.id, self.cluster, self.alone)):
            raise TypeError("id, cluster and answers must be strings")


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Distribute `total` samples over benchmarks of these sizes, as evenly as possible."""
    found: dict[str, int] = {}
    for place, (size, name) in enumerate(sorted((size, name) for name, size in sizes.items())):
        found[name] = min(size, total // (len(sizes) - place))
        total -= found[name]
    return found


def pick(ids: Iterable[str], count: int) -> list[str]:
    """Choose `count` of `ids`, deterministically; a smaller choice is part of a larger one."""
    return sorted(ids, key=_draw)[:count]


def score_reruns(
    kit: Kit,
    benchmark: Benchmark,
    rows: Sequence[SampleScore],
    predictions: Mapping[str, Prediction],
    again: Mapping[str, Prediction],
) -> list[RerunPair]:
    """Compare the reruns `again` at batch size 1 with the scored `rows` of `predictions`.

    If an answer changed, all samples are scored once more with the changed answers, because some
    metrics use several answers together. Samples that failed once are left out. Raises
    `KitError`, `DiskError`.
    """
    known = {
        row.id: again[row.id]
        for row in rows
        if row.counts
        and row.id in again
        and again[row.id].prompt_digest == row.prompt_digest
        and "error" not in (row.ended, again[row.id].ended)
    }
    values = {row.id: row.value for row in rows}
    changed = {id_: p for id_, p in known.items() if p.text != predictions[id_].text}
    alone = dict(values)
    if changed:
        ids = [row.id for row in rows]
        replaced = {**{id_: predictions[id_] for id_ in ids}, **changed}
        with disk_errors(Path(tempfile.gettempdir())), scratch_directory() as scratch:
            scored = kit.score(benchmark, ids, replaced, scratch / "vlmevalkit")
        alone = {id_: value.value for id_, value in zip(ids, scored.values, strict=True)}
    return [
        RerunPair(
            id=row.id,
            cluster=row.cluster,
            prediction=row.prediction,
            alone=known[row.id].text,
            value=values[row.id],
            value_alone=alone[row.id],
        )
        for row in rows
        if row.id in known
    ]


def write(path: Path, found: Sequence[RerunPair]) -> None:
    """Write batch_sensitivity.jsonl, a line a sample in data order. Raises `DiskError`."""
    write_atomically(path, "".join(to_json_line(dataclasses.asdict(pair)) for pair in found))


def pool(
    files: Mapping[str, Path], sizes: Mapping[str, int], total: int
) -> BatchSensitivity | None:
    """The batch sensitivity of a run, pooled over its benchmarks; None if nothing is known.

    Each benchmark contributes its share of samples, so that the result does not depend on whether
    benchmarks were run one by one or together.
    """
    from evalsuite.stats.paired_difference import estimate_drop  # scipy: only here

    wanted = shares(sizes, total)
    found = {
        name: sorted(read(path), key=lambda pair: _draw(pair.id))[: wanted[name]]
        for name, path in sorted(files.items())
        if path.exists()
    }
    pairs = [pair for some in found.values() for pair in some]
    if not pairs:
        return None
    gains = [pair.value - pair.value_alone for pair in pairs]
    # Each benchmark has the same share, so this is the effect on their mean.
    clusters = [(name, pair.cluster) for name, some in found.items() for pair in some]
    low, high = estimate_drop(gains, clusters).interval()
    return BatchSensitivity(
        samples={name: len(some) for name, some in found.items() if some},
        changed=sum(pair.prediction != pair.alone for pair in pairs),
        flipped=sum(gain != 0 for gain in gains),
        effect=100 * mean(gains),
        low=100 * low,
        high=100 * high,
    )


def read(path: Path) -> list[RerunPair]:
    """Read a batch_sensitivity.jsonl; empty if missing. Raises `UsageError` if damaged."""
    if not path.exists():
        return []
    try:
        return [RerunPair(**json.loads(line)) for line in read_bytes(path).decode().splitlines()]
    except (ValueError, TypeError):
        raise UsageError(
            f"{path}: is damaged; delete it, and score again with --mode eval --fresh"
        ) from None


def _draw(id_: str) -> bytes:
    """A sort key that is independent of the order of the data."""
    return hashlib.sha256(f"again\0{id_}".encode(errors="surrogatepass")).digest()
