"""How to run, and which of that makes predictions comparable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalsuite.runner.batch_sensitivity import SAMPLES
from evalsuite.runner.plan import Limit, Shard
from evalsuite.smolvlm.prompts import Profile

ENGINE = "evalsuite-3"
"""Changed whenever the engine may answer differently: another engine's answers are not reused."""

Mode = Literal["all", "infer", "eval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run."""

    output: Path
    device: str
    """The first worker's."""
    dtype: str
    resampling: str
    command: str
    prompts: Profile = "vlmevalkit"
    limit: Limit | None = None
    mode: Mode = "all"
    batch_size: int | None = None
    longest_edge: int | None = None
    fresh: bool = False
    blind: bool = False
    """Whether images and frames are kept from the checkpoint."""
    noise: int = SAMPLES
    """So many samples are asked once more at batch size 1."""
    noise_named: bool = False
    """Whether somebody said so: scores that stand are then taken up again if fewer were."""
    shard: Shard | None = None
    devices: tuple[str, ...] = ()
    """One a worker. Left out: one worker, on `device`."""
    threads: int | None = None
    """Of a worker on the CPU; None leaves that to torch."""
    ray: str | None = None
    """The Ray cluster that workers are on; None: they are on this machine."""
    patience_seconds: float = 300
    """How long a worker waits for room on a Ray cluster. Then that is said or, if no other has a
    place either, the run ends."""

    def __post_init__(self) -> None:
        if not self.devices:
            object.__setattr__(self, "devices", (self.device,))

    @property
    def workers_a_device(self) -> int:
        """How many share a device, or the memory of one machine."""
        if self.ray is not None and self.device != "cpu":
            return 1  # Ray gives each its own
        return self.devices.count(self.device)

    @property
    def noise_owed(self) -> int:
        """So many samples must have been asked once more for a score to stand."""
        return self.noise if self.noise_named else 0

    @property
    def scores(self) -> bool:
        """Whether what is predicted is scored, too."""
        return self.mode != "infer" and self.shard is None

    @property
    def settings(self) -> dict[str, Any]:
        """What makes predictions comparable; part of the run's path."""
        settings: dict[str, Any] = {
            "prompts": self.prompts,
            "dtype": self.dtype,
            "engine": ENGINE,
            "blind": self.blind,
            "resampling": self.resampling,
        }
        if self.longest_edge is not None:
            settings["longest_edge"] = self.longest_edge
        return settings
