"""Repositories of the Hub: asked for their size, downloaded, prepared, and refused in one line."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from evalsuite.benchmarks.data.make_tables import write_table
from evalsuite.benchmarks.video_layouts import LAYOUTS
from tests.builders import hub_trees as made_trees
from tests.fakes.http_server import listening
from tests.fakes.hub_server import COMMIT, Hub


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = made_trees.make("TempCompass", tmp_path_factory.mktemp("hub"))
    (tree / "README.md").write_text("not needed")
    return tree


@contextlib.contextmanager
def hub(tree: Path) -> Iterator[tuple[str, list[str]]]:
    """A Hub with the files of `tree` as any dataset, but for those named gated or gone."""
    files = {
        str(p.relative_to(tree)): p.read_bytes() for p in sorted(tree.rglob("*")) if p.is_file()
    }
    asked: list[str] = []

    class Handler(Hub):
        def refused(self) -> tuple[int, str | None] | None:
            asked.append(f"{self.command} {self.path}")
            if "/gated" in self.path and "/resolve/" in self.path:
                return 403, "GatedRepo"
            return (404, "RepoNotFound") if "/gone" in self.path else None

    Handler.files = files
    with listening(Handler) as address:
        yield address, asked


def command(
    url: str, tmp_path: Path, tree: Path, repository: str, verb: str = "fetch"
) -> subprocess.CompletedProcess[str]:
    md5 = {}
    for table in LAYOUTS["TempCompass"].tables:
        write_table(table, tree, tmp_path / "table")
        md5[table] = hashlib.md5((tmp_path / "table").read_bytes()).hexdigest()
    entry = {
        "dataset": "TempCompass", "modality": "video", "prompt": "video", "frames": "1fps",
        "metric": "tempcompass", "max_new_tokens": 4,
        "published": {
            "repository": repository, "md5": md5, "about_bytes": 500_000, "licence": "research",
        },
    }  # fmt: skip
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"benchmarks": {"Mine": entry}}))
    environment = {
        "HF_ENDPOINT": url, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0", "EVALSUITE_CACHE": str(tmp_path / "cache"),
        "LMUData": str(tmp_path / "LMU"), "NO_PROXY": "*", "HF_TOKEN": "",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "evalsuite", verb, "-b", "Mine", "--benchmarks-file",
         str(tmp_path / "b.yaml")],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_a_repository_is_downloaded_and_prepared(tmp_path: Path, tree: Path) -> None:
    with hub(tree) as (url, asked):
        done = command(url, tmp_path, tree, "org/made")
        asked_once = list(asked)
        again = command(url, tmp_path, tree, "org/made")
        assert asked == asked_once  # what is there is not asked for again
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stderr.splitlines() if line.startswith("Mine ")]
    assert "about" not in row
    assert "org/made@main" in row
    assert "research" in row
    assert again.stderr == "data of 1 of 1 benchmark is ready\n"
    loaded = {line.partition(f"{COMMIT}/")[2] for line in asked_once if "/resolve/" in line}
    assert "tempcompass_videos.zip" in loaded
    assert "README.md" not in loaded
    (prepared,) = (tmp_path / "cache" / "data").iterdir()
    assert (prepared / "videos" / "7.mp4").read_bytes() == made_trees.video("7")
    looked = command(url, tmp_path, tree, "org/made", verb="doctor")
    assert looked.returncode == 0, looked.stdout


def test_a_gated_repository(tmp_path: Path, tree: Path) -> None:
    with hub(tree) as (url, _):
        done = command(url, tmp_path, tree, "org/gated")
    assert done.returncode == 4
    assert "requires accepting its terms" in done.stderr
    assert f"accept them at {url}/datasets/org/gated and log in with `hf auth login`" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_repository(tmp_path: Path, tree: Path) -> None:
    with hub(tree) as (url, _):
        done = command(url, tmp_path, tree, "org/gone")
    assert done.returncode == 4
    assert "the Hub has no such dataset" in done.stderr


def test_a_lost_connection(tmp_path: Path, tree: Path) -> None:
    done = command("http://127.0.0.1:9", tmp_path, tree, "org/made")
    assert done.returncode == 4
    assert "about 500.0 kB" in done.stderr
    assert "Connection refused; check the network" in done.stderr
    assert not (tmp_path / "hub").exists()
