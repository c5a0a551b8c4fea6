"""Run VLMEvalKit's ``evaluate`` on a table of predictions. Runs in the kit process.

With our workarounds, its score must equal the mean of our values. Where a table is read differently
without them, `unpatched_score` is the score of an unmodified VLMEvalKit.
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
from evalsuite.vlmevalkit.datasets import LoadedDataset, Row
from evalsuite.vlmevalkit.rules.base import Metric, ScoringContext
from evalsuite.vlmevalkit.scoring_workarounds import replaced

_RULE_COLUMNS = [
    name for name in workarounds.TEXT_COLUMNS if name not in ("hint", "video", "image_path")
]
"""Columns used by scoring rules."""


def evaluate(
    loaded: LoadedDataset, metric: Metric, context: ScoringContext, frame: Any, directory: Path
) -> Any:
    """Return VLMEvalKit's result for the predictions in `frame`; its files become `directory`."""
    draft = directory.with_name(f".{directory.name}.draft")
    with _new_folder(draft):
        result = _run_evaluate(loaded, metric, context, frame)
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)
    return result


def unpatched_score(
    loaded: LoadedDataset,
    metric: Metric,
    context: ScoringContext,
    frame: Any,
    rows: Sequence[Row],
    directory: Path,
) -> float | None:
    """Return the score of VLMEvalKit with its default table reading; None if it has none.

    Works next to `directory` and removes its files.
    """
    folder = directory.with_name(f".{directory.name}.unpatched")
    try:
        with _new_folder(folder), _default_table_reading():
            number = metric.read_score(_run_evaluate(loaded, metric, context, frame), rows)
    except Exception:  # noqa: BLE001 - misread cells raise anything: no score
        traceback.print_exc()
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return number if math.isfinite(number) else None


def tables_differ(loaded: LoadedDataset, directory: Path, *, kinds: bool) -> bool:
    """Return whether default reading of the table in `directory` changes cells used by rules.

    With `kinds`, 5 differs from ``'5'``. A missing value is always different from a text.
    """

    def cells(column: Any) -> list[str]:
        # The repr of a missing value is nan; the repr of the text has quotes.
        return [repr(cell) if kinds or cell != cell else repr(str(cell)) for cell in column]

    path = str(directory / _file(loaded))
    patched = vlmeval.smp.load(path)
    with _default_table_reading():
        default = vlmeval.smp.load(path)
    names = [name for name in _RULE_COLUMNS if name in patched]
    return any(cells(patched[name]) != cells(default[name]) for name in names)


def _run_evaluate(
    loaded: LoadedDataset, metric: Metric, context: ScoringContext, frame: Any
) -> Any:
    name = _file(loaded)
    asked = (
        scoring_workarounds.use_judge(context.judge) if context.judge else metric.without_judge()
    )
    with _with_key_and_parts(loaded.dataset, context.dataset, frame), asked:
        frame.to_csv(name, sep="\t", index=False, quoting=csv.QUOTE_ALL, encoding="utf-8")
        model = "judge" if context.judge else "exact_matching"
        return loaded.dataset.evaluate(name, model=model, nproc=1)


def _file(loaded: LoadedDataset) -> str:
    return re.sub(r"[^\w-]", "_", loaded.benchmark.dataset) + ".tsv"


def _default_table_reading() -> contextlib.AbstractContextManager[None]:
    return replaced(vlmeval.smp.file, pd=pd)


def _with_key_and_parts(
    dataset: Any, key: str, frame: Any
) -> contextlib.AbstractContextManager[None]:
    """Let a dataset use the key `key`, and only the parts that are in `frame`."""
    changes = vars(dataset) | {"dataset_name": key}
    if "SUB_DATASET" in frame:
        present = set(frame["SUB_DATASET"])
        changes["datasets"] = [part for part in dataset.datasets if part in present]
    return replaced(dataset, **changes)


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Change to a new folder.

    VLMEvalKit builds file names by replacing ``.tsv`` or a dataset key anywhere in a path
    (``smp/file.py:701``), so it gets relative names.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
