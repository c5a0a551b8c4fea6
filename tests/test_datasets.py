"""From a benchmark to samples, through the kit process."""

import base64
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageOps

from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from evalsuite.errors import DiskError
from evalsuite.sample import Frames, Image, Sample, Text
from evalsuite.vlmevalkit.client import BrokenSample, Kit, KitError
from evalsuite.vlmevalkit.media_store import MediaError, MediaStore
from tests.builders import kit_data as made
from tests.builders.kit_images import IMAGES, written_by_vlmevalkit


def asked(kit: Kit, benchmark: Benchmark) -> list[Sample | BrokenSample]:
    return kit.samples(benchmark, [item.id for item in kit.outline(benchmark)])


def sample(kit: Kit, benchmark: Benchmark) -> Sample:
    (only,) = asked(kit, benchmark)
    assert isinstance(only, Sample), only
    return only


def only_text(sample: Sample) -> str:
    (text,) = [m.text for m in sample.messages if isinstance(m, Text)]
    return text


# --------------------------------------------------------------------------------------------------
# Prompts
# --------------------------------------------------------------------------------------------------


def test_choice(kit: Kit, tmp_path: Path) -> None:
    got = sample(kit, made.choices(tmp_path, [{"category": "pets", "hint": "look left"}]))
    assert only_text(got) == (
        "Hint: look left\nQuestion: which 0?\nOptions:\nA. cat\nB. dog\nC. None\nD. 007\n"
        "Please select the correct answer from the options above. \n"
    )
    assert isinstance(got.messages[0], Image)
    assert (got.id, got.category, got.question, got.target) == ("0", "pets", "which 0?", "A")


def test_yes_no(kit: Kit, tmp_path: Path) -> None:
    got = sample(kit, made.yes_no(tmp_path, [{}]))
    assert only_text(got) == "is it 0?"
    assert got.target == "Yes"


def test_open_question(kit: Kit, tmp_path: Path) -> None:
    got = sample(kit, made.open_questions(tmp_path, [{}]))
    assert only_text(got) == "what is 0?\nAnswer the question using a single word or phrase."
    assert got.target == "red | blue | dark blue | 5 | navy | teal | sky"


def test_ocr_question(kit: Kit, tmp_path: Path) -> None:
    got = sample(kit, made.texts_to_read(tmp_path, [{}]))
    assert only_text(got) == "what does 0 say?"
    assert got.category == "Scene Text-centric VQA"


def test_video(kit: Kit, tmp_path: Path) -> None:
    made.video(tmp_path / "video" / "a.mp4", 35, per_second=10)
    got = sample(kit, made.videos(tmp_path, [{}], FrameRule(per_second=1)))
    empty, frames, instruction, question = got.messages
    assert empty == Text("")
    assert isinstance(instruction, Text)
    assert "Respond with only the letter" in instruction.text
    assert question == Text("Question: which way 0?\nA. up\nB. down\nC. left\nD. right\nAnswer: ")
    assert isinstance(frames, Frames)
    assert frames.times == (0, 1, 2)
    assert frames.numbers == (0, 1, 2)
    assert frames.seconds == 3.5
    assert (got.cluster, got.category, got.part) == ("a", "Action Recognition", "")
    levels = [np.asarray(Picture.open(path)).mean() for path in frames.paths]
    assert levels == pytest.approx([20, 20 + 200 * 10 / 35, 20 + 200 * 20 / 35], abs=4)


def test_texts_are_not_changed(kit: Kit, tmp_path: Path) -> None:
    rows = [
        {"A": "N/A", "B": "nan", "C": "null", "D": "1.0", "answer": "B"},
        {"A": "1", "B": "2", "C": "", "D": "", "question": "2"},
    ]
    first, second = asked(kit, made.choices(tmp_path, rows))
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert "A. N/A\nB. nan\nC. null\nD. 1.0\n" in only_text(first)
    assert "Question: 2\nOptions:\nA. 1\nB. 2\nPlease" in only_text(second)


@pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig")])
def test_tables_from_windows(kit: Kit, tmp_path: Path, end: str, encoding: str) -> None:
    row = {"index": "ä1", "image": made.encoded(made.picture()), "question": "what?\tor",
           "answer": "Yes"}  # fmt: skip
    path = made.table(tmp_path / "Windows.tsv", [row], end, encoding)
    got = sample(kit, made.benchmark("Windows", "ImageYORNDataset", "yes-no", path))
    assert (got.id, got.question, got.target) == ("ä1", "what?\tor", "Yes")


def test_a_split_selects_its_rows(kit: Kit, tmp_path: Path) -> None:
    rows = [{"split": "dev"}, {"split": "validation"}]
    benchmark = made.choices(tmp_path, rows, split="validation")
    assert [item.id for item in kit.outline(benchmark)] == ["1"]
    assert sample(kit, benchmark).question == "which 1?"
    with pytest.raises(KitError, match="no rows in split 'test'"):
        kit.outline(dataclasses.replace(benchmark, split="test"))


def test_images_between_texts(kit: Kit, tmp_path: Path) -> None:
    """MMMU's format: one image twice, one not at all."""
    images = [made.encoded(made.picture(n)) for n in range(3)]
    row = {
        "image": str(images), "question": "<image 3> and <image 1> or <image 3>?", "hint": "h",
        "A": "None", "B": "N/A", "C": "", "D": "", "l2-category": "Art", "category": "Music",
    }  # fmt: skip
    data = made.choices(tmp_path, [row, {"l2-category": "Science", "category": "Music"}]).data
    benchmark = made.benchmark("Between", "MMMUDataset", "choice", Path(data or ""))
    got, _ = asked(kit, benchmark)
    assert isinstance(got, Sample)
    words = [m.text if isinstance(m, Text) else "" for m in got.messages]
    assert words == [
        "Hint: h\nQuestion: ", "", " and ", "", " or ", "",
        "?\nOptions:\nA. None\nB. N/A\nPlease select the correct answer from the options above. \n",
    ]  # fmt: skip
    pixels = [_seen(Path(image.path))[1] for image in got.media if isinstance(image, Image)]
    assert pixels == [made.picture(n).tobytes() for n in (2, 0, 2)]
    assert (got.category, got.labels) == ("Music", (("l2-category", "Art"),))


def test_labels_are_text_columns_with_several_values(kit: Kit, tmp_path: Path) -> None:
    rows = [
        {"split": "test_human", "l2-category": "same", "category": "a", "duration": 1},
        {"split": "test_augmented", "l2-category": "same", "category": "b", "duration": 2},
        {"split": "", "l2-category": "same", "category": "b", "duration": 3},
    ]
    samples = [s for s in asked(kit, made.choices(tmp_path, rows)) if isinstance(s, Sample)]
    assert [(s.category, s.labels) for s in samples] == [
        ("a", (("split", "test_human"),)),
        ("b", (("split", "test_augmented"),)),
        ("b", ()),
    ]


def test_mathvista(kit: Kit, tmp_path: Path) -> None:
    row = {
        "index": 1, "image": made.encoded(made.picture()), "answer": "3", "answer_option": "",
        "question": "Hint: …\nQuestion: how many?", "question_type": "free_form", "choices": "",
        "answer_type": "integer", "task": "geometry", "skills": "['arithmetic']",
        "category": "general",
    }  # fmt: skip
    path = made.table(tmp_path / "M.tsv", [row])
    benchmark = made.benchmark("M", "MathVista", "mathvista", path)
    (got,) = kit.samples(benchmark, ["1"])
    assert isinstance(got, Sample)
    assert only_text(got) == "Hint: …\nQuestion: how many?"
    assert got.category == "geometry"
    for name in ("task", "choices", "answer_option"):
        made.table(path, [{key: value for key, value in row.items() if key != name}])
        with pytest.raises(KitError, match=rf"M.tsv: no column '{name}'"):
            kit.samples(benchmark, ["1"])
    made.table(path, [row | {"skills": ""}])
    with pytest.raises(KitError, match=r"M.tsv: no skills in row 1"):
        kit.samples(benchmark, ["1"])


