"""Measure a checkpoint's memory and throughput at several batch sizes: ``evalsuite profile``."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.checkpoint import checkpoint as checkpoints
from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runner.config import RunConfig
from evalsuite.runner.run_record import checkpoint_record
from evalsuite.runs.records import CheckpointRecord, now
from evalsuite.smolvlm.profiler import (
    DeviceRates,
    Measurement,
    MeasurementFailure,
    ProfileTask,
    measure,
    measurement_to_plain,
)
from evalsuite.smolvlm.requests import EngineSettings
from evalsuite.system.devices import resolve
from evalsuite.system.environment import versions
from evalsuite.system.packages import require_run

SCHEMA = 1
"""Version of profile.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileConfig:
    """What to measure."""

    run: RunConfig
    """Checkpoint, device and dtype; the other options do not matter."""
    batch_sizes: str = "1,64"
    image_size: str = "1024x768"
    new_tokens: int = 16
    seconds: float = 10.0
    """Minimum measuring time of each batch size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The measurements of a checkpoint on one device."""

    checkpoint: CheckpointRecord
    command: str
    made: str
    """Time of the measurement, in UTC."""
    device: str
    dtype: str
    rates: DeviceRates
    image_size: tuple[int, int]
    """Width and height of the images shown."""
    new_tokens: int
    environment: dict[str, Any]
    rows: tuple[Measurement | MeasurementFailure, ...]

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """The rows without the failed ones."""
        return tuple(row for row in self.rows if isinstance(row, Measurement))


def profile(config: ProfileConfig, say: Callable[[str], None] = lambda _: None) -> Profile:
    """Measure each batch size in its own process.

    Raises `UsageError` for wrong arguments and `IncompleteError` if the rates of the device cannot
    be measured.
    """
    require_run()
    batch_sizes = _batch_sizes(config.batch_sizes)
    size = _image_size(config.image_size)
    device, dtype = resolve(config.run.device, config.run.dtype)
    found = checkpoints.read(*config.run.ckpt, processor=config.run.processor, base=config.run.base)
    with tempfile.NamedTemporaryFile(prefix="evalsuite-profile-", suffix=".log") as log:
        settings = EngineSettings(
            device=device,
            dtype=dtype,
            base=found.base_path,
            processor=found.processor_path,
            tokenizer=found.tokenizer_path,
        )
        task = ProfileTask(
            directory=found.path,
            settings=settings,
            image_size=size,
            new_tokens=config.new_tokens,
            seconds=config.seconds,
            log=Path(log.name),
        )
        say(f"measuring {device} in {dtype}: matrix rate and bandwidth")
        rates = measure(task)
        if not isinstance(rates, DeviceRates):
            why = rates.reason if isinstance(rates, MeasurementFailure) else "no answer"
            raise IncompleteError(f"--device {device}: cannot be measured: {why}; try another")
        rows = []
        for batch_size in batch_sizes:
            say(f"measuring batches of {batch_size}")
            batched = dataclasses.replace(settings, batch_size=batch_size)
            row = measure(dataclasses.replace(task, settings=batched))
            assert not isinstance(row, DeviceRates)
            rows.append(row)
    return Profile(
        checkpoint=checkpoint_record(found),
        command=config.run.command,
        made=now(),
        device=device,
        dtype=dtype,
        rates=rates,
        image_size=size,
        new_tokens=config.new_tokens,
        environment=versions(),
        rows=tuple(rows),
    )


def profile_to_plain(made: Profile) -> dict[str, Any]:
    """The content of profile.json."""
    plain = {"schema": SCHEMA, **dataclasses.asdict(made)}
    plain["rows"] = [
        measurement_to_plain(row, made.rates)
        if isinstance(row, Measurement)
        else dataclasses.asdict(row)
        for row in made.rows
    ]
    return plain


def _batch_sizes(text: str) -> Sequence[int]:
    sizes = [part.strip() for part in text.split(",")]
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise UsageError(f"--batch-size {text}: expected numbers of questions like 1,64")
    return sorted({int(size) for size in sizes})


def _image_size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--image-size {text}: expected width and height like 1024x768")
    return int(width), int(height)
