"""Which samples of a benchmark a run is about, and where it keeps what it finds."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runs.layout import Limit, Shard


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
