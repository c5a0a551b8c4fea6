"""Samples from the kit process, each built once for all checkpoints of a session."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.benchmarks import Benchmark
from evalsuite.samples import Sample
from evalsuite.vlmevalkit.kit import BrokenSample, Kit, Outline


class SampleSource:
    """Outlines and samples from the kit process, each built once for all checkpoints."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._outlines: dict[str, list[Outline]] = {}
        self._samples: dict[str, dict[str, Sample | BrokenSample]] = {}

    def outline(self, benchmark: Benchmark) -> list[Outline]:
        """Ids and clusters of all samples, in data order. Raises `KitError`."""
        if benchmark.name not in self._outlines:
            self._outlines[benchmark.name] = self.kit.outline(benchmark)
        return self._outlines[benchmark.name]

    def samples(self, benchmark: Benchmark, ids: Sequence[str]) -> list[Sample | BrokenSample]:
        """The samples with these ids. Raises `KitError`."""
        built = self._samples.setdefault(benchmark.name, {})
        missing = [id_ for id_ in ids if id_ not in built]
        if missing:
            built.update((s.id, s) for s in self.kit.samples(benchmark, missing))
        return [built[id_] for id_ in ids]
