"""A benchmark for every metric, with small rows; missing columns are filled in.

The videos do not exist, since scoring does not read them.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from evalsuite.runs.comparable import JudgeId
from tests.builders import kit_data as made
from tests.builders.kit_data import Row

Maker = Callable[[Path, Sequence[Row]], Benchmark]

OPEN = {"A": "", "B": "", "C": "", "D": ""}
"""An open question in MMMU."""


def _table(folder: Path, name: str, rows: Sequence[Row], common: Row) -> Path:
    images = [made.encoded(made.picture(n)) for n in range(len(rows))]
    filled = [
        {"index": n, "image": images[n], "question": f"what is {n}?"} | common | row
        for n, row in enumerate(rows)
    ]
    return made.table(folder / f"{name}.tsv", filled)


def mmmu(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Questions with options A to D; merge `OPEN` into a row to make it open."""
    common = {"A": "cat", "B": "dog", "C": "None", "D": "007", "answer": "B", "split": "validation"}
    path = _table(folder, "MMMU_DEV_VAL", rows, common)
    return made.benchmark("MMMU_DEV_VAL", None, "mmmu", path, split="validation")


def charts(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Questions about charts with the answer 14."""
    path = _table(folder, "ChartQA_TEST", rows, {"answer": "14", "split": "test_human"})
    return made.benchmark("ChartQA_TEST", None, "relaxed-accuracy", path)


def documents(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Questions about documents with the answers ``hello`` and ``hallo du``."""
    path = _table(folder, "DocVQA_VAL", rows, {"answer": "['hello', 'hallo du']"})
    return made.benchmark("DocVQA_VAL", None, "anls", path)


def titles(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Open questions with the answer ``The Sea``."""
    path = _table(folder, "OCRVQA_TESTCORE", rows, {"answer": "The Sea"})
    return made.benchmark("OCRVQA_TESTCORE", None, "exact-match", path)


def mathematics(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Questions in MathVista's format with the integer answer 14."""
    common = {
        "question_type": "free_form", "answer_type": "integer", "answer": "14", "choices": "",
        "answer_option": "", "task": "figure question answering", "skills": "['numeric']",
    }  # fmt: skip
    path = _table(folder, "MathVista_MINI", rows, common)
    return made.benchmark("MathVista_MINI", None, "mathvista", path)


def _videos(
    folder: Path, dataset: str, metric: str, tables: dict[str, list[Row]], **fields: object
) -> Benchmark:
    for table, rows in tables.items():
        filled = [{"index": n, "question": f"which {n}?"} | row for n, row in enumerate(rows)]
        made.table(folder / f"{table}.tsv", filled)
    return made.benchmark(
        dataset, None, metric, folder,
        modality="video", prompt="video", frames=FrameRule(count=1), **fields,
    )  # fmt: skip


def worldsense(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Questions in WorldSense's format with the answer B."""
    common = {
        "video": "a", "video_path": "./videos/a.mp4", "duration": "<1min", "domain": "Music",
        "candidates": "['A. up', 'B. down', 'C. left', 'D. right']", "sub_category": "Covers",
        "audio_class": "['Speech']", "task_domain": "Reasoning", "task_type": "Event Sorting",
        "subtitle_path": "", "audio_path": "", "video_caption": "", "answer": "B",
    }  # fmt: skip
    tables = {"WorldSense": [common | row for row in rows]}
    return _videos(folder, "WorldSense", "worldsense", tables)


MOVES = "['up', 'down', 'to the left', 'to the right']"


def mvbench(folder: Path, rows: Sequence[Row], dataset: str = "MVBench_MP4") -> Benchmark:
    """Questions in MVBench's format with the answer (B), ``down``."""
    common = {
        "task_type": "action_sequence", "prefix": "./video", "video": "a.mp4", "answer": "down",
        "candidates": MOVES,
    }  # fmt: skip
    if dataset == "MVBench":
        common |= {"data_type": "video", "bound": "False", "start": "", "end": ""}
    tables = {dataset: [common | row for row in rows]}
    return _videos(folder, dataset, "mvbench", tables)


def plain_mvbench(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """The same for the class with clips, animations and image folders."""
    return mvbench(folder, rows, "MVBench")


def mlvu(folder: Path, rows: Sequence[Row], judge: JudgeId | None = None) -> Benchmark:
    """Questions in MLVU's format with the answer (B); rows with scoring_points are open."""
    common = {"task_type": "plotQA", "prefix": "./p", "duration": 9.5, "video": "a.mp4"}
    # Each table needs a row.
    chosen = [
        common | {"answer": "down", "candidates": MOVES} | row
        for row in [row for row in rows if "scoring_points" not in row] or [{}]
    ]
    opened = [
        common | {"task_type": "sub_scene", "answer": "a man leaves"} | row
        for row in [row for row in rows if "scoring_points" in row] or [{"scoring_points": "[]"}]
    ]
    tables = {"MLVU_MCQ": chosen, "MLVU_OpenEnded": opened}
    return _videos(folder, "MLVU", "mlvu", tables, judged_parts=("MLVU_OpenEnded",), judge=judge)


def tempcompass(folder: Path, rows: Sequence[Row], judge: JudgeId | None = None) -> Benchmark:
    """Questions in TempCompass's format with the answer B; task_type selects the part."""
    common = {"prefix": "./videos", "suffix": ".mp4", "video": "a", "dim": "direction"}
    parts: dict[str, tuple[str, Row]] = {
        "multi-choice": ("MCQ", {
            "answer": "B. down", "candidates": "['A. up', 'B. down', 'C. left']",
        }),
        "caption_matching": ("MCQ", {
            "answer": "Caption B: It falls.",
            "candidates": "['Caption A: It rises.', 'Caption B: It falls.']",
        }),
        "captioning": ("Captioning", {
            "answer": "B. down", "mc_question": "Which?\nA. up\nB. down", "mc_answer": "B. down",
        }),
        "yes_no": ("YorN", {"answer": "yes"}),
    }  # fmt: skip
    tables: dict[str, list[Row]] = {
        f"TempCompass_{part}": [] for part in ("MCQ", "Captioning", "YorN")
    }
    asked = [{"task_type": "multi-choice"} | row for row in rows]
    # Each table needs a row.
    asked += [{"task_type": task} for task in parts if task not in {r["task_type"] for r in asked}]
    for row in asked:
        part, filled = parts[row["task_type"]]
        tables[f"TempCompass_{part}"].append(common | filled | row)
    return _videos(
        folder, "TempCompass", "tempcompass", tables,
        judged_parts=("TempCompass_Captioning",), judge=judge,
    )  # fmt: skip


def clips(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Questions in Video-MME's format with the answer B."""
    return made.videos(folder, rows, FrameRule(per_second=1))


MAKERS: dict[str, Maker] = {
    "choice": made.choices,
    "mmmu": mmmu,
    "yes-no": made.yes_no,
    "vqa-accuracy": made.open_questions,
    "relaxed-accuracy": charts,
    "anls": documents,
    "exact-match": titles,
    "ocr-contains": made.texts_to_read,
    "mathvista": mathematics,
    "video-choice": clips,
    "worldsense": worldsense,
    "mvbench": mvbench,
    "mlvu": mlvu,
    "tempcompass": tempcompass,
}
"""By metric."""

RIGHT = {
    "choice": "A", "mmmu": "B", "yes-no": "Yes", "vqa-accuracy": "red", "relaxed-accuracy": "14",
    "anls": "hello", "exact-match": "the sea", "ocr-contains": "42", "mathvista": "14",
    "video-choice": "B", "worldsense": "B", "mvbench": "B) down", "mlvu": "(B)",
    "tempcompass": "B",
}  # fmt: skip
"""A correct prediction for a default row, by metric."""


def cell_of(text: str) -> str:
    """Return a prediction as a table cell."""
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text) or "∅"
