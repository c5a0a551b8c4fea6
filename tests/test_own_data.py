"""Data as people have it: read as it is meant, or refused with the line."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.sample import Image as SampleImage
from evalsuite.sample import Sample
from evalsuite.vlmevalkit.client import BrokenSample, Kit, KitError
from evalsuite.vlmevalkit.scoring_workarounds import DOCUMENTED_METRIC
from evalsuite.vlmevalkit.workarounds import NA_VALUES_AS_TEXT
from tests.builders import kit_data as made
from tests.builders.kit_scoring import predictions_of

HEADER = "index\timage_path\tquestion\tA\tB\tanswer\n"


def table(folder: Path, text: str | bytes, name: str = "own.tsv") -> Benchmark:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return made.benchmark("Own", None, "choice", path)


def rows(questions: Sequence[str]) -> str:
    return "".join(f"{n}\tim.png\t{q}\tcat\tdog\tA\n" for n, q in enumerate(questions))


@pytest.mark.parametrize(
    "questions",
    [
        ["a", '"Which?', "b", 'Is it 5" long"', "c"],
        ["a", '"Which?', "b", '"Why?', "c"],
        ["a", '"Which?', "b", "c"],
        ["a", '"Which?', "b", 'Is it "big"', "c"],
        ["a", '"Which?', 'Is it big"', "c"],
        ['"Stop" sign?', 'Is it 5" long?', '"', '""Which?'],
    ],
)
def test_rows_between_stray_quotes_do_not_vanish(
    kit: Kit, tmp_path: Path, questions: list[str]
) -> None:
    made.picture(1).save(tmp_path / "im.png")
    benchmark = table(tmp_path, HEADER + rows(questions).replace('\t"\t', '\t" \t'))
    asked = [sample.question.strip() for sample in made.asked(kit, benchmark)]
    assert asked == questions


@pytest.mark.parametrize(
    ("questions", "line", "words"),
    [
        (["a", '"Which?', '"quoted"'], 3, ("begins with a quote", "double the quotes")),
        (['"Stop" sign?', '"two\nlines"'], 2, ("begins with a quote",)),
        (["a", '"Which?', 'Is it big"', '"quoted"'], 3, ("joins 2 rows", "double the quotes")),
    ],
)
def test_tables_with_stray_quotes_and_quoted_cells_are_refused(
    kit: Kit, tmp_path: Path, questions: list[str], line: int, words: Sequence[str]
) -> None:
    with pytest.raises(KitError) as raised:
        kit.outline(table(tmp_path, HEADER + rows(questions)))
    assert str(raised.value).startswith(f"{tmp_path}/own.tsv: line {line} ")
    assert all(word in str(raised.value) for word in words)


def test_quotes_inside_a_cell_and_quoted_cells_are_kept(kit: Kit, tmp_path: Path) -> None:
    made.picture(1).save(tmp_path / "im.png")
    asked = ['5" long?', '"""Stop"" sign?"', '"two\nlines\tand a tab"', "'single'"]
    samples = made.asked(kit, table(tmp_path, HEADER + rows(asked)))
    assert [sample.question for sample in samples] == [
        '5" long?', '"Stop" sign?', "two\nlines\tand a tab", "'single'",
    ]  # fmt: skip


