"""Adapter from a `Judge` to the judge interface of VLMEvalKit."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from evalsuite.vlmevalkit import scoring_workarounds

if TYPE_CHECKING:
    from evalsuite.vlmevalkit.judge import Judge


@dataclass(frozen=True)
class JudgeModel:
    """Passes VLMEvalKit's prompts to a `Judge`; the judge's own settings apply."""

    judge: Judge | None
    """None for empty predictions: the judge is never asked, also if the same prompt comes later."""
    system: str = ""
    lock: threading.Lock | None = None
    """Held by the thread that calls `generate`; released while the judge answers."""
    _muted_prompts: set[tuple[str, str]] = field(default_factory=set)

    def with_system_prompt(self, system: str) -> JudgeModel:
        """Return the same judge with a system prompt."""
        return replace(self, system=system)

    def working(self) -> bool:
        """Return True: the judge was checked before, and raises if it fails."""
        return True

    def generate(self, prompt: str, **_: object) -> str:
        """Ask the judge; raises `JudgeError`."""
        if self.judge is None:
            self._muted_prompts.add((self.system, prompt))
        if self.judge is None or (self.system, prompt) in self._muted_prompts:
            return scoring_workarounds.NO_OPTION
        if self.lock is not None:
            self.lock.release()
        try:
            answer = self.judge.generate(prompt, system=self.system)
        finally:
            if self.lock is not None:
                self.lock.acquire()
        return scoring_workarounds.normalise_judge_answer(answer)
