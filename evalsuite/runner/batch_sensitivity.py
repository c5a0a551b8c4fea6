"""What batching does to a score: some samples are asked once more, alone, and compared.

In exact arithmetic an answer does not depend on what else is in its batch. In bfloat16 sums round
differently with the batch's shape, so that now and then another token leads: those answers, and
the scores made of them, carry noise that no error bar over samples shows.
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
from evalsuite.system.files import disk_errors, to_json_line, write_atomically
from evalsuite.vlmevalkit.client import Kit

SAMPLES = 64
"""Of a run, over all its benchmarks, unless it is told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice:
    """One sample answered in company, and alone."""

    id: str
    cluster: str
    prediction: str
    alone: str
    value: float
    value_alone: float

    def __post_init__(self) -> None:
        # It comes from disk, too. Also refuses NaN.
        if not (0 <= self.value <= 1 and 0 <= self.value_alone <= 1):
            raise ValueError(f"{self.id}: values are not within 0-1")
        if not all(isinstance(text, str) for text in (self.id, self.cluster, self.alone)):
            raise TypeError("id, cluster and answers are texts")


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Share out `total` samples among benchmarks of these sizes, as evenly as they allow."""
    found: dict[str, int] = {}
    for place, (size, name) in enumerate(sorted((size, name) for name, size in sizes.items())):
        found[name] = min(size, total // (len(sizes) - place))
        total -= found[name]
    return found


def pick(ids: Iterable[str], count: int) -> list[str]:
    """Take `count` of `ids`: always the same, in an order that does not depend on `count`."""
    return sorted(ids, key=_draw)[:count]


def look_again(
    kit: Kit,
    benchmark: Benchmark,
    rows: Sequence[SampleScore],
    predictions: Mapping[str, Prediction],
    again: Mapping[str, Prediction],
) -> list[Twice]:
    """Hold the answers `again`, given alone, against the scored `rows` of all `predictions`.

    Where an answer has changed, all are scored once more with it in its place, since there are
    metrics that look at several answers together. What failed either time is left out. Raises
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
        with (
            disk_errors(Path(tempfile.gettempdir())),
            tempfile.TemporaryDirectory(prefix="evalsuite-again-") as scratch,
        ):
            scored = kit.score(benchmark, ids, replaced, Path(scratch) / "vlmevalkit")
        alone = {id_: value.value for id_, value in zip(ids, scored.values, strict=True)}
    return [
        Twice(
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


def write(path: Path, found: Sequence[Twice]) -> None:
    """Write batch_sensitivity.jsonl, a line a sample in data order. Raises `DiskError`."""
    write_atomically(path, "".join(to_json_line(dataclasses.asdict(twice)) for twice in found))


def pool(
    files: Mapping[str, Path], sizes: Mapping[str, int], total: int
) -> BatchSensitivity | None:
    """The batch sensitivity of a run, pooled over its benchmarks; None if nothing is known.

    Of each benchmark as many samples count as is its share, so that it does not matter whether
    benchmarks were run one by one or together.
    """
    from evalsuite.stats.paired_difference import estimate_drop  # scipy: only here

    wanted = shares(sizes, total)
    found = {
        name: sorted(read(path), key=lambda twice: _draw(twice.id))[: wanted[name]]
        for name, path in sorted(files.items())
        if path.exists()
    }
    twices = [twice for some in found.values() for twice in some]
    if not twices:
        return None
    gains = [twice.value - twice.value_alone for twice in twices]
    # Each benchmark has the same share, so that this is what happens to their mean.
    clusters = [(name, twice.cluster) for name, some in found.items() for twice in some]
    low, high = estimate_drop(gains, clusters).interval()
    return BatchSensitivity(
        samples={name: len(some) for name, some in found.items() if some},
        changed=sum(twice.prediction != twice.alone for twice in twices),
        flipped=sum(gain != 0 for gain in gains),
        effect=100 * mean(gains),
        low=100 * low,
        high=100 * high,
    )


def read(path: Path) -> list[Twice]:
    """What `write` wrote; nothing if there is no file. Raises `UsageError` if it is damaged."""
    if not path.exists():
        return []
    try:
        return [Twice(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (ValueError, TypeError):
        raise UsageError(
            f"{path}: is damaged; delete it, and score again with --mode eval --fresh"
        ) from None


def _draw(id_: str) -> bytes:
    """A lot that has nothing to do with the order of the data."""
    return hashlib.sha256(f"again\0{id_}".encode(errors="surrogatepass")).digest()
