"""A LoRA adapter merged into its base: what PEFT's own merge gives in float32, then cast."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from evalsuite.checkpoint import adapter as lora
from evalsuite.checkpoint.weights import read_json_object


def merge(base: Any, adapter: Path, dtype: torch.dtype) -> Any:
    """Merge the adapter into `base`, a module in float32 that this changes; returns it in `dtype`.

    Raises `ValueError` if the adapter's weights are not all used, or not all there.
    """
    lora.require_peft()
    from peft import LoraConfig, PeftModel

    _check_known(adapter, LoraConfig)
    adapted = PeftModel(base, LoraConfig.from_pretrained(adapter))
    # Not PeftModel.from_pretrained, which passes over what it could not load.
    loading = adapted.load_adapter(adapter, "default", torch_device="cpu")
    for what, keys in (
        ("are missing", loading.missing_keys),
        ("have no place in the base", loading.unexpected_keys),
    ):
        if keys:
            raise ValueError(f"{adapter}: {len(keys)} weights {what}, first {min(keys)}")
    return _cast(adapted.merge_and_unload(), dtype)


def _check_known(adapter: Path, kind: Any) -> None:
    """Refuse what the installed peft would drop with no more than a warning."""
    import peft

    known = inspect.signature(kind).parameters
    config = read_json_object(adapter / lora.CONFIG)
    if unknown := sorted(key for key, value in config.items() if value and key not in known):
        raise ValueError(
            f"{adapter / lora.CONFIG}: peft {peft.__version__} does not know '{unknown[0]}'; "
            "install the version the adapter was trained with, or a newer one"
        )


def _cast(module: Any, dtype: torch.dtype) -> Any:
    """Cast as ``from_pretrained(dtype=...)`` does: rotary frequencies, a buffer, stay float32."""
    for weights in module.parameters():
        weights.data = weights.data.to(dtype)
    for config in (module.config, module.config.text_config, module.config.vision_config):
        config.dtype = dtype
    return module
