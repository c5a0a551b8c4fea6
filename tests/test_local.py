"""A worker that dies is replaced, and one question that kills workers costs only itself."""

import queue
from collections.abc import Sequence
from pathlib import Path

import pytest

from evalsuite.errors import IncompleteError
from evalsuite.process import ChildDied
from evalsuite.runner.local import DEATHS, STARTS, LocalWorker, Said
from evalsuite.runner.work import Answered, Ready, Unfit, Worker, WorkerSettings
from evalsuite.smolvlm.prompts import Prompt
from evalsuite.smolvlm.questions import Answer, Question

SETTINGS = WorkerSettings(
    directory=Path("checkpoint"),
    base=None,
    processor=None,
    device="cpu",
    dtype="float32",
    batch_size=None,
    longest_edge=None,
    log=Path("worker.log"),
)


class Fake(Worker):
    """Answers a batch at a time; dies on poison, or before it is ready."""

    hired = 0

    def __init__(self, poison: Sequence[str], ready: bool = True) -> None:
        type(self).hired += 1
        self._poison = poison
        self._said: queue.SimpleQueue[Ready | Unfit | Answered | None] = queue.SimpleQueue()
        self._said.put(Ready({}) if ready else None)

    def ask(self, questions: Sequence[Question]) -> None:
        # As the engine does: all of a window dies with the one that kills.
        if any(question.id in self._poison for question in questions):
            self._said.put(None)
            return
        for question in questions:
            answer = Answer(question.id, f"answer to {question.id}", 1, "stop")
            self._said.put(Answered((answer,), None))

    def receive(self) -> Ready | Unfit | Answered:
        said = self._said.get()
        if said is None:
            raise ChildDied("was killed (out of memory?)")
        return said

    def kill(self) -> None:
        pass


def run(ids: Sequence[str], poison: Sequence[str]) -> tuple[dict[str, Answer], list[str]]:
    Fake.hired = 0
    posted: queue.SimpleQueue[Said] = queue.SimpleQueue()
    notes: list[str] = []
    worker = LocalWorker(SETTINGS, posted.put, notes.append, lambda _: Fake(poison))
    worker.ask([Question(id_, Prompt("?", (), split=True), 4) for id_ in ids])
    answers: dict[str, Answer] = {}
    while worker.owed:
        heard = worker.hear(posted.get(timeout=10))
        if not isinstance(heard, Ready | Unfit):
            answers.update((answer.id, answer) for answer in heard)
    return answers, notes


def test_without_poison_nobody_dies() -> None:
    answers, notes = run("abcdef", "")
    assert {id_: a.text for id_, a in answers.items()} == {i: f"answer to {i}" for i in "abcdef"}
    assert notes == []
    assert Fake.hired == 1


@pytest.mark.parametrize("poison", ["a", "d", "f", "be", "abcdef"])
def test_each_poison_costs_itself_alone(poison: str) -> None:
    answers, notes = run("abcdef", poison)
    assert sorted(answers) == list("abcdef")
    for id_, answer in answers.items():
        assert (answer.ended == "error") == (id_ in poison)
        if id_ in poison:
            assert answer.error is not None
            assert "was killed (out of memory?) on this sample" in answer.error
    assert len([note for note in notes if "left out" in note]) == len(poison)
    assert Fake.hired <= 1 + (DEATHS + 1) * len(poison)


def test_a_worker_that_never_gets_ready_is_given_up() -> None:
    posted: queue.SimpleQueue[Said] = queue.SimpleQueue()
    worker = LocalWorker(SETTINGS, posted.put, lambda _: None, lambda _: Fake("", ready=False))
    for _ in range(STARTS - 1):
        worker.hear(posted.get(timeout=10))
    with pytest.raises(IncompleteError, match=r"3 times in a row; worker\.log has its last words"):
        worker.hear(posted.get(timeout=10))


def test_a_defect_in_the_listener_is_raised() -> None:
    worker = LocalWorker(SETTINGS, lambda _: None, lambda _: None, lambda _: Fake(""))
    with pytest.raises(AttributeError, match="surprise"):
        worker.hear(Said(worker._worker, AttributeError("surprise")))
