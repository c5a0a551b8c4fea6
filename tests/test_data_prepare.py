"""Repositories' own trees made ready: as VLMEvalKit makes them, and without touching them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import shutil
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evalsuite.benchmarks.benchmark import Benchmark, Published
from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.benchmarks.data.inspect_tree import inspect_tree, videos_of
from evalsuite.benchmarks.data.locate import locate
from evalsuite.benchmarks.data.make_tables import write_table
from evalsuite.benchmarks.data.prepare import prepared_path, prepared_root
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.runs.records import Failure
from tests.builders import hub_trees as made_trees
from tests.builders.kit_data import vlmevalkit

BENCHMARKS = {b.dataset: b for b in load().benchmarks.values() if b.data is None}
MODULES = {
    "Video-MME": ("videomme", ("VideoMME",)),
    "WorldSense": ("worldsense", ("WorldSense",)),
    "MVBench_MP4": ("mvbench", ("MVBench_MP4",)),
    "MVBench": ("mvbench", ("MVBench",)),
    "MLVU": ("mlvu", ("MLVU_MCQ", "MLVU_OpenEnded")),
    "TempCompass": (
        "tempcompass", ("TempCompass_MCQ", "TempCompass_Captioning", "TempCompass_YorN")
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def benchmark(dataset: str, tree: Path) -> Benchmark:
    """The benchmark, publishing the tables that are made of the tree at `tree`."""
    md5 = {}
    for table in LAYOUTS[dataset].tables:
        path = tree.parent / f".{table}"
        write_table(table, tree, path)
        md5[table] = hashlib.md5(path.read_bytes()).hexdigest()
        path.unlink()
    published = BENCHMARKS[dataset].published
    assert published is not None
    return dataclasses.replace(
        BENCHMARKS[dataset], published=dataclasses.replace(published, md5=md5)
    )


def located(benchmark: Benchmark, folder: Path, **options: Any) -> Benchmark:
    found = locate(benchmark, folder, **options)
    assert isinstance(found, Benchmark), found
    return found


def failure(benchmark: Benchmark, folder: Path, **options: Any) -> Failure:
    found = locate(benchmark, folder, **options)
    assert isinstance(found, Failure), found
    assert "\n" not in found.message
    assert found.stage == "data"
    return found


@pytest.mark.parametrize("dataset", MODULES)
def test_tables_and_videos_equal_vlmevalkits(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = made_trees.make(dataset, tmp_path / "data")
    theirs = tmp_path / "theirs"
    shutil.copytree(tree, theirs)
    (theirs / "audios").mkdir()  # so that VLMEvalKit takes the sound for extracted
    before = made_trees.contents(tree)
    _let_vlmevalkit_prepare(dataset, theirs, monkeypatch)
    ours = Path(located(benchmark(dataset, tree), tmp_path / "data").data or "")
    tables = [f"{table}.tsv" for table in LAYOUTS[dataset].tables]
    for table in tables:
        assert (ours / table).read_bytes() == (theirs / table).read_bytes()
    named = videos_of(dataset, [ours / table for table in tables])
    assert named
    for name in named:
        if (theirs / name).is_dir():
            assert made_trees.contents(theirs / name).keys() == {"00001.jpg", "00002.jpg"}
            assert made_trees.contents(ours / name).keys() == {"00001.jpg", "00002.jpg"}
        else:
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    for subtitle in theirs.rglob("*.srt"):
        name = subtitle.relative_to(theirs)
        assert (ours / name).read_bytes() == subtitle.read_bytes()
    assert made_trees.contents(tree) == before


def _let_vlmevalkit_prepare(dataset: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vlmevalkit()
    name, classes = MODULES[dataset]
    module = importlib.import_module(f"vlmeval.dataset.{name}")
    monkeypatch.setattr(module, "snapshot_download", lambda **_: str(tree))
    monkeypatch.setattr(module, "get_cache_path", lambda *_, **__: None)
    monkeypatch.setattr(module, "modelscope_flag_set", lambda: False)
    monkeypatch.setattr("huggingface_hub.login", lambda *_: None)
    moviepy = types.ModuleType("moviepy.editor")
    moviepy.VideoFileClip = None  # type: ignore[attr-defined] # named, and not used
    monkeypatch.setitem(sys.modules, "moviepy", types.ModuleType("moviepy"))
    monkeypatch.setitem(sys.modules, "moviepy.editor", moviepy)
    for cls in classes:
        made = getattr(module, cls)
        made(dataset=cls.replace("VideoMME", "Video-MME"), nframe=8)


def test_complete_data_is_used_in_place(tmp_path: Path, cache: Path) -> None:
    tree = made_trees.make("MVBench_MP4", tmp_path / "data")
    mine = benchmark("MVBench_MP4", tree)
    write_table("MVBench_MP4", tree, tree / "MVBench_MP4.tsv")
    found = located(mine, tmp_path / "data")
    assert found.data == str(tree.resolve())
    assert not found.modified
    assert not cache.exists()


@pytest.mark.parametrize("dataset", ["MVBench_MP4", "Video-MME", "TempCompass"])
def test_a_tree_that_a_benchmarks_file_names_is_prepared(dataset: str, tmp_path: Path) -> None:
    tree = made_trees.make(dataset, tmp_path / "data")
    named = dataclasses.replace(benchmark(dataset, tree), data=str(tree), published=None)
    found = locate(named, None)
    assert isinstance(found, Benchmark), found
    assert found.data == located(benchmark(dataset, tree), tmp_path / "data").data
    # Once it has tables it is used as it is.
    again = locate(dataclasses.replace(named, data=found.data), None)
    assert isinstance(again, Benchmark)
    assert again.data == found.data


def test_a_read_only_tree_is_prepared_once(tmp_path: Path) -> None:
    tree = made_trees.make("TempCompass", tmp_path / "data")
    mine = benchmark("TempCompass", tree)
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    first = Path(located(mine, tmp_path / "data").data or "")
    stamps = made_trees.contents(first)
    assert Path(located(mine, tmp_path / "data").data or "") == first
    assert made_trees.contents(first) == stamps
    assert [path.name for path in prepared_root().iterdir()] == [first.name]
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o755)


def test_a_directory_can_have_the_name_of_the_benchmark(tmp_path: Path) -> None:
    # DIR/MVBench is the plain dataset's folder, and the name of the benchmark of the mp4 one.
    plain = made_trees.make("MVBench", tmp_path / "data")
    mp4 = made_trees.make("MVBench_MP4", tmp_path / "elsewhere")
    mine = benchmark("MVBench_MP4", mp4)
    assert mine.name == "MVBench"
    assert "has neither" in failure(mine, tmp_path / "data").message
    shutil.rmtree(plain)
    mp4.rename(tmp_path / "data" / "MVBench")
    ours = Path(located(mine, tmp_path / "data").data or "")
    assert (ours / "videos").resolve() == (tmp_path / "data" / "MVBench" / "videos")


def test_missing_videos_are_counted_and_named(tmp_path: Path) -> None:
    tree = made_trees.make("MVBench_MP4", tmp_path / "data")
    mine = benchmark("MVBench_MP4", tree)
    (tree / "videos" / "state" / "a.mp4").rename(tmp_path / "a.mp4")
    found = failure(mine, tmp_path / "data")
    assert "1 of 3 videos missing, such as videos/state/a.mp4" in found.message
    allowed = located(mine, tmp_path / "data", allow_modified=True)
    assert allowed.modified
    # Without being allowed it is still refused, although it is prepared by now,
    assert "1 of 3 videos missing" in failure(mine, tmp_path / "data").message
    # until the video is there.
    (tmp_path / "a.mp4").rename(tree / "videos" / "state" / "a.mp4")
    assert not located(mine, tmp_path / "data").modified


def test_a_video_added_to_unpacked_ones_is_found(tmp_path: Path) -> None:
    tree = made_trees.make("MVBench", tmp_path / "data")
    mine = benchmark("MVBench", tree)
    pose = tree / "video" / "nturgbd" / "Fine-grainedPose.mp4"
    pose.rename(tmp_path / "pose.mp4")
    located(mine, tmp_path / "data", allow_modified=True)
    assert "1 of 20 videos missing" in failure(mine, tmp_path / "data").message
    (tmp_path / "pose.mp4").rename(pose)
    ours = Path(located(mine, tmp_path / "data").data or "")
    assert (ours / "video/nturgbd/Fine-grainedPose.mp4").read_bytes() == pose.read_bytes()


def test_a_changed_zip_is_unpacked_again(tmp_path: Path) -> None:
    tree = made_trees.make("WorldSense", tmp_path / "data")
    mine = benchmark("WorldSense", tree)
    before = Path(located(mine, tmp_path / "data").data or "")
    videos = {"one.mp4": b"another one", "two.mp4": b"another two"}
    made_trees.zipped(tree / "worldsense_videos_1.zip", videos)
    after = Path(located(mine, tmp_path / "data").data or "")
    assert after != before
    assert (after / "videos/one.mp4").read_bytes() == b"another one"
    assert (before / "videos/one.mp4").read_bytes() == made_trees.video("one")


def test_interrupted_unpacking_is_continued(tmp_path: Path) -> None:
    tree = made_trees.make("WorldSense", tmp_path / "data")
    mine = benchmark("WorldSense", tree)
    steps = []

    def stop(step: Any) -> None:
        steps.append(step)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        locate(mine, tmp_path / "data", on_step=stop)
    target = prepared_path("WorldSense", tree)
    assert not target.exists()
    (first,) = target.with_name(f".{target.name}.draft").glob("videos/*")
    first.rename(first.with_suffix(""))  # as if it were whole: then it is not written again
    kept = first.with_suffix("")
    inode = kept.stat().st_ino
    ours = Path(located(mine, tmp_path / "data").data or "")
    assert (ours / "videos" / kept.name).stat().st_ino == inode
    assert (ours / "videos/one.mp4").read_bytes() == made_trees.video("one")
    assert (ours / "videos/two.mp4").read_bytes() == made_trees.video("two")
    assert [path.name for path in prepared_root().iterdir()] == [ours.name]


@pytest.mark.parametrize("spoilt", ["cut", "noise", "crc"])
def test_a_damaged_zip_is_one_line(tmp_path: Path, spoilt: str) -> None:
    tree = made_trees.make("TempCompass", tmp_path / "data")
    mine = benchmark("TempCompass", tree)
    path = tree / "tempcompass_videos.zip"
    data = bytearray(path.read_bytes())
    if spoilt == "crc":
        with zipfile.ZipFile(path) as archive:
            at = archive.infolist()[0].header_offset + 30 + len(archive.namelist()[0])
        data[at + 8] ^= 0xFF
    path.write_bytes({"cut": data[: len(data) // 2], "noise": b"no zip" * 9, "crc": data}[spoilt])
    found = failure(mine, tmp_path / "data")
    assert f"{path}: the zip file is damaged" in found.message
    assert "fetch it again" in found.remedy
    assert not prepared_path("TempCompass", tree).exists()


@pytest.mark.parametrize("name", ["../out.mp4", "/out.mp4", "videos/../../out.mp4"])
def test_a_zip_cannot_write_elsewhere(tmp_path: Path, name: str) -> None:
    tree = made_trees.make("TempCompass", tmp_path / "data")
    mine = benchmark("TempCompass", tree)
    with zipfile.ZipFile(tree / "tempcompass_videos.zip", "a") as archive:
        archive.writestr(name, b"evil")
    assert "leads out of the archive" in failure(mine, tmp_path / "data").message
    assert not list(tmp_path.rglob("out.mp4"))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    tree = made_trees.make("TempCompass", tmp_path / "data")
    mine = benchmark("TempCompass", tree)
    link = zipfile.ZipInfo("videos")
    link.external_attr = (0o120777) << 16
    with zipfile.ZipFile(tree / "tempcompass_videos.zip", "a") as archive:
        archive.writestr(link, str(tmp_path))
    assert "leads out of the archive" in failure(mine, tmp_path / "data").message


def test_a_modified_table_is_reported_with_both_digests_and_kept(tmp_path: Path) -> None:
    tree = made_trees.make("MVBench_MP4", tmp_path / "data")
    mine = benchmark("MVBench_MP4", tree)
    write_table("MVBench_MP4", tree, tree / "MVBench_MP4.tsv")
    path = tree / "MVBench_MP4.tsv"
    path.write_text(path.read_text().replace("up", "down"))
    changed = path.read_bytes()
    found = failure(mine, tmp_path / "data")
    assert mine.published is not None
    assert str(path) in found.message
    assert hashlib.md5(changed).hexdigest() in found.message
    assert mine.published.md5["MVBench_MP4"] in found.message
    assert "--allow-modified-data" in found.remedy
    assert "fetch -b MVBench" in found.remedy
    allowed = located(mine, tmp_path / "data", allow_modified=True)
    assert allowed.modified
    assert allowed.data == str(tree.resolve())
    assert path.read_bytes() == changed


def test_a_changed_repository_is_reported(tmp_path: Path) -> None:
    tree = made_trees.make("MVBench_MP4", tmp_path / "data")
    found = failure(BENCHMARKS["MVBench_MP4"], tmp_path / "data")
    assert "made from the repository's files" in found.message
    assert "move it away" not in found.remedy
    assert not prepared_path("MVBench_MP4", tree).exists()
    assert located(BENCHMARKS["MVBench_MP4"], tmp_path / "data", allow_modified=True).modified


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: p.unlink(), "has neither MVBench_MP4.tsv nor its source test.json"),
        (
            lambda p: p.write_text("{"),
            "repository's files (JSONDecodeError",
        ),
        (
            lambda p: p.write_text("{}"),
            "repository's files (KeyError: 'meta')",
        ),
        (lambda p: p.write_text("[1]"), "repository's files (TypeError"),
    ],
)
def test_invalid_sources(tmp_path: Path, spoil: Any, said: str) -> None:
    tree = made_trees.make("MVBench_MP4", tmp_path / "data")
    spoil(tree / "test.json")
    assert said in failure(BENCHMARKS["MVBench_MP4"], tmp_path / "data").message


def test_the_hub_cache_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("LMUData", str(tmp_path / "LMU"))
    made = made_trees.make("MVBench_MP4", tmp_path / "made")
    mine = benchmark("MVBench_MP4", made)
    missing = locate(mine, None)
    assert isinstance(missing, Failure)
    assert str(tmp_path / "LMU" / "MVBench_MP4") in missing.message
    assert "evalsuite fetch -b MVBench" in missing.remedy
    assert "17.0 GB" in missing.remedy
    repository = tmp_path / "hub" / "datasets--OpenGVLab--MVBench"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "video").write_text("c0ffee")
    shutil.copytree(made, repository / "snapshots" / "c0ffee")
    found = locate(mine, None)
    assert isinstance(found, Benchmark)
    assert (Path(found.data or "") / "videos").resolve() == repository / "snapshots/c0ffee/videos"


def test_the_digest_depends_on_content_only(tmp_path: Path) -> None:
    first = made_trees.make("TempCompass", tmp_path / "first")
    shutil.copytree(first, tmp_path / "second" / "TempCompass")
    mine = benchmark("TempCompass", first)
    digests = {data_digest(located(mine, tmp_path / name)) for name in ("first", "second")}
    assert len(digests) == 1
    videos = {"videos/1021385429.mp4": b"other", "videos/7.mp4": made_trees.video("7")}
    made_trees.zipped(first / "tempcompass_videos.zip", videos)
    assert data_digest(located(mine, tmp_path / "first")) not in digests


def test_inspection_reads_no_media(tmp_path: Path) -> None:
    tree = made_trees.make("WorldSense", tmp_path / "data")
    (tmp_path / "scratch").mkdir()
    contents = inspect_tree("WorldSense", tree, tmp_path / "scratch")
    assert sorted(contents.members) == ["subtitles/one.srt", "videos/one.mp4", "videos/two.mp4"]
    assert not contents.lacking
    assert not contents.ready
    assert sorted(path.name for path in tree.iterdir()) == [
        "worldsense_qa.json", "worldsense_subtitles.zip", "worldsense_videos_1.zip",
    ]  # fmt: skip


def test_published_is_complete_for_every_layout() -> None:
    for dataset, layout in LAYOUTS.items():
        published = BENCHMARKS[dataset].published
        assert isinstance(published, Published)
        assert set(published.md5) == set(layout.tables)