def test_a_changed_table_shows_the_new_images(kit: Kit, tmp_path: Path) -> None:
    benchmark = made.choices(tmp_path, [{"image": made.encoded(made.picture(1))}])
    before = sample(kit, benchmark).media
    made.choices(tmp_path, [{"image": made.encoded(made.picture(2))}])
    (after,) = sample(kit, benchmark).media
    assert isinstance(after, Image)
    assert after not in before
    assert _seen(Path(after.path))[1] == made.picture(2).tobytes()


def test_images_do_not_depend_on_the_index(kit: Kit, tmp_path: Path) -> None:
    one = made.choices(tmp_path / "one", [{"image": made.encoded(made.picture(1))}])
    two = made.choices(tmp_path / "two", [{"image": made.encoded(made.picture(2))}])
    assert sample(kit, one).media != sample(kit, two).media


# --------------------------------------------------------------------------------------------------
# Images
# --------------------------------------------------------------------------------------------------


def test_images_are_shared_by_content(kit: Kit, tmp_path: Path) -> None:
    image, other = made.encoded(made.picture(1)), made.encoded(made.picture(2))
    rows = [{"image": image}, {"image": "0"}, {"image": other}, {"image": str([image, other])}]
    first, second, third, both = asked(kit, made.choices(tmp_path, rows))
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert isinstance(third, Sample)
    assert isinstance(both, Sample)
    assert first.media == second.media
    assert both.media == first.media + third.media
    assert first.cluster == second.cluster
    assert len({first.cluster, third.cluster, both.cluster}) == 3
    (stored,) = first.media
    assert isinstance(stored, Image)
    assert Path(stored.path).read_bytes() == base64.b64decode(image)
    assert stored.digest in stored.path


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG"])
@pytest.mark.parametrize("size", [(1, 1), (20000, 10)])
def test_images_of_any_size(kit: Kit, tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    image = made.encoded(Picture.new("RGB", size, (255, 0, 0)), kind)
    (shown,) = sample(kit, made.choices(tmp_path, [{"image": image}])).media
    assert isinstance(shown, Image)
    assert Picture.open(shown.path).size == size


def test_several_images_on_disk(kit: Kit, tmp_path: Path) -> None:
    paths = ["a b.png", "c,d.png"]
    for seed, name in enumerate(paths):
        made.picture(seed).save(tmp_path / name)
    row = {"index": 0, "image_path": str(paths), "question": "?", "answer": "Yes"}
    path = made.table(tmp_path / "Paths.tsv", [row])
    got = sample(kit, made.benchmark("Paths", "ImageYORNDataset", "yes-no", path))
    shown = [image.path for image in got.media if isinstance(image, Image)]
    assert shown == [str(tmp_path / name) for name in paths]


def test_images_on_disk(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    made.picture(3).save(tmp_path / "images" / "a.png")
    row = {"index": 0, "image_path": "images/a.png", "question": "?", "answer": "Yes"}
    path = made.table(tmp_path / "Paths.tsv", [row, row | {"index": 1, "image_path": "no.png"}])
    got, missing = asked(kit, made.benchmark("Paths", "ImageYORNDataset", "yes-no", path))
    assert isinstance(got, Sample)
    (image,) = got.media
    assert isinstance(image, Image)
    assert image.path == str(tmp_path / "images" / "a.png")
    assert isinstance(missing, BrokenSample)
    assert missing.reason == f"{tmp_path}/no.png: no such file"


def test_a_bad_image_fails_only_its_own_sample(kit: Kit, tmp_path: Path) -> None:
    good = made.encoded(made.picture())
    cut = base64.b64encode(base64.b64decode(good)[:-200]).decode()
    bad = {
        "not base64": "!",
        "not an image": "aGVsbG8=" * 20,
        "truncated": cut,
        "too short": "abcd",
    }
    rows = [{"image": text, "question": why} for why, text in bad.items()]
    *broken, whole = asked(kit, made.choices(tmp_path, [*rows, {"image": good}]))
    assert isinstance(whole, Sample)
    for sample, why in zip(broken, bad, strict=True):
        assert isinstance(sample, BrokenSample)
        assert sample.question == why
        assert sample.target == "A"
        assert sample.reason
        assert "\n" not in sample.reason
    assert [sample.id for sample in broken] == ["0", "1", "2", "3"]


KEPT = {"rgb", "grey", "transparent colour", "jpeg", "grey jpeg", "upright jpeg"}


def _seen(path: Path) -> tuple[tuple[int, ...], bytes]:
    """Return the pixels of a file as read by `transformers.image_utils.load_image`."""
    pixels = np.asarray(ImageOps.exif_transpose(Picture.open(path)).convert("RGB"))
    return pixels.shape, pixels.tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("kind", IMAGES)
def test_stored_pixels_equal_vlmevalkits_files(tmp_path: Path, kind: str, suffix: str) -> None:
    text = IMAGES[kind]
    if suffix == ".jpg" and kind == "sixteen bits":
        pytest.skip("VLMEvalKit cannot write it")
    stored = Path(MediaStore(tmp_path / "media").image(text, suffix))
    theirs = tmp_path / f"theirs{suffix}"
    written_by_vlmevalkit(text, theirs)
    assert _seen(stored) == _seen(theirs)
    if suffix == ".png":
        assert (stored.read_bytes() == base64.b64decode(text)) == (kind in KEPT)


def test_a_new_process_reuses_the_store(tmp_path: Path) -> None:
    first = MediaStore(tmp_path).image(IMAGES["rgb"])
    written = Path(first).stat().st_mtime_ns
    assert MediaStore(tmp_path).image(IMAGES["rgb"]) == first
    assert Path(first).stat().st_mtime_ns == written
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [Path(first)]


def test_disk_errors_are_not_media_errors(tmp_path: Path) -> None:
    (tmp_path / "media").touch()
    store = MediaStore(tmp_path / "media")
    with pytest.raises(DiskError):
        store.image(IMAGES["rgb"])
    with pytest.raises(MediaError):
        store.image("aGk=")


# --------------------------------------------------------------------------------------------------
# Videos
# --------------------------------------------------------------------------------------------------


def test_a_bad_video_fails_only_its_own_samples(kit: Kit, tmp_path: Path) -> None:
    whole = made.video(tmp_path / "video" / "a.mp4", 20)
    (tmp_path / "video" / "cut.mp4").write_bytes(whole.read_bytes()[:600])
    (tmp_path / "video" / "empty.mp4").write_bytes(b"")
    rows = [{}, {"video": "cut"}, {"video": "empty"}, {"video": "missing"}]
    benchmark = made.videos(tmp_path, rows, FrameRule(count=4))
    for path in (tmp_path / "video", tmp_path):
        path.chmod(0o500)
    good, *broken = asked(kit, benchmark)
    assert isinstance(good, Sample)
    assert [s.reason for s in broken if isinstance(s, BrokenSample)] == [
        f"{tmp_path}/video/cut.mp4: it is not a video, or it is truncated",
        f"{tmp_path}/video/empty.mp4: it is empty",
        f"{tmp_path}/video/missing.mp4: no such file",
    ]
    assert [(type(s), s.cluster) for s in broken] == [
        (BrokenSample, "cut"), (BrokenSample, "empty"), (BrokenSample, "missing")
    ]  # fmt: skip
    beside = {p.name for p in tmp_path.rglob("*")}
    assert beside == {"Video-MME.tsv", "video", "a.mp4", "cut.mp4", "empty.mp4"}


# --------------------------------------------------------------------------------------------------
# Invalid data
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset_class": "ImageMCQDatset"}, "did you mean 'ImageMCQDataset'"),
        (
            {"dataset_class": None, "dataset": "MMSta", "metric": "mathvista"},
            "did you mean 'MMStar'?)",
        ),
        ({"arguments": {"skip_image": True}}, "argument 'skip_image'"),
        ({"dataset_class": "VideoMME"}, "VideoMME is not an image class"),
        ({"data": "/nowhere/Choices.tsv"}, "/nowhere/Choices.tsv: no such file"),
        ({"data": None}, "no data location"),
        ({"split": "test"}, "no column 'split'"),
        ({"dataset": "MMBench_MINE"}, "'MMBench' in its key"),
    ],
)
def test_invalid_benchmarks_are_errors(
    kit: Kit, tmp_path: Path, change: dict[str, str | None], message: str
) -> None:
    benchmark = dataclasses.replace(made.choices(tmp_path, [{}]), **change)  # type: ignore[arg-type] # any field
    with pytest.raises(KitError, match=r"^[^\n]*$") as raised:
        kit.outline(benchmark)
    assert message in str(raised.value)
    assert raised.value.stage == "data"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"index": 3}, {"index": 3}, {}], "duplicate index 3"),
        ([{"index": 3.5}, {"index": 1}], "Choices.tsv: index 3.5 is a decimal number"),
        ([{"index": "1.0"}, {"index": "2.0"}], "Choices.tsv: index 1.0 is a decimal number"),
        ([{}, {"question": ""}], "no question in row 2"),
        ([{}, {"answer": ""}, {"answer": ""}], "no answer in row 2, 3"),
        ([{"answer": "E"}], "sample 0: its answer 'E' is not one of its options A, B, C, D"),
    ],
)
def test_invalid_rows_are_errors(
    kit: Kit, tmp_path: Path, rows: list[made.Row], message: str
) -> None:
    with pytest.raises(KitError) as raised:
        kit.outline(made.choices(tmp_path, rows))
    assert message in str(raised.value)


