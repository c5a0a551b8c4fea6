"""From a benchmark to VLMEvalKit's dataset object to samples. Runs in the kit process.

VLMEvalKit's class builds every prompt; only reading data and storing media is replaced. Nothing is
downloaded, and nothing is versions next to the user's data.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import vlmeval.dataset
from pysubs2.exceptions import Pysubs2Error

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.errors import UsageError, nearest
from evalsuite.sample import Image, Message, Sample, Text
from evalsuite.vlmevalkit import custom_data, video_datasets
from evalsuite.vlmevalkit import image_datasets as images
from evalsuite.vlmevalkit.client import BrokenSample, DataError, SampleOutline
from evalsuite.vlmevalkit.media_store import MediaError, MediaStore
from evalsuite.vlmevalkit.tsv import cell_text, listed_texts
from evalsuite.vlmevalkit.video_datasets import ClipReader

Row = dict[str, Any]

_DATA_VARIABLE = "LMUData"
"""Environment variable with VLMEvalKit's data folder."""
_PART_COLUMN = "SUB_DATASET"
"""Column with a row's dataset, in a benchmark of several datasets."""
_CATEGORY_COLUMNS = {"MathVista": "task", "TempCompass": "dim"}
"""Category column by class name, where it is not ``category``."""
_LABEL_COLUMNS = (
    *("split", "l2-category", "duration", "domain", "task_type", "dim"),
    *("question_type", "task", "task_domain", "sub_category", "audio_class"),
)
"""Further columns for breakdowns of a score."""
_LIST_COLUMNS = ("audio_class",)
"""Those whose cells are lists: a sample belongs to the group of each item."""


@dataclass(frozen=True)
class LoadedDataset:
    """A benchmark's dataset, ready to build prompts and to score."""

    benchmark: Benchmark
    dataset: Any
    """VLMEvalKit's object."""
    store: MediaStore
    positions: dict[str, int]
    """Row of each sample in ``dataset.data``, in the dataset's order."""
    clips: ClipReader | None = None
    """ScoringContext of the rows' videos, if any."""
    category: str = ""
    """Name of the category column, or empty."""
    labels: tuple[str, ...] = ()
    """Names of the label columns."""

    @property
    def custom(self) -> bool:
        """Whether VLMEvalKit does not have the dataset."""
        return self.benchmark.dataset not in vlmeval.dataset.SUPPORTED_DATASETS

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


class DatasetCache:
    """The most recently used datasets; loading one takes seconds to minutes."""

    size = 3

    def __init__(self, work: Path, media: Path, *, lossless: bool = False) -> None:
        self._roots = work / "lmu"
        self._store = MediaStore(media, lossless=lossless)
        self._loaded: dict[str, LoadedDataset] = {}

    def get(self, benchmark: Benchmark) -> LoadedDataset:
        """Return the dataset of `benchmark`, loading it if necessary; raises `KitError`."""
        # VLMEvalKit reads the variable at each use and replaces a missing folder by its default.
        root = self._roots / re.sub(r"[^\w-]", "_", benchmark.name)
        root.mkdir(parents=True, exist_ok=True)
        os.environ[_DATA_VARIABLE] = str(root)
        key = f"{benchmark!r} {_table_versions(benchmark)}"
        if key not in self._loaded:
            while len(self._loaded) >= self.size:
                del self._loaded[next(iter(self._loaded))]
            self._loaded[key] = _load(benchmark, self._store)
        self._loaded[key] = self._loaded.pop(key)
        return self._loaded[key]


def _table_versions(benchmark: Benchmark) -> list[tuple[int, ...]]:
    """Return inode, size and time of the benchmark's tables, to detect changed data."""
    path = Path(benchmark.data or "")
    layout = LAYOUTS.get(benchmark.dataset)
    tables = layout.tables if layout else (benchmark.dataset,)
    versions: list[tuple[int, ...]] = []
    for table in [path / f"{table}.tsv" for table in tables] if path.is_dir() else [path]:
        try:
            stat = table.stat()
        except OSError:
            continue  # loading reports the error
        versions.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return versions


