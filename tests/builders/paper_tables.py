"""Generated data for every benchmark of the paper, in its real schema and with difficult rows.

    make(folder)           tables next to their media, as ``--data-dir folder`` expects
    make_upstream(folder)  the video benchmarks' repositories as published: parquet, JSON and zips

Both are deterministic. Images and videos show one coloured shape, which the demo checkpoint knows,
so that some of its answers are correct and some are not.
"""

import base64
import csv
import dataclasses
import functools
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from evalsuite.benchmarks import catalogue
from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from tests.builders import paper_videos as paper_videos
from tests.builders.paper_videos import VIDEO_TABLES, write_media

Row = dict[str, Any]

NA_TEXTS = "keep_na_texts"
"""Workaround without which ``None`` and ``N/A`` disappear from a table."""

MISSING_LABELS = "fill_missing_labels"
"""Workaround without which a row without a category has no score."""
SEVERAL_IMAGES = "more than one image in a question raises"
"""Some of VLMEvalKit's prompts; its processor then raises."""

DEVIATING: Mapping[str, Mapping[str, str]] = {
    "AI2D_TEST": {"57": NA_TEXTS, "58": NA_TEXTS},
    "TextVQA_VAL": {"34610": SEVERAL_IMAGES},
    "ScienceQA_VAL": {"9": MISSING_LABELS},
    "ScienceQA_TEST": {"7": NA_TEXTS, "8": NA_TEXTS},
    "MMStar": {"8": NA_TEXTS},
    "MMMU_DEV_VAL": {"11": NA_TEXTS},
    **paper_videos.DEVIATING,
}
"""By benchmark: samples that VLMEvalKit reads, shows or scores differently, and the workaround.
They are last in their tables, so that the others are numbered without a gap."""


def variants() -> dict[str, Benchmark]:
    """Return the benchmarks with generated data, by name, without ``data``."""
    known = catalogue.load()
    names = [*known.suites["paper"], "MVBench_plain"]
    chosen = {name: known.benchmarks[name] for name in names}
    for name in ("Video-MME", "WorldSense"):
        chosen[f"{name}_subtitles"] = dataclasses.replace(
            chosen[name], name=f"{name}_subtitles", arguments={"use_subtitle": True}
        )
    chosen["MVBench_8frames"] = dataclasses.replace(
        chosen["MVBench"], name="MVBench_8frames", frames=FrameRule(count=8)
    )
    return chosen


def make(folder: Path, names: Iterable[str] | None = None) -> dict[str, Benchmark]:
    """Write the data of the named benchmarks, or all; return them with ``data`` set."""
    chosen = variants()
    made = {}
    for name in names or chosen:
        benchmark = chosen[name]
        if benchmark.modality == "image":
            data = folder / f"{benchmark.dataset}.tsv"
            write_table(data, IMAGE_TABLES[benchmark.dataset]())
        else:
            data = folder / benchmark.dataset
            if not data.exists():
                write_media(benchmark.dataset, data)
                for table, rows in VIDEO_TABLES[benchmark.dataset].items():
                    write_table(data / f"{table}.tsv", [_plain(row) for row in rows])
        made[name] = dataclasses.replace(benchmark, data=str(data), modified=True)
    return made


def _plain(row: Row) -> Row:
    """Return a row as pandas writes it."""
    return {key: "" if value is None else str(value) for key, value in row.items()}


