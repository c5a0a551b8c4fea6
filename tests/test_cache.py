"""Pruning and deleting the cache without removing entries in use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalsuite.benchmarks.data import cache
from evalsuite.cli import main
from evalsuite.errors import UsageError
from evalsuite.system.locks import exclusive, is_held

HOUR = 3600


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVALSUITE_CACHE_LIMIT", raising=False)
    return tmp_path / "cache"


def aged(path: Path, hours: float) -> Path:
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))
    return path


def image(root: Path, name: str, size: int, hours: float) -> Path:
    path = root / "media" / name[:2] / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return aged(path, hours)


def clip(root: Path, name: str, size: int, hours: float) -> Path:
    folder = root / "media" / "frames" / name[:2] / name
    folder.mkdir(parents=True)
    for number in (0, 1):
        aged_file = folder / f"frame-{number:05}.jpg"
        aged_file.write_bytes(b"x" * (size // 2))
        aged(aged_file, hours)
    return aged(folder, hours)


def test_kinds_are_counted_separately(root: Path) -> None:
    image(root, "aa1", 100, 5)
    image(root, "ab2", 50, 3)
    clip(root, "cc3", 200, 7)
    (root / "judge" / "00").mkdir(parents=True)
    (root / "judge" / "00" / "k.json").write_text("{}")
    (root / "data" / "MLVU-0").mkdir(parents=True)
    (root / "data" / "MLVU-0" / "MLVU_MCQ.tsv").write_text("12345")
    (root / "data" / "MLVU-0" / "MLVU").symlink_to(root / "media")
    found = {kind.name: (len(kind.entries), kind.bytes) for kind in cache.kinds()}
    link = (root / "data" / "MLVU-0" / "MLVU").lstat().st_size
    assert found["images"] == (2, 150)
    assert found["frames"] == (1, 200)
    assert found["judge"] == (1, 2)
    assert found["digests"] == (0, 0)
    assert found["data"][0] == 1
    assert found["data"][1] in (5, 5 + link)
    (images, *_) = cache.kinds()
    assert images.oldest == pytest.approx(time.time() - 5 * HOUR, abs=5)


def test_the_least_recently_used_is_deleted_first(root: Path) -> None:
    new, old = image(root, "aa1", 100, 1), image(root, "bb2", 100, 9)
    middle, oldest = clip(root, "cc3", 100, 5), clip(root, "dd4", 100, 20)
    assert cache.prune(1000) == cache.Deleted(0, 0, 0)
    assert cache.prune(250) == cache.Deleted(2, 200, 0)
    assert (new.exists(), middle.exists(), old.exists(), oldest.exists()) == (1, 1, 0, 0)
    assert not list((root / "media").rglob(".gone-*"))


def test_used_entries_are_kept(root: Path) -> None:
    used, unused = clip(root, "cc3", 100, 50), clip(root, "dd4", 100, 40)
    os.utime(used / "frame-00000.jpg")  # any of its files will do
    cache.prune(100)
    assert (used.exists(), unused.exists()) == (True, False)


def test_old_drafts_are_deleted(root: Path) -> None:
    clip(root, "cc3", 100, 1)
    old, new = (root / "media" / "frames" / "cc" / f".draft-{n}" for n in (1, 2))
    for draft in (old, new):
        draft.mkdir()
    aged(old, 25)
    cache.prune(1000)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_session_keeps_its_entries(root: Path) -> None:
    # A used entry is touched once an hour, so one that is an hour old may be in use.
    used, unused = image(root, "aa1", 100, 1), image(root, "bb2", 100, 3)
    with cache.session():
        fresh = image(root, "cc3", 100, 0)
        assert cache.prune(0) == cache.Deleted(1, 100, 2)
        assert cache.empty(["images"]) == cache.Deleted(0, 0, 2)
        assert (used.exists(), unused.exists(), fresh.exists()) == (True, False, True)
        (session,) = (root / "sessions").iterdir()
        assert session.name.split("-")[-2] == str(os.getpid())
    assert list((root / "sessions").iterdir()) == []
    assert cache.empty(["images"]) == cache.Deleted(2, 200, 0)


def test_sessions_prune_before_and_after(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALSUITE_CACHE_LIMIT", "150")
    before = [image(root, f"a{n}", 100, 5 + n) for n in range(3)]
    with cache.session():
        assert [path.exists() for path in before] == [True, False, False]
        made = image(root, "b1", 100, 0)
    assert (before[0].exists(), made.exists()) == (False, True)


SESSION = """
import sys
from evalsuite.benchmarks.data import cache
with cache.session():
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_a_session_of_another_process_counts_until_it_ends(root: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    kept = image(root, "aa1", 100, 0)
    assert cache.prune(0) == cache.Deleted(0, 0, 1)
    process.kill()
    process.wait(10)
    assert cache.prune(0) == cache.Deleted(1, 100, 0)
    assert not kept.exists()
    assert list((root / "sessions").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path / "file" / "cache"))
    with cache.session():
        assert cache.prune(0) == cache.Deleted(0, 0, 0)


def test_an_invalid_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.limit_bytes() == 100 * 10**9
    monkeypatch.setenv("EVALSUITE_CACHE_LIMIT", "50GB")
    assert cache.limit_bytes() == 50 * 10**9
    monkeypatch.setenv("EVALSUITE_CACHE_LIMIT", "lots")
    with (
        pytest.raises(UsageError, match=r"\$EVALSUITE_CACHE_LIMIT: expected a size like 50GB"),
        cache.session(),
    ):
        pass


def test_data_that_is_being_unpacked_is_not_deleted(root: Path) -> None:
    draft, ready = root / "data" / ".MLVU-0.draft", root / "data" / "MLVU-1"
    for folder in (draft, ready):
        folder.mkdir(parents=True)
        (folder / "a.mp4").write_bytes(b"xx")
    lock = root / "data" / ".MLVU-0.lock"
    with exclusive(lock):
        assert is_held(lock)
        assert cache.empty(["data"]).entries == 1
        assert (draft.exists(), ready.exists()) == (True, False)
    assert not is_held(lock)
    assert cache.empty(["data"]).entries == 1
    assert not draft.exists()


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["cache", *words]) == 0
    return capsys.readouterr().out


def test_the_command_shows_and_empties(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    image(root, "aa1", 2000, 5)
    clip(root, "cc3", 200, 72)
    text = shown(capsys)
    rows = {line.split()[0]: line.split()[1:6] for line in text.splitlines()[:7]}
    assert rows["images"] == ["2.0", "kB", "1", "5", "hours"]
    assert rows["frames"] == ["200", "bytes", "1", "3", "days"]
    assert str(root) in text
    assert "100.0 GB" in text
    assert "deleted 1 entry, 2.0 kB" in shown(capsys, "images", "--empty")
    assert "deleted 1 entry, 200 bytes" in shown(capsys, "--limit", "100")
    assert not [path for path in (root / "media").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["frame", "--empty"], "cache frame: unknown (did you mean 'frames'?)"),
        (["--limit", "5GB", "--empty"], "--empty and --limit"),
        (["frames", "--limit", "5GB"], "--limit applies to images and frames"),
        (["--limit", "much"], "--limit: expected a size like 50GB, not 'much'"),
    ],
)
def test_wrong_arguments_are_refused(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", *words]) == 2
    assert named in capsys.readouterr().err
