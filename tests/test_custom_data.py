"""Custom benchmarks: JSONL files, videos with image classes, class by metric."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from evalsuite.sample import Frames, Image, Sample, Text
from evalsuite.vlmevalkit.client import BrokenSample, Kit, KitError
from tests.builders import kit_data as made


def lines(folder: Path, rows: Sequence[Any], metric: str = "choice", **fields: Any) -> Benchmark:
    """Return a benchmark over a JSONL file, as a user would define it."""
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return made.benchmark("Mine", None, metric, path, **fields)


def text_of(sample: Sample) -> str:
    return "|".join(m.text for m in sample.messages if isinstance(m, Text))


def test_choices_by_letter_and_by_text(kit: Kit, tmp_path: Path) -> None:
    made.picture(1).save(tmp_path / "a.png")
    rows = [
        {"image": "a.png", "question": "q", "A": "cat", "B": "None", "answer": "B"},
        {"image": "a.png", "question": "q", "choices": ["cat", "7"], "answer": "cat"},
        {"image": "a.png", "question": "q", "options": [1, 7, 5], "answer": 7, "hint": "h"},
        {"image": "a.png", "question": "q", "options": ["B", "C"], "answer": "C", "hint": None},
    ]
    first, second, third = made.asked(kit, lines(tmp_path, rows[:3]))
    words = "Question: q\nOptions:\n{}Please select the correct answer from the options above. \n"
    assert text_of(first) == words.format("A. cat\nB. None\n")
    assert text_of(second) == words.format("A. cat\nB. 7\n")
    assert text_of(third) == "Hint: h\n" + words.format("A. 1\nB. 7\nC. 5\n")
    assert [sample.target for sample in (first, second, third)] == ["B", "A", "B"]
    assert [sample.id for sample in (first, second, third)] == ["0", "1", "2"]
    (only,) = made.asked(kit, lines(tmp_path, rows[3:]))
    assert only.target == "B"


def test_images_as_paths_and_in_base64(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    made.picture(1).save(tmp_path / "pictures" / "a.png")
    text = made.encoded(made.picture(2))
    rows = [
        {"image": image, "question": "q", "answer": "Yes", "index": f"i{n}", "category": "c"}
        for n, image in enumerate(("pictures/a.png", text, ["pictures/a.png", text], "no.png"))
    ]
    benchmark = lines(tmp_path, rows, "yes-no")
    assert [item.id for item in kit.outline(benchmark)] == ["i0", "i1", "i2", "i3"]
    path, encoded, both, missing = kit.samples(benchmark, ["i0", "i1", "i2", "i3"])
    assert isinstance(path, Sample)
    assert isinstance(encoded, Sample)
    assert isinstance(both, Sample)
    (image,) = path.media
    assert isinstance(image, Image)
    assert image.path == str(tmp_path / "pictures" / "a.png")
    assert both.media == (*path.media, *encoded.media)
    assert path.category == "c"
    assert isinstance(missing, BrokenSample)
    assert missing.reason == f"{tmp_path}/no.png: no such file"


def test_lists_of_answers(kit: Kit, tmp_path: Path) -> None:
    made.picture(1).save(tmp_path / "a.png")
    several = ["red", "blue", "red"]
    rows = [
        {"image": "a.png", "question": "q", "answers": several},
        {"image": "a.png", "question": "q", "answer": several},
    ]
    samples = made.asked(kit, lines(tmp_path, rows, "vqa-accuracy"))
    assert [sample.target for sample in samples] == ["red | blue"] * 2
    assert text_of(samples[0]) == "q\nAnswer the question using a single word or phrase."


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".csv"])
def test_videos_with_an_image_class(kit: Kit, tmp_path: Path, suffix: str) -> None:
    made.video(tmp_path / "clips" / "a.mp4", 50)
    rows: list[dict[str, Any]] = [
        {"video": "clips/a.mp4", "question": "q", "A": "up", "B": "down", "answer": "A"},
        {"video": "clips/a.mp4", "question": "q", "A": "up", "B": "down", "answer": "A",
         "start": 1.5, "end": 4},
        {"video": "clips/a.mp4", "question": "q", "A": "up", "B": "down", "answer": "A",
         "start": 4.2},
        {"video": "clips/b.mp4", "question": "q", "A": "up", "B": "down", "answer": "A"},
    ]  # fmt: skip
    fields = {"modality": "video", "frames": FrameRule(per_second=1)}
    if suffix == ".jsonl":
        benchmark = lines(tmp_path, rows, **fields)
    else:
        path = made.table(tmp_path / "mine.tsv", rows)
        if suffix == ".csv":
            path = path.rename(path.with_suffix(".csv"))
            path.write_text(path.read_text().replace("\t", ","))
        benchmark = made.benchmark("Mine", None, "choice", path, **fields)
    whole, clip, rest, missing = kit.samples(
        benchmark, [item.id for item in kit.outline(benchmark)]
    )
    assert isinstance(whole, Sample)
    assert isinstance(clip, Sample)
    assert isinstance(rest, Sample)
    frames, text = whole.messages
    assert isinstance(frames, Frames)
    assert isinstance(text, Text)
    assert text.text.startswith("Question: q\nOptions:\nA. up\nB. down\n")
    assert (frames.times, frames.seconds) == ((0, 1, 2, 3, 4), 5)
    (part,) = clip.media
    assert isinstance(part, Frames)
    assert (part.times, part.seconds) == ((0, 1), 2.5)
    (tail,) = rest.media
    assert isinstance(tail, Frames)
    assert (tail.times, tail.seconds) == ((0,), 0.8)
    assert {s.cluster for s in (whole, clip, rest)} == {"clips/a.mp4"}
    assert isinstance(missing, BrokenSample)
    assert missing.reason == f"{tmp_path}/clips/b.mp4: no such file"
    assert {p.name for p in tmp_path.rglob("*")} == {f"mine{suffix}", "clips", "a.mp4"}


@pytest.mark.parametrize(
    ("metric", "answer"),
    [
        ("yes-no", "No"),
        ("vqa-accuracy", "['a', 'b']"),
        ("relaxed-accuracy", "5"),
        ("anls", "['a']"),
        ("exact-match", "red"),
        ("ocr-contains", "['a']"),
    ],
)
def test_the_metric_chooses_the_class(kit: Kit, tmp_path: Path, metric: str, answer: str) -> None:
    row = {
        "index": 0, "image": made.encoded(made.picture()), "question": "q?", "answer": answer,
        "category": "Doc-oriented VQA",
    }  # fmt: skip
    path = made.table(tmp_path / "Mine.tsv", [row])
    (got,) = made.asked(kit, made.benchmark("Mine", None, metric, path))
    plain = metric in ("yes-no", "ocr-contains")
    suffix = "" if plain else "\nAnswer the question using a single word or phrase."
    assert text_of(got) == f"q?{suffix}"


GOOD = {"image": "a.png", "question": "q", "choices": ["x", "y"], "answer": "x"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("[1]", "JSON object"),
        (GOOD | {"question": ""}, "line 2 has no 'question'"),
        ({"image": "a.png", "qestion": "q", "answer": "x"}, "no 'question' (did you mean 'qestio"),
        (GOOD | {"answer": []}, "line 2 has no 'answer'"),
        (GOOD | {"answer": None}, "line 2 has no 'answer'"),
        (GOOD | {"answers": ["x"]}, "'answer' and 'answers'"),
        (GOOD | {"answer": "z"}, "the answer 'z', which equals none of its options A (x), B (y)"),
        (GOOD | {"choices": ["x", "x"]}, "'x', which equals several of its options A (x), B (x)"),
        (
            GOOD | {"choices": ["B", "A"], "answer": "A"},
            "'A', a letter and also the text of option B",
        ),
        (GOOD | {"choices": "xy"}, "2 to 26 options in 'choices'"),
        (GOOD | {"A": "x"}, "options: choices, A"),
        (GOOD | {"image": 5}, "a list of these as 'image'"),
        (GOOD | {"image": []}, "a list of these as 'image'"),
        ({"video": "a.mp4", "question": "q", "answer": "x"}, "'modality: video'"),
        (GOOD | {"index": 0}, "index 0 as line 1"),
        (GOOD | {"question": "\ud800"}, "surrogate"),
    ],
)
def test_invalid_lines_are_errors(kit: Kit, tmp_path: Path, line: Any, message: str) -> None:
    made.picture(1).save(tmp_path / "a.png")
    benchmark = lines(tmp_path, [GOOD])
    path = tmp_path / "mine.jsonl"
    text = line if isinstance(line, str) else json.dumps(line)
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(KitError, match=r"^[^\n]*$") as raised:
        kit.outline(benchmark)
    assert str(raised.value).startswith(f"{path}: line 2 ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"start": "1"}, "'start', not '1'"),
        ({"end": -1}, "'end', not -1"),
        ({"start": 3, "end": 2}, "'end' is not after its 'start'"),
    ],
)
def test_invalid_clip_bounds_are_errors(
    kit: Kit, tmp_path: Path, bounds: dict[str, Any], message: str
) -> None:
    row = {"video": "a.mp4", "question": "q", "choices": ["x", "y"], "answer": "x"} | bounds
    fields = {"modality": "video", "frames": FrameRule(count=1)}
    with pytest.raises(KitError) as raised:
        kit.outline(lines(tmp_path, [row], **fields))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no lines"),
        (b'{"question": "\xff"}', "is not UTF-8"),
    ],
)
def test_invalid_files_are_errors(kit: Kit, tmp_path: Path, content: bytes, message: str) -> None:
    benchmark = lines(tmp_path, [GOOD])
    (tmp_path / "mine.jsonl").write_bytes(content)
    with pytest.raises(KitError) as raised:
        kit.outline(benchmark)
    assert str(raised.value).startswith(f"{tmp_path}/mine.jsonl: {message}")


def test_windows_line_ends(kit: Kit, tmp_path: Path) -> None:
    made.picture(1).save(tmp_path / "a.png")
    benchmark = lines(tmp_path, [])
    rows = [json.dumps(GOOD | {"question": "ä\u2028?"}, ensure_ascii=False), "", json.dumps(GOOD)]
    text = "\ufeff" + "\r\n".join(rows)
    (tmp_path / "mine.jsonl").write_bytes(text.encode())
    first, second = made.asked(kit, benchmark)
    assert (first.id, first.question) == ("0", "ä\u2028?")
    assert (second.id, second.question) == ("1", "q")


def test_a_class_for_directories_is_an_error(kit: Kit, tmp_path: Path) -> None:
    fields = {"modality": "video", "frames": FrameRule(count=1), "dataset": "Video-MME"}
    with pytest.raises(KitError) as raised:
        kit.outline(lines(tmp_path, [GOOD], "video-choice", **fields))
    assert "VideoMME" in str(raised.value)
    assert "mine.jsonl" in str(raised.value)


def test_invalid_video_tables_are_errors(kit: Kit, tmp_path: Path) -> None:
    path = made.table(tmp_path / "mine.tsv", [{"question": "q", "answer": "A", "vidoe": "a.mp4"}])
    fields = {"modality": "video", "frames": FrameRule(count=1)}
    with pytest.raises(KitError, match=r"mine.tsv: no column 'video' .did you mean 'vidoe'"):
        kit.outline(made.benchmark("Mine", None, "choice", path, **fields))
    row = {"question": "q", "A": "x", "B": "y", "answer": "A", "video": "a.mp4", "start": "soon"}
    made.table(path, [row])
    with pytest.raises(KitError, match=r"mine.tsv: row 1: start or end: could not convert"):
        kit.outline(made.benchmark("Mine", None, "choice", path, **fields))
