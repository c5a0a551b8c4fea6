"""What VLMEvalKit makes of a table of predictions. Runs in the kit process.

Mended, its number must be the mean of our values. Where a table is read otherwise without the
mends of tables, `unmended` is the number that an ordinary VLMEvalKit reports.
"""

from __future__ import annotations

import contextlib
import csv
import math
import os
import re
import shutil
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import vlmeval.smp.file

from evalsuite.vlmevalkit import scoring_workarounds, workarounds
from evalsuite.vlmevalkit.datasets import Loaded, Row
from evalsuite.vlmevalkit.rules.base import Metric, Reader

_READ = [name for name in workarounds.TEXT_COLUMNS if name not in ("hint", "video", "image_path")]
"""Columns that rules look at."""


def evaluate(loaded: Loaded, metric: Metric, reader: Reader, frame: Any, directory: Path) -> Any:
    """Return what VLMEvalKit makes of the predictions in `frame`; its files become `directory`."""
    draft = directory.with_name(f".{directory.name}.draft")
    with _new_folder(draft):
        result = _evaluated(loaded, metric, reader, frame)
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)
    return result


def unmended(
    loaded: Loaded,
    metric: Metric,
    reader: Reader,
    frame: Any,
    rows: Sequence[Row],
    directory: Path,
) -> float | None:
    """Return VLMEvalKit's number if it reads tables in its own way; None if it has none to give.

    It works beside `directory`, and leaves nothing.
    """
    folder = directory.with_name(f".{directory.name}.unmended")
    try:
        with _new_folder(folder), _own_reading():
            number = metric.headline(_evaluated(loaded, metric, reader, frame), rows)
    except Exception:  # noqa: BLE001 - it stumbles over misread cells somehow: no number, then
        traceback.print_exc()
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return number if math.isfinite(number) else None


def read_otherwise(loaded: Loaded, directory: Path, *, kinds: bool) -> bool:
    """Whether VLMEvalKit's own reading of the table in `directory` gives rules other cells.

    With `kinds` 5 is not ``'5'``; a hole is a hole in a column of any kind.
    """

    def cells(column: Any) -> list[str]:
        # The repr of a hole is 'nan', that of the word has quotes.
        return [repr(cell) if kinds or cell != cell else repr(str(cell)) for cell in column]

    path = str(directory / _file(loaded))
    written = vlmeval.smp.load(path)
    with _own_reading():
        read = vlmeval.smp.load(path)
    return any(cells(written[name]) != cells(read[name]) for name in _READ if name in written)


def _evaluated(loaded: Loaded, metric: Metric, reader: Reader, frame: Any) -> Any:
    name = _file(loaded)
    asked = (
        scoring_workarounds.our_judge_is_asked(reader.judge)
        if reader.judge
        else metric.without_judge()
    )
    with _of_these(loaded.dataset, reader.dataset, frame), asked:
        frame.to_csv(name, sep="\t", index=False, quoting=csv.QUOTE_ALL, encoding="utf-8")
        model = "judge" if reader.judge else "exact_matching"
        return loaded.dataset.evaluate(name, model=model, nproc=1)


def _file(loaded: Loaded) -> str:
    return re.sub(r"[^\w-]", "_", loaded.benchmark.dataset) + ".tsv"


@contextlib.contextmanager
def _own_reading() -> Iterator[None]:
    """Have VLMEvalKit read tables as pandas does by default."""
    mended = vlmeval.smp.file.pd
    vlmeval.smp.file.pd = pd
    try:
        yield
    finally:
        vlmeval.smp.file.pd = mended


@contextlib.contextmanager
def _of_these(dataset: Any, key: str, frame: Any) -> Iterator[None]:
    """Have a dataset go by `key`, and only by those of its parts that are in `frame`."""
    before = dict(vars(dataset))
    dataset.dataset_name = key
    if "SUB_DATASET" in frame:
        present = set(frame["SUB_DATASET"])
        dataset.datasets = [part for part in dataset.datasets if part in present]
    try:
        yield
    finally:
        vars(dataset).update(before)


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Work in a new folder.

    In it, because VLMEvalKit makes names by replacing ``.tsv`` or a dataset's key wherever they
    stand in a path (``smp/file.py:701``).
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