def test_prompt_errors_name_the_sample(kit: Kit, tmp_path: Path) -> None:
    data = made.choices(tmp_path, [{}, {"question": "see <image 3>"}]).data
    benchmark = made.benchmark("Pictures", "MMMUDataset", "choice", Path(data or ""))
    assert len(kit.outline(benchmark)) == 2
    with pytest.raises(KitError) as raised:
        kit.samples(benchmark, ["0", "1"])
    expected = "Pictures: VLMEvalKit raised IndexError: list index out of range in sample 1"
    assert str(raised.value) == expected


def test_invalid_tables_are_errors(kit: Kit, tmp_path: Path) -> None:
    path = made.table(tmp_path / "T.tsv", [{"index": 0, "qestion": "?", "answer": "Yes"}])
    benchmark = made.benchmark("T", "ImageYORNDataset", "yes-no", path)
    with pytest.raises(KitError, match=r"no column 'question' .did you mean 'qestion'"):
        kit.outline(benchmark)
    path.write_bytes(b"index\tquestion\n\xff\xfe\t1\n")
    with pytest.raises(KitError, match="line 2 is not UTF-8"):
        kit.outline(benchmark)
    path.write_text("")
    with pytest.raises(KitError, match="expected: tab-separated, UTF-8"):
        kit.outline(benchmark)


@pytest.mark.parametrize(
    ("make", "row", "message"),
    [
        (made.yes_no, {"answer": "yes"}, "its answer is 'yes', not 'Yes' or 'No'"),
        (made.open_questions, {"answer": "red"}, "not a list of several annotators' answers"),
        (made.open_questions, {"answer": "['red']"}, "not a list of several annotators' answers"),
        (made.texts_to_read, {"answer": "red"}, "not a list of texts"),
        (made.texts_to_read, {"category": "Tea leaves"}, "its category is 'Tea leaves'"),
    ],
)
def test_unreachable_answers_are_errors(
    kit: Kit, tmp_path: Path, make: object, row: made.Row, message: str
) -> None:
    assert callable(make)
    with pytest.raises(KitError) as raised:
        kit.outline(make(tmp_path, [row]))
    assert message in str(raised.value)
