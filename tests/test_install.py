"""tools/install.sh and tools/bare.sh say in one line what they lack, and leave nothing finished."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder whose name has spaces, with what the scripts read."""
    folder = tmp_path / "a fresh clone"
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("*.json"))
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def python(folder: Path, script: str) -> Path:
    """A stand-in for Python that runs `script`."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def install(clone: Path, python: Path | str) -> tuple[int, list[str]]:
    """Run ``install.sh run``; returns its exit code and what it wrote to standard error."""
    ended = subprocess.run(
        ["bash", clone / "tools" / "install.sh", "run"],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not (clone / ".venv" / ".run").exists()
    return ended.returncode, ended.stderr.splitlines()


def test_a_python_that_is_too_old_is_named(clone: Path) -> None:
    code, lines = install(clone, python(clone, "echo 3.9"))
    assert code == 1
    assert len(lines) == 1
    assert "3.9" in lines[0]
    assert "make PYTHON=" in lines[0]


def test_a_python_that_does_not_exist_is_named(clone: Path) -> None:
    code, lines = install(clone, "no-such-python")
    assert code == 1
    assert "no-such-python" in lines[-1]


def test_a_step_that_fails_shows_why_and_what_to_do_and_leaves_no_environment(
    clone: Path,
) -> None:
    code, lines = install(
        clone, python(clone, 'case "$1" in -c) echo 3.12;; *) echo no ensurepip >&2; exit 1;; esac')
    )
    assert code == 1
    assert lines[0] == "no ensurepip"
    assert "apt-get install python3-venv" in lines[-1]
    assert "run the same command again" in lines[-1]
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("arguments", [[], ["sid", "demo"], ["trixie"]])
def test_the_bare_system_is_refused_in_one_line(clone: Path, arguments: list[str]) -> None:
    ended = subprocess.run(
        ["bash", clone / "tools" / "bare.sh", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(("lacking", "word"), [("root", "root"), ("debootstrap", "debootstrap")])
def test_the_bare_system_needs_root_and_debootstrap(
    clone: Path, tmp_path: Path, lacking: str, word: str
) -> None:
    """With a `PATH` of four programs, and an `id` that says who runs it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    python(programs, f"echo {1000 if lacking == 'root' else 0}").rename(programs / "id")
    ended = subprocess.run(
        [programs / "bash", clone / "tools" / "bare.sh", "trixie", "demo"],
        env={"PATH": str(programs)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert word in line


def test_the_scripts_are_bash() -> None:
    for path in (ROOT / "tools").glob("*.sh"):
        subprocess.run(["bash", "-n", path], check=True)
