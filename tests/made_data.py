"""Small benchmarks made for tests: tables, images and videos of known content."""

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

from evalsuite.benchmarks import Benchmark, FrameRule
from evalsuite.results import Prediction
from evalsuite.vlmevalkit.kit import Kit

Row = dict[str, Any]


@functools.cache
def kit() -> Kit:
    """One kit process for all tests: its import takes seconds."""
    root = Path(tempfile.mkdtemp(prefix="evalsuite-tests-"))
    kit = Kit(work=root / "work", media=root / "media", log=root / "kit.log")
    kit.warm()
    atexit.register(shutil.rmtree, root)
    atexit.register(kit.close)
    return kit


@functools.cache
def vlmevalkit() -> Any:
    """VLMEvalKit in this process; what its import changes for everybody is put back."""
    import ssl

    import torch

    kit()  # imports it as well: side by side
    grad, context = torch.is_grad_enabled(), ssl._create_default_https_context
    import vlmeval.dataset.image_vqa
    import vlmeval.dataset.utils.multiple_choice
    import vlmeval.smp.vlm
    import vlmeval.utils.mp_util

    torch.set_grad_enabled(grad)
    ssl._create_default_https_context = context
    return vlmeval


def picture(seed: int = 0, side: int = 24, mode: str = "RGB") -> Image.Image:
    """Noise: no two seeds alike, and no two pixels of one by chance."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """An image as tables hold it."""
    buffer = io.BytesIO()
    # Not Pillow's own level: so a file kept as it is can be told from one written again.
    level = {"compress_level": 1} if kind == "PNG" else {}
    image.save(buffer, format=kind, **level, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def table(path: Path, rows: Sequence[Row], end: str = "\n", encoding: str = "utf-8") -> Path:
    """Write `rows` as a TSV; a key a row lacks is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)
    return path


def video(path: Path, n_frames: int, per_second: float = 10, side: int = 64) -> Path:
    """A video whose every frame is brighter than the one before."""
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
    """A benchmark with what tests do not care about filled in."""
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
    """A multiple-choice benchmark; a row lacks only what it does not care about."""
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
    """Open questions with the answers of ten people."""
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
    """Texts to read, in OCRBench's form."""
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
    """Questions about videos, in Video-MME's form; the videos are the caller's."""
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


def predictions(texts: Sequence[str | None]) -> dict[str, Prediction]:
    """Predictions for the samples 0, 1, …; None is a failed one."""
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
