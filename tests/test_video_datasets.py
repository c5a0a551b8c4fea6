"""VLMEvalKit's video datasets → samples, beside what its own classes make of the same files."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evalsuite.benchmarks.benchmark import FrameRule
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.sample import Frames, Sample, Text
from evalsuite.vlmevalkit.client import BrokenSample, Kit, KitError, SampleOutline
from evalsuite.vlmevalkit.video_frames import ClipSpec, selected_frames
from tests.builders import kit_data as made

EIGHT, EACH_SECOND = FrameRule(count=8), FrameRule(per_second=1)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    made.video_files(folder)
    return folder


@pytest.fixture
def root(tmp_path: Path, media: Path) -> Path:
    """A directory with the videos, for tables to be put beside."""
    root = tmp_path / "data"
    root.mkdir()
    for child in media.iterdir():
        (root / child.name).symlink_to(child)
    return root


# --------------------------------------------------------------------------------------------------
# Comparison with VLMEvalKit
# --------------------------------------------------------------------------------------------------


def theirs(table: str, root: Path, rule: FrameRule, **arguments: Any) -> list[list[Any]]:
    """Return what VLMEvalKit's class of one table asks: texts and bytes of frames."""
    dataset = made.vlmevalkit().dataset
    from torchvision import transforms
    from vlmeval.dataset.utils.mvbench import Stack, ToTorchFormatTensor

    (kind,) = {k for k in dataset.VIDEO_DATASET if table in k.supported_datasets()}

    class Local(kind):  # type: ignore[misc, valid-type] # no types
        def prepare_dataset(self, *_: object) -> dict[str, str]:
            self.decord_method = {
                name: getattr(self, f"read_{name}", None) for name in ("video", "gif", "frame")
            }
            self.transform = transforms.Compose([Stack(), ToTorchFormatTensor()])
            return {"root": str(root), "data_file": str(root / f"{table}.tsv")}

    frames = {"fps": rule.per_second} if rule.per_second else {"nframe": rule.count}
    built = Local(dataset=table, **frames, **arguments)
    asked = []
    for number in range(len(built.data)):
        # It stores frames by the video's name, so remove those of the previous question.
        shutil.rmtree(built.frame_root)
        Path(built.frame_root).mkdir()
        asked.append(
            [
                Path(item["value"]).read_bytes()
                if item["type"] == "image"
                else (item.get("role", ""), item["value"])
                for item in built.build_prompt(number, video_llm=False)
            ]
        )
    return asked


def ours(samples: Sequence[Sample]) -> list[list[Any]]:
    asked: list[list[Any]] = []
    for sample in samples:
        asked.append([])
        for message in sample.messages:
            if isinstance(message, Frames):
                asked[-1] += [Path(path).read_bytes() for path in message.paths]
            elif isinstance(message, Text):
                asked[-1].append((message.role, message.text))
    return asked


@pytest.mark.parametrize(
    ("dataset", "rule", "arguments"),
    [
        ("WorldSense", EACH_SECOND, {}),
        ("WorldSense", FrameRule(per_second=2), {"use_subtitle": True}),
        ("MVBench_MP4", EACH_SECOND, {}),
        ("MVBench_MP4", EIGHT, {}),
        ("MVBench", EIGHT, {}),
        ("MLVU", EACH_SECOND, {}),
        ("TempCompass", EIGHT, {}),
        ("TempCompass", EACH_SECOND, {}),
    ],
)
def test_prompts_and_frames_equal_vlmevalkit(
    kit: Kit,
    media: Path,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dataset: str,
    rule: FrameRule,
    arguments: dict[str, Any],
) -> None:
    got = ours(made.asked(kit, made.video_set(root, dataset, rule, arguments=arguments)))
    if arguments:
        assert any("Look," in item[1] for item in got[0] if isinstance(item, tuple))
    monkeypatch.setenv("LMUData", str(tmp_path / "LMU"))
    (tmp_path / "LMU").mkdir()
    # VLMEvalKit writes lock files next to videos, so it gets a copy.
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    expected = [
        asked
        for table in LAYOUTS[dataset].tables
        for asked in theirs(table, copy, rule, **arguments)
    ]
    assert sum(isinstance(item, bytes) for item in got[0]) >= 3
    assert got == expected
    assert not list(media.rglob("*.lock"))


