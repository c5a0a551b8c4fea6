"""A worker process refuses a checkpoint that is not the one that was identified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from evalsuite.checkpoint.checkpoint import read
from evalsuite.runner.config import RunConfig
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.workers.worker import LoadFailed, Worker
from evalsuite.system.hashing import has_changed
from tests.builders.checkpoint_files import END, change, error_for, make
from tests.test_lora import make_adapter

pytestmark = pytest.mark.usefixtures("offline")


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("tiny", "tiny/model.safetensors"), ("tiny", "tiny/config.json"),
        ("tiny", "tiny/generation_config.json"), ("tiny", "tiny/tokenizer.json"),
        ("tiny", "tiny/processor_config.json"), ("tiny", "tiny/chat_template.jinja"),
        ("lora", "lora/adapter_model.safetensors"), ("lora", "lora/adapter_config.json"),
        ("lora", "tiny/model.safetensors"), ("lora", "tiny/tokenizer.json"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["in place", "new file", "removed"])
def test_a_changed_file(tmp_path: Path, source: str, changed: str, how: str) -> None:
    base = make(tmp_path / "tiny")
    make_adapter(tmp_path / "lora", str(base))
    checkpoint = read(str(tmp_path / source))
    path = tmp_path / changed
    content = path.read_bytes()
    other = content[:-1] + bytes([content[-1] ^ 1])
    if how == "in place":
        path.write_bytes(other)
    elif how == "new file":
        path.with_name("new").write_bytes(other)
        path.with_name("new").replace(path)
    else:
        path.unlink()
    found = [file.path for file in checkpoint.files if has_changed(file)]
    assert found == [path]


def test_a_worker_of_a_changed_checkpoint_loads_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "tiny")
    options = ResolvedConfig(
        config=RunConfig(output_dir=tmp_path), devices=("cpu",), dtype="float32", resampling=""
    )
    settings = options.worker_settings(read(str(path)))
    change(path / "generation_config.json", eos_token_id=END + 1)
    worker = Worker(settings)
    try:
        message = worker.receive()
    finally:
        worker.kill()
    assert isinstance(message, LoadFailed)
    assert message.reason.startswith(f"{path / 'generation_config.json'} changed after")


def test_a_file_that_is_written_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config that is read and the config that is digested are the same."""
    path = make(tmp_path / "tiny")
    opened = os.open
    changed: list[str] = []

    def write_after(name: Any, *args: Any, **kwargs: Any) -> int:
        descriptor = opened(name, *args, **kwargs)
        if str(name).endswith("model.safetensors") and not changed:
            changed.append(name)
            change(path / "config.json", something="else")
        return descriptor

    monkeypatch.setattr(os, "open", write_after)
    assert "config.json: changed while it was read" in error_for(path)