def write_table(path: Path, rows: Sequence[Row]) -> Path:
    """Write `rows` as pandas does; missing keys become empty cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


# --------------------------------------------------------------------------------------------------
# Pictures
# --------------------------------------------------------------------------------------------------

COLOURS = {"red": (220, 20, 20), "green": (20, 150, 20), "blue": (20, 20, 220), "black": (0, 0, 0)}
SHAPES = ("circle", "rectangle", "triangle")


def scene(number: int) -> tuple[str, str]:
    """Return colour and shape in image `number`."""
    return tuple(COLOURS)[number % len(COLOURS)], SHAPES[number % len(SHAPES)]


def drawn(number: int, width: int = 64, height: int = 64) -> Image.Image:
    """Draw image `number`: one shape on a background that is different each time."""
    ground = (250 - number % 40, 240 - number % 7, 245 - number % 11)
    picture = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(picture)
    colour, shape = scene(number)
    left, top = (width + number) // 6, (height + 2 * number) // 6
    box = (left, top, left + max(1, width // 2), top + max(1, height // 2))
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[colour])
    elif shape == "rectangle":
        pen.rectangle(box, fill=COLOURS[colour])
    else:
        corners = [(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])]
        pen.polygon(corners, fill=COLOURS[colour])
    return picture


def cell(picture: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """Return an image in base64, as in tables."""
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def _rotated(number: int) -> str:
    exif = Image.Exif()
    exif[0x0112] = 6
    return cell(drawn(number, 80, 50), "JPEG", exif=exif, quality=90)


def _transparent(number: int) -> str:
    picture = drawn(number, 70, 30).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return cell(picture)


ENCODINGS: tuple[Callable[[int], str], ...] = (
    lambda number: cell(drawn(number)),
    lambda number: cell(drawn(number), "JPEG", quality=80),
    lambda number: cell(drawn(number, 50, 40).convert("P", palette=Image.Palette.ADAPTIVE)),
    _transparent,
    _rotated,
    lambda number: cell(drawn(number, 1, 1)),
    lambda number: cell(drawn(number, 40, 900)),
    lambda number: cell(drawn(number, 700, 500), "JPEG", quality=85),
    lambda number: cell(drawn(number, 33, 65).convert("L")),
    lambda number: cell(drawn(number, 30, 30).convert("LA")),
)
"""Encodings in tables: PNG and JPEG, palette, alpha, rotated by EXIF, grey; tiny, tall and large.
"""


def image(number: int) -> str:
    """Return image `number` in one of the `ENCODINGS`."""
    return ENCODINGS[number % len(ENCODINGS)](number)


# --------------------------------------------------------------------------------------------------
# Tables about images
# --------------------------------------------------------------------------------------------------


def _asked(number: int) -> tuple[str, str, list[str]]:
    """Return a question about image `number`, the answer, and wrong answers."""
    colour, shape = scene(number)
    if number % 4 == 0:
        return "what is the color of the shape?", colour, [c for c in COLOURS if c != colour]
    if number % 4 == 1:
        return "what shape is in the image?", shape, [s for s in SHAPES if s != shape]
    if number % 4 == 2:
        return f"is there a {colour} {shape} in the image?", "yes", ["no"]
    return f"does the image not contain a {shape}?", "no", ["yes"]


def _choices(index: int, number: int, **fields: Any) -> Row:
    """Return a multiple-choice row about image `number`; the correct letter varies."""
    question, answer, others = _asked(number)
    options = [*others]
    at = number % (len(options) + 1)
    options.insert(at, answer)
    lettered = dict(zip("ABCD", options, strict=False))
    row = {"index": index, "question": question, "image": image(number), "hint": ""}
    return row | dict.fromkeys("ABCD", "") | lettered | {"answer": "ABCD"[at]} | fields


def ai2d() -> list[Row]:
    """Indices from 50, an image that refers to another row, missing options, unicode."""
    rows = [_choices(50 + n, n, category=("food web", "rock cycle")[n % 2]) for n in range(9)]
    rows[1] |= {"image": "50", "question": "Look at the picture.\nWhich shape is in it?"}
    rows[4] |= {"A": "Grün 绿", "question": "Welche Farbe hat die Fläche – 颜色?"}
    rows[7] |= {"C": "None"}
    rows[8] |= {"B": "N/A", "C": "null"}
    for row in rows:
        del row["hint"]
    return rows


def science_qa(split: str) -> list[Row]:
    """Hints of several lines; a fifth option that is a number in some rows only."""
    rows = [
        _choices(n, n + 3, split=split, category=("biology", "physics", "geography")[n % 3])
        for n in range(10 if split == "val" else 9)
    ]
    rows[0]["hint"] = "The picture shows one shape."
    rows[3]["hint"] = "Read the passage.\nA shape has a colour.\n\nIt may be red."
    rows[4]["hint"] = "  spaces around  "
    if split == "val":
        rows[9]["category"] = ""
    else:
        rows[7] |= {"E": "007"}
        rows[8] |= {"E": "5"}
    return rows


def mmstar() -> list[Row]:
    """Two levels of categories; options that also occur in the question."""
    kinds = [("coarse perception", "image scene"), ("math", "geometry"), ("math", "counting")]
    rows = [
        _choices(n, n + 5, category=kinds[n % 3][0], **{"l2-category": kinds[n % 3][1]})
        for n in range(9)
    ]
    rows[2]["question"] += "\nOptions: A: yes, B: no"
    rows[8] |= {"A": "None"}
    return [{key: row[key] for key in row if key != "hint"} for row in rows]


def mmmu() -> list[Row]:
    """Several images in one text, one of them twice and one unused; open questions."""
    fields = [("Accounting", "Business"), ("Music", "Art & Design")]
    rows = []
    for n in range(12):
        split = "dev" if n % 4 == 3 else "validation"
        category, group = fields[n % 2]
        rows.append(
            _choices(n, n, id=f"{split}_{category}_{n}", category=category, split=split)
            | {"l2-category": group, "topic_difficulty": "Easy"}
        )
    rows[0]["question"] = "<image 1> " + rows[0]["question"]
    two = [image(20), image(21)]
    rows[1] |= {"image": str(two), "question": "<image 1> and <image 2>: which is larger?"}
    rows[2] |= {"image": str([*two, image(22)]), "question": "Is <image 3> like <image 1> or not?"}
    rows[4] |= {"question": "First <image 1>, then again <image 1>.\nWhat is it?"}
    rows[5] |= {"image": str(two), "question": "Neither is named: which is blue?"}
    rows[6] |= dict.fromkeys("ABCD", "") | {"answer": "black", "question": "Colour of <image 1>?"}
    rows[8] |= dict.fromkeys("ABCD", "") | {"answer": "['red', '3']", "question": "<image 1>?"}
    rows[9] |= {"hint": "Look twice.", "question": "Hinted: <image 1>"}
    rows[11] |= {"split": "validation", "B": "None"}
    return rows


def chart_qa() -> list[Row]:
    """Two splits; answers that are words, numbers and percentages."""
    answers = ["black", "14", "0.57", "Yes", "2,300", "circle", "14%", "[2, 3]"]
    rows = []
    for n, answer in enumerate(answers):
        question, truth, _ = _asked(n)
        if n % 2 == 0:
            question, answer = "How many?" if n else question, answer if n else truth
        split = "test_human" if n % 3 else "test_augmented"
        rows.append({"index": n, "question": question, "image": image(n), "answer": answer})
        rows[-1]["split"] = split
    rows[5]["answer"] = scene(5)[1]
    return rows


def text_vqa() -> list[Row]:
    """Ten annotators' answers, including quotes, commas and numbers; two images in one row."""
    rows = []
    for n in range(9):
        question, truth, others = _asked(n)
        answers = [truth] * (1 + n % 4) + others + ["it's 5 o'clock", 'a "sign"', "7", "two, three"]
        rows.append({"index": 34602 + n, "image": image(n), "question": question})
        rows[-1]["answer"] = str((answers * 2)[:10])
    rows[3]["question"] = "what does the small sign say?\n(the white one)"
    rows[6]["image"] = "34602"
    rows[8]["image"] = str([image(20), image(21)])
    return rows


