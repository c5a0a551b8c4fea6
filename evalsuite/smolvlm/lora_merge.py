"""Merge a LoRA adapter into its base model: PEFT's merge in float32, then a cast."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from evalsuite.checkpoint import adapter as lora
from evalsuite.checkpoint.json_files import read_json_object
from evalsuite.checkpoint.weights import read_safetensors_header


def merge(base: Any, adapter: Path, dtype: torch.dtype) -> Any:
    """Merge `adapter` into the float32 module `base`, in place; return it in `dtype`.

    Raises `ValueError` if some of the adapter's weights are missing or unused.
    """
    lora.require_peft()
    from peft import LoraConfig, PeftModel

    _check_known(adapter, LoraConfig)
    settings = LoraConfig.from_pretrained(adapter)
    tensors = read_safetensors_header(adapter / lora.WEIGHTS)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    rows = lora.embedding_rows(shapes)
    if rows is not None and rows > base.get_input_embeddings().num_embeddings:
        # Training added tokens. The adapter replaces all rows, so their first values do not matter.
        base.resize_token_embeddings(rows, mean_resizing=False)
    if lora.changes_head(shapes) and not getattr(settings, "ensure_weight_tying", False):
        # In training, an adapter of the head does not change the embeddings it is tied to.
        base.lm_head.weight = torch.nn.Parameter(base.lm_head.weight.detach().clone())
    adapted = PeftModel(base, settings)
    # Not PeftModel.from_pretrained, which ignores weights that it cannot load.
    loading = adapted.load_adapter(adapter, "default", torch_device="cpu")
    for what, keys in (
        ("are missing", loading.missing_keys),
        ("do not exist in the base model", loading.unexpected_keys),
    ):
        if keys:
            raise ValueError(f"{adapter}: {len(keys)} weights {what}, first {min(keys)}")
    return _cast(adapted.merge_and_unload(), dtype)


def _check_known(adapter: Path, kind: Any) -> None:
    """Raise `ValueError` for options that the installed peft would ignore with a warning."""
    import peft

    known = inspect.signature(kind).parameters
    config = read_json_object(adapter / lora.CONFIG)
    if unknown := sorted(key for key, value in config.items() if value and key not in known):
        raise ValueError(
            f"{adapter / lora.CONFIG}: unknown option '{unknown[0]}' for peft {peft.__version__}; "
            "install the version the adapter was trained with, or a newer one"
        )


def _cast(module: Any, dtype: torch.dtype) -> Any:
    """Cast like ``from_pretrained(dtype=...)``: rotary frequencies, a buffer, stay float32."""
    for weights in module.parameters():
        weights.data = weights.data.to(dtype)
    for config in (module.config, module.config.text_config, module.config.vision_config):
        config.dtype = dtype
    return module
