"""Benchmark → VLMEvalKit's dataset object → samples. Runs in the kit process.

The dataset's class builds every prompt; only where it reads data from and keeps media is ours.
Nothing is downloaded here, and nothing is written beside a user's data.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import vlmeval.dataset
from vlmeval.smp import load, toliststr

from evalsuite.benchmarks import Benchmark, FrameRule
from evalsuite.errors import nearest
from evalsuite.samples import Frames, Image, Message, Sample, Text
from evalsuite.vlmevalkit import mends
from evalsuite.vlmevalkit.kit import BrokenSample, KitError, Outline
from evalsuite.vlmevalkit.media import MediaError, Store

Row = dict[str, Any]

_LMU_DATA = "LMUData"
"""The environment's variable for VLMEvalKit's data folder."""


@dataclass(frozen=True)
class Loaded:
    """A benchmark's dataset, ready to be asked for prompts and scores."""

    benchmark: Benchmark
    dataset: Any
    """VLMEvalKit's object."""
    store: Store
    positions: dict[str, int]
    """Where each sample is in ``dataset.data``, in the dataset's order."""

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

    def __init__(self, work: Path, media: Path) -> None:
        self._roots = work / "lmu"
        self._store = Store(media)
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


def _written(benchmark: Benchmark) -> tuple[int, ...]:
    """Tell one state of the benchmark's table from another: changed data is loaded again."""
    path = Path(benchmark.data or "")
    table = path / f"{benchmark.dataset}.tsv" if path.is_dir() else path
    try:
        stat = table.stat()
    except OSError:
        return ()  # loading says what is wrong with it
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def outline(loaded: Loaded) -> list[Outline]:
    """Return all samples in the dataset's order."""
    data = loaded.dataset.data
    labels = _column(data, "category") or _column(data, "task_type") or [""] * len(data)
    clusters = map(_cluster, _clustering(data))
    at = list(zip(clusters, map(_words, labels), strict=True))
    return [Outline(id, *at[position]) for id, position in loaded.positions.items()]


def describe(loaded: Loaded, ids: Sequence[str]) -> list[BrokenSample]:
    """Return what is known of samples without touching their media."""
    clusters = map(_cluster, _clustering(loaded.frame(ids)))
    return [
        BrokenSample(id=id, cluster=cluster, reason="", **_readable(row))
        for id, cluster, row in zip(ids, clusters, loaded.rows(ids, images=False), strict=True)
    ]


def samples(loaded: Loaded, ids: Sequence[str]) -> list[Sample | BrokenSample]:
    """Build the prompts of the samples `ids`."""
    clusters = map(_cluster, _clustering(loaded.frame(ids)))
    return [
        _sample(loaded, id, cluster, row)
        for id, cluster, row in zip(ids, clusters, loaded.rows(ids), strict=True)
    ]


def _sample(loaded: Loaded, id: str, cluster: str, row: Row) -> Sample | BrokenSample:
    facts = _readable(row)
    try:
        messages = _messages(loaded, row)
    except MediaError as error:
        return BrokenSample(id=id, cluster=cluster, reason=str(error), **facts)
    except Exception as error:
        error.add_note(f"sample {id}")
        raise
    return Sample(id=id, messages=messages, cluster=cluster, **facts)


def _messages(loaded: Loaded, row: Row) -> tuple[Message, ...]:
    if loaded.benchmark.modality == "image":
        return tuple(
            Image(item["value"], loaded.store.digest(item["value"]))
            if item["type"] == "image"
            else Text(item["value"], item.get("role", ""))
            for item in loaded.dataset.build_prompt(row)
        )
    built = loaded.dataset.build_prompt(row, video_llm=False)
    messages: list[Message] = []
    for kind, items in itertools.groupby(built, key=lambda item: item["type"]):
        if kind == "image":
            messages.append(loaded.dataset.frames_at(next(items)["value"]))
        else:
            messages += [Text(item["value"], item.get("role", "")) for item in items]
    return tuple(messages)


