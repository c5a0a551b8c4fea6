"""Choose the samples of a benchmark: limits, shards and pieces."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runs.layout import Limit, Shard
from evalsuite.vlmevalkit.client import SampleOutline


@dataclass(frozen=True, slots=True)
class Choice:
    """The samples of a run for one benchmark."""

    asked: list[str]
    """Their ids; those of one cluster are neighbours."""
    left_out: int
    """How many more would be chosen if there were a judge to score them."""
    whole: list[str]
    """The ids of all shards together."""


def choose(samples: Sequence[SampleOutline], limit: Limit | None) -> list[str]:
    """The ids of the samples of a run with `limit`; those of one cluster are neighbours.

    Whole clusters are taken until the limit is reached; only the last one may be cut. Their order
    depends only on their names. So the samples of a smaller limit are part of those of a larger
    limit, and are not only from the start of the data.
    """
    clusters: dict[str, list[str]] = {}
    for sample in samples:
        clusters.setdefault(sample.cluster, []).append(sample.id)
    if limit is None:
        return [id_ for ids in clusters.values() for id_ in ids]
    shuffled = [id_ for name in _shuffled(clusters) for id_ in clusters[name]]
    return shuffled[: limit.of(len(samples))]


def choose_scorable(
    benchmark: Benchmark, samples: Sequence[SampleOutline], options: ResolvedConfig
) -> Choice:
    """`choose` without the samples that only a judge can score, if there is no judge.

    They are removed after choosing, so that a later run with a judge has the same choice, and kept
    with ``--mode infer``: predictions may be scored later. A shard gets its part of the rest.
    """
    chosen = choose(samples, options.limit)
    parts = {sample.id: sample.part for sample in samples}
    keep_all = options.config.mode == "infer"
    asked = [id_ for id_ in chosen if keep_all or benchmark.scorable(parts[id_])]
    mine = asked if options.shard is None else part_of(samples, asked, options.shard)
    return Choice(mine, len(chosen) - len(asked), whole=asked)


def part_of(samples: Iterable[SampleOutline], chosen: Sequence[str], shard: Shard) -> list[str]:
    """The ids of `shard`: every `count`-th cluster, in the order of `choose`."""
    cluster = {sample.id: sample.cluster for sample in samples}
    present = {cluster[id_] for id_ in chosen}
    mine = set(_shuffled(present)[shard.index - 1 :: shard.count])
    return [id_ for id_ in chosen if cluster[id_] in mine]


def cut(
    samples: Iterable[SampleOutline], chosen: Sequence[str], size: int, most: int
) -> Iterator[list[str]]:
    """The `chosen` ids in pieces of about `size`.

    A cluster is split only if it is larger than `most`: a video is decoded once for each piece.
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
    """Names in a fixed order that is independent of the data's order."""
    return sorted(clusters, key=lambda name: hashlib.sha256(name.encode()).digest())
