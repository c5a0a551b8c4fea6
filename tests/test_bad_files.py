"""Every reader of files, with files that cannot be read: one line and the right exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalsuite.benchmarks import catalogue
from evalsuite.benchmarks.benchmark import FrameRule
from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.checkpoint import checkpoint
from evalsuite.cli import main
from evalsuite.errors import INCOMPLETE, USAGE, EvalsuiteError
from evalsuite.runs.journal import Journal
from evalsuite.vlmevalkit.media_store import MediaError, MediaStore
from evalsuite.vlmevalkit.video_frames import ClipSpec, Medium
from tests.builders.stored_runs import samples, stored

DEMO = Path("evalsuite/demo/checkpoints/demo").absolute()
SECONDS = 8


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


def unix_socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


BAD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "endless": endless,
    "loop": loop,
    "dead link": dead_link,
    "socket": unix_socket,
    "directory": Path.mkdir,
    "empty": Path.touch,
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 64),
    "nul": lambda path: path.write_bytes(b"\0" * 5000),
    "nested lists": lambda path: path.write_bytes(b"[" * 200_000),
    "nested objects": lambda path: path.write_bytes(b'{"a":' * 200_000),
    "number": lambda path: path.write_text("7\n"),
    "null": lambda path: path.write_text("null\n"),
    "list": lambda path: path.write_text('[1, {"a": null}]\n'),
    "huge number": lambda path: path.write_text('{"schema": ' + "9" * 5000 + "}\n"),
    "odd types": lambda path: path.write_text(
        '{"schema": 2, "outcomes": {}, "id": [], "question": {}, "benchmarks": 3, "suites": []}\n'
    ),
    "aliases": lambda path: path.write_text(
        "a0: &a0 [x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    ),
    "alias of itself": lambda path: path.write_text("a: &a [*a]\nbenchmarks: *a\n"),
}


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    """Two runs, a checkpoint, and a benchmark of one's own with its files."""
    for name in ("a", "b"):
        stored(tmp_path / "results", name, {"One": samples([1.0] * 20)})
    (tmp_path / "data.jsonl").write_text('{"image": "a.png", "question": "?", "answer": "x"}\n')
    entry = {"description": "d", "data": "data.jsonl", "metric": "exact-match", "max_new_tokens": 8}
    (tmp_path / "own.yaml").write_text(json.dumps({"benchmarks": {"Own": entry}}))
    (tmp_path / "run.yaml").write_text("limit: '4'\n")
    (tmp_path / "policy.yaml").write_text("margin: 1\n")
    return tmp_path


RUNS = ("results/a-*/0123abcd", "results/b-*/0123abcd")
NO_CHECKPOINT = ("run", "--dry-run", "--device", "cpu", "--ckpt", "nowhere", "-b", "Own")
OWN = ("--benchmarks-file", "own.yaml")
READERS = {
    "run.json": [
        ("report", RUNS[0]), ("gate", "--baseline", RUNS[0], "--candidate", RUNS[1]),
    ],
    "samples.jsonl": [("compare", *RUNS), ("show", RUNS[0], "-b", "One")],
    "own.yaml": [("list", *OWN)],
    "run.yaml": [(*NO_CHECKPOINT, *OWN, "--config", "run.yaml")],
    "policy.yaml": [
        ("gate", "--baseline", RUNS[0], "--candidate", RUNS[1], "--policy", "policy.yaml")
    ],
    ".evalsuite-baseline": [("gate", "--baseline", "results", "--candidate", RUNS[1])],
}  # fmt: skip
"""Commands by the file that they read."""


class _TooLongError(BaseException):
    """Not an `Exception`, so that no reader catches it."""


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line(
    setting: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(setting)
    path = next(iter(setting.glob(f"results/a-*/0123abcd/**/{name}")), setting / name)
    path.unlink(missing_ok=True)
    BAD[kind](path)
    for command in READERS[name]:
        words = [
            str(next(iter(setting.glob(word)), word)) if word.startswith("results/") else word
            for word in command
        ]
        errors = io.StringIO()
        with time_limit(), contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            code = main(words)
        assert code in (0, 1, USAGE, 3, INCOMPLETE), errors.getvalue()
        assert "Traceback" not in errors.getvalue()


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(
    "name",
    [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "preprocessor_config.json", "processor_config.json", "chat_template.json",
        "chat_template.jinja", "special_tokens_map.json", "adapter_config.json",
        "model.safetensors.index.json", "generation_config.json",
    ],
)  # fmt: skip
def test_a_bad_file_of_a_checkpoint_is_named(tmp_path: Path, kind: str, name: str) -> None:
    shutil.copytree(DEMO, tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / name
    path.unlink(missing_ok=True)
    BAD[kind](path)
    with time_limit(), contextlib.suppress(EvalsuiteError):
        checkpoint.read(str(tmp_path / "checkpoint"))


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("name", ["own.tsv", "own.jsonl", "own.csv"])
def test_a_bad_data_file_is_named(tmp_path: Path, kind: str, name: str) -> None:
    BAD[kind](tmp_path / name)
    own = dataclasses.replace(catalogue.load().select(["DemoOCR"])[0], data=str(tmp_path / name))
    with time_limit(), contextlib.suppress(EvalsuiteError):
        data_digest(own)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_journal_is_named(tmp_path: Path, kind: str) -> None:
    BAD[kind](tmp_path / "predictions.jsonl")
    with time_limit(), contextlib.suppress(EvalsuiteError):
        Journal(tmp_path, {"benchmark": "Own"})


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("suffix", [".png", ".mp4", ".gif"])
def test_a_bad_medium_is_an_error_with_its_path(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"medium{suffix}"
    BAD[kind](path)
    store = MediaStore(tmp_path / "media")
    medium: Medium = "gif" if suffix == ".gif" else "video"
    clip = ClipSpec(path, FrameRule(count=2), medium)
    with time_limit(), pytest.raises(MediaError, match=path.name):
        _ = store.digest(str(path)) if suffix == ".png" else store.clip(clip)
