"""Small versions of the video repositories on the Hub. Video files contain no valid video."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.video_layouts import (
    MLVU_CHOICES,
    MLVU_OPEN,
    MVBENCH_TASKS,
    TEMPCOMPASS_TASKS,
)

ODD = 'Who said "no",\tand when?\nDid Zoë?'
"""A question that needs quoting."""


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def written(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pandas

    path.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(rows).to_parquet(path)


def video(name: str) -> bytes:
    return f"the video {name}".encode() * 20


def video_mme(tree: Path) -> None:
    rows = [
        {
            "video_id": f"00{n}", "duration": "short", "domain": "Knowledge",
            "sub_category": "Astronomy", "url": "", "videoID": name, "question_id": f"{n}",
            "task_type": "Counting", "question": ODD, "answer": "A",
            "options": ["A. 1", "B. None", "C. 'x'", "D. ü"],
        }
        for n, name in enumerate(["aa", "b-B", "aa"])
    ]  # fmt: skip
    parquet(tree / "videomme" / "test-00000-of-00001.parquet", rows)
    zipped(tree / "videos_chunked_01.zip", {"data/": b"", "data/aa.mp4": video("old aa")})
    zipped(
        tree / "videos_chunked_02.zip",
        {"data/b-B.mp4": video("b-B"), "data/aa.mp4": video("aa"), "data/unasked.mp4": b"x"},
    )
    zipped(tree / "subtitle.zip", {"subtitle/aa.srt": b"1\n00:00:00,000 --> 00:00:01,000\nhi\n"})


def world_sense(tree: Path) -> None:
    task = {
        "task_domain": "Understanding", "task_type": "Counting", "question": ODD,
        "answer": "B", "candidates": ["A. 1", "B. 2"],
    }  # fmt: skip
    about = {
        "duration": "<1min", "domain": "Music", "sub_category": "Jazz",
        "audio_class": ["Music", "Speech"], "video_caption": "A band.\nIt plays.",
    }  # fmt: skip
    plain = {
        "one": {**about, "task0": task, "task1": {**task, "answer": "A"}},
        "two": {**about, "task0": task},
    }
    written(tree / "worldsense_qa.json", plain)
    videos = {f"videos/{name}.mp4": video(name) for name in ("one", "two")}
    zipped(tree / "worldsense_videos_1.zip", videos)
    zipped(tree / "worldsense_subtitles.zip", {"s/one.srt": b"1\n"})


def mvbench_mp4(tree: Path) -> None:
    item = {"video": "a.mp4", "question": ODD, "answer": "up", "candidates": ["up", "None"]}
    meta = {"Action Count": [item, {**item, "video": "b.mp4"}], "State Change": [item]}
    root = {"Action Count": "videos/count/", "State Change": "videos/state"}
    written(tree / "test.json", {"root": root, "meta": meta})
    for name in ("count/a.mp4", "count/b.mp4", "state/a.mp4"):
        path = tree / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(video(name))


def mvbench(tree: Path) -> None:
    packed: dict[str, dict[str, bytes]] = {}
    for task, (prefix, kind, bound) in MVBENCH_TASKS.items():
        name = task.replace(" ", "") if kind == "frame" else task.replace(" ", "") + ".mp4"
        item = {"video": name, "question": ODD, "answer": "up", "candidates": ["up", "down"]}
        item |= {"start": 1.5, "end": 3.0} if bound else {}
        file = task.lower().replace(" ", "_").replace("-", "_")
        written(tree / "json" / f"{file}.json", [item])
        inner = prefix.removeprefix("video/") + name
        frames = [f"{inner}/{n:05d}.jpg" for n in (1, 2)] if kind == "frame" else [inner]
        packed.setdefault(inner.partition("/")[0], {}).update(
            {name: video(name) for name in frames}
        )
    for folder, members in packed.items():
        if folder == "nturgbd":  # what the repository may not give out, the user puts there
            (tree / "video" / folder).mkdir(parents=True)
            for name, data in members.items():
                (tree / "video" / name).write_bytes(data)
        elif folder == "clevrer":
            zipped(tree / "video" / "clevrer.zip", {"clevrer/video_validation/x": b"?"})
            zipped(
                tree / "video" / "data0613.zip", {f"data0613/{k}": v for k, v in members.items()}
            )
        else:
            zipped(tree / "video" / f"{folder}.zip", members)


def mlvu(tree: Path) -> None:
    item = {"duration": 5.5, "video": "v_1.mp4", "question": ODD, "answer": "up"}
    for name in (*MLVU_CHOICES.values(), *MLVU_OPEN.values()):
        extra = (
            {"candidates": ["up", "down"]} if name in MLVU_CHOICES.values()
            else {"scoring_points": ["a", "b"]} if "scene" in name else {}
        )  # fmt: skip
        written(tree / "MLVU" / "json" / f"{name}.json", [item | extra])
        path = tree / "MLVU" / "video" / name / "v_1.mp4"
        path.parent.mkdir(parents=True)
        path.write_bytes(video(name))


def tempcompass(tree: Path) -> None:
    for tasks in TEMPCOMPASS_TASKS.values():
        for task in tasks:
            row = {
                "video_id": "1021385429", "question": f"{ODD}\nA. Zoë/x\nB. b", "answer": "A. Zoë",
                "dim": "speed",
            }  # fmt: skip
            if task == "captioning":
                row |= {"mc_question": ODD, "mc_answer": "B. b"}
            parquet(tree / task / "test-00000-of-00001.parquet", [row, {**row, "video_id": "7"}])
    zipped(
        tree / "tempcompass_videos.zip",
        {f"videos/{name}.mp4": video(name) for name in ("1021385429", "7")},
    )


MAKERS = {
    "Video-MME": video_mme,
    "WorldSense": world_sense,
    "MVBench_MP4": mvbench_mp4,
    "MVBench": mvbench,
    "MLVU": mlvu,
    "TempCompass": tempcompass,
}


def make(dataset: str, folder: Path) -> Path:
    """The repository of `dataset`, at ``folder/dataset``."""
    tree = folder / dataset
    tree.mkdir(parents=True)
    MAKERS[dataset](tree)
    return tree


def contents(root: Path) -> dict[str, tuple[int, int]]:
    """Everything below `root`, with size and time of change."""
    return {
        str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
    }