GOOD = rows(["a"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "0\tim.png\tq\tcat\tdog\n", "line 2 has 5 cells, but the header has 6"),
        (HEADER + GOOD + "1\tim.png\tq\tx\tcat\tdog\tA\n", "line 3 has 7 cells"),
        (HEADER + "0\tim.png\tq\tcat\tdog\tA\t\n", "line 2 has 7 cells"),
        (HEADER.replace("B", "A") + GOOD, "two columns 'A'"),
        ((HEADER + rows(["café"])).encode("latin-1"), "line 2 is not UTF-8"),
        ((HEADER + GOOD).encode("utf-16"), "line 1 is not UTF-8"),
        (HEADER + GOOD + "1\tim.png\ta\0b\tx\ty\tA\n", "line 3 contains a NUL"),
        ((HEADER + GOOD + GOOD).replace("\n", "\r"), "line 1 has a carriage return"),
        (HEADER.replace("answer", "anwser") + GOOD, "no column 'answer' (did you mean 'anwser'?)"),
        (HEADER + GOOD + GOOD, "duplicate index 0"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_are_refused(
    kit: Kit, tmp_path: Path, text: str | bytes, words: str
) -> None:
    with pytest.raises(KitError, match=r"^[^\n]*$") as raised:
        kit.outline(table(tmp_path, text))
    assert str(raised.value).startswith(f"{tmp_path}/own.tsv: ")
    assert words in str(raised.value)


@pytest.mark.parametrize("name", ["own.parquet", "own.json", "own.xlsx"])
def test_other_file_types_are_refused(kit: Kit, tmp_path: Path, name: str) -> None:
    with pytest.raises(KitError, match=r"expected a \.tsv, \.csv or \.jsonl file; convert it"):
        kit.outline(table(tmp_path, "[]", name))


def test_windows_tables_with_blank_lines(kit: Kit, tmp_path: Path) -> None:
    made.picture(1).save(tmp_path / "im.png")
    text = "\ufeff" + (HEADER + rows(["a", "b"]) + "\n\n").replace("\n", "\r\n")
    samples = made.asked(kit, table(tmp_path, text))
    assert [(sample.id, sample.question, sample.target) for sample in samples] == [
        ("0", "a", "A"), ("1", "b", "A"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"image": "a.png", "question": "p", "question": "q", "answer": "x"}', "'question' twice"),
        ('{"image": "a.png", "question": "q", "answer": NaN}', "has the value NaN"),
        ('{"image": "a.png", "question": ["q"], "answer": "x"}', "an object in 'question'"),
        ('{"image": "a.png", "question": "q", "answer": {"a": 1}}', "an object in 'answer'"),
        ('{"image": "a.png", "question": "q", "choices": [[], "y"], "answer": "y"}', "'choices'"),
        ("[" * 100_000, "is not JSON"),
    ],
)  # fmt: skip
def test_lines_with_other_types_are_refused(
    kit: Kit, tmp_path: Path, line: str, words: str
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"image": "a.png", "question": "q", "answer": "x"}\n' + line + "\n")
    with pytest.raises(KitError, match=r"^[^\n]*$") as raised:
        kit.outline(made.benchmark("Own", None, "exact-match", path))
    assert str(raised.value).startswith(f"{path}: line 2 ")
    assert words in str(raised.value)


def pictures(folder: Path) -> list[Path]:
    """Images in modes that PNG files cannot have, and others."""
    grey = np.linspace(0, 65535, 24 * 24).reshape(24, 24)
    made_of = {
        "cmyk.jpg": Image.new("CMYK", (24, 24), (0, 200, 200, 0)),
        "i16.png": Image.fromarray(grey.astype(np.uint16)),
        "float.tiff": Image.fromarray(grey.astype(np.float32) / 65535),
        "lab.tiff": Image.new("LAB", (24, 24), (100, 20, 20)),
        "ycbcr.tiff": Image.new("YCbCr", (24, 24), (100, 20, 20)),
        "bit.png": Image.new("1", (24, 24), 1),
        "rgba.png": Image.new("RGBA", (24, 24), (200, 20, 20, 128)),
        "grey_alpha.png": Image.new("LA", (24, 24), (100, 128)),
        "palette.gif": Image.new("P", (24, 24), 3),
        "rgb.webp": Image.new("RGB", (24, 24), (200, 20, 20)),
        "rgb.bmp": Image.new("RGB", (24, 24), (200, 20, 20)),
    }
    folder.mkdir()
    for name, image in made_of.items():
        image.save(folder / name)
    return [folder / name for name in made_of]


def test_what_a_path_shows_base64_shows(kit: Kit, tmp_path: Path) -> None:
    files = pictures(tmp_path / "im")
    path = tmp_path / "own.jsonl"
    images = [base64.b64encode(file.read_bytes()).decode() for file in files]
    asked = [{"image": image, "question": "q", "answer": "x"} for image in images]
    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
    samples = made.asked(kit, made.benchmark("Own", None, "exact-match", path))
    for file, sample in zip(files, samples, strict=True):
        (shown,) = sample.media
        assert isinstance(shown, SampleImage)
        with Image.open(file) as wanted, Image.open(shown.path) as got:
            assert got.convert("RGB").tobytes() == wanted.convert("RGB").tobytes(), file.name


def png(seed: int) -> str:
    buffer = io.BytesIO()
    made.picture(seed).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv"])
def test_ways_to_name_an_image(kit: Kit, tmp_path: Path, suffix: str) -> None:
    made.picture(1).save(tmp_path / "a b.png")
    standard = png(3)
    while not set("+/") <= set(standard):
        standard = png(len(standard))
    shown = [
        f"data:image/png;base64,{png(2)}",
        f"DATA:image/png;charset=utf-8;base64,{png(2)}",
        f"file://{tmp_path}/a%20b.png",
        f"file://localhost{tmp_path}/a%20b.png",
        standard.translate({ord("+"): "-", ord("/"): "_"}),
        "a b.png",
    ]
    failing = {
        "https://x.example/y.png": "https://x.example/y.png: a web address; download it",
        "s3://bucket/y.png": "a web address",
        "data:image/svg+xml,%3Csvg/%3E": "not base64",
        "im\\0.png": "backslashes",
        "no.png": "no such file",
    }
    data = [
        {"index": str(n), "image": image, "question": f"q{n}", "answer": "x"}
        for n, image in enumerate([*shown, *failing])
    ]
    path = tmp_path / f"own{suffix}"
    if suffix == ".tsv":
        made.table(path, data)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in data))
    benchmark = made.benchmark("Own", None, "exact-match", path)
    samples = kit.samples(benchmark, [item.id for item in kit.outline(benchmark)])
    good, bad = samples[: len(shown)], samples[len(shown) :]
    digests = []
    for sample in good:
        assert isinstance(sample, Sample), sample
        (image,) = sample.media
        digests.append(image.digest)
    assert digests[0] == digests[1]
    assert digests[2] == digests[3] == digests[5]
    for broken, words in zip(bad, failing.values(), strict=True):
        assert isinstance(broken, BrokenSample)
        assert words in broken.reason


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv"])
def test_videos_at_web_addresses_are_refused(kit: Kit, tmp_path: Path, suffix: str) -> None:
    row = {"index": "0", "video": "https://x.example/y.mp4", "question": "q", "A": "x", "B": "y",
           "answer": "A"}  # fmt: skip
    path = tmp_path / f"own{suffix}"
    if suffix == ".tsv":
        made.table(path, [row])
    else:
        path.write_text(json.dumps(row) + "\n")
    fields: dict[str, Any] = {"modality": "video", "frames": FrameRule(count=1)}
    with pytest.raises(
        KitError, match=r"(line|row) 1 has the video https://x\.example/y\.mp4: a web"
    ):
        kit.outline(made.benchmark("Own", None, "choice", path, **fields))


