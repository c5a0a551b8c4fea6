"""Tables of video datasets, made from their repositories; byte for byte as VLMEvalKit makes them.

Each function is the ``generate_tsv`` of one class. pandas writes the tables, because the published
MD5s are those of tables written by pandas.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.video_layouts import (
    MLVU_CHOICES,
    MLVU_OPEN,
    MVBENCH_TASKS,
    TEMPCOMPASS_TASKS,
    mvbench_file,
    parquet_of,
)

Records = list[dict[str, Any]]


def write_table(table: str, root: Path, path: Path) -> None:
    """Write `table`, made from the sources below `root`, to `path`."""
    frame = _MAKERS[table](root)
    frame.to_csv(path, sep="\t", index=False)


def _video_mme(root: Path) -> Any:
    """``videomme.py:generate_tsv``."""
    import pandas as pd

    frame = pd.read_parquet(root / "videomme" / "test-00000-of-00001.parquet")
    frame = frame.assign(index=range(len(frame)))
    frame["video"] = frame["videoID"]
    frame["video_path"] = frame["videoID"].apply(lambda name: f"./video/{name}.mp4")
    frame["subtitle_path"] = frame["videoID"].apply(lambda name: f"./subtitle/{name}.srt")
    frame["candidates"] = frame["options"].apply(lambda options: options.tolist())
    columns = (
        *("index", "video", "video_path", "duration", "domain", "candidates"),
        *("sub_category", "task_type", "subtitle_path", "question", "answer"),
    )
    return frame[list(columns)]


def _world_sense(root: Path) -> Any:
    """``worldsense.py:generate_tsv``; the audio files that it names are not extracted or used."""
    import pandas as pd

    records: Records = []
    for video, about in _json(root / "worldsense_qa.json").items():
        records += [
            {
                "index": len(records) + place,
                "video": str(video),
                "video_path": f"./videos/{video}.mp4",
                "duration": about["duration"],
                "domain": about["domain"],
                "candidates": task["candidates"],
                "sub_category": about["sub_category"],
                "audio_class": about["audio_class"],
                "task_domain": task["task_domain"],
                "task_type": task["task_type"],
                "subtitle_path": f"./subtitles/{video}.srt",
                "audio_path": f"./audios/{video}.wav",
                "video_caption": about["video_caption"],
                "question": task["question"],
                "answer": task["answer"],
            }
            for place, task in enumerate(about[key] for key in about if "task" in key)
        ]
    return pd.DataFrame(records)


def _mvbench_mp4(root: Path) -> Any:
    """``mvbench.py:MVBench_MP4``."""
    data = _json(root / "test.json")
    return _numbered([
        {"task_type": task, "prefix": data["root"][task]}
        | {key: item[key] for key in ("video", "question", "answer", "candidates")}
        for task, items in data["meta"].items()
        for item in items
    ])  # fmt: skip


def _mvbench(root: Path) -> Any:
    """``mvbench.py:MVBench``, but rows with missing videos are kept."""
    return _numbered([
        {
            "task_type": task, "prefix": prefix, "data_type": kind, "bound": bound,
            "start": item.get("start"), "end": item.get("end"),
        }
        | {key: item[key] for key in ("video", "question", "answer", "candidates")}
        for task, (prefix, kind, bound) in MVBENCH_TASKS.items()
        for item in _json(root / mvbench_file(task))
    ])  # fmt: skip


def _mlvu(files: Mapping[str, str]) -> Callable[[Path], Any]:
    """``mlvu.py``: MLVU_MCQ and MLVU_OpenEnded, whose tasks have these `files`."""
    keys = ("duration", "video", "question", "answer")

    def more(item: Mapping[str, Any]) -> dict[str, Any]:
        if files is MLVU_OPEN:
            return {"scoring_points": item.get("scoring_points", "")}
        return {"candidates": item["candidates"]}

    return lambda root: _numbered([
        {"task_type": task, "prefix": f"./MLVU/video/{name}"}
        | {key: item[key] for key in keys} | more(item)
        for task, name in files.items()
        for item in _json(root / "MLVU" / "json" / f"{name}.json")
    ])  # fmt: skip


def _tempcompass(table: str) -> Callable[[Path], Any]:
    """``tempcompass.py``: three classes that keep different parts of a question."""

    def record(task: str, item: Mapping[str, Any]) -> dict[str, Any]:
        question, *candidates = item["question"].split("\n")
        kept = {"task_type": task, "prefix": "./videos", "suffix": ".mp4"}
        kept |= {"video": item["video_id"], "question": question}
        kept |= {"answer": item["answer"], "dim": item["dim"]}
        if table == "TempCompass_MCQ":
            kept["candidates"] = candidates
        if table == "TempCompass_Captioning":
            kept["question"] = item["question"]
            kept |= {key: item[key] for key in ("mc_question", "mc_answer")}
        return kept

    def make(root: Path) -> Any:
        return _numbered([
            record(task, item)
            for task in TEMPCOMPASS_TASKS[table]
            for item in _tempcompass_items(root, task)
        ])  # fmt: skip

    return make


def _tempcompass_items(root: Path, task: str) -> Records:
    import pandas as pd

    # VLMEvalKit converts the parquet files to JSON by pandas, writes that beside them and reads it.
    written = root / f"{task}.json"
    if written.exists():
        items: Records = _json(written)
        return items
    frame = pd.read_parquet(root / parquet_of(task))
    items = json.loads(frame.to_json(orient="records", lines=False))
    return list(items)


_MAKERS: Mapping[str, Callable[[Path], Any]] = {
    "Video-MME": _video_mme,
    "WorldSense": _world_sense,
    "MVBench_MP4": _mvbench_mp4,
    "MVBench": _mvbench,
    "MLVU_MCQ": _mlvu(MLVU_CHOICES),
    "MLVU_OpenEnded": _mlvu(MLVU_OPEN),
    **{table: _tempcompass(table) for table in TEMPCOMPASS_TASKS},
}


def _numbered(records: Records) -> Any:
    import pandas as pd

    frame = pd.DataFrame(records)
    return frame.assign(index=range(len(frame)))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
