"""Where data is found, whether it is what was published, and what identifies it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from evalsuite.benchmarks.benchmark import Benchmark, Published
from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.data import digest
from evalsuite.benchmarks.data.cache import read_size
from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.benchmarks.data.locate import locate
from evalsuite.errors import UsageError
from evalsuite.runs.records import Failure
from tests.builders.kit_data import table

TEXT = "index\timage\tquestion\tanswer\n1\tabc\twhich?\tA\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LMUData", str(tmp_path / "LMU"))


def benchmark(text: str = TEXT) -> Benchmark:
    """MMStar, publishing a table of `text`."""
    published = Published(
        url="http://127.0.0.1:9/MMStar.tsv",
        md5={"MMStar": hashlib.md5(text.encode()).hexdigest().upper()},
        about_bytes=60_000_000,
        licence="none",
    )
    return dataclasses.replace(load().benchmarks["MMStar"], published=published)


def own(path: Path, **fields: object) -> Benchmark:
    demo = load().benchmarks["DemoDigits"]
    return dataclasses.replace(demo, data=str(path), dataset="Mine", **fields)  # type: ignore[arg-type]


def put(path: Path, text: str = TEXT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_own_data_is_used_unchanged(tmp_path: Path) -> None:
    path = put(tmp_path / "mine.tsv")
    found = locate(own(path), tmp_path / "not used")
    assert isinstance(found, Benchmark)
    assert (found.data, found.modified) == (str(path.resolve()), False)
    gone = locate(own(tmp_path / "gone.tsv"), None)
    assert isinstance(gone, Failure)
    assert gone.message == f"no data at {tmp_path / 'gone.tsv'}"
    assert "'data' in the benchmarks file" in gone.remedy


def test_images_are_in_the_data_directory_or_in_vlmevalkits(tmp_path: Path) -> None:
    missing = locate(benchmark(), None)
    assert isinstance(missing, Failure)
    assert missing.message == f"no data at {tmp_path / 'LMU' / 'MMStar.tsv'}"
    assert "`evalsuite fetch -b MMStar` (about 60.0 MB)" in missing.remedy
    lmu = put(tmp_path / "LMU" / "MMStar.tsv")
    found = locate(benchmark(), None)
    assert isinstance(found, Benchmark)
    assert found.data == str(lmu.resolve())
    elsewhere = locate(benchmark(), tmp_path / "dir")
    assert isinstance(elsewhere, Failure)
    assert elsewhere.message == f"no data at {tmp_path / 'dir' / 'MMStar.tsv'}"
    assert "add http://127.0.0.1:9/MMStar.tsv (about 60.0 MB)" in elsewhere.remedy


def test_a_modified_table_requires_the_option(tmp_path: Path) -> None:
    path = put(tmp_path / "dir" / "MMStar.tsv", TEXT + "2\tabc\tand now?\tB\n")
    refused = locate(benchmark(), tmp_path / "dir")
    assert isinstance(refused, Failure)
    assert hashlib.md5(path.read_bytes()).hexdigest() in refused.message
    assert hashlib.md5(TEXT.encode()).hexdigest().upper() in refused.message
    assert "--allow-modified-data" in refused.remedy
    taken = locate(benchmark(), tmp_path / "dir", allow_modified=True)
    assert isinstance(taken, Benchmark)
    assert (taken.data, taken.modified) == (str(path), True)
    put(path)
    assert getattr(locate(benchmark(), tmp_path / "dir", allow_modified=True), "modified") is False  # noqa: B009


def test_a_table_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "dir" / "MMStar.tsv").mkdir(parents=True)
    refused = locate(benchmark(), tmp_path / "dir")
    assert isinstance(refused, Failure)
    assert "MMStar.tsv: cannot be read: Is a directory" in refused.message


def test_the_digest_of_a_single_table(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tsv")
    assert data_digest(own(path)) == hashlib.sha256(TEXT.encode()).hexdigest()
    renamed = put(tmp_path / "b.tsv")
    assert data_digest(own(renamed)) == data_digest(own(path))


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl"])
def test_videos_named_by_the_users_table_count(tmp_path: Path, kind: str) -> None:
    rows = [
        {"index": 0, "video": "clips/a.mp4", "question": "what,\nthen?", "answer": "A"},
        {"index": 1, "video": "clips/none.mp4", "question": "x" * 5000, "answer": "B"},
    ]
    path = tmp_path / f"t.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table(path, rows)
        if kind == "csv":
            path.write_text(path.read_text().replace(",\n", "\n").replace("\t", ","))
    put(tmp_path / "clips" / "a.mp4", "one")
    mine = own(path, modality="video")
    before = data_digest(mine)
    put(tmp_path / "clips" / "unasked.mp4", "x")
    assert data_digest(mine) == before
    put(tmp_path / "clips" / "a.mp4", "two")
    changed = data_digest(mine)
    assert changed != before
    put(tmp_path / "clips" / "none.mp4", "came later")
    assert data_digest(mine) not in (before, changed)


def test_images_named_in_lines_of_json_count(tmp_path: Path) -> None:
    rows = [{"image": ["a.png", "b.png"], "question": "?"}, {"image": "iVBORw0KGgo" * 500}]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    put(tmp_path / "b.png", "one")
    before = data_digest(own(path))
    put(tmp_path / "b.png", "two")
    assert data_digest(own(path)) != before


def test_media_beyond_a_gigabyte_count_by_name_and_size(tmp_path: Path) -> None:
    path = table(tmp_path / "t.tsv", [{"index": 0, "video": "a.mp4"}, {"index": 1, "video": "b"}])
    mine = own(path, modality="video")
    put(tmp_path / "a.mp4", "one")
    with (tmp_path / "b").open("wb") as file:  # sparse: it takes no room
        file.truncate(digest.HASHED_BYTES)
    before = data_digest(mine)
    put(tmp_path / "a.mp4", "two")
    assert data_digest(mine) == before
    put(tmp_path / "a.mp4", "three")
    assert data_digest(mine) != before


def test_frames_in_folders_count(tmp_path: Path) -> None:
    row = {
        "prefix": "video/tvqa/", "video": "clip", "data_type": "frame", "question": "?",
    }  # fmt: skip
    table(tmp_path / "MVBench" / "MVBench.tsv", [row])
    frame = put(tmp_path / "MVBench" / "video" / "tvqa" / "clip" / "00001.jpg", "one")
    mine = dataclasses.replace(load().benchmarks["MVBench_plain"], data=str(tmp_path / "MVBench"))
    before = data_digest(mine)
    frame.write_text("two")
    assert data_digest(mine) != before


def test_a_layout_needs_its_columns(tmp_path: Path) -> None:
    table(tmp_path / "v" / "Video-MME.tsv", [{"index": 0, "film": "a"}])
    mine = dataclasses.replace(load().benchmarks["Video-MME"], data=str(tmp_path / "v"))
    with pytest.raises(UsageError, match=r"Video-MME.tsv: no column 'video'"):
        data_digest(mine)


def test_the_demo_video_is_hashed_by_content(tmp_path: Path) -> None:
    demo = load().benchmarks["DemoVideo"]
    assert demo.data is not None
    (tmp_path / "link").symlink_to(demo.data)
    moved = dataclasses.replace(demo, data=str(tmp_path / "link"))
    assert data_digest(moved) == data_digest(demo)


@pytest.mark.parametrize(
    ("text", "count"),
    [("50GB", 50 * 10**9), ("1.5 TB", 1_500_000_000_000), ("2MiB", 2 << 20), ("7", 7),
     ("3k", 3000), ("0", 0)],
)  # fmt: skip
def test_sizes_are_read(text: str, count: int) -> None:
    assert read_size(text, "--limit") == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "5 parsecs", "nan", "1e9", "9" * 400])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--limit: expected a size like 50GB"):
        read_size(text, "--limit")
