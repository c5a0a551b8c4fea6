"""Checks of the weights' headers against config.json: one function for each kind of fault.

A message says what is wrong and what to do; the caller adds the directory.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from evalsuite.checkpoint.expected_weights import (
    EMBEDDINGS,
    HEAD,
    TEXT_LAYERS,
    VISION_LAYERS,
    canonical_name,
    expected_shapes,
    is_tied,
    stated_sizes,
)
from evalsuite.checkpoint.model_config import CONFIG
from evalsuite.checkpoint.weights import SINGLE, Tensor, Weights

FLOATS = ("BF16", "F16", "F32", "F64")
"""Types of weights as they are trained; all others are quantized."""
_WRAPPERS = {
    "_orig_mod.": "torch.compile",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
    "base_model.model.": "PEFT",
    "base_layer.": "PEFT",
    "module.": "DistributedDataParallel or DeepSpeed",
}
"""What wrappers put into the names of weights, and which ones do."""
_UNUSED = re.compile(r"rotary_emb\.inv_freq$|position_ids$")
"""Buffers of earlier versions of transformers, which compute the same today."""


def quantized(config: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """A quantized model: the engine would load it late, or read packed numbers as weights."""
    for where in (config, config.get("text_config"), config.get("vision_config")):
        for key in ("quantization_config", "compression_config"):
            settings = where.get(key) if isinstance(where, dict) else None
            if settings:
                method = settings.get("quant_method") if isinstance(settings, dict) else None
                yield (
                    f"the model is quantized by {method or 'an unnamed method'} ({key} in "
                    f"{CONFIG}), which is not supported; dequantize it and save it in bfloat16"
                )
                return
    for name, tensor in weights.tensors.items():
        if tensor.dtype not in FLOATS and not _UNUSED.search(name):
            yield (
                f"{name} has the type {tensor.dtype}: the weights are quantized or packed, which "
                "is not supported; dequantize them and save them in bfloat16"
            )
            return


def wrapped(_: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """Names from a wrapper, which transformers does not know."""
    for mark, source in _WRAPPERS.items():
        names = [name for name in weights.tensors if f".{mark}" in f".{name}"]
        if not names:
            continue
        if "PEFT" in source and any(".lora_" in name for name in weights.tensors):
            remedy = "the adapter is not merged: call merge_and_unload(), then save_pretrained()"
        else:
            file = weights.tensors[names[0]].file
            remedy = "save the model without the wrapper"
            # Shards also need another index.
            remedy += f", or run `{_rename(str(file), mark)}`" if file.name == SINGLE else ""
        yield (
            f"{len(names)} of {len(weights.tensors)} names of weights contain '{mark}' of "
            f"{source} (first {names[0]}); {remedy}"
        )
        return


def _rename(file: str, mark: str) -> str:
    """A shell command that removes `mark` from the names in `file`."""
    code = (
        "import os; from safetensors.torch import load_file, save_file; "
        f"f = {file!r}; w = load_file(f); "
        f"save_file({{k.replace({mark!r}, ''): t for k, t in w.items()}}, f + '.new', "
        "metadata={'format': 'pt'}); os.replace(f + '.new', f)"
    )
    return f"python -c {shlex.quote(code)}"


def ungathered(_: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """Empty tensors, as DeepSpeed ZeRO-3 saves them on one rank."""
    empty = [name for name, tensor in weights.tensors.items() if 0 in tensor.shape]
    if empty:
        yield (
            f"{len(empty)} of {len(weights.tensors)} weights are empty (first {empty[0]}): they "
            "were saved without gathering, as with DeepSpeed ZeRO-3; set "
            "stage3_gather_16bit_weights_on_model_save, or convert the DeepSpeed checkpoint with "
            "zero_to_fp32.py"
        )


def sizes(config: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """Sizes that are no numbers, and layers that the config or the weights lack."""
    try:
        text, vision = stated_sizes(config)
    except ValueError as error:
        yield f"{CONFIG}: {error}, not a positive whole number; copy {CONFIG} again"
        return
    names = [canonical_name(name) for name in weights.tensors]
    for part, stated, prefix in (
        ("text_config", text, TEXT_LAYERS),
        ("vision_config", vision, VISION_LAYERS),
    ):
        layers = {n.removeprefix(prefix).partition(".")[0] for n in names if n.startswith(prefix)}
        if layers and len(layers) != stated["num_hidden_layers"]:
            yield (
                f"{part}.num_hidden_layers is {stated['num_hidden_layers']:,} in {CONFIG}, but the "
                f"weights have {len(layers):,} layers; copy both from the same model"
            )


def missing(config: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """Weights that the config describes and no file has: transformers would invent them."""
    expected = expected_shapes(config)
    stored = {canonical_name(name) for name in weights.tensors}
    absent = [name for name in expected if name not in stored]
    if is_tied(config) and len({HEAD, EMBEDDINGS} & stored) == 1:
        absent = [name for name in absent if name not in (HEAD, EMBEDDINGS)]
    if absent == [HEAD]:
        text = config.get("text_config")
        inner = isinstance(text, dict) and text.get("tie_word_embeddings")
        where = ", only in text_config, which transformers does not read" if inner else ""
        yield (
            f"no {HEAD}, and {CONFIG} does not tie it to the embeddings{where}; if they were tied "
            f'in training, set "tie_word_embeddings": true at the top of {CONFIG}, otherwise save '
            "the model again"
        )
    elif absent:
        yield (
            f"{len(absent)} of {len(expected)} weights are missing (first {absent[0]}); save the "
            "whole model again, or copy all of its files"
        )


def shapes(config: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """Shapes that differ from the config: a resized vocabulary, or another model."""
    expected = expected_shapes(config)
    stored = {canonical_name(name): tensor.shape for name, tensor in weights.tensors.items()}
    stated = expected[EMBEDDINGS]
    rows = {n: stored[n][0] for n in (EMBEDDINGS, HEAD) if stored.get(n, ())[1:] == stated[1:]}
    if len(set(rows.values())) > 1:
        yield (
            f"{EMBEDDINGS} has {rows[EMBEDDINGS]:,} rows and {HEAD} has {rows[HEAD]:,}: only one "
            "of them was resized; resize the model with resize_token_embeddings() and save it again"
        )
        return
    if rows and (count := min(rows.values())) != stated[0]:
        yield (
            f"vocab_size is {stated[0]:,} in {CONFIG}, but the weights have {count:,} embeddings: "
            f"if they were resized in training, set text_config.vocab_size to {count} in "
            f"{CONFIG}; otherwise copy both from the same model"
        )
        return
    for name, shape in expected.items():
        if stored.get(name, shape) != shape:
            yield (
                f"{name} has the shape {list(stored[name])}, but {CONFIG} describes "
                f"{list(shape)}; copy both from the same model"
            )
            return


def ignored(config: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """Weights that transformers does not load: a warning."""
    if (config.get("text_config") or {}).get("model_type", "llama") != "llama":
        return
    expected = expected_shapes(config)
    unused = [
        name
        for name in weights.tensors
        if canonical_name(name) not in expected and not _UNUSED.search(name)
    ]
    if unused:
        yield (
            f"{len(unused)} weights are not part of the model and are ignored (first {unused[0]})"
        )


def two_heads(config: Mapping[str, Any], weights: Weights) -> Iterator[str]:
    """A tied head that is stored and differs from the embeddings: a warning."""
    stored = {canonical_name(name): tensor for name, tensor in weights.tensors.items()}
    head, embeddings = stored.get(HEAD), stored.get(EMBEDDINGS)
    if not is_tied(config) or head is None or embeddings is None:
        return
    if not _equal(head, embeddings):
        yield (
            f"tie_word_embeddings is true in {CONFIG}, but {HEAD} is stored and differs from the "
            f"embeddings: the stored {HEAD} is used, as in transformers; set it to false"
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether both have the same type, shape and bytes."""
    return (one.dtype, one.shape) == (other.dtype, other.shape) and all(
        a == b for a, b in itertools.zip_longest(one.content(), other.content())
    )


ERRORS = (quantized, wrapped, ungathered, sizes, missing, shapes)
"""In this order: a later check assumes that the earlier ones found nothing."""
WARNINGS = (ignored, two_heads)
