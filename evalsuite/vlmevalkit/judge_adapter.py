"""A judge as VLMEvalKit's functions call one."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING

from evalsuite.vlmevalkit import scoring_workarounds

if TYPE_CHECKING:
    from evalsuite.vlmevalkit.judge import Judge


class Model:
    """Hands VLMEvalKit's prompts to a `Judge`; the settings it asks for are the judge's own."""

    def __init__(self, judge: Judge | None) -> None:
        self._judge = judge
        self._system = ""
        self._unasked: set[tuple[str, str]] = set()
        self._turn: threading.Lock | None = None

    def under(self, system: str) -> Model:
        """Return the same judge, told `system` first."""
        other = copy.copy(self)
        other._system = system
        return other

    def of_no_answer(self) -> Model:
        """Return a judge for predictions that are none: nobody is asked about them.

        Nor later, when VLMEvalKit comes with the same prompt.
        """
        other = copy.copy(self)
        other._judge = None
        return other

    def in_turn(self, turn: threading.Lock) -> Model:
        """Return a judge for threads of which one at a time holds `turn`: it is let go to ask."""
        other = copy.copy(self)
        other._turn = turn
        return other

    def working(self) -> bool:
        """Say so: it was checked before anything was spent, and raises rather than give up."""
        return True

    def generate(self, prompt: str, **_: object) -> str:
        """Ask; raises `JudgeError`."""
        if self._judge is None:
            self._unasked.add((self._system, prompt))
        if self._judge is None or (self._system, prompt) in self._unasked:
            return scoring_workarounds.NONE
        if self._turn is None:
            return scoring_workarounds.no_verdict_is_none(
                self._judge.generate(prompt, system=self._system)
            )
        self._turn.release()
        try:
            answer = self._judge.generate(prompt, system=self._system)
        finally:
            self._turn.acquire()
        return scoring_workarounds.no_verdict_is_none(answer)