def doc_vqa() -> list[Row]:
    """One or several answers, some long or with accents."""
    rows = []
    for n in range(8):
        question, truth, _ = _asked(n)
        answers = [[truth], [truth, truth.title()], ["The Café – 12.5%"], ["1/8/93", "Jan 8, 1993"]]
        rows.append({"index": n, "question": question, "image": image(n + 1)})
        rows[-1] |= {"answer": str(answers[n % 4]), "question_types": str(["handwritten"])}
    rows[7]["answer"] = str(["a long answer, " * 8])
    return rows


def ocr_bench() -> list[Row]:
    """Eight of the ten categories, including handwritten formulas."""
    kinds = [
        ("Regular Text Recognition", "['CENTRE', 'RED']"),
        ("Scene Text-centric VQA", None),
        ("Doc-oriented VQA", None),
        ("Handwritten Mathematical Expression Recognition", r"['= \\frac { a } { b }']"),
        ("Key Information Extraction", None),
        ("Digit String Recognition", "['007', '7']"),
        ("Non-Semantic Text Recognition", '["d\'or"]'),
        ("Handwriting Recognition", None),
    ]
    rows = []
    for n, (kind, answer) in enumerate(kinds):
        question, truth, _ = _asked(n)
        rows.append({"index": n, "image": image(n), "question": question, "dataset_name": "made"})
        rows[-1] |= {"answer": answer or str([truth, truth.upper()]), "category": kind}
    rows[4]["question"] = 'what is the "color" of the shape? Answer without units.'
    return rows


_FREE = "Hint: Please answer the question requiring {} and provide the final value{}.\nQuestion: {}"


