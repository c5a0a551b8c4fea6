"""Small benchmarks for tests: tables, images and videos with known content."""

import atexit
import base64
import csv
import functools
import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.runs.records import Prediction
from evalsuite.sample import Sample
from evalsuite.vlmevalkit.client import BrokenSample, Kit

Row = dict[str, Any]


@functools.cache
def kit() -> Kit:
    """Return one kit process for all tests, since its import takes seconds."""
    root = Path(tempfile.mkdtemp(prefix="evalsuite-tests-"))
    kit = Kit(work=root / "work", media=root / "media", log=root / "kit.log")
    kit.start()
    atexit.register(shutil.rmtree, root)
    atexit.register(kit.close)
    return kit


def asked(kit: Kit, benchmark: Benchmark) -> list[Sample]:
    """Return all samples of a benchmark without broken ones."""
    found = kit.samples(benchmark, [item.id for item in kit.outline(benchmark)])
    assert not [sample for sample in found if isinstance(sample, BrokenSample)]
    return [sample for sample in found if isinstance(sample, Sample)]


@functools.cache
def vlmevalkit() -> Any:
    """Import VLMEvalKit in this process and undo its global changes."""
    import ssl

    import torch

    kit()  # imports it too, in parallel
    grad, context = torch.is_grad_enabled(), ssl._create_default_https_context
    import vlmeval.dataset.image_vqa
    import vlmeval.dataset.utils.multiple_choice
    import vlmeval.smp.vlm
    import vlmeval.utils.mp_util

    torch.set_grad_enabled(grad)
    ssl._create_default_https_context = context
    return vlmeval


def picture(seed: int = 0, side: int = 24, mode: str = "RGB") -> Image.Image:
    """Return noise that depends on the seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """Return an image in base64, as in tables."""
    buffer = io.BytesIO()
    # Not Pillow's default level, so that a re-encoded file differs.
    level = {"compress_level": 1} if kind == "PNG" else {}
    image.save(buffer, format=kind, **level, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def table(path: Path, rows: Sequence[Row], end: str = "\n", encoding: str = "utf-8") -> Path:
    """Write `rows` as a TSV; missing keys become empty cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)
    return path


def video(path: Path, n_frames: int, per_second: float = 10, side: int = 64) -> Path:
    """Write a video in which each frame is brighter than the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*"mp4v"), per_second, (side, side), isColor=True
    )
    for number in range(n_frames):
        level = 20 + int(200 * number / n_frames)
        writer.write(np.full((side, side, 3), level, np.uint8))
    writer.release()
    return path


def benchmark(
    name: str, dataset_class: str | None, metric: str, data: Path, **fields: Any
) -> Benchmark:
    """Return a benchmark with defaults for the other fields."""
    defaults: dict[str, Any] = {
        "dataset": name, "modality": "image", "prompt": "default", "max_new_tokens": 8
    }  # fmt: skip
    return Benchmark(
        name=name,
        dataset_class=dataset_class,
        metric=metric,
        data=str(data),
        **(defaults | fields),
    )


def choices(folder: Path, rows: Sequence[Row], name: str = "Choices", **fields: Any) -> Benchmark:
    """A multiple-choice benchmark; rows need only the relevant columns."""
    filled = [
        {
            "index": number, "image": encoded(picture(number)), "question": f"which {number}?",
            "A": "cat", "B": "dog", "C": "None", "D": "007", "answer": "A",
        } | row
        for number, row in enumerate(rows)
    ]  # fmt: skip
    path = table(folder / f"{name}.tsv", filled)
    return benchmark(name, "ImageMCQDataset", "choice", path, **fields)


def yes_no(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """A yes/no benchmark."""
    filled = [
        {"index": n, "image": encoded(picture(n)), "question": f"is it {n}?", "answer": "Yes"} | row
        for n, row in enumerate(rows)
    ]
    path = table(folder / "YesNo.tsv", filled)
    return benchmark("YesNo", "ImageYORNDataset", "yes-no", path)


def open_questions(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Open questions with the answers of ten annotators."""
    filled = [
        {
            "index": n, "image": encoded(picture(n)), "question": f"what is {n}?",
            "answer": str(["red"] * 3 + ["blue"] * 2 + ["dark blue", "5", "navy", "teal", "sky"]),
        } | row
        for n, row in enumerate(rows)
    ]  # fmt: skip
    path = table(folder / "Open.tsv", filled)
    return benchmark("Open", "ImageVQADataset", "vqa-accuracy", path)


def texts_to_read(folder: Path, rows: Sequence[Row]) -> Benchmark:
    """Questions in OCRBench's format."""
    filled = [
        {
            "index": n, "image": encoded(picture(n)), "question": f"what does {n} say?",
            "answer": "['Hello World', '42']", "category": "Scene Text-centric VQA",
        } | row
        for n, row in enumerate(rows)
    ]  # fmt: skip
    path = table(folder / "Read.tsv", filled)
    return benchmark("Read", "OCRBench", "ocr-contains", path)


def videos(folder: Path, rows: Sequence[Row], rule: FrameRule, **fields: Any) -> Benchmark:
    """Questions about videos in Video-MME's format, without the video files."""
    filled = [
        {
            "index": n, "video": "a", "video_path": "./video/a.mp4", "duration": "short",
            "domain": "Knowledge", "candidates": "['A. up', 'B. down', 'C. left', 'D. right']",
            "sub_category": "Astronomy", "task_type": "Action Recognition",
            "subtitle_path": "", "question": f"which way {n}?", "answer": "B",
        } | row
        for n, row in enumerate(rows)
    ]  # fmt: skip
    table(folder / "Video-MME.tsv", filled)
    return benchmark(
        "Videos", "VideoMME", "video-choice", folder,
        dataset="Video-MME", modality="video", prompt="video-choices", frames=rule, **fields,
    )  # fmt: skip


