"""What headers of weights show: names, shapes and types against config.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalsuite.checkpoint.checkpoint import read
from evalsuite.checkpoint.expected_weights import canonical_name, expected_shapes
from tests.builders.checkpoint_files import (
    CONFIG,
    TENSORS,
    change,
    change_part,
    error_for,
    make,
    safetensors,
    weights,
    write,
)

EMBEDDINGS = "model.text_model.embed_tokens.weight"
HEAD = "lm_head.weight"
LAYER = "model.text_model.layers.0"
Shapes = dict[str, tuple[int, ...]]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make(tmp_path / "tiny")


pytestmark = pytest.mark.usefixtures("offline")


# The table of names and shapes


def test_the_expected_weights_of_the_builder() -> None:
    assert expected_shapes(CONFIG) == TENSORS


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": None, "head_dim": None},
        {"num_hidden_layers": 3, "num_key_value_heads": 4, "head_dim": 8, "vocab_size": 40},
    ],
)
@pytest.mark.parametrize("family", ["smolvlm", "idefics3"])
def test_the_expected_weights_are_those_of_transformers(family: str, text: dict[str, Any]) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = {
        **{key: value for key, value in CONFIG.items() if key != "architectures"},
        "model_type": family,
        "scale_factor": 2,
        "text_config": {
            **CONFIG["text_config"], "hidden_size": 16, "num_attention_heads": 4, **text,
        },
        "vision_config": {**CONFIG["vision_config"], "num_hidden_layers": 2, "hidden_size": 8},
    }  # fmt: skip
    built = AutoConfig.for_model(**config)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(built)
    theirs = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert expected_shapes(config) == theirs


@pytest.mark.parametrize("prefix", ["", "model.", "model.model."])
def test_prefixes_that_transformers_reads(tiny: Path, prefix: str) -> None:
    renamed = {
        name if name == HEAD else f"{prefix}{name.removeprefix('model.')}": shape
        for name, shape in TENSORS.items()
    }
    write(tiny, "model.safetensors", safetensors(renamed))
    assert read(str(tiny)).warnings == ()
    assert set(map(canonical_name, renamed)) == set(TENSORS)


# Names


@pytest.mark.parametrize(
    ("rename", "mark", "count"),
    [
        (lambda n: f"_orig_mod.{n}", "_orig_mod.", len(TENSORS)),
        (lambda n: f"module.{n}" if "vision" in n else n, "module.", 21),
        (lambda n: n.replace("layers.0.", "layers.0._orig_mod."), "_orig_mod.", 25),
        (lambda n: f"base_model.model.{n}", "base_model.model.", len(TENSORS)),
        (
            lambda n: n.replace("layers.0.", "layers.0._checkpoint_wrapped_module."),
            "_checkpoint_wrapped_module.",
            25,
        ),
        (lambda n: f"_fsdp_wrapped_module.{n}", "_fsdp_wrapped_module.", len(TENSORS)),
    ],
)
def test_names_from_a_wrapper(
    tiny: Path, rename: Callable[[str], str], mark: str, count: int
) -> None:
    renamed = {rename(name): shape for name, shape in TENSORS.items()}
    write(tiny, "model.safetensors", safetensors(renamed))
    message = error_for(tiny)
    assert f"{count} of {len(TENSORS)} names of weights contain '{mark}'" in message
    assert f".replace('\"'\"'{mark}'\"'\"', " in message  # in a command for the shell


def test_a_wrapper_in_shards_has_no_command(tiny: Path) -> None:
    file = "model-00001-of-00001.safetensors"
    renamed = {f"module.{name}": shape for name, shape in TENSORS.items()}
    write(tiny, file, safetensors(renamed))
    write(tiny, "model.safetensors.index.json", {"weight_map": dict.fromkeys(renamed, file)})
    (tiny / "model.safetensors").unlink()
    assert error_for(tiny).endswith("save the model without the wrapper")


def test_a_whole_model_with_an_adapter_that_is_not_merged(tiny: Path) -> None:
    name = f"{LAYER}.self_attn.q_proj"
    tensors = {n: s for n, s in TENSORS.items() if n != f"{name}.weight"}
    lora = {f"{name}.lora_A.default.weight": (2, 4), f"{name}.lora_B.default.weight": (6, 2)}
    tensors |= {f"{name}.base_layer.weight": (6, 4), **lora}
    write(tiny, "model.safetensors", safetensors(tensors))
    assert "merge_and_unload()" in error_for(tiny)


def test_missing_weights(tiny: Path) -> None:
    lost = {f"{LAYER}.mlp.up_proj.weight": None, "model.text_model.norm.weight": None}
    weights(tiny, **lost)
    message = error_for(tiny)
    assert f"2 of {len(TENSORS)} weights are missing" in message
    assert "model.text_model.norm.weight" in message


def test_weights_that_are_ignored(tiny: Path) -> None:
    weights(tiny, **{f"{LAYER}.self_attn.rotary_emb.inv_freq": (1,)})
    assert read(str(tiny)).warnings == ()
    weights(tiny, **{f"{LAYER}.self_attn.q_proj.bias": (6,)})
    (warning,) = read(str(tiny)).warnings
    assert warning.startswith("1 weights are not part of the model")


def test_another_text_model_is_checked_without_its_layers(tiny: Path) -> None:
    change_part(tiny, "text_config", model_type="qwen2")
    weights(tiny, **{f"{LAYER}.self_attn.q_proj.bias": (6,)})
    assert read(str(tiny)).warnings == ()


# Tied heads


@pytest.mark.parametrize("inner", [False, True])
def test_no_head_and_not_tied(tiny: Path, inner: bool) -> None:
    change_part(tiny, "text_config", tie_word_embeddings=inner)
    weights(tiny, **{HEAD: None})
    message = error_for(tiny)
    assert '"tie_word_embeddings": true at the top of config.json' in message
    assert ("only in text_config" in message) == inner


@pytest.mark.parametrize("lost", [HEAD, EMBEDDINGS])
def test_tied_and_stored_once(tiny: Path, lost: str) -> None:
    change(tiny / "config.json", tie_word_embeddings=True)
    weights(tiny, **{lost: None})
    assert read(str(tiny)).warnings == ()


def test_tied_and_stored_twice(tiny: Path) -> None:
    change(tiny / "config.json", tie_word_embeddings=True)
    assert read(str(tiny)).warnings == ()  # both are zeros
    path = tiny / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] = 1  # the head is first
    path.write_bytes(content)
    (warning,) = read(str(tiny)).warnings
    assert "the stored lm_head.weight is used" in warning


# Shapes and sizes


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({EMBEDDINGS: (16, 4), HEAD: (16, 4)}, "set text_config.vocab_size to 16 in config.json"),
        ({HEAD: (16, 4)}, "lm_head.weight has 16: only one of them was resized"),
        ({EMBEDDINGS: (0, 4), HEAD: (0, 4)}, "2 of 34 weights are empty"),
        ({f"{LAYER}.mlp.up_proj.weight": (0,)}, "saved without gathering"),
        ({f"{LAYER}.mlp.up_proj.weight": (9, 4)}, "has the shape [9, 4], but config.json"),
        ({"model.vision_model.embeddings.position_embedding.weight": (4, 4)}, "shape [4, 4]"),
        ({f"model.text_model.layers.1.{n}": (4,) for n in "ab"}, "the weights have 2 layers"),
        ({"model.vision_model.encoder.layers.7.x": (4,)}, "the weights have 2 layers"),
    ],
)
def test_shapes(tiny: Path, shapes: Shapes, expected: str) -> None:
    weights(tiny, **shapes)
    assert expected in error_for(tiny)


@pytest.mark.parametrize(
    ("part", "changes", "expected"),
    [
        ("text_config", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000"),
        ("vision_config", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000"),
        ("text_config", {"num_hidden_layers": 2}, "but the weights have 1 layers"),
        ("text_config", {"vocab_size": 10**12}, "set text_config.vocab_size to 12"),
        ("text_config", {"vocab_size": 99}, "vocab_size is 99 in config.json"),
        ("text_config", {"hidden_size": 10**9}, "but config.json describes"),
        ("text_config", {"hidden_size": "4"}, "text_config.hidden_size is '4'"),
        ("text_config", {"num_attention_heads": 0}, "num_attention_heads is 0"),
        ("text_config", {"head_dim": -2}, "text_config.head_dim is -2"),
        ("vision_config", {"num_channels": 1.5}, "vision_config.num_channels is 1.5"),
        ("vision_config", {"hidden_size": 8}, "but config.json describes"),
    ],
)
def test_sizes(tiny: Path, part: str, changes: dict[str, Any], expected: str) -> None:
    change_part(tiny, part, **changes)
    assert expected in error_for(tiny)


# Quantized weights


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"bits": 4}, "an unnamed method"),
        ("int8", "an unnamed method"),
    ],
)
@pytest.mark.parametrize("where", [None, "text_config", "vision_config"])
def test_a_quantized_model(tiny: Path, settings: object, method: str, where: str | None) -> None:
    if where is None:
        change(tiny / "config.json", quantization_config=settings)
    else:
        change_part(tiny, where, quantization_config=settings)
    assert f"quantized by {method} (quantization_config" in error_for(tiny)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "U8", "I8", "I32", "BOOL"])
def test_packed_weights_without_a_quantization_config(tiny: Path, dtype: str) -> None:
    path = tiny / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header[f"{LAYER}.mlp.up_proj.weight"]["dtype"] = dtype
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    assert f"up_proj.weight has the type {dtype}" in error_for(tiny)


# Damaged headers


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "BF16", "shape": [-1], "data_offsets": [0, 2]},
        {"dtype": "BF16", "shape": [1], "data_offsets": [2, 0]},
        {"dtype": "BF16", "shape": [1], "data_offsets": [4, 6]},
        {"dtype": "BF16", "shape": "x", "data_offsets": [0, 2]},
        {"dtype": "BF16", "shape": [1]},
        [],
    ],
)
def test_headers_that_no_library_reads(tiny: Path, entry: object) -> None:
    text = json.dumps({"a": entry}).encode()
    write(tiny, "model.safetensors", len(text).to_bytes(8, "little") + text + bytes(2))
    assert "its header is damaged" in error_for(tiny)


def test_a_header_that_is_nested_deeply(tiny: Path) -> None:
    text = b'{"a":' + b"[" * 200_000
    write(tiny, "model.safetensors", len(text).to_bytes(8, "little") + text)
    assert "its header is damaged" in error_for(tiny)