@dataclasses.dataclass
class NumberedFrames:
    """A video without pixels."""

    first: int
    last: int
    per_second: float

    def frame(self, number: int) -> Any:
        raise NotImplementedError

    def times(self, numbers: list[int]) -> list[float]:
        raise NotImplementedError


@settings(deadline=None)  # the first imports VLMEvalKit
@given(
    first=st.sampled_from([0, 1]),
    n_frames=st.integers(1, 100_000),
    per_second=st.sampled_from([3.0, 10.0, 23.976023976, 25.0, 29.97002997, 30.0, 59.94]),
    count=st.integers(1, 64),
    bounds=st.none() | st.tuples(st.floats(0, 400), st.floats(0.01, 400)),
)
def test_frame_numbers_equal_mvbench(
    first: int,
    n_frames: int,
    per_second: float,
    count: int,
    bounds: tuple[float, float] | None,
) -> None:
    dataset = made.vlmevalkit().dataset
    source = NumberedFrames(first, first + n_frames - 1, per_second)
    if bounds is not None:
        bounds = (bounds[0], bounds[0] + bounds[1])
        assume(round(bounds[0] * per_second) <= source.last)
    spec = ClipSpec(Path("v.mp4"), FrameRule(count=count), segment_middles=True, bounds=bounds)
    theirs = dataset.MVBench.__new__(dataset.MVBench)
    theirs.num_segments = count
    wanted = list(theirs.get_index(bounds, per_second, source.last, first_idx=first))
    if not all(first <= number <= source.last for number in wanted):
        with pytest.raises(ValueError, match="exceeds its length"):  # VLMEvalKit fails on those too
            selected_frames(source, spec)
        return
    ours = selected_frames(source, spec)
    assert ours == wanted
    if bounds is None and first == 0:
        other = dataset.MVBench_MP4.__new__(dataset.MVBench_MP4)
        other.num_segments = count
        assert ours == list(other.get_index_by_frame(source.last))


def test_subtitles_of_video_mme(kit: Kit, tmp_path: Path) -> None:
    made.video(tmp_path / "video" / "a.mp4", 30)
    (tmp_path / "subtitle").mkdir()
    said = "1\n00:00:00,900 --> 00:00:01,100\nsecond\\Nframe\n"
    (tmp_path / "subtitle" / "a.srt").write_text(said)
    (tmp_path / "subtitle" / "bad.srt").write_bytes(b"1\n00:00:00,900 --> 00:00:01,100\n\xff\n")
    (tmp_path / "subtitle" / "none.srt").write_text("none")
    rows = [{"subtitle_path": f"./subtitle/{name}.srt"} for name in ("a", "missing", "bad", "none")]
    benchmark = made.videos(tmp_path, rows, EACH_SECOND, arguments={"use_subtitle": True})
    with_words, without, *broken = kit.samples(benchmark, ["0", "1", "2", "3"])
    for sample, words in ((with_words, "second frame"), (without, "")):
        assert isinstance(sample, Sample)
        assert any(
            f"subtitles are listed below:\n{words}\nSelect" in message.text
            for message in sample.messages
            if isinstance(message, Text)
        )
    for sample, name in zip(broken, ("bad", "none"), strict=True):
        assert isinstance(sample, BrokenSample)
        assert f"subtitle/{name}.srt: cannot read subtitles: " in sample.reason


# --------------------------------------------------------------------------------------------------
# Parts, categories, labels and clips
# --------------------------------------------------------------------------------------------------


