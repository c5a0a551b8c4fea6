"""Checkpoint directories made of small files, without weights that work."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evalsuite.checkpoint.checkpoint import read
from evalsuite.errors import USAGE, UsageError


def _layer(prefix: str, matrices: Mapping[str, tuple[int, int]], *, bias: bool) -> dict[str, Any]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in matrices.items():
        shapes[f"{prefix}.{name}.weight"] = shape
        if bias:
            shapes[f"{prefix}.{name}.bias"] = shape[:1]
    return shapes


TENSORS: dict[str, tuple[int, ...]] = {
    "lm_head.weight": (12, 4),
    "model.text_model.embed_tokens.weight": (12, 4),
    "model.vision_model.embeddings.patch_embedding.weight": (4, 3, 8, 8),
    "model.connector.modality_projection.proj.weight": (4, 16),
    "model.text_model.norm.weight": (4,),
    "model.text_model.layers.0.input_layernorm.weight": (4,),
    "model.text_model.layers.0.post_attention_layernorm.weight": (4,),
    **_layer(
        "model.text_model.layers.0.self_attn",
        {"q_proj": (6, 4), "k_proj": (2, 4), "v_proj": (2, 4), "o_proj": (4, 6)},
        bias=False,
    ),
    **_layer(
        "model.text_model.layers.0.mlp",
        {"gate_proj": (8, 4), "up_proj": (8, 4), "down_proj": (4, 8)},
        bias=False,
    ),
    "model.vision_model.embeddings.patch_embedding.bias": (4,),
    "model.vision_model.embeddings.position_embedding.weight": (16, 4),
    "model.vision_model.post_layernorm.weight": (4,),
    "model.vision_model.post_layernorm.bias": (4,),
    **{
        f"model.vision_model.encoder.layers.0.layer_norm{i}.{part}": (4,)
        for i in (1, 2)
        for part in ("weight", "bias")
    },
    **_layer(
        "model.vision_model.encoder.layers.0.self_attn",
        {f"{part}_proj": (4, 4) for part in ("q", "k", "v", "out")},
        bias=True,
    ),
    **_layer("model.vision_model.encoder.layers.0.mlp", {"fc1": (8, 4), "fc2": (4, 8)}, bias=True),
}


PARAMETERS = sum(math.prod(shape) for shape in TENSORS.values())


END = 9


TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}: "
    "{{ '<image>' }}<end_of_utterance>\n{% endfor %}{{ 'Assistant:' }}"
)


CONFIG: dict[str, Any] = {
    "model_type": "smolvlm",
    "architectures": ["SmolVLMForConditionalGeneration"],
    "scale_factor": 2,
    "image_token_id": 8,
    "text_config": {
        "model_type": "llama",
        "vocab_size": 12,
        "hidden_size": 4,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 2,
    },
    "vision_config": {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 4,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    },
}


IMAGE = {
    "do_image_splitting": True,
    "max_image_size": {"longest_edge": 32},
    "size": {"longest_edge": 64},
}


TOKENIZER: dict[str, Any] = {
    "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate("abcde")}, "merges": []},
    "added_tokens": [
        {"id": 5, "content": "<|im_start|>"},
        {"id": 6, "content": "<row_1_col_1>"},
        {"id": 7, "content": "<row_2_col_2>"},
        {"id": 8, "content": "<image>"},
        {"id": END, "content": "<end_of_utterance>"},
        {"id": 10, "content": "<fake_token_around_image>"},
        {"id": 11, "content": "<global-img>"},
    ],
}


def safetensors(tensors: Mapping[str, tuple[int, ...]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def write(directory: Path, name: str, content: object) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        (directory / name).write_bytes(content)
    else:
        (directory / name).write_text(
            content if isinstance(content, str) else json.dumps(content, indent=2)
        )


def make(directory: Path) -> Path:
    """A whole checkpoint as the published ones are laid out, and nothing doubtful about it."""
    write(directory, "config.json", CONFIG)
    write(directory, "generation_config.json", {"eos_token_id": END})
    write(directory, "model.safetensors", safetensors(TENSORS))
    write(directory, "preprocessor_config.json", IMAGE)
    write(directory, "processor_config.json", {"image_seq_len": 4})
    write(directory, "tokenizer.json", TOKENIZER)
    write(directory, "chat_template.jinja", TEMPLATE)
    return directory


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_part(directory: Path, part: str, **changes: object) -> None:
    """Change text_config or vision_config in config.json."""
    config = json.loads((directory / "config.json").read_text())
    change(directory / "config.json", **{part: {**config[part], **changes}})


def weights(directory: Path, **changes: tuple[int, ...] | None) -> None:
    """Write weights with other shapes; None removes a tensor."""
    tensors = {**TENSORS, **changes}
    kept = {name: shape for name, shape in tensors.items() if shape is not None}
    write(directory, "model.safetensors", safetensors(kept))


def error_for(source: object, **kwargs: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read(str(source), **kwargs)
    assert caught.value.exit_code == USAGE
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cached(tmp_path: Path, source: Path) -> Path:
    """`source` laid out as a download of org/tiny."""
    model = tmp_path / "hub" / "models--org--tiny"
    snapshot = model / "snapshots" / ("0123456789" * 4)
    for directory in (snapshot, model / "refs", model / "blobs"):
        directory.mkdir(parents=True)
    (model / "refs" / "main").write_text(snapshot.name)
    for file in source.iterdir():
        shutil.copy(file, model / "blobs" / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    return snapshot