def outline(loaded: LoadedDataset) -> list[SampleOutline]:
    """Return all samples in the dataset's order."""
    data = loaded.dataset.data
    parts = list(data[_PART_COLUMN]) if _PART_COLUMN in data else [""] * len(data)
    rows = list(zip(_cluster_ids(data), parts, strict=True))
    return [SampleOutline(id, *rows[position]) for id, position in loaded.positions.items()]


def describe(loaded: LoadedDataset, ids: Sequence[str]) -> list[BrokenSample]:
    """Return the samples' metadata without reading their media."""
    clusters = _cluster_ids(loaded.frame(ids))
    return [
        BrokenSample(id=id, cluster=cluster, reason="", **_metadata(loaded, row))
        for id, cluster, row in zip(ids, clusters, loaded.rows(ids, images=False), strict=True)
    ]


def samples(loaded: LoadedDataset, ids: Sequence[str]) -> list[Sample]:
    """Build the prompts of the samples `ids`."""
    clusters, rows = _cluster_ids(loaded.frame(ids)), loaded.rows(ids)
    if loaded.clips is not None:
        loaded.clips.read_ahead(rows)
    return [
        _sample(loaded, id, cluster, row)
        for id, cluster, row in zip(ids, clusters, rows, strict=True)
    ]


def _sample(loaded: LoadedDataset, id: str, cluster: str, row: Row) -> Sample:
    metadata = _metadata(loaded, row)
    try:
        messages = _messages(loaded, row)
    except MediaError as error:
        return BrokenSample(id=id, cluster=cluster, reason=str(error), **metadata)
    except Exception as error:
        error.add_note(f"sample {id}")
        raise
    return Sample(id=id, messages=messages, cluster=cluster, **metadata)


def _messages(loaded: LoadedDataset, row: Row) -> tuple[Message, ...]:
    clips, digest = loaded.clips, loaded.store.digest
    if clips is None:
        items = loaded.dataset.build_prompt(row)
        return tuple(convert(items, lambda paths: [Image(path, digest(path)) for path in paths]))
    return tuple(convert(_video_items(loaded, row), lambda paths: [clips.shown(paths[0])]))


def convert(
    items: Iterable[Mapping[str, str]], images: Callable[[list[str]], Sequence[Message]]
) -> list[Message]:
    """Convert VLMEvalKit's message; `images` converts the paths of consecutive images.

    Raises `UsageError` for other media.
    """
    messages: list[Message] = []
    for kind, group in itertools.groupby(items, key=lambda item: item["type"]):
        if kind == "text":
            messages += [Text(item["value"], item.get("role", "")) for item in group]
        elif kind == "image":
            messages += images([item["value"] for item in group])
        else:
            raise UsageError(f"message of type '{kind}': SmolVLM accepts only text and images")
    return messages


def _video_items(loaded: LoadedDataset, row: Row) -> list[dict[str, str]]:
    """Return VLMEvalKit's message about a video; raises `MediaError`."""
    video = not isinstance(loaded.dataset, vlmeval.dataset.ImageBaseDataset)
    try:
        items: list[dict[str, str]] = loaded.dataset.build_prompt(
            row, **({"video_llm": False} if video else {})
        )
    except (Pysubs2Error, UnicodeDecodeError) as error:
        file = Path(loaded.benchmark.data or "") / str(row.get("subtitle_path"))
        reason = (str(error).splitlines() or ["unknown format"])[0]
        raise MediaError(f"{file}: cannot read subtitles: {reason}") from error
    return items


def _metadata(loaded: LoadedDataset, row: Row) -> dict[str, Any]:
    labels = [
        (name, value) for name in loaded.labels for value in _values(name, cell_text(row[name]))
    ]
    if loaded.category == "dim":
        # As in VLMEvalKit's file of results (``utils/tempcompass.py:246``).
        labels.append(("dim. task_type", f"{row['dim']}. {row['task_type']}"))
    return {
        "part": row.get(_PART_COLUMN, ""),
        "category": cell_text(row[loaded.category]) if loaded.category else "",
        "labels": tuple((name, value) for name, value in labels if value),
        "question": cell_text(row["question"]),
        "target": " | ".join(dict.fromkeys(listed_texts(cell_text(row["answer"])))),
    }


def _values(column: str, text: str) -> list[str]:
    return listed_texts(text) if column in _LIST_COLUMNS else [text]


