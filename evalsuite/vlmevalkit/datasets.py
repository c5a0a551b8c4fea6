"""Benchmark → VLMEvalKit's dataset object → samples. Runs in the kit process.

The dataset's class builds every prompt; only where it reads data from and keeps media is ours.
Nothing is downloaded here, and nothing is written beside a user's data.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import vlmeval.dataset
from pysubs2.exceptions import Pysubs2Error

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.errors import nearest
from evalsuite.sample import Image, Message, Sample, Text
from evalsuite.vlmevalkit import custom_data, video_datasets
from evalsuite.vlmevalkit import image_datasets as images
from evalsuite.vlmevalkit.client import BrokenSample, KitError, Outline
from evalsuite.vlmevalkit.media_store import MediaError, Store
from evalsuite.vlmevalkit.tsv import several, words
from evalsuite.vlmevalkit.video_datasets import Clips

Row = dict[str, Any]

_LMU_DATA = "LMUData"
"""The environment's variable for VLMEvalKit's data folder."""
_PART = "SUB_DATASET"
"""The column that says which of several datasets a row is of."""
_CATEGORIES = {"MathVista": "task", "TempCompass": "dim"}
"""The column that a class's scores are first broken down by, where it is not the usual one."""
_LABELS = (
    *("split", "l2-category", "duration", "domain", "task_type", "dim"),
    *("question_type", "task", "task_domain", "sub_category"),
)
"""Further columns that scores are broken down by."""


@dataclass(frozen=True)
class Loaded:
    """A benchmark's dataset, ready to be asked for prompts and scores."""

    benchmark: Benchmark
    dataset: Any
    """VLMEvalKit's object."""
    store: Store
    positions: dict[str, int]
    """Where each sample is in ``dataset.data``, in the dataset's order."""
    clips: Clips | None = None
    """What the rows show, if videos."""
    category: str = ""
    """The column with the samples' categories, if any."""
    labels: tuple[str, ...] = ()
    """The columns with the samples' labels."""

    def frame(self, ids: Iterable[str]) -> Any:
        """Return the rows of the samples `ids` as a table."""
        return self.dataset.data.iloc[[self.positions[id] for id in ids]]

    def rows(self, ids: Iterable[str], *, images: bool = True) -> list[Row]:
        """Return the rows of the samples `ids`, each as a dict."""
        frame = self.frame(ids)
        if not images and "image" in frame:
            frame = frame.drop(columns="image")
        rows: list[Row] = frame.to_dict("records")
        return rows


class Shelf:
    """The datasets used last; loading one takes seconds to minutes."""

    size = 3

    def __init__(self, work: Path, media: Path, *, lossless: bool = False) -> None:
        self._roots = work / "lmu"
        self._store = Store(media, lossless=lossless)
        self._loaded: dict[str, Loaded] = {}

    def take(self, benchmark: Benchmark) -> Loaded:
        """Load `benchmark` unless it is at hand; raises `KitError`."""
        # VLMEvalKit reads it at every use, and replaces a folder that does not exist by its own.
        root = self._roots / re.sub(r"[^\w-]", "_", benchmark.name)
        root.mkdir(parents=True, exist_ok=True)
        os.environ[_LMU_DATA] = str(root)
        key = f"{benchmark!r} {_written(benchmark)}"
        if key not in self._loaded:
            while len(self._loaded) >= self.size:
                del self._loaded[next(iter(self._loaded))]
            self._loaded[key] = _load(benchmark, self._store)
        self._loaded[key] = self._loaded.pop(key)
        return self._loaded[key]


def _written(benchmark: Benchmark) -> list[tuple[int, ...]]:
    """Tell one state of the benchmark's tables from another: changed data is loaded again."""
    path = Path(benchmark.data or "")
    layout = LAYOUTS.get(benchmark.dataset)
    tables = layout.tables if layout else (benchmark.dataset,)
    written: list[tuple[int, ...]] = []
    for table in [path / f"{table}.tsv" for table in tables] if path.is_dir() else [path]:
        try:
            stat = table.stat()
        except OSError:
            continue  # loading says what is wrong with it
        written.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return written


