"""Layouts of VLMEvalKit's video datasets, prepared (`LAYOUTS`) and as repositories (`TREES`).

`LAYOUTS` has the tables, and the path of each row's video; `TREES` the sources of tables, and the
archives of media files. They follow ``prepare_dataset`` in ``vlmeval/dataset/{videomme,worldsense,
mvbench,mlvu,tempcompass}.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one dataset, relative to its directory."""

    tables: tuple[str, ...]
    """The tables, without ``.tsv``: one for each part of the dataset."""
    video: Callable[[Row], str]


def _in(folder: str) -> Callable[[Row], str]:
    return lambda row: f"{folder}/{row['video']}.mp4"


def _under_prefix(row: Row) -> str:
    # A prefix has the form ``./MLVU/video/1_plotQA``.
    path = PurePosixPath(str(row["prefix"])) / f"{row['video']}{row.get('suffix', '')}"
    return str(path)


LAYOUTS: Mapping[str, Layout] = {
    "Video-MME": Layout(("Video-MME",), _in("video")),
    "WorldSense": Layout(("WorldSense",), _in("videos")),
    "MVBench": Layout(("MVBench",), _under_prefix),
    "MVBench_MP4": Layout(("MVBench_MP4",), _under_prefix),
    "MLVU": Layout(("MLVU_MCQ", "MLVU_OpenEnded"), _under_prefix),
    "TempCompass": Layout(
        ("TempCompass_MCQ", "TempCompass_Captioning", "TempCompass_YorN"), _under_prefix
    ),
}
"""By VLMEvalKit's dataset key. The parts of MLVU and TempCompass have VLMEvalKit's order."""


@dataclass(frozen=True, slots=True)
class Archives:
    """Zip files of one kind, and the target directory of their members."""

    pattern: str
    """Pattern of the zip files, relative to the repository's root."""
    folder: str
    """The directory into which VLMEvalKit unpacks them."""
    flat: bool
    """Whether the directories of the members are ignored."""
    lifted: str = ""
    """A directory in the archives whose content is moved one level up."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The parts of a repository that a dataset needs."""

    sources: Mapping[str, tuple[str, ...]]
    archives: tuple[Archives, ...] = ()
    patterns: tuple[str, ...] = ("*",)


MLVU_CHOICES: Mapping[str, str] = {
    "plotQA": "1_plotQA",
    "needle": "2_needle",
    "ego": "3_ego",
    "count": "4_count",
    "order": "5_order",
    "anomaly_reco": "6_anomaly_reco",
    "topic_reasoning": "7_topic_reasoning",
}
"""Tasks of MLVU_MCQ in VLMEvalKit's order, with the name of their file and directory."""
MLVU_OPEN: Mapping[str, str] = {"sub_scene": "8_sub_scene", "summary": "9_summary"}

_STAR = "video/star/Charades_v1_480/"
_CLEVRER = "video/clevrer/video_validation/"
_PERCEPTION = "video/perception/videos/"
MVBENCH_TASKS: Mapping[str, tuple[str, str, bool]] = {
    "Action Sequence": (_STAR, "video", True),
    "Action Prediction": (_STAR, "video", True),
    "Action Antonym": ("video/ssv2_video/", "video", False),
    "Fine-grained Action": ("video/Moments_in_Time_Raw/videos/", "video", False),
    "Unexpected Action": ("video/FunQA_test/test/", "video", False),
    "Object Existence": (_CLEVRER, "video", False),
    "Object Interaction": (_STAR, "video", True),
    "Object Shuffle": (_PERCEPTION, "video", False),
    "Moving Direction": (_CLEVRER, "video", False),
    "Action Localization": ("video/sta/sta_video/", "video", True),
    "Scene Transition": ("video/scene_qa/video/", "video", False),
    "Action Count": (_PERCEPTION, "video", False),
    "Moving Count": (_CLEVRER, "video", False),
    "Moving Attribute": (_CLEVRER, "video", False),
    "State Change": (_PERCEPTION, "video", False),
    "Fine-grained Pose": ("video/nturgbd/", "video", False),
    "Character Order": (_PERCEPTION, "video", False),
    "Egocentric Navigation": ("video/vlnqa/", "video", False),
    "Episodic Reasoning": ("video/tvqa/frames_fps3_hq/", "frame", True),
    "Counterfactual Inference": (_CLEVRER, "video", False),
}
"""Tasks of MVBench: directory, media type, and whether questions have time bounds."""
TEMPCOMPASS_TASKS: Mapping[str, tuple[str, ...]] = {
    "TempCompass_MCQ": ("multi-choice", "caption_matching"),
    "TempCompass_Captioning": ("captioning",),
    "TempCompass_YorN": ("yes_no",),
}


def mvbench_file(task: str) -> str:
    """The file with the questions of an MVBench task."""
    return "json/" + task.lower().replace(" ", "_").replace("-", "_") + ".json"


def parquet_of(task: str) -> str:
    """The file with the questions of a TempCompass task."""
    return f"{task}/test-00000-of-00001.parquet"


TREES: Mapping[str, Tree] = {
    "Video-MME": Tree(
        sources={"Video-MME": ("videomme/test-00000-of-00001.parquet",)},
        archives=(
            Archives("video*.zip", "video", flat=True),
            Archives("subtitle.zip", "subtitle", flat=True),
        ),
        patterns=("videomme/*.parquet", "video*.zip", "subtitle.zip"),
    ),
    "WorldSense": Tree(
        sources={"WorldSense": ("worldsense_qa.json",)},
        archives=(
            Archives("worldsense_videos*.zip", "videos", flat=True),
            Archives("worldsense_subtitles.zip", "subtitles", flat=True),
        ),
        patterns=("worldsense_qa.json", "worldsense_videos*.zip", "worldsense_subtitles.zip"),
    ),
    "MVBench_MP4": Tree(sources={"MVBench_MP4": ("test.json",)}),
    "MVBench": Tree(
        sources={"MVBench": tuple(mvbench_file(task) for task in MVBENCH_TASKS)},
        archives=(Archives("video/*.zip", "video", flat=False, lifted="data0613"),),
        patterns=("json/*.json", "video/*.zip"),
    ),
    "MLVU": Tree(
        sources={
            "MLVU_MCQ": tuple(f"MLVU/json/{name}.json" for name in MLVU_CHOICES.values()),
            "MLVU_OpenEnded": tuple(f"MLVU/json/{name}.json" for name in MLVU_OPEN.values()),
        },
        patterns=("MLVU/json/*", "MLVU/video/*"),
    ),
    "TempCompass": Tree(
        sources={
            table: tuple(parquet_of(task) for task in tasks)
            for table, tasks in TEMPCOMPASS_TASKS.items()
        },
        archives=(Archives("tempcompass_videos.zip", ".", flat=False),),
        patterns=("*/test-*.parquet", "tempcompass_videos.zip"),
    ),
}
"""By VLMEvalKit's dataset key."""
