"""Samples from the kit process, each built once for all checkpoints of a session."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.sample import Sample
from evalsuite.vlmevalkit.client import BrokenSample, Kit, SampleOutline


class SampleSource:
    """Outlines and samples, each built once as long as the data stays what it is."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._outlines: dict[tuple[str, str], list[SampleOutline]] = {}
        self._samples: dict[tuple[str, str], dict[str, Sample | BrokenSample]] = {}

    def outline(self, benchmark: Benchmark, digest: str) -> list[SampleOutline]:
        """Ids and clusters of all samples of data with `digest`. Raises `KitError`."""
        key = (benchmark.name, digest)
        if key not in self._outlines:
            self._outlines[key] = self.kit.outline(benchmark)
        return self._outlines[key]

    def samples(
        self, benchmark: Benchmark, digest: str, ids: Sequence[str]
    ) -> list[Sample | BrokenSample]:
        """The samples with these ids. Raises `KitError`."""
        built = self._samples.setdefault((benchmark.name, digest), {})
        missing = [id_ for id_ in ids if id_ not in built]
        if missing:
            built.update((s.id, s) for s in self.kit.samples(benchmark, missing))
        return [built[id_] for id_ in ids]