def outline(loaded: Loaded) -> list[Outline]:
    """Return all samples in the dataset's order."""
    data = loaded.dataset.data
    parts = list(data[_PART]) if _PART in data else [""] * len(data)
    at = list(zip(_clusters(data), parts, strict=True))
    return [Outline(id, *at[position]) for id, position in loaded.positions.items()]


def describe(loaded: Loaded, ids: Sequence[str]) -> list[BrokenSample]:
    """Return what is known of samples without touching their media."""
    clusters = _clusters(loaded.frame(ids))
    return [
        BrokenSample(id=id, cluster=cluster, reason="", **_facts(loaded, row))
        for id, cluster, row in zip(ids, clusters, loaded.rows(ids, images=False), strict=True)
    ]


def samples(loaded: Loaded, ids: Sequence[str]) -> list[Sample | BrokenSample]:
    """Build the prompts of the samples `ids`."""
    clusters, rows = _clusters(loaded.frame(ids)), loaded.rows(ids)
    if loaded.clips is not None:
        loaded.clips.read_ahead(rows)
    return [
        _sample(loaded, id, cluster, row)
        for id, cluster, row in zip(ids, clusters, rows, strict=True)
    ]


def _sample(loaded: Loaded, id: str, cluster: str, row: Row) -> Sample | BrokenSample:
    facts = _facts(loaded, row)
    try:
        messages = _messages(loaded, row)
    except MediaError as error:
        return BrokenSample(id=id, cluster=cluster, reason=str(error), **facts)
    except Exception as error:
        error.add_note(f"sample {id}")
        raise
    return Sample(id=id, messages=messages, cluster=cluster, **facts)


def _messages(loaded: Loaded, row: Row) -> tuple[Message, ...]:
    if loaded.clips is None:
        return tuple(
            Image(item["value"], loaded.store.digest(item["value"]))
            if item["type"] == "image"
            else Text(item["value"], item.get("role", ""))
            for item in loaded.dataset.build_prompt(row)
        )
    messages: list[Message] = []
    for kind, items in itertools.groupby(_asked(loaded, row), key=lambda item: item["type"]):
        if kind == "image":
            messages.append(loaded.clips.shown(next(items)["value"]))
        else:
            messages += [Text(item["value"], item.get("role", "")) for item in items]
    return tuple(messages)


def _asked(loaded: Loaded, row: Row) -> list[dict[str, str]]:
    """Return VLMEvalKit's messages about a video; raises `MediaError`."""
    if isinstance(loaded.dataset, vlmeval.dataset.ImageBaseDataset):
        of_images: list[dict[str, str]] = loaded.dataset.build_prompt(row)
        return of_images
    try:
        of_frames: list[dict[str, str]] = loaded.dataset.build_prompt(row, video_llm=False)
    except (Pysubs2Error, UnicodeDecodeError) as error:
        file = Path(loaded.benchmark.data or "") / str(row.get("subtitle_path"))
        why = (str(error).splitlines() or ["no known format"])[0]
        raise MediaError(f"{file}: these subtitles cannot be read: {why}") from error
    return of_frames


def _facts(loaded: Loaded, row: Row) -> dict[str, Any]:
    """Return what samples are grouped by, and a question and its target, for people."""
    labels = ((name, words(row[name])) for name in loaded.labels)
    return {
        "part": row.get(_PART, ""),
        "category": words(row[loaded.category]) if loaded.category else "",
        "labels": tuple((name, value) for name, value in labels if value),
        "question": words(row["question"]),
        "target": " | ".join(dict.fromkeys(several(words(row["answer"])))),
    }


def _clusters(data: Any) -> list[str]:
    """Return, for each row, what its media are: rows that agree in it share them."""
    if "video" in data:
        named = [name for name in ("video", "prefix") if name in data]
        return [_cluster([video_datasets.place(row)]) for row in data[named].to_dict("records")]
    media = list(data["image" if "image" in data else "image_path"])
    return [_cluster(texts if isinstance(texts, list) else [texts]) for texts in media]


