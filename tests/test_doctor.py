"""The doctor: fast, and without changes to any data."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalsuite.benchmarks.benchmark import Benchmark, Published
from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.data import status as state
from evalsuite.benchmarks.data.locate import locate
from evalsuite.benchmarks.data.make_tables import write_table
from evalsuite.benchmarks.data.status import data_status as look
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.system.environment import versions
from tests.builders import hub_trees as made_trees

TEXT = "index\timage\tquestion\tanswer\n1\tabc\twhich?\tA\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LMUData", str(tmp_path / "LMU"))


def images(text: str = TEXT) -> Benchmark:
    md5 = {"MMStar": hashlib.md5(text.encode()).hexdigest()}
    published = Published(url="http://x/y", md5=md5, about_bytes=60_000_000, licence="none")
    return dataclasses.replace(load().benchmarks["MMStar"], published=published)


def videos(tree: Path) -> Benchmark:
    benchmark = load().benchmarks["WorldSense"]
    assert benchmark.published is not None
    table = tree.parent / "table"
    write_table("WorldSense", tree, table)
    md5 = {"WorldSense": hashlib.md5(table.read_bytes()).hexdigest()}
    published = dataclasses.replace(benchmark.published, md5=md5)
    return dataclasses.replace(benchmark, published=published)


def put(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "LMU" / "MMStar.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_images_missing_ready_and_modified(tmp_path: Path) -> None:
    found = look(images(), None)
    assert (found.status, found.bytes, found.checked) == ("missing", None, None)
    assert "evalsuite fetch -b MMStar" in found.remedy
    path = put(tmp_path)
    found = look(images(), None)
    assert (found.status, found.bytes, found.checked) == ("ready", len(TEXT), True)
    assert found.path == path
    put(tmp_path, TEXT + "2\tabc\twhy?\tA\n")
    found = look(images(), None)
    assert (found.status, found.checked) == ("modified", True)
    assert hashlib.md5(path.read_bytes()).hexdigest() in found.message
    assert "--allow-modified-data" in found.remedy


def test_a_large_table_is_hashed_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "QUICK_BYTES", 10)
    large = TEXT * 40_000  # beyond what is hashed sooner than remembered
    path = put(tmp_path, large[:-2])
    time.sleep(0.06)
    found = look(images(large), None)
    assert (found.status, found.checked) == ("ready", False)
    assert look(images(large), None, verify=True).status == "modified"
    # The hash is remembered.
    assert look(images(large), None).status == "modified"
    path.write_text(large)
    assert look(images(large), None).checked is False


def test_a_repository_is_inspected_without_preparing_it(tmp_path: Path) -> None:
    tree = made_trees.make("WorldSense", tmp_path / "data")
    mine = videos(tree)
    found = look(mine, tmp_path / "data")
    assert (found.status, found.checked) == ("ready", True)
    assert found.message == "unpacked by the first run"
    media = len(made_trees.video("one")) + len(made_trees.video("two")) + len(b"1\n")
    assert found.bytes == (tmp_path / "data" / "table").stat().st_size + media
    assert not (tmp_path / "cache").exists()
    assert isinstance(locate(mine, tmp_path / "data"), Benchmark)
    again = look(mine, tmp_path / "data")
    assert (again.status, again.message, again.bytes) == ("ready", "", found.bytes)


def test_missing_videos_are_counted(tmp_path: Path) -> None:
    tree = made_trees.make("WorldSense", tmp_path / "data")
    mine = videos(tree)
    made_trees.zipped(tree / "worldsense_videos_1.zip", {"videos/one.mp4": b"x"})
    found = look(mine, tmp_path / "data")
    assert found.status == "incomplete"
    assert "1 of 2 videos missing, such as videos/two.mp4" in found.message


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    tree = made_trees.make("WorldSense", tmp_path / "data")
    mine = videos(tree)
    (tree / "worldsense_videos_1.zip").write_bytes(b"no zip")
    found = look(mine, tmp_path / "data")
    assert found.status == "unusable"
    assert "worldsense_videos_1.zip: the zip file is damaged" in found.message


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evalsuite", "doctor", *words], capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_all_benchmarks_without_a_network_in_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    done = command(
        "--output-dir", str(tmp_path), https_proxy="http://127.0.0.1:9",
        HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_CACHE=str(tmp_path / "hub"),
        OPENAI_API_KEY="sk-secret",
    )  # fmt: skip
    assert time.monotonic() - began < 20, "a dead network is not waited for"
    assert done.returncode == 4
    assert done.stderr == ""
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert set(load().benchmarks) <= set(lines)
    assert "missing" in lines["OCRBench"]
    assert "`evalsuite fetch -b OCRBench`" in lines["OCRBench"]
    assert "ready" in lines["DemoVideo"]
    assert "set ($OPENAI_API_KEY)" in done.stdout
    assert "sk-secret" not in done.stdout
    for name, version in versions().items():
        assert version is None or lines[name].split(maxsplit=1)[1].strip() == version
    assert not (tmp_path / "cache").exists()


def test_ready_data_is_exit_0() -> None:
    done = command("-b", "DemoVideo,DemoOCR")
    assert done.returncode == 0
    assert "data of 2 of 2 benchmarks is ready" in done.stdout
    assert "checkpoints can be run" in done.stdout
    assert "polygon3" in done.stdout.partition("packages left out")[2]


def test_wrong_arguments_are_exit_2(tmp_path: Path) -> None:
    assert command("-b", "DemoVidoe").returncode == 2
    done = command("--data-dir", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "no such directory" in done.stderr


def test_the_doctor_loads_nothing_heavy() -> None:
    code = (
        "import sys; from evalsuite.__main__ import main\n"
        "sys.argv = ['x', 'doctor', '-b', 'MLVU']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'vlmeval', 'pandas', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_layout_can_be_inspected(tmp_path: Path) -> None:
    for dataset in LAYOUTS:
        made_trees.make(dataset, tmp_path / "data")
    chosen = [b for b in load().benchmarks.values() if b.dataset in LAYOUTS and b.data is None]
    found = {b.dataset: look(b, tmp_path / "data") for b in chosen}
    # Generated data differs from the published data.
    assert {state.status for state in found.values()} == {"modified"}
    assert set(found) == set(LAYOUTS)
    shutil.rmtree(tmp_path / "data")
    assert {look(b, tmp_path / "data").status for b in chosen} == {"missing"}
