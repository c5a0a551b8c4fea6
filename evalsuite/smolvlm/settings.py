"""How the engine loads and runs a checkpoint. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Options of `evalsuite.smolvlm.engine.Engine`."""

    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int | None = None
    """None: free memory decides."""
    base: Path | None = None
    """Base model, if the checkpoint is a LoRA adapter."""
    processor: Path | None = None
    """Directory of the image settings, if not the checkpoint's."""
    tokenizer: Path | None = None
    """Directory of the tokenizer, if not the checkpoint's."""
    longest_edge: int | None = None
    """Images are resized to this longest edge, in pixels. None: as the processor does."""
    workers_per_device: int = 1
    """How many workers share the device's memory, this one included."""
