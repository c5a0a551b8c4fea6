"""A run's configuration with devices, data type and limits resolved on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.runner.batch_sensitivity import SAMPLES
from evalsuite.runner.config import RunConfig
from evalsuite.runner.workers.worker import WorkerSettings
from evalsuite.runs.layout import Limit, Shard
from evalsuite.smolvlm.requests import EngineSettings

ENGINE = "evalsuite-3"
"""Version of the engine. Increase it when the engine may answer differently: predictions of
another version are not reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedConfig:
    """What `config` means on this machine."""

    config: RunConfig
    devices: tuple[str, ...]
    dtype: str
    resampling: str
    """How torchvision resizes images here; part of what makes predictions comparable."""
    limit: Limit | None = None
    shard: Shard | None = None
    batch_size: int | None = None
    """None: chosen by the engine."""
    threads: int | None = None
    """CPU threads of a worker; None: torch decides."""
    patience_seconds: float = 300
    """How long a worker waits for a free device of a Ray cluster. Then a note is printed, or the
    run ends if no worker has a device."""

    @property
    def device(self) -> str:
        """The device of the first worker."""
        return self.devices[0]

    @property
    def workers_per_device(self) -> int:
        """How many workers share a device, or the memory of one machine."""
        if self.config.ray is not None and self.device != "cpu":
            return 1  # Ray gives each worker its own device
        return self.devices.count(self.device)

    def worker_settings(self, checkpoint: Checkpoint) -> WorkerSettings:
        """What a worker needs to run `checkpoint`."""
        return WorkerSettings(
            directory=checkpoint.path,
            files=checkpoint.files,
            engine=EngineSettings(
                device=self.device,
                dtype=self.dtype,
                batch_size=self.batch_size,
                base=checkpoint.base_path,
                processor=checkpoint.processor_path,
                tokenizer=checkpoint.tokenizer_path,
                longest_edge=self.config.longest_edge,
                workers_per_device=self.workers_per_device,
            ),
            log=(self.config.output_dir / "worker.log").absolute(),
            threads=self.threads,
        )

    @property
    def reruns(self) -> int:
        """How many samples of the run are repeated at batch size 1."""
        return SAMPLES if self.config.noise is None else self.config.noise

    @property
    def reruns_required(self) -> int:
        """How many reruns an earlier score must have to be kept: those asked for explicitly."""
        return self.config.noise or 0

    @property
    def scores(self) -> bool:
        """Whether predictions are also scored."""
        return self.config.mode != "infer" and self.shard is None

    @property
    def settings(self) -> dict[str, Any]:
        """What makes predictions comparable; part of the run's path."""
        settings: dict[str, Any] = {
            "prompts": self.config.prompts,
            "dtype": self.dtype,
            "engine": ENGINE,
            "blind": self.config.blind,
            "resampling": self.resampling,
        }
        if self.config.longest_edge is not None:
            settings["longest_edge"] = self.config.longest_edge
        return settings