def _readable(row: Row) -> dict[str, str]:
    """Return a sample's category, question and target, for people."""
    return {
        "category": _words(row.get("category", row.get("task_type", ""))),
        "question": _words(row["question"]),
        "target": _target(_words(row["answer"])),
    }


def _target(answer: str) -> str:
    """Return the answers a list names, each once, or the answer itself."""
    try:
        several = ast.literal_eval(answer) if answer.startswith("[") else None
    except (SyntaxError, ValueError):
        several = None
    return " | ".join(dict.fromkeys(map(str, several))) if isinstance(several, list) else answer


def _words(cell: Any) -> str:
    return "" if cell != cell else str(cell)


def _column(data: Any, name: str) -> list[Any]:
    return list(data[name]) if name in data else []


def _clustering(data: Any) -> list[Any]:
    """Return, for each row, what its media are: rows that agree in it share them."""
    name = next(name for name in ("video", "image", "image_path") if name in data)
    return list(data[name])


def _cluster(media: Any) -> str:
    texts = media if isinstance(media, list) else [media]
    if len(texts) == 1 and len(texts[0]) <= 64:
        return str(texts[0])
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


# --------------------------------------------------------------------------------------------------
# Loading
# --------------------------------------------------------------------------------------------------


def _load(benchmark: Benchmark, store: Store) -> Loaded:
    kind = _class(benchmark)
    if benchmark.data is None:
        raise KitError("data", f"{benchmark.name}: nothing says where its data lie")
    where = Path(benchmark.data)
    try:
        if benchmark.modality == "video":
            dataset = _video_dataset(kind, benchmark, where, store)
        else:
            dataset = _image_dataset(kind, benchmark, where, store)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise KitError("data", f"{where}: {error} (expected: tab-separated, UTF-8)") from error
    positions = {str(index): at for at, index in enumerate(dataset.data["index"])}
    if benchmark.split is not None:
        if "split" not in dataset.data:
            raise KitError("data", f"{where}: no column 'split'")
        splits = list(dataset.data["split"])
        positions = {id: at for id, at in positions.items() if splits[at] == benchmark.split}
    if not positions:
        of = f" in split '{benchmark.split}'" if benchmark.split else ""
        raise KitError("data", f"{where}: no rows{of}")
    return Loaded(benchmark, dataset, store, positions)


def _class(benchmark: Benchmark) -> Any:
    """Find the class of VLMEvalKit that handles the benchmark."""
    if benchmark.dataset_class is not None:
        classes = {kind.__name__: kind for kind in vlmeval.dataset.DATASET_CLASSES}
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
    raise KitError(
        "data",
        f"{benchmark.name}: VLMEvalKit has no dataset '{benchmark.dataset}'"
        f"{nearest(benchmark.dataset, vlmeval.dataset.SUPPORTED_DATASETS)}; "
        "for data of your own name a dataset_class",
    )


def _image_dataset(kind: Any, benchmark: Benchmark, path: Path, store: Store) -> Any:
    if not issubclass(kind, vlmeval.dataset.ImageBaseDataset):
        raise KitError("data", f"{benchmark.name}: {kind.__name__} is no class for images")

    def prepare_tsv(self: Any, *_: object) -> Any:
        self.data_path = str(path)
        data = _read(path, ("index", "question", "answer"))
        if "image" in data:
            mends.short_images_reach_their_sample(data)
        elif "image_path" in data:
            _require(data, ("image_path",), path)
            data["image_path"] = [_absolute(cell, path.parent) for cell in data["image_path"]]
        else:
            raise KitError("data", f"{path}: no column 'image' or 'image_path'")
        return data

    def dump_image(_: Any, line: Row) -> list[str]:
        if "image" not in line:
            return list(toliststr(line["image_path"]))
        images = toliststr(line["image"])
        named = "image_path" in line
        names = toliststr(line["image_path"]) if named else [unnamed(path)] * len(images)
        # VLMEvalKit pairs them likewise, and writes in the format the name's suffix says.
        pairs = zip(images, names, strict=False)
        return [store.image(image, Path(name).suffix) for image, name in pairs]

    ours = {"prepare_tsv": prepare_tsv, "dump_image": dump_image}
    if issubclass(kind, (vlmeval.dataset.CustomMCQDataset, vlmeval.dataset.CustomVQADataset)):
        ours["load_data"] = prepare_tsv  # theirs reads the file by itself
    return type(kind.__name__, (kind,), ours)(dataset=benchmark.dataset, **benchmark.arguments)


