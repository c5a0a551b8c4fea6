"""A judge as VLMEvalKit's functions call one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalsuite.vlmevalkit import rule_mends

if TYPE_CHECKING:
    from evalsuite.judge import Judge


class Model:
    """Hands VLMEvalKit's prompts to a `Judge`; the settings it asks for are the judge's own."""

    def __init__(self, judge: Judge, system: str = "") -> None:
        self._judge = judge
        self._system = system

    def under(self, system: str) -> Model:
        """Return the same judge, told `system` first."""
        return Model(self._judge, system)

    def working(self) -> bool:
        """Say so: it was checked before anything was spent, and raises rather than give up."""
        return True

    def generate(self, prompt: str, **_: object) -> str:
        """Ask; raises `JudgeError`."""
        return rule_mends.no_verdict_is_none(self._judge.generate(prompt, system=self._system))
