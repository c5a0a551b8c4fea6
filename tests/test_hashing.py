"""Digests of files: correct, remembered, and never outdated."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from evalsuite.errors import UsageError
from evalsuite.system.hashing import (
    REMEMBERED_FROM_BYTES,
    cache_directory,
    file_digest,
    has_changed,
    identify,
    read_stamp,
    remembered_digest,
)

LARGE = b"a" * (REMEMBERED_FROM_BYTES + 1)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "large.bin"
    path.parent.mkdir()
    path.write_bytes(LARGE)
    time.sleep(0.06)  # until its times tell a later change apart
    return path


def entries(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.json"))


def test_digest_is_sha256_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(path, cache=tmp_path / "cache") == expected


def test_small_files_are_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    file_digest(tmp_path / "abc", cache=tmp_path / "cache")
    assert entries(tmp_path / "cache") == []


def test_a_large_file_is_hashed_once(large: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert file_digest(large, cache=cache) == hashlib.sha256(LARGE).hexdigest()
    (entry,) = entries(cache)
    # What is remembered is what is answered: nothing is read again.
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "sha256": "f" * 64}))
    assert file_digest(large, cache=cache) == "f" * 64


def test_a_link_and_its_target_share_one_entry(large: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.bin"
    link.symlink_to(large)
    assert file_digest(link, cache=tmp_path / "c") == file_digest(large, cache=tmp_path / "c")
    assert len(entries(tmp_path / "c")) == 1


def test_overwritten_in_place_with_the_old_modification_time(large: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = large.stat()
    first = file_digest(large, cache=cache)
    changed = b"b" + LARGE[1:]
    with large.open("r+b") as file:
        file.write(b"b")
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digest(large, cache=cache) == hashlib.sha256(changed).hexdigest() != first


def test_replaced_by_another_file_of_the_same_size(large: Path, tmp_path: Path) -> None:
    file_digest(large, cache=tmp_path / "cache")
    other = large.with_name("other")
    other.write_bytes(b"c" * len(LARGE))
    other.replace(large)
    digest = file_digest(large, cache=tmp_path / "cache")
    assert digest == hashlib.sha256(b"c" * len(LARGE)).hexdigest()


@pytest.mark.parametrize("spoilt", ["", "{", "[]", "null", '{"sha256": "x"}', "\x00\xff"])
def test_a_damaged_entry_is_replaced(large: Path, tmp_path: Path, spoilt: str) -> None:
    cache = tmp_path / "cache"
    good = file_digest(large, cache=cache)
    (entry,) = entries(cache)
    entry.write_text(spoilt)
    assert file_digest(large, cache=cache) == good
    assert json.loads(entry.read_text())["sha256"] == good


def test_a_cache_that_cannot_be_written_is_ignored(large: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("in the way")
    assert file_digest(large, cache=blocked) == hashlib.sha256(LARGE).hexdigest()
    assert blocked.read_text() == "in the way"


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: cannot be read: No such file or directory"):
        file_digest(tmp_path / "gone")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        file_digest(tmp_path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UsageError, match=r"loop: cannot be read"):
        file_digest(loop)


def test_the_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALSUITE_CACHE", "/scratch/cache")
    assert cache_directory() == Path("/scratch/cache")
    monkeypatch.delenv("EVALSUITE_CACHE")
    assert cache_directory() == Path.home() / ".cache" / "evalsuite"


def test_each_algorithm_is_remembered_separately(large: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert remembered_digest(large, cache=cache, algorithm="md5") is None
    assert file_digest(large, cache=cache, algorithm="md5") == hashlib.md5(LARGE).hexdigest()
    assert file_digest(large, cache=cache) == hashlib.sha256(LARGE).hexdigest()
    assert remembered_digest(large, cache=cache, algorithm="md5") == hashlib.md5(LARGE).hexdigest()
    assert remembered_digest(tmp_path / "none", cache=cache) is None
    assert len(entries(cache)) == 2


def test_a_fresh_digest_ignores_remembered_ones(large: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    file_digest(large, cache=cache, algorithm="md5")
    (entry,) = entries(cache)
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "md5": "f" * 32}))
    assert file_digest(large, cache=cache, algorithm="md5") == "f" * 32
    md5 = hashlib.md5(LARGE).hexdigest()
    assert file_digest(large, cache=cache, algorithm="md5", fresh=True) == md5
    assert file_digest(large, cache=cache, algorithm="md5") == md5


# Whether a file is still the one that was digested


def test_a_file_that_stays(large: Path) -> None:
    file = identify(large)
    assert (file.settled, file.digest) == (True, hashlib.sha256(LARGE).hexdigest())
    assert not has_changed(file)
    large.touch()  # another stamp, the same content
    assert not has_changed(file)
    copy = large.with_name("copy")
    copy.write_bytes(LARGE)
    copy.replace(large)  # another inode
    assert not has_changed(file)


def test_a_file_that_changes(large: Path) -> None:
    file = identify(large)
    large.write_bytes(LARGE + b"b")
    assert has_changed(file)
    large.write_bytes(b"b" + LARGE[1:])  # the same size
    os.utime(large, ns=(file.stamp.mtime_ns, file.stamp.mtime_ns))
    assert has_changed(file)
    large.unlink()
    assert has_changed(file)


def test_a_file_that_is_too_new_for_its_stamp(tmp_path: Path) -> None:
    """Another write within the same tick of the clock gives the same stamp."""
    path = tmp_path / "new"
    path.write_bytes(b"a")
    file = identify(path)
    assert not file.settled
    other = dataclasses.replace(file, digest=hashlib.sha256(b"b").hexdigest())
    assert read_stamp(path) == other.stamp
    assert has_changed(other)
