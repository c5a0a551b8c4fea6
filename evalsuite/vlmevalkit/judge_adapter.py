"""Adapter from a `Judge` to the judge interface of VLMEvalKit."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING

from evalsuite.vlmevalkit import scoring_workarounds

if TYPE_CHECKING:
    from evalsuite.vlmevalkit.judge import Judge


class JudgeModel:
    """Passes VLMEvalKit's prompts to a `Judge`; the judge's own settings apply."""

    def __init__(self, judge: Judge | None) -> None:
        self._judge = judge
        self._system = ""
        self._muted_prompts: set[tuple[str, str]] = set()
        self._lock: threading.Lock | None = None

    def with_system_prompt(self, system: str) -> JudgeModel:
        """Return the same judge with a system prompt."""
        other = copy.copy(self)
        other._system = system
        return other

    def muted(self) -> JudgeModel:
        """Return a judge that is never asked, for empty predictions.

        If VLMEvalKit later sends the same prompt, it is not asked either.
        """
        other = copy.copy(self)
        other._judge = None
        return other

    def with_lock(self, lock: threading.Lock) -> JudgeModel:
        """Return a judge for threads that share `lock`; it releases the lock while it waits."""
        other = copy.copy(self)
        other._lock = lock
        return other

    def working(self) -> bool:
        """Return True: the judge was checked before, and raises if it fails."""
        return True

    def generate(self, prompt: str, **_: object) -> str:
        """Ask the judge; raises `JudgeError`."""
        if self._judge is None:
            self._muted_prompts.add((self._system, prompt))
        if self._judge is None or (self._system, prompt) in self._muted_prompts:
            return scoring_workarounds.NO_OPTION
        if self._lock is None:
            return scoring_workarounds.normalise_judge_answer(
                self._judge.generate(prompt, system=self._system)
            )
        self._lock.release()
        try:
            answer = self._judge.generate(prompt, system=self._system)
        finally:
            self._lock.acquire()
        return scoring_workarounds.normalise_judge_answer(answer)
