"""A kit process and workers in this process: whole runs in milliseconds."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.runner.workers.worker import (
    BatchDone,
    LoadFailed,
    Message,
    Ready,
    Worker,
    WorkerSettings,
)
from evalsuite.runs.records import Prediction
from evalsuite.sample import Sample, Text
from evalsuite.smolvlm.requests import Answer, Question
from evalsuite.system.process import ChildDied
from evalsuite.vlmevalkit.client import (
    BenchmarkScore,
    BrokenSample,
    Kit,
    KitError,
    SampleOutline,
    SampleValue,
)


class FakeKit:
    """`count` samples a benchmark, two on each image. The right answer is the sample's id."""

    def __init__(
        self,
        directory: Path,
        count: int = 20,
        *,
        broken: Sequence[str] = (),
        unreadable: Sequence[str] = (),
        unscorable: Sequence[str] = (),
    ) -> None:
        """Samples `broken` have unreadable images. The others are names of benchmarks."""
        self.media, self.log = directory / "media", directory / "kit.log"
        self.ids = [f"{number:03}" for number in range(count)]
        self.scored: list[tuple[str, list[str]]] = []
        """The benchmark of each request for scores, and its texts."""
        self.built: list[str] = []
        self.words: dict[str, str] = {}
        """What is asked instead of the sample's id."""
        self._broken = broken
        self._unreadable = unreadable
        self._unscorable = unscorable

    @property
    def source(self) -> SampleSource:
        return SampleSource(cast(Kit, self))

    def check_judge(self) -> None:
        pass

    def start(self) -> None:
        pass

    def check_start(self) -> None:
        pass

    def outline(self, benchmark: Benchmark) -> list[SampleOutline]:
        if benchmark.name in self._unreadable:
            raise KitError("load", "no column 'answer'")
        return [SampleOutline(id_, f"image {int(id_) // 2}") for id_ in self.ids]

    def samples(self, benchmark: Benchmark, ids: Sequence[str]) -> list[Sample | BrokenSample]:
        self.built += ids
        return [self._sample(id_) for id_ in ids]

    def _sample(self, id_: str) -> Sample | BrokenSample:
        cluster = f"image {int(id_) // 2}"
        if id_ in self._broken:
            return BrokenSample(id=id_, cluster=cluster, reason="no such image")
        return Sample(
            id=id_,
            cluster=cluster,
            messages=(Text(f"Say {self.words.get(id_, id_)}."),),
            target=id_,
        )

    def score(
        self, benchmark: Benchmark, ids: Sequence[str], predictions: dict[str, Prediction], _: Path
    ) -> BenchmarkScore:
        if benchmark.name in self._unscorable:
            raise KitError("score", "division by zero", logged=True)
        self.scored.append((benchmark.name, [predictions[id_].text for id_ in ids]))
        values = tuple(SampleValue(i, float(predictions[i].text == i), parsed=True) for i in ids)
        mean = 100 * sum(value.value for value in values) / len(values)
        return BenchmarkScore(values=values, score=mean, vlmevalkit_score=mean, deviations=())


class FakeWorker(Worker):
    """Answers each question with what `answer` makes of it, in batches of four."""

    def __init__(self, settings: WorkerSettings, answer: Callable[[Question], str]) -> None:
        self.location, self.log = settings.engine.device, settings.log
        self.asked: list[Question] = []
        self._answer = answer
        self._messages: queue.SimpleQueue[Message | Exception] = queue.SimpleQueue()
        known = "broken" not in settings.directory.name
        self._messages.put(Ready({"device": "fake"}) if known else LoadFailed("no such tensor"))

    def ask(self, questions: Sequence[Question]) -> None:
        self.asked += questions
        answers = [Answer(one.id, self._answer(one), 1, "stop") for one in questions]
        for start in range(0, len(answers), 4):
            self._messages.put(BatchDone(tuple(answers[start : start + 4]), 7, 9))

    def receive(self) -> Message:
        message = self._messages.get()
        if isinstance(message, Exception):
            raise message
        return message

    def kill(self) -> None:
        self._messages.put(ChildDied("was stopped"))