def video_rows(dataset: str) -> dict[str, list[Row]]:
    """Rows of one of VLMEvalKit's video datasets in its real schema, by table.

    They refer to the videos of `video_files`.
    """
    asked = {"question": "what happens?", "answer": "dog", "candidates": "['cat', 'dog', 'N/A']"}
    lettered = {"answer": "B", "candidates": "['A. up', 'B. down', 'C. None', 'D. 007']"}
    mvbench = asked | {"task_type": "Action Count", "prefix": "video/b/", "video": "a.mp4"}
    compass = {"prefix": "./videos", "suffix": ".mp4", "video": "b", "dim": "speed"}
    rows: dict[str, list[Row]] = {
        "WorldSense": [
            lettered | {
                "index": n, "video": "a", "video_path": "./videos/a.mp4", "duration": duration,
                "domain": "Tech & Science", "sub_category": "Physics", "audio_class": "['Music']",
                "task_domain": "Recognition", "task_type": "Event Sorting",
                "subtitle_path": "./subtitles/a.srt", "audio_path": "./audios/a.wav",
                "video_caption": "", "question": f"which way {n}?",
            }
            for n, duration in enumerate(("<1min", "1-2min"))
        ],
        "MVBench_MP4": [mvbench | {"index": 0}, mvbench | {"index": 1, "prefix": "video/a/"}],
        "MVBench": [
            mvbench | {"index": n, "data_type": "video", "bound": False, "start": "", "end": ""}
            | fields
            for n, fields in enumerate((
                {},
                {"bound": True, "start": 0.5, "end": 1.5},
                {"bound": True, "start": 1.0, "end": 2.8},
                {"data_type": "gif", "video": "a.gif", "task_type": "Moving Count"},
                {"data_type": "frame", "video": "stills", "bound": True, "start": 1, "end": 3},
            ))
        ],
        "MLVU_MCQ": [
            asked | {
                "task_type": kind, "prefix": f"./MLVU/video/{folder}", "duration": 2.5 + n,
                "video": "a.mp4", "index": n,
            }
            for n, (kind, folder) in enumerate((("plotQA", "1_plotQA"), ("needle", "2_needle")))
        ],
        "MLVU_OpenEnded": [
            {
                "task_type": kind, "prefix": "./MLVU/video/9_summary", "duration": 4,
                "video": "b.mp4", "question": "what is it about?", "answer": "A dog.",
                "scoring_points": "", "index": n,
            }
            for n, kind in enumerate(("summary", "sub_scene"))
        ],
        "TempCompass_MCQ": [
            compass | {
                "task_type": "multi-choice", "question": "how fast?", "answer": "B. slow",
                "candidates": "['A. fast', 'B. slow']", "index": 0,
            },
            compass | {
                "task_type": "caption_matching", "question": "which fits?", "index": 1,
                "answer": "Caption B: A slow dog.",
                "candidates": "['Caption A: A fast dog.', 'Caption B: A slow dog.']",
            },
        ],
        "TempCompass_Captioning": [
            compass | {
                "task_type": "captioning", "question": "describe it", "answer": "slow", "index": 0,
                "mc_question": "how fast?\nA. fast\nB. slow", "mc_answer": "B. slow",
            }
        ],
        "TempCompass_YorN": [
            compass | {
                "task_type": "yes_no", "question": "is it slow?", "answer": "yes", "index": 0,
                "dim": "order",
            }
        ],
    }  # fmt: skip
    return {table: rows[table] for table in LAYOUTS[dataset].tables}


def video_files(folder: Path) -> None:
    """Write every file that `video_rows` names."""
    for number, name in enumerate(
        (
            *("videos/a.mp4", "video/a/a.mp4", "video/b/a.mp4", "MLVU/video/1_plotQA/a.mp4"),
            *("MLVU/video/2_needle/a.mp4", "MLVU/video/9_summary/b.mp4", "videos/b.mp4"),
        )
    ):
        video(folder / name, 30 + number)
    pictures = [Image.fromarray(np.full((24, 32, 3), 8 * n, np.uint8)) for n in range(30)]
    animation, *others = pictures
    gif = folder / "video" / "b" / "a.gif"
    animation.save(gif, save_all=True, append_images=others, duration=40)
    stills = folder / "video" / "b" / "stills"
    stills.mkdir()
    for number, still in enumerate(pictures[:12], 1):
        still.save(stills / f"{number:05}.jpg")
    subtitles = folder / "subtitles" / "a.srt"
    subtitles.parent.mkdir()
    subtitles.write_text("1\n00:00:00,500 --> 00:00:01,500\nLook,\na dog\n", encoding="utf-8")


def video_set(folder: Path, dataset: str, rule: FrameRule, **fields: Any) -> Benchmark:
    """One of VLMEvalKit's video benchmarks in `folder`, without the video files."""
    for name, rows in video_rows(dataset).items():
        table(folder / f"{name}.tsv", rows)
    metric = {"WorldSense": "worldsense", "MLVU": "mlvu", "TempCompass": "tempcompass"}
    return benchmark(
        dataset, None, metric.get(dataset, "mvbench"), folder,
        modality="video", frames=rule, **fields,
    )  # fmt: skip


def predictions(texts: Sequence[str | None]) -> dict[str, Prediction]:
    """Return predictions for the samples 0, 1, …; None is a failed one."""
    return {
        str(number): Prediction(
            id=str(number),
            prompt_digest="",
            text=text or "",
            tokens=1,
            ended="error" if text is None else "stop",
            error="decoding failed" if text is None else None,
        )
        for number, text in enumerate(texts)
    }