def _cluster(texts: list[str]) -> str:
    if len(texts) == 1 and len(texts[0]) <= 64:
        return str(texts[0])
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


# --------------------------------------------------------------------------------------------------
# Loading
# --------------------------------------------------------------------------------------------------


def _load(benchmark: Benchmark, store: Store) -> Loaded:
    kind = _class(benchmark)
    _check_arguments(kind, benchmark)
    if benchmark.data is None:
        raise KitError("data", f"{benchmark.name}: nothing says where its data lie")
    where = Path(benchmark.data)
    clips: Clips | None = None
    if benchmark.modality == "image":
        dataset = images.build(kind, benchmark, where, store)
    elif where.suffix in (".jsonl", ".tsv", ".csv") and not where.is_dir():
        dataset, clips = video_datasets.build_own(kind, benchmark, where, store)
    else:
        dataset, clips = video_datasets.build(kind, benchmark, where, store)
    data = dataset.data
    positions = {str(index): at for at, index in enumerate(data["index"])}
    if benchmark.split is not None:
        if "split" not in data:
            raise KitError("data", f"{where}: no column 'split'")
        splits = list(data["split"])
        positions = {id: at for id, at in positions.items() if splits[at] == benchmark.split}
    if not positions:
        of = f" in split '{benchmark.split}'" if benchmark.split else ""
        raise KitError("data", f"{where}: no rows{of}")
    category = _category(kind, data)
    labels = _labels(data.iloc[list(positions.values())], category)
    return Loaded(benchmark, dataset, store, positions, clips, category, labels)


def _category(kind: Any, data: Any) -> str:
    own_column = _CATEGORIES.get(kind.__name__, "category")
    return next((name for name in (own_column, "category", "task_type") if name in data), "")


def _labels(data: Any, category: str) -> tuple[str, ...]:
    """Return the columns of words, seconds of video not among them, that hold more than one."""
    return tuple(
        name
        for name in _LABELS
        if name in data
        and name != category
        and not pd.api.types.is_numeric_dtype(data[name])
        and data[name].nunique() > 1
    )


def _class(benchmark: Benchmark) -> Any:
    """Find the class of VLMEvalKit that handles the benchmark."""
    classes = {kind.__name__: kind for kind in vlmeval.dataset.DATASET_CLASSES}
    if benchmark.dataset_class is not None:
        if benchmark.dataset_class not in classes:
            raise KitError(
                "data",
                f"{benchmark.name}: VLMEvalKit has no dataset class '{benchmark.dataset_class}'"
                f"{nearest(benchmark.dataset_class, classes)}",
            )
        return classes[benchmark.dataset_class]
    for kind in vlmeval.dataset.DATASET_CLASSES:
        if benchmark.dataset in kind.supported_datasets():
            return kind
    if benchmark.metric in custom_data.CLASSES:
        return classes[custom_data.CLASSES[benchmark.metric]]
    raise KitError(
        "data",
        f"{benchmark.name}: VLMEvalKit has no dataset '{benchmark.dataset}'"
        f"{nearest(benchmark.dataset, vlmeval.dataset.SUPPORTED_DATASETS)}; for data of your own "
        f"name a dataset_class, or one of the metrics {', '.join(custom_data.CLASSES)}",
    )


def _check_arguments(kind: Any, benchmark: Benchmark) -> None:
    """Refuse what the class does not take, is set by other keys, or SmolVLM cannot be shown."""
    taken = inspect.signature(kind.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    known = [name for name in taken if name not in _NOT_ARGUMENTS]
    for name in benchmark.arguments:
        if name not in known:
            which = f"it takes: {', '.join(known)}" if known else "it takes none"
            raise KitError(
                "data",
                f"{benchmark.name}: {kind.__name__} has no argument '{name}' to be set here"
                f"{nearest(name, known)}; {which}",
            )


_NOT_ARGUMENTS = ("self", "dataset", "nframe", "fps", "pack", "use_audio")