def math_vista() -> list[Row]:
    """Choices and free answers of every type; zero, a list, a choice without letters."""

    def row(n: int, kind: str, answer: str, asks: str, **fields: Any) -> Row:
        skills = [["numeric commonsense"], ["algebraic reasoning", "arithmetic reasoning"]][n % 2]
        return {
            "index": n + 1, "image": image(n), "question": asks, "answer": answer,
            "question_type": "free_form", "answer_type": kind, "choices": "", "answer_option": "",
            "task": ("figure question answering", "math word problem")[n % 2],
            "skills": str(skills), "category": "general-vqa", "precision": "", "unit": "",
        } | fields  # fmt: skip

    def choice(n: int, **fields: Any) -> Row:
        question, truth, others = _asked(n)
        options = sorted([truth, *others])
        listed = "\n".join(f"({'ABCD'[at]}) {option}" for at, option in enumerate(options))
        asks = (
            "Hint: Please answer the question and provide the correct option letter, e.g., A, B, "
            f"C, D, at the end.\nQuestion: {question}\nChoices:\n{listed}"
        )
        letter = "ABCD"[options.index(truth)]
        more = {"question_type": "multi_choice", "choices": str(options), "answer_option": letter}
        return row(n, "text", truth, asks, **more | fields)

    integer = _FREE.format("an integer answer", ", e.g., 1, 2, 3, at the end", "{}")
    decimal = _FREE.format("a floating-point number with two decimal places", "", "{}")
    listed = _FREE.format("a Python list as an answer", ", e.g., [1, 2, 3]", "{}")
    return [
        choice(0),
        row(1, "integer", "1", integer.format("How many shapes are there?")),
        choice(2),
        row(3, "float", "1.45", decimal.format("What does it cost?"), precision="2.0", unit="$"),
        row(4, "integer", "0", integer.format("How many stars are there?")),
        row(5, "list", "[2007, 2008]", listed.format("Between which years?")),
        choice(6),
        row(7, "text", "7:45", _FREE.format("text", "", "What time is it – “about”?")),
        choice(9),
    ]


IMAGE_TABLES: Mapping[str, Callable[[], list[Row]]] = {
    "OCRBench": ocr_bench,
    "AI2D_TEST": ai2d,
    "ChartQA_TEST": chart_qa,
    "TextVQA_VAL": text_vqa,
    "DocVQA_VAL": doc_vqa,
    "ScienceQA_VAL": functools.partial(science_qa, "val"),
    "ScienceQA_TEST": functools.partial(science_qa, "test"),
    "MMMU_DEV_VAL": mmmu,
    "MathVista_MINI": math_vista,
    "MMStar": mmstar,
}


# --------------------------------------------------------------------------------------------------
# Repositories as published
# --------------------------------------------------------------------------------------------------


def make_upstream(folder: Path) -> dict[str, Path]:
    """Write the repositories of the video benchmarks; return the directory of each dataset.

    They contain the rows of `make`: MVBench's in another order and without GIFs, which the
    repository does not contain.
    """
    trees = {}
    for dataset, write in _UPSTREAM.items():
        tree = folder / f"{dataset}-repository"
        tree.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            media = Path(scratch) / "media"
            write_media(dataset, media)
            write(tree, media, VIDEO_TABLES[dataset])
        trees[dataset] = tree
    return trees


Tables = Mapping[str, Sequence[Row]]


def _video_mme(tree: Path, media: Path, tables: Tables) -> None:
    rows = [
        {
            "videoID": row["video"], "video_id": "001", "url": "", "question_id": "001-1",
            "options": row["candidates"],
        } | _only(row, "duration", "domain", "sub_category", "task_type", "question", "answer")
        for row in tables["Video-MME"]
    ]  # fmt: skip
    _parquet(tree / "videomme" / "test-00000-of-00001.parquet", rows)
    videos = sorted((media / "video").iterdir())
    _zipped(tree / "videos_chunked_01.zip", {f"data/{v.name}": v for v in videos[:2]})
    _zipped(tree / "videos_chunked_02.zip", {f"data/{v.name}": v for v in videos[2:]})
    subtitles = {f"subtitle/{s.name}": s for s in (media / "subtitle").iterdir()}
    _zipped(tree / "subtitle.zip", subtitles)


