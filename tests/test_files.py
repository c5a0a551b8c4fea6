"""Atomic writes and reading JSON."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalsuite.errors import DiskError, PathError, UsageError
from evalsuite.runs.journal import read_header
from evalsuite.runs.storage import read_samples
from evalsuite.system.files import (
    disk_errors,
    open_for_append,
    read_bytes,
    read_json,
    write_atomically,
    write_bytes_atomically,
    write_output,
)
from evalsuite.system.hashing import file_digest
from evalsuite.system.images import open_image
from evalsuite.system.locks import run_lock
from evalsuite.system.yaml_config import read_yaml


def test_a_write_replaces_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.json"
    write_atomically(path, "first, and longer")
    write_atomically(path, "second ü")
    assert path.read_text(encoding="utf-8") == "second ü"
    assert list(path.parent.iterdir()) == [path]


FULL = """
import resource, sys
from pathlib import Path
from evalsuite.errors import DiskError
from evalsuite.system.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), "x" * 2000)
except DiskError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    out = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert "disk is full" in out
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "run.json", "text")


def test_a_link_is_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "real" / "run.json", tmp_path / "run.json"
    target.parent.mkdir()
    link.symlink_to(target)
    for text in ("first", "second"):
        write_output(link, text)
        assert target.read_text() == text
    assert link.is_symlink()
    assert list(target.parent.iterdir()) == [target]


def test_links_in_a_results_directory_are_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / "run.json").symlink_to(precious)
    (tmp_path / f".samples.jsonl.{os.getpid()}").symlink_to(precious)
    for name in ("run.json", "samples.jsonl"):
        write_atomically(tmp_path / name, "new")
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "new"
    (tmp_path / "kit.log").symlink_to(precious)
    with pytest.raises(PathError, match="is a symbolic link"), disk_errors(tmp_path / "kit.log"):
        open_for_append(tmp_path / "kit.log")
    (tmp_path / "lock").symlink_to(precious)
    with pytest.raises(PathError, match="is a symbolic link"), run_lock(tmp_path):
        pass
    assert precious.read_text() == "kept"


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "endless", "link"])
def test_readers_refuse_what_is_not_a_file_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            socket.socket(socket.AF_UNIX).bind(str(path))
        case "device":
            path = Path("/dev/tty")
        case "endless":
            path = Path("/dev/zero")
        case "link":
            path.symlink_to("/dev/zero")
    reason = "it is a (named pipe|device|socket), not a file"
    with pytest.raises(UsageError, match=reason):
        read_json(path, "get it again")
    with pytest.raises(UsageError, match=reason):
        read_yaml(path, "config")
    with pytest.raises(UsageError, match=reason):
        file_digest(path, cache=tmp_path / "cache")
    with pytest.raises(UsageError, match=reason):
        read_header(path)
    with pytest.raises(UsageError, match=reason):
        read_samples(path)
    with pytest.raises(OSError, match="not a file"):
        open_image(path)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1001)
    assert len(read_bytes(path, 1001)) == 1001
    with pytest.raises(OSError, match="larger than 1,000 bytes"):
        read_bytes(path, 1000)


def test_a_pipe_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    """As are /dev/stdout and /dev/null, which root could replace for all processes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        write_output(pipe, "text")
        assert reader.communicate()[0] == "text"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_standard_output_may_be_a_file_with_something_in_it(tmp_path: Path) -> None:
    code = "from evalsuite.system.files import *; write_output(Path('/dev/stdout'), 'second\\n')"
    both = tmp_path / "both"
    command = f'echo first; "{sys.executable}" -c "{code}"; echo third'
    subprocess.run(["bash", "-c", f"({command}) > {both}"], check=True)
    assert both.read_text() == "first\nsecond\nthird\n"
    assert Path("/dev/stdout").is_symlink()


def test_a_file_system_in_memory() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        path = Path(directory) / "run.json"
        for text in ("first", "second"):
            write_atomically(path, text)
        assert path.read_text() == "second"


def test_a_full_device_is_a_full_disk() -> None:
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    with pytest.raises(DiskError, match="disk is full"):
        write_output(Path("/dev/full"), "text")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.parametrize("path", ["", "/"])
def test_a_directory_is_no_file(path: str) -> None:
    with pytest.raises(PathError, match="is a directory; name a file"):
        write_output(Path(path), "text")


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(UsageError, match=r"x\.json: cannot be read: .*; get it again"):
        read_json(path, "get it again")
    for content in (b"{", b"\xff", b"[" * 200_000):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"x\.json: is not valid JSON \(.+\); get it again"):
            read_json(path, "get it again")
    path.write_bytes(b'{"a": 1}')
    assert read_json(path, "") == {"a": 1}


def test_bytes_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "picture.png"
    write_bytes_atomically(path, b"\x00first")
    write_bytes_atomically(path, b"\xff\r\n")
    assert path.read_bytes() == b"\xff\r\n"
    assert list(path.parent.iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="cannot be written"):
        write_bytes_atomically(tmp_path / "file" / "picture.png", b"")


def test_threads_may_write_the_same_bytes_at_once(tmp_path: Path) -> None:
    raws = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            list(threads.map(lambda raw: write_bytes_atomically(tmp_path / "picture", raw), raws))
            assert (tmp_path / "picture").read_bytes() in raws
    assert list(tmp_path.iterdir()) == [tmp_path / "picture"]


def test_yaml_whose_aliases_explode(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    nested = "&a [x, x, x, x]"
    for name, inner in zip("bcdefghijklm", "abcdefghijkl", strict=True):
        nested += f", &{name} [*{inner}, *{inner}, *{inner}, *{inner}]"
    for text in (f"ckpt: [{nested}]", "ckpt: &a [*a]"):
        path.write_text(text)
        with pytest.raises(UsageError, match="config: has more than 200,000 values"):
            read_yaml(path, "config")
    path.write_text("ckpt: &a [x, y]\nbenchmarks: *a")
    assert read_yaml(path, "config") == {"ckpt": ["x", "y"], "benchmarks": ["x", "y"]}