def _cluster_ids(data: Any) -> list[str]:
    """Return an id of each row's media; rows with equal ids share them."""
    if "video" in data:
        named = [name for name in ("video", "prefix") if name in data]
        return [
            _cluster_id([video_datasets.video_id(row)]) for row in data[named].to_dict("records")
        ]
    media = list(data["image" if "image" in data else "image_path"])
    return [_cluster_id(texts if isinstance(texts, list) else [texts]) for texts in media]


def _cluster_id(texts: list[str]) -> str:
    if len(texts) == 1 and len(texts[0]) <= 64:
        return str(texts[0])
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


# Loading


def _load(benchmark: Benchmark, store: MediaStore) -> LoadedDataset:
    kind = _class(benchmark)
    _check_arguments(kind, benchmark)
    if benchmark.data is None:
        raise DataError(f"{benchmark.name}: no data location")
    path = Path(benchmark.data)
    clips: ClipReader | None = None
    if benchmark.modality == "image":
        dataset = images.build(kind, benchmark, path, store)
    elif path.suffix in (".jsonl", ".tsv", ".csv") and not path.is_dir():
        dataset, clips = video_datasets.build_custom(kind, benchmark, path, store)
    else:
        dataset, clips = video_datasets.build(kind, benchmark, path, store)
    data = dataset.data
    positions = {str(index): i for i, index in enumerate(data["index"])}
    if benchmark.split is not None:
        if "split" not in data:
            raise DataError(f"{path}: no column 'split'")
        splits = list(data["split"])
        positions = {id: i for id, i in positions.items() if splits[i] == benchmark.split}
    if not positions:
        split = f" in split '{benchmark.split}'" if benchmark.split else ""
        raise DataError(f"{path}: no rows{split}")
    category = _category(kind, data)
    labels = _labels(data.iloc[list(positions.values())], category)
    return LoadedDataset(benchmark, dataset, store, positions, clips, category, labels)


def _category(kind: Any, data: Any) -> str:
    own_column = _CATEGORY_COLUMNS.get(kind.__name__, "category")
    return next((name for name in (own_column, "category", "task_type") if name in data), "")


def _labels(data: Any, category: str) -> tuple[str, ...]:
    """Return the label columns of text with more than one value."""
    return tuple(
        name
        for name in _LABEL_COLUMNS
        if name in data
        and name != category
        and not pd.api.types.is_numeric_dtype(data[name])
        and data[name].nunique() > 1
    )


def _class(benchmark: Benchmark) -> Any:
    classes = {kind.__name__: kind for kind in vlmeval.dataset.DATASET_CLASSES}
    if benchmark.dataset_class is not None:
        if benchmark.dataset_class not in classes:
            raise DataError(
                f"{benchmark.name}: VLMEvalKit has no dataset class '{benchmark.dataset_class}'"
                f"{nearest(benchmark.dataset_class, classes)}"
            )
        return classes[benchmark.dataset_class]
    if (kind := images.supporting(benchmark.dataset)) is not None:
        return kind
    if benchmark.metric in custom_data.CLASSES:
        return classes[custom_data.CLASSES[benchmark.metric]]
    raise DataError(
        f"{benchmark.name}: VLMEvalKit has no dataset '{benchmark.dataset}'"
        f"{nearest(benchmark.dataset, vlmeval.dataset.SUPPORTED_DATASETS)}; for custom data set "
        f"dataset_class, or one of the metrics {', '.join(custom_data.CLASSES)}"
    )


def _check_arguments(kind: Any, benchmark: Benchmark) -> None:
    """Raise `KitError` for arguments that the class does not accept or that other keys set."""
    parameters = inspect.signature(kind.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [name for name in parameters if name not in _RESERVED_ARGUMENTS]
    for name in benchmark.arguments:
        if name not in known:
            accepted = f"it accepts: {', '.join(known)}" if known else "it accepts none"
            raise DataError(
                f"{benchmark.name}: {kind.__name__} has no configurable argument '{name}'"
                f"{nearest(name, known)}; {accepted}"
            )


_RESERVED_ARGUMENTS = ("self", "dataset", "nframe", "fps", "pack", "use_audio")