def _world_sense(tree: Path, media: Path, tables: Tables) -> None:
    plain: dict[str, Row] = {}
    for row in tables["WorldSense"]:
        shared = ("duration", "domain", "sub_category", "audio_class", "video_caption")
        video = plain.setdefault(row["video"], _only(row, *shared))
        tasks = ("candidates", "task_domain", "task_type", "question", "answer")
        video[f"task{len(video) - len(shared)}"] = _only(row, *tasks)
    (tree / "worldsense_qa.json").write_text(json.dumps(plain, ensure_ascii=False))
    videos = {f"videos/{v.name}": v for v in sorted((media / "videos").iterdir())}
    _zipped(tree / "worldsense_videos_1.zip", videos)
    subtitles = {f"subtitles/{s.name}": s for s in sorted((media / "subtitles").iterdir())}
    _zipped(tree / "worldsense_subtitles.zip", subtitles)


def _mvbench_mp4(tree: Path, media: Path, tables: Tables) -> None:
    root: dict[str, str] = {}
    meta: dict[str, list[Row]] = {}
    for row in tables["MVBench_MP4"]:
        root[row["task_type"]] = row["prefix"]
        asked = _only(row, "video", "question", "answer", "candidates")
        meta.setdefault(row["task_type"], []).append(asked)
    (tree / "test.json").write_text(json.dumps({"root": root, "meta": meta}))
    shutil.copytree(media, tree, dirs_exist_ok=True)


def _mvbench(tree: Path, media: Path, tables: Tables) -> None:
    (tree / "json").mkdir()
    for task in paper_videos.MVBENCH_TASKS:
        rows = [
            _only(row, "video", "question", "answer", "candidates")
            | ({"start": row["start"], "end": row["end"]} if row["bound"] else {})
            for row in tables["MVBench"]
            if row["task_type"] == task and row["data_type"] != "gif"
        ]
        name = task.lower().replace(" ", "_").replace("-", "_")
        (tree / "json" / f"{name}.json").write_text(json.dumps(rows))
    packed: dict[str, dict[str, Path]] = {}
    for file in sorted((media / "video").rglob("*")):
        within = file.relative_to(media / "video")
        if file.is_file() and file.suffix != ".gif":
            packed.setdefault(within.parts[0], {})[str(within)] = file
    for source, files in packed.items():
        # Some of the archives hold one folder more, which VLMEvalKit moves away.
        outer = "data0613/" if source == "clevrer" else ""
        members = {f"{outer}{name}": file for name, file in files.items()}
        _zipped(tree / "video" / f"{source}.zip", members)


def _mlvu(tree: Path, media: Path, tables: Tables) -> None:
    (tree / "MLVU" / "json").mkdir(parents=True)
    for task, file in paper_videos.MLVU_TASKS.items():
        rows = [
            {
                key: value
                for key, value in row.items()
                if key not in ("task_type", "prefix", "index")
            }
            for table in tables.values()
            for row in table
            if row["task_type"] == task
        ]
        (tree / "MLVU" / "json" / f"{file}.json").write_text(json.dumps(rows))
    shutil.copytree(media, tree, dirs_exist_ok=True)


def _temp_compass(tree: Path, media: Path, tables: Tables) -> None:
    for task in paper_videos.TEMPCOMPASS_TASKS:
        rows = []
        for row in (r for table in tables.values() for r in table if r["task_type"] == task):
            question = "\n".join([row["question"], *row.get("candidates", ())])
            rows.append({"video_id": row["video"], "question": question})
            rows[-1] |= _only(row, *(row.keys() & {"answer", "dim", "mc_question", "mc_answer"}))
        _parquet(tree / task / "test-00000-of-00001.parquet", rows)
    videos = {f"videos/{v.name}": v for v in sorted((media / "videos").iterdir())}
    _zipped(tree / "tempcompass_videos.zip", videos)


_UPSTREAM: Mapping[str, Callable[[Path, Path, Tables], None]] = {
    "Video-MME": _video_mme,
    "MLVU": _mlvu,
    "MVBench_MP4": _mvbench_mp4,
    "MVBench": _mvbench,
    "WorldSense": _world_sense,
    "TempCompass": _temp_compass,
}


def _only(row: Row, *keys: str) -> Row:
    return {key: row[key] for key in sorted(keys)}


def _parquet(path: Path, rows: Sequence[Row]) -> None:
    import pandas

    path.parent.mkdir(parents=True)
    pandas.DataFrame(rows).to_parquet(path)


def _zipped(path: Path, members: Mapping[str, Path]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in members.items():
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes())
