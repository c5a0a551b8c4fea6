"""Which checkpoints of a command are evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsuite.errors import UsageError
from evalsuite.runner.config import RunConfig
from evalsuite.runner.events import Event, Note
from evalsuite.runner.session import Evaluated, Prepared, prepare
from tests.builders.checkpoint_files import make, write

pytestmark = pytest.mark.usefixtures("offline")


def prepared(tmp_path: Path, *ckpt: str, prompts: str = "vlmevalkit") -> tuple[Prepared, list[str]]:
    events: list[Event] = []
    config = RunConfig(
        ckpt=ckpt,
        benchmarks=("DemoDigits",),
        output_dir=tmp_path / "out",
        device="cpu",
        prompts=prompts,  # type: ignore[arg-type]
    )
    found = prepare(config, events.append)
    return found, [event.text for event in events if isinstance(event, Note)]


def truncate(checkpoint: Path) -> Path:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    return path


def test_a_broken_member_of_a_pattern_is_left_out(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        make(tmp_path / "sft" / f"checkpoint-{step}")
    broken = truncate(tmp_path / "sft" / "checkpoint-300")
    (tmp_path / "sft" / "logs").mkdir()
    found, notes = prepared(tmp_path, str(tmp_path / "sft" / "*"))
    assert [one.step for one in found.checkpoints] == [100, 200]
    empty, truncated = sorted(found.unread, key=lambda why: "truncated" in why)
    assert "logs: the directory is empty" in empty
    assert f"{broken}: truncated" in truncated
    assert {f"not evaluated: {why}" for why in found.unread} <= set(notes)
    assert not Evaluated([], frozenset(), unread=found.unread).complete


def test_a_broken_checkpoint_that_is_named_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "one")
    truncate(make(tmp_path / "two"))
    with pytest.raises(UsageError, match="truncated"):
        prepared(tmp_path, str(tmp_path / "one"), str(tmp_path / "two"))


def test_a_pattern_without_any_good_member_is_an_error(tmp_path: Path) -> None:
    truncate(make(tmp_path / "sft" / "checkpoint-1"))
    with pytest.raises(UsageError, match="truncated"):
        prepared(tmp_path, str(tmp_path / "sft" / "*"))


def test_prompts_that_the_tokenizer_does_not_have(tmp_path: Path) -> None:
    path = make(tmp_path / "idefics")
    for name in ("tokenizer.json", "chat_template.jinja"):
        text = (path / name).read_text().replace("<|im_start|>", "<|begin_of_text|>")
        write(path, name, text)
    with pytest.raises(UsageError, match=r"no <\|im_start\|>.*--prompts native"):
        prepared(tmp_path, str(path))