def test_concatenated_datasets(kit: Kit, root: Path) -> None:
    benchmark = made.video_set(root, "MLVU", EACH_SECOND)
    outline = kit.outline(benchmark)
    assert outline == [
        SampleOutline("0", "MLVU/video/1_plotQA/a.mp4", "MLVU_MCQ"),
        SampleOutline("1", "MLVU/video/2_needle/a.mp4", "MLVU_MCQ"),
        SampleOutline("2", "MLVU/video/9_summary/b.mp4", "MLVU_OpenEnded"),
        SampleOutline("3", "MLVU/video/9_summary/b.mp4", "MLVU_OpenEnded"),
    ]
    samples = made.asked(kit, benchmark)
    assert [(s.part, s.cluster) for s in samples] == [(o.part, o.cluster) for o in outline]
    assert [s.category for s in samples] == ["plotQA", "needle", "summary", "sub_scene"]
    # Seconds are not labels, and neither is the category.
    assert {s.labels for s in samples} == {()}
    assert [s.target for s in samples] == ["dog", "dog", "A dog.", "A dog."]
    backwards = [s for s in kit.samples(benchmark, ["3", "0"]) if isinstance(s, Sample)]
    assert backwards == [samples[3], samples[0]]


def test_labels_of_tempcompass(kit: Kit, root: Path) -> None:
    def both(task: str, dim: str) -> dict[str, str]:
        return {"task_type": task, "dim. task_type": f"{dim}. {task}"}

    samples = made.asked(kit, made.video_set(root, "TempCompass", EACH_SECOND))
    assert [(s.id, s.part, s.category, dict(s.labels)) for s in samples] == [
        ("0", "TempCompass_MCQ", "speed", both("multi-choice", "speed")),
        ("1", "TempCompass_MCQ", "speed", both("caption_matching", "speed")),
        ("2", "TempCompass_Captioning", "speed", both("captioning", "speed")),
        ("3", "TempCompass_YorN", "order", both("yes_no", "order")),
    ]
    assert {s.cluster for s in samples} == {"videos/b"}


def test_labels_of_worldsense(kit: Kit, root: Path) -> None:
    samples = made.asked(kit, made.video_set(root, "WorldSense", EACH_SECOND))
    assert [(s.category, s.labels) for s in samples] == [
        ("Event Sorting", (("duration", "<1min"),)),
        ("Event Sorting", (("duration", "1-2min"),)),
    ]


def test_a_video_of_worldsense_has_several_sounds(kit: Kit, root: Path) -> None:
    benchmark = made.video_set(root, "WorldSense", EACH_SECOND)
    table = root / "WorldSense.tsv"
    first, second = ("['Music']", "['Speech', 'Music']")
    assert table.read_text().count(first) == 2
    table.write_text(table.read_text().replace(first, second, 1))
    samples = made.asked(kit, benchmark)
    sounds = [[value for name, value in s.labels if name == "audio_class"] for s in samples]
    assert sounds == [["Speech", "Music"], ["Music"]]


def test_clips_of_one_video_are_distinguished(kit: Kit, root: Path) -> None:
    """VLMEvalKit stores frames by the video's name and shows those of the first clip for all."""
    samples = made.asked(kit, made.video_set(root, "MVBench", EIGHT))
    shown = [frames for s in samples for frames in s.media if isinstance(frames, Frames)]
    assert len({frames.digest for frames in shown}) == 5
    assert [s.cluster for s in samples[:3]] == ["video/b/a.mp4"] * 3
    # 30 + 2 frames at 10 a second; 1 second; 1.8 seconds; 30 frames at 25; 2 seconds.
    assert [frames.seconds for frames in shown] == [3.2, 1.0, 1.8, 1.2, 2.0]
    assert shown[1].times[0] == 0.0
    # Pictures 3, 4, 5, 5, 6, 7, 7 and 8 of three a second, the first at 0; the clip starts at 1 s.
    assert shown[4].times == (0.0, 0.0, 0.333, 0.333, 0.667, 1.0, 1.0, 1.333)
    assert [s.category for s in samples] == ["Action Count"] * 3 + ["Moving Count", "Action Count"]


# --------------------------------------------------------------------------------------------------
# Invalid data
# --------------------------------------------------------------------------------------------------


