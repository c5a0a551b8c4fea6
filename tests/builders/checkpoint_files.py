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

TENSORS = {
    "model.text_model.embed_tokens.weight": (12, 4),
    "model.vision_model.embeddings.patch_embedding.weight": (4, 3, 8, 8),
    "model.connector.modality_projection.proj.weight": (4, 16),
}


PARAMETERS = 12 * 4 + 4 * 3 * 8 * 8 + 4 * 16


END = 9


TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}: "
    "{{ '<image>' }}<end_of_utterance>\n{% endfor %}{{ 'Assistant:' }}"
)


CONFIG = {
    "model_type": "smolvlm",
    "architectures": ["SmolVLMForConditionalGeneration"],
    "scale_factor": 2,
    "text_config": {"model_type": "llama", "vocab_size": 12},
    "vision_config": {"image_size": 32, "patch_size": 8},
}


IMAGE = {
    "do_image_splitting": True,
    "max_image_size": {"longest_edge": 32},
    "size": {"longest_edge": 64},
}


TOKENIZER: dict[str, Any] = {
    "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate("abcdefgh")}, "merges": []},
    "added_tokens": [
        {"id": 8, "content": "<image>"},
        {"id": END, "content": "<end_of_utterance>"},
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
