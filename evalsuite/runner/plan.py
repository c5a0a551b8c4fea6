"""Which samples of a benchmark a run is about, and where it keeps what it finds."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import UsageError
from evalsuite.runs.records import settings_digest


@dataclass(frozen=True, slots=True)
class Limit:
    """So many samples, or that share of them."""

    count: int | None = None
    share: float | None = None

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{self.share:g}"

    def of(self, total: int) -> int:
        """How many of `total` samples this is: at least one, at most all."""
        wanted = self.count if self.count is not None else round((self.share or 0) * total)
        return min(total, max(1, wanted))


def read_limit(text: str | None) -> Limit | None:
    """``50`` is fifty samples, ``0.1`` a tenth of them, ``1.0`` all: None. Raises `UsageError`."""
    if text is None:
        return None
    if re.fullmatch(r"\d+", text) and int(text) > 0:
        return Limit(count=int(text))
    if re.fullmatch(r"\d*\.\d+|1\.", text) and 0 < float(text) <= 1:
        return None if float(text) == 1 else Limit(share=float(text))
    raise UsageError(
        f"--limit {text}: expected a number of samples like 50 or a share of them like 0.1"
    )


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of a run, each predicted by a process of its own."""

    index: int
    """From 1."""
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """As its files are called."""
        return f"shard-{self.index}-of-{self.count}"


def read_shard(text: str | None) -> Shard | None:
    """``2/8`` is the second of eight parts. Raises `UsageError`."""
    if text is None:
        return None
    if (match := re.fullmatch(r"(\d+)/(\d+)", text)) and 1 <= int(match[1]) <= int(match[2]):
        return Shard(int(match[1]), int(match[2]))
    raise UsageError(f"--shard {text}: expected which part of how many, from 1/8 to 8/8")


class Grouped(Protocol):
    """A sample as far as choosing goes."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def cluster(self) -> str: ...  # noqa: D102


class Listed(Grouped, Protocol):
    """A sample of a benchmark that may be made of several datasets."""

    @property
    def part(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Choice:
    """The samples of a benchmark that a run is about."""

    asked: list[str]
    """Their ids, those of one cluster side by side."""
    left_out: int
    """How many more there would be, had somebody to score them."""
    whole: list[str]
    """The ids that all shards together ask."""


def choose(samples: Sequence[Grouped], limit: Limit | None) -> list[str]:
    """The ids of the samples a run with `limit` asks, those of one cluster side by side.

    Clusters are taken whole, in an order that depends on nothing but their names, until the limit
    is reached; only the last may be cut. So the choice under a smaller limit is part of the choice
    under a larger one, and does not lean towards the front of the data.
    """
    clusters: dict[str, list[str]] = {}
    for sample in samples:
        clusters.setdefault(sample.cluster, []).append(sample.id)
    if limit is None:
        return [id_ for ids in clusters.values() for id_ in ids]
    shuffled = [id_ for name in _shuffled(clusters) for id_ in clusters[name]]
    return shuffled[: limit.of(len(samples))]


def choose_scorable(
    benchmark: Benchmark,
    samples: Sequence[Listed],
    limit: Limit | None,
    *,
    all_parts: bool,
    shard: Shard | None = None,
) -> Choice:
    """`choose`, less the samples that only a judge could score if there is none.

    They are left out after choosing, so that a judge who comes later finds the same choice.
    `all_parts` keeps them: predictions may be scored elsewhere. Of what is left, a `shard` asks
    its part.
    """
    chosen = choose(samples, limit)
    parts = {sample.id: sample.part for sample in samples}
    asked = [id_ for id_ in chosen if all_parts or benchmark.scorable(parts[id_])]
    left_out = len(chosen) - len(asked)
    mine = asked if shard is None else part_of(samples, asked, shard)
    return Choice(mine, left_out, whole=asked)


def part_of(samples: Iterable[Grouped], chosen: Sequence[str], shard: Shard) -> list[str]:
    """The ids that `shard` asks: every `count`-th cluster, in the order a limit takes them."""
    cluster = {sample.id: sample.cluster for sample in samples}
    present = {cluster[id_] for id_ in chosen}
    mine = set(_shuffled(present)[shard.index - 1 :: shard.count])
    return [id_ for id_ in chosen if cluster[id_] in mine]


def cut(
    samples: Iterable[Grouped], chosen: Sequence[str], size: int, most: int
) -> Iterator[list[str]]:
    """The `chosen` ids in pieces of about `size`.

    A cluster is only parted if it is larger than `most`: what is asked about a video belongs into
    one piece, as it is decoded and read once.
    """
    cluster = {sample.id: sample.cluster for sample in samples}
    piece: list[str] = []
    for _, group in itertools.groupby(chosen, key=cluster.__getitem__):
        ids = list(group)
        if piece and len(piece) + len(ids) > size:
            yield piece
            piece = []
        piece += ids
        while len(piece) > most:
            yield piece[:size]
            piece = piece[size:]
    if piece:
        yield piece


def _shuffled(clusters: Iterable[str]) -> list[str]:
    """Names in an order that has nothing to do with that of the data, always the same."""
    return sorted(clusters, key=lambda name: hashlib.sha256(name.encode()).digest())


def in_data_order(samples: Iterable[Grouped], chosen: Iterable[str]) -> list[str]:
    """The `chosen` ids in the order of the data."""
    wanted = set(chosen)
    return [sample.id for sample in samples if sample.id in wanted]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run lives on disk."""

    directory: Path
    limit: Limit | None
    shard: Shard | None = None

    @property
    def part(self) -> str:
        """What names a shard's own files; empty for a whole run."""
        return "" if self.shard is None else self.shard.name

    @property
    def record(self) -> Path:
        """What this process writes: the run's record, or that of a shard of it."""
        return self.directory / f"{self.part}{self._suffix}.json" if self.part else self.run_json

    @property
    def shard_records(self) -> list[Path]:
        """What shards wrote of themselves."""
        found = self.directory.glob(f"shard-*-of-*{self._suffix}.json")
        return sorted(path for path in found if self._suffix or "@" not in path.name)

    @property
    def _suffix(self) -> str:
        return "" if self.limit is None else f"@{self.limit}"

    @property
    def run_json(self) -> Path:
        """The run's record."""
        return self.directory / f"run{self._suffix}.json"

    def journal(self, benchmark: str) -> Path:
        """The directory of the journal, which runs with and without a limit share."""
        return self.directory / benchmark

    def samples(self, benchmark: str) -> Path:
        """The scored samples of `benchmark`."""
        return self.directory / benchmark / f"samples{self._suffix}.jsonl"

    def batch_sensitivity(self, benchmark: str) -> Path:
        """The samples of `benchmark` that were repeated at batch size 1, with both answers."""
        return self.directory / benchmark / f"batch_sensitivity{self._suffix}.jsonl"

    def evidence(self, benchmark: str) -> Path:
        """What VLMEvalKit wrote while scoring `benchmark`."""
        return self.directory / benchmark / f"vlmevalkit{self._suffix}"


def place(
    output: Path,
    checkpoint: Checkpoint,
    settings: Mapping[str, Any],
    limit: Limit | None,
    shard: Shard | None = None,
) -> Place:
    """Where a run of `checkpoint` under `settings` lives: decided by content, not by the clock."""
    digest = settings_digest(settings)
    return Place(output / f"{checkpoint.name}-{checkpoint.digest[:8]}" / digest[:8], limit, shard)