@pytest.mark.parametrize(
    ("metric", "answer", "values"),
    [
        ("exact-match", "red", {
            "Red.": 1, "RED": 1, "red!": 1, '"red"': 1, "(red)": 1, "**red**": 1, "‘Red’,": 1,
            "reds": 0, "not red": 0, ".": 0,
        }),
        ("exact-match", "-5", {"-5.": 1, "5": 0, "- 5": 0}),
        ("exact-match", ".5", {".5": 1, "5": 0, "0.5": 0}),
        ("exact-match", "?", {"?": 1, "!": 0}),
        ("exact-match", "[yes or no]", {"yes or no": 1, "[Yes or no].": 1, "yes": 0}),
        ("relaxed-accuracy", "1,000", {"1000": 1, "1,049": 1, "1051": 0, "1000.": 1, "1,00": 0}),
        ("relaxed-accuracy", "0", {"0.0": 1, "0": 1, "0.01": 0, "zero": 0}),
        ("relaxed-accuracy", "50%", {"50 %": 0, "0.51": 1, "52%": 1, "50": 0}),
        ("relaxed-accuracy", "Paris", {"paris": 1, "Paris.": 0}),
    ],
)  # fmt: skip
def test_metrics_are_as_documented(
    kit: Kit, tmp_path: Path, metric: str, answer: str, values: dict[str, int]
) -> None:
    data = [
        {"index": n, "image": png(1), "question": f"q{n}", "answer": answer}
        for n in range(len(values))
    ]
    benchmark = made.benchmark("Own", None, metric, made.table(tmp_path / "own.tsv", data))
    ids = [item.id for item in kit.outline(benchmark)]
    got = kit.score(benchmark, ids, predictions_of(ids, list(values)), tmp_path / "out")
    assert dict(zip(values, [value.value for value in got.values], strict=True)) == values
    assert set(got.deviations) <= {DOCUMENTED_METRIC, NA_VALUES_AS_TEXT}


@pytest.mark.parametrize(
    "questions", [['"Which?', "a", '"Why?'], ["b", "c", "d"], ['"quoted"', "e", "f"]]
)
@pytest.mark.parametrize("named", ["{}.png", "file://{folder}/{}.png"])
def test_a_replaced_picture_changes_the_digest(
    tmp_path: Path, questions: list[str], named: str
) -> None:
    names = [named.format(n, folder=tmp_path) for n in range(3)]
    lines = [f"{n}\t{names[n]}\t{q}\tcat\tdog\tA\n" for n, q in enumerate(questions)]
    benchmark = table(tmp_path, HEADER + "".join(lines))
    for seed in range(3):
        made.picture(seed).save(tmp_path / f"{seed}.png")
    before = data_digest(benchmark)
    made.picture(9).save(tmp_path / "1.png")
    assert data_digest(benchmark) != before


@pytest.mark.usefixtures("vlmeval")
def test_vlmevalkit_reads_own_data_for_verify(tmp_path: Path) -> None:
    from evalsuite.vlmevalkit import unpatched

    made.picture(1).save(tmp_path / "a.png")
    own = {"index": "x1", "question": '"q', "choices": ["None", "007"], "answer": "007"}
    (tmp_path / "own.jsonl").write_text(json.dumps(own | {"image": "a.png"}) + "\n")
    (row,) = unpatched._as_table(tmp_path / "own.jsonl").to_dict("records")
    assert row == {
        "index": "x1", "question": '"q', "A": "None", "B": "007", "answer": "B",
        "image_path": str(tmp_path / "a.png"),
    }  # fmt: skip
    (tmp_path / "own.jsonl").write_text(json.dumps(own | {"image": [png(1), png(2)]}) + "\n")
    (row,) = unpatched._as_table(tmp_path / "own.jsonl").to_dict("records")
    assert row["image"] == str([png(1), png(2)])
    benchmark = table(tmp_path, HEADER + rows(['"Which?']).replace("im.png", "a.png"))
    (row,) = unpatched._as_table(Path(benchmark.data or "")).to_dict("records")
    assert (row["question"], row["image_path"]) == ('"Which?', str(tmp_path / "a.png"))
    assert unpatched._class(benchmark).__name__ == "ImageMCQDataset"