def test_a_read_only_directory_with_unusual_files(kit: Kit, tmp_path: Path) -> None:
    root = tmp_path / "data"
    benchmark = made.video_set(root, "MVBench_MP4", EACH_SECOND)
    good = made.video(root / "video" / "b" / "a.mp4", 20)
    (root / "video" / "a").mkdir()
    (root / "video" / "a" / "a.mp4").write_bytes(good.read_bytes()[:500])
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    for path in (root / "video" / "a", root / "video" / "b", root / "video", root):
        path.chmod(0o500)
    whole, broken = kit.samples(benchmark, ["0", "1"])
    assert isinstance(whole, Sample)
    assert isinstance(broken, BrokenSample)
    assert broken.reason == f"{root}/video/a/a.mp4: it is not a video, or it is truncated"
    assert (broken.category, broken.question) == ("Action Count", "what happens?")
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert {path: time for path, time in after.items() if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }
    assert after.keys() == before.keys()


@pytest.mark.parametrize(
    ("dataset", "rule", "fields", "message"),
    [
        ("MVBench", EACH_SECOND, {}, "MVBench needs a number of frames, not 1fps: set 'frames: 8'"),
        ("WorldSense", EACH_SECOND, {"arguments": {"use_audio": True}}, "argument 'use_audio'"),
        (
            "WorldSense",
            EACH_SECOND,
            {"arguments": {"use_subtitles": True}},
            "argument 'use_subtitles' (did you mean 'use_subtitle'?)",
        ),
        ("MLVU", EACH_SECOND, {"arguments": {"fps": 2}}, "argument 'fps'"),
        (
            "MLVU",
            EACH_SECOND,
            {"data": "/nowhere"},
            "/nowhere: no such directory; expected one with MLVU_MCQ.tsv and MLVU_OpenEnded.tsv",
        ),
        (
            "MVBench_MP4",
            EACH_SECOND,
            {"dataset_class": "LongVideoBench"},
            "LongVideoBench is not a supported video class",
        ),
    ],
)
def test_invalid_video_benchmarks_are_errors(
    kit: Kit,
    root: Path,
    dataset: str,
    rule: FrameRule,
    fields: dict[str, Any],
    message: str,
) -> None:
    benchmark = dataclasses.replace(made.video_set(root, dataset, rule), **fields)
    with pytest.raises(KitError, match=r"^[^\n]*$") as raised:
        kit.outline(benchmark)
    assert message in str(raised.value)
    assert raised.value.stage == "data"


@pytest.mark.parametrize(
    ("dataset", "table", "change", "message"),
    [
        ("MLVU", "MLVU_OpenEnded", None, "MLVU_OpenEnded.tsv: no such file"),
        ("MLVU", "MLVU_MCQ", {"candidates": ""}, "MLVU_MCQ.tsv: no candidates in row 1"),
        ("TempCompass", "TempCompass_YorN", {"answer": ""}, "YorN.tsv: no answer in row 1"),
        ("MVBench", "MVBench", {"data_type": "film"}, "row 1: data_type 'film'"),
        ("MVBench_MP4", "MVBench_MP4", {"index": 1}, "index 1"),
    ],
)
def test_invalid_tables_of_videos_are_errors(
    kit: Kit,
    root: Path,
    dataset: str,
    table: str,
    change: made.Row | None,
    message: str,
) -> None:
    benchmark = made.video_set(root, dataset, EIGHT)
    path = root / f"{table}.tsv"
    if change is None:
        path.unlink()
    else:
        first, *others = made.video_rows(dataset)[table]
        made.table(path, [first | change, *others])
    with pytest.raises(KitError) as raised:
        kit.outline(benchmark)
    assert message in str(raised.value)


def test_missing_columns_are_named(kit: Kit, root: Path) -> None:
    benchmark = made.video_set(root, "MVBench", EIGHT)
    rows = [
        {key: value for key, value in row.items() if key not in ("start", "end")}
        for row in made.video_rows("MVBench")["MVBench"]
    ]
    made.table(root / "MVBench.tsv", rows)
    with pytest.raises(KitError, match="no column 'start', 'end'"):
        kit.outline(benchmark)


def test_a_changed_table_is_read_again(kit: Kit, root: Path) -> None:
    benchmark = made.video_set(root, "TempCompass", EACH_SECOND)
    assert len(kit.outline(benchmark)) == 4
    rows = made.video_rows("TempCompass")["TempCompass_YorN"]
    made.table(root / "TempCompass_YorN.tsv", [*rows, rows[0] | {"index": 1}])
    assert len(kit.outline(benchmark)) == 5
