"""Images and benchmarks for whole runs, and comparisons of what they write."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path

import pandas as pd
from PIL import Image

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runs.records import Cost, Run, Score
from tests.conftest import Bench, Reference, demo


def comparable(score: Score) -> Score:
    """A score without what depends on the clock."""
    return dataclasses.replace(score, cost=Cost(), rerun_samples=0)


def scores(run: Run) -> dict[str, Score]:
    return {s.benchmark: comparable(s) for s in run.scores}


def same_files(output: Path, bench: Bench, reference: Reference, names: list[str]) -> None:
    for name in names:
        directory = bench.directory(output) / name
        assert (directory / "predictions.jsonl").read_bytes() == reference.predictions(name), name
        assert (directory / "samples.jsonl").read_bytes() == reference.samples(name), name


def png(color: tuple[int, int, int]) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def own(path: Path, images: list[str]) -> Benchmark:
    rows = {"index": range(len(images)), "image": images,
            "question": ["What color is this?"] * len(images),
            "answer": ["['red', 'red', 'red', 'red']"] * len(images)}  # fmt: skip
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
    template = demo("DemoShapes")[0]
    return dataclasses.replace(template, name=path.stem, dataset=path.stem, data=str(path))