def unnamed(table: Path) -> str:
    """Name an image as VLMEvalKit would, as far as the format goes.

    It writes PNG files, but unpacks a table over 1 GiB into JPEG files of Pillow's own quality
    (``image_base.py:247``, ``smp/file.py:60``): other pixels, and the ones its scores are about.
    """
    return "1.jpg" if table.stat().st_size > 2**30 else "1.png"


def _video_dataset(kind: Any, benchmark: Benchmark, root: Path, store: Store) -> Any:
    if not issubclass(kind, vlmeval.dataset.VideoMME):
        raise KitError(
            "data",
            f"{benchmark.name}: {kind.__name__} is no class for videos that evalsuite reads yet; "
            "VideoMME is",
        )
    rule = benchmark.frames
    if rule is None:
        raise KitError("data", f"{benchmark.name}: say which 'frames' of a video to show")
    table = root / f"{benchmark.dataset}.tsv"

    def prepare_dataset(*_: object) -> dict[str, str]:
        _read(table, ("question", "answer", "video", "candidates"))
        return {"root": str(root), "data_file": str(table)}

    def save_video_frames(self: Any, video: str, *_: object) -> tuple[list[str], Any, Row]:
        clip = store.clip(root / "video" / f"{video}.mp4", rule)
        self.shown = {clip.paths[0]: clip.shown}
        return clip.paths, clip.indices, {"fps": clip.per_second, "n_frames": clip.n_frames}

    def frames_at(self: Any, first: str) -> Frames:
        frames: Frames = self.shown[first]
        return frames

    ours: dict[str, Callable[..., Any]] = {
        "prepare_dataset": prepare_dataset,
        "save_video_frames": save_video_frames,
        "frames_at": frames_at,
    }
    return type(kind.__name__, (kind,), ours)(
        dataset=benchmark.dataset, **_frame_arguments(rule), **benchmark.arguments
    )


def _frame_arguments(rule: FrameRule) -> dict[str, Any]:
    return {"fps": rule.per_second} if rule.per_second else {"nframe": rule.count}


def _read(path: Path, columns: Sequence[str]) -> Any:
    """Read a table that must have `columns` without holes, and an index no two rows share."""
    if not path.is_file():
        raise KitError("data", f"{path}: no such file")
    if path.suffix not in (".tsv", ".csv"):
        raise KitError("data", f"{path}: expected a .tsv file")
    data = load(str(path))
    _require(data, columns, path)
    if "index" in data:
        _require(data, ("index",), path)
        twice = list(data["index"][data["index"].duplicated()].astype(str).unique())
        if twice:
            raise KitError("data", f"{path}: more than one row has index {_some(twice)}")
    return data


def _require(data: Any, columns: Sequence[str], path: Path) -> None:
    for column in columns:
        if column not in data:
            close = nearest(column, map(str, data.columns))
            raise KitError("data", f"{path}: no column '{column}'{close}")
        # The line in the file is not known: cells may span lines.
        holes = [str(at + 1) for at, hole in enumerate(data[column].isna()) if hole]
        if holes:
            raise KitError("data", f"{path}: no {column} in row {_some(holes)}")


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return ", ".join(items[:5]) + more


def _absolute(cell: str, folder: Path) -> str:
    paths = [str(folder / path) for path in toliststr(cell)]
    return paths[0] if len(paths) == 1 else str(paths)
