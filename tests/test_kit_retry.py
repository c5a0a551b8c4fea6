"""A killed kit process: its request is repeated."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from evalsuite.benchmarks import catalogue
from evalsuite.sample import Sample, Text
from evalsuite.system.process import ChildDied, ChildTimedOut
from evalsuite.vlmevalkit import client
from evalsuite.vlmevalkit.client import BenchmarkScore, BrokenSample, Kit, KitError

BENCHMARK = catalogue.load().select(["DemoOCR"])[0]
SAMPLES = {name: Sample(id=name, cluster=name, messages=(Text("?"),)) for name in ("a", "b", "c")}
SCORE = BenchmarkScore(values=(), score=50.0, vlmevalkit_score=50.0, deviations=())


class DyingChild:
    """A kit process that dies on the requests in `deaths`, each as often as it is listed."""

    deaths: ClassVar[list[object]] = []
    error: type[Exception] = ChildDied
    started = 0
    pid = 0

    def __init__(self, *_: object, **__: object) -> None:
        type(self).started += 1
        self._replies: list[Any] = [(True, None, False), (True, None, False)]

    def send(self, message: Any) -> None:
        if not isinstance(message, tuple):
            return  # the settings
        verb, _, *arguments = message
        ids = list(arguments[0]) if arguments else []
        for death in self.deaths:
            if death == verb or death in ids:
                self.deaths.remove(death)
                self._replies.append(self.error("was killed (out of memory?)"))
                return
        results = {"samples": [SAMPLES[id_] for id_ in ids], "score": SCORE}
        broken = [BrokenSample(id=id_, cluster=id_, reason="") for id_ in ids]
        self._replies.append((True, {**results, "describe": broken}.get(verb), False))

    def receive(self, _: float | None = None) -> Any:
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def kill(self) -> None:
        pass


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    monkeypatch.setattr(client, "Child", DyingChild)
    monkeypatch.setattr(DyingChild, "started", 0)
    monkeypatch.setattr(DyingChild, "error", ChildDied)
    return Kit(work=tmp_path, media=tmp_path, log=tmp_path / "kit.log")


@pytest.mark.parametrize("verb", ["load", "score"])
def test_scoring_is_repeated_after_two_deaths_and_fails_after_three(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(DyingChild, "deaths", [verb] * 2)
    assert kit.score(BENCHMARK, [], {}, kit.media) == SCORE
    monkeypatch.setattr(DyingChild, "deaths", [verb] * 3)
    with pytest.raises(KitError, match="DemoOCR: the VLMEvalKit process was killed"):
        kit.score(BENCHMARK, [], {}, kit.media)


def test_a_sample_fails_only_if_three_processes_died_on_it_alone(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DyingChild, "deaths", ["samples"])
    assert kit.samples(BENCHMARK, ["a", "b"]) == [SAMPLES["a"], SAMPLES["b"]]
    # Once with the others, then twice alone: read by the next.
    monkeypatch.setattr(DyingChild, "deaths", ["b"] * 3)
    assert kit.samples(BENCHMARK, ["a", "b", "c"]) == list(SAMPLES.values())
    monkeypatch.setattr(DyingChild, "deaths", ["b"] * 4)
    a, b, c = kit.samples(BENCHMARK, ["a", "b", "c"])
    assert [a, c] == [SAMPLES["a"], SAMPLES["c"]]
    assert isinstance(b, BrokenSample)
    assert "was killed" in b.reason


def test_a_process_that_hangs_is_not_tried_again(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DyingChild, "deaths", ["score"])
    monkeypatch.setattr(DyingChild, "error", ChildTimedOut)
    with pytest.raises(KitError, match="the VLMEvalKit process gave"):
        kit.score(BENCHMARK, [], {}, kit.media)
    assert DyingChild.started == 1
