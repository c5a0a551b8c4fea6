"""What batching did to a run's answers, in words."""

from __future__ import annotations

from evalsuite.report.words import counted, signed
from evalsuite.results import Noise


def described(noise: Noise) -> str:
    """What was found, in a line."""
    return (
        f"of {counted(noise.count, 'sample')} asked again at batch size 1, {noise.changed} read "
        f"differently and {noise.flipped} changed value; effect {signed(noise.effect)} points "
        f"({signed(noise.low)} to {signed(noise.high)})"
    )
