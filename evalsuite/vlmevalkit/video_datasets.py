"""VLMEvalKit's classes for questions about videos, over a directory laid out as it wants it.

The classes word every prompt. Where they would read frames, keep them by the video's name and
leave a lock beside it, they get `media`'s.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import vlmeval.dataset

from evalsuite.benchmarks.catalogue import Benchmark, FrameRule
from evalsuite.benchmarks.video_layouts import LAYOUTS, Layout
from evalsuite.sample import Frames
from evalsuite.vlmevalkit import custom_data, image_datasets
from evalsuite.vlmevalkit.client import KitError
from evalsuite.vlmevalkit.media_store import Clip, MediaError, Store
from evalsuite.vlmevalkit.tsv import Row, read, seconds, words
from evalsuite.vlmevalkit.video_frames import Cut

_ASKED = ("question", "answer", "video")
_LISTED = (*_ASKED, "task_type", "prefix", "candidates")
_FILLED = {
    "Video-MME": (*_ASKED, "candidates"),
    "WorldSense": (*_ASKED, "candidates"),
    "MVBench": (*_LISTED, "data_type", "bound"),
    "MVBench_MP4": _LISTED,
    "MLVU_MCQ": _LISTED,
    "MLVU_OpenEnded": (*_ASKED, "task_type", "prefix"),
    "TempCompass_MCQ": (*_LISTED, "suffix", "dim"),
    "TempCompass_Captioning": (*_ASKED, "task_type", "prefix", "suffix", "dim"),
    "TempCompass_YorN": (*_ASKED, "task_type", "prefix", "suffix", "dim"),
}
_PRESENT = {
    "MVBench": ("start", "end"),
    "MLVU_OpenEnded": ("scoring_points",),
    "TempCompass_Captioning": ("mc_question", "mc_answer"),
}
"""What a dataset's class reads of a row: filled in every row, or at least there."""


class Clips:
    """The clips a benchmark's rows are about."""

    def __init__(self, store: Store, cut: Callable[[Row], Cut]) -> None:
        self._store = store
        self._cut = cut
        self._ahead: dict[Cut, Clip | MediaError] = {}
        self._shown: dict[str, Frames] = {}

    def read_ahead(self, rows: Iterable[Row]) -> None:
        """Decode the clips of `rows` side by side, before they are asked for one by one."""
        self._shown.clear()
        self._ahead = self._store.clips(map(self._cut, rows))

    def of(self, row: Row) -> Clip:
        """Return a row's clip; raises `MediaError`."""
        cut = self._cut(row)
        clip = self._ahead[cut] if cut in self._ahead else self._store.clip(cut)
        if isinstance(clip, MediaError):
            raise MediaError(str(clip))
        self._shown[clip.paths[0]] = clip.shown
        return clip

    def shown(self, first: str) -> Frames:
        """Return what is shown of the clip whose frames begin with the file `first`."""
        return self._shown[first]


def build(kind: Any, benchmark: Benchmark, root: Path, store: Store) -> tuple[Any, Clips]:
    """VLMEvalKit's object of class `kind` over the directory `root`; raises `KitError`."""
    layout, keys = _layout(kind, benchmark)
    rule = _rule(benchmark)
    if kind is vlmeval.dataset.MVBench and rule.per_second is not None:
        raise KitError(
            "data",
            f"{benchmark.name}: MVBench shows a number of frames, not {rule}: say 'frames: 8', or "
            "take its other form, 'dataset: MVBench_MP4'",
        )
    if not root.is_dir():
        tables = " and ".join(f"{table}.tsv" for table in keys)
        raise KitError("data", f"{root}: no such directory; expected one with {tables}")
    filled = ("subtitle_path",) if benchmark.arguments.get("use_subtitle") else ()
    for table, key in keys.items():
        data = read(root / f"{table}.tsv", (*_FILLED[key], *filled), _PRESENT.get(key, ()))
        if key == "MVBench":
            _check_types(data, root / f"{table}.tsv")

    mvbench = issubclass(kind, (vlmeval.dataset.MVBench, vlmeval.dataset.MVBench_MP4))
    clips = Clips(store, lambda row: _cut(row, root / layout.video(row), rule, middles=mvbench))

    def ours(part: Any) -> Any:
        return type(part.__name__, (part,), _members(root, clips))

    rate = {"fps": rule.per_second} if rule.per_second else {"nframe": rule.count}
    if not issubclass(kind, vlmeval.dataset.video_concat_dataset.ConcatVideoDataset):
        return ours(kind)(dataset=benchmark.dataset, **rate, **benchmark.arguments), clips
    with _parts_of(ours):
        return kind(dataset=benchmark.dataset, **rate, **benchmark.arguments), clips


def build_own(kind: Any, benchmark: Benchmark, path: Path, store: Store) -> tuple[Any, Clips]:
    """An object of a class for images over a table with a column ``video``; raises `KitError`.

    It words its prompts as ever; where images would stand in them, frames do.
    """
    if not issubclass(kind, vlmeval.dataset.ImageBaseDataset):
        raise KitError(
            "data",
            f"{benchmark.name}: {kind.__name__} reads a directory, not {path.name}; for a table of "
            "your own leave out 'dataset_class', or name one for images",
        )
    rule = _rule(benchmark)
    clips = Clips(store, lambda row: Cut(path.parent / row["video"], rule, bounds=_bounds(row)))

    def table() -> Any:
        if path.suffix == ".jsonl":
            data = custom_data.read_lines(path, "video")
        else:
            data = read(path, ("question", "answer", "video"))
        if "index" not in data:
            data.insert(0, "index", range(len(data)))
        for number, row in enumerate(data.to_dict("records"), 1):
            try:
                _bounds(row)
            except ValueError as error:
                raise KitError("data", f"{path}: row {number}: start or end: {error}") from error
        return data.drop(columns=["image", "image_path"], errors="ignore")

    return image_datasets.instance(kind, benchmark, table, lambda row: clips.of(row).paths), clips


def _layout(kind: Any, benchmark: Benchmark) -> tuple[Layout, dict[str, str]]:
    """How the directory is laid out, and for each table the dataset whose columns it has."""
    known = [key for key in kind.supported_datasets() if key in LAYOUTS]
    if not issubclass(kind, vlmeval.dataset.video_base.VideoBaseDataset) or len(known) != 1:
        raise KitError(
            "data",
            f"{benchmark.name}: {kind.__name__} is no class for videos that evalsuite reads; "
            f"the classes of these are: {', '.join(LAYOUTS)}",
        )
    layout = LAYOUTS[known[0]]
    if len(layout.tables) > 1:
        return layout, {table: table for table in layout.tables}
    return layout, {benchmark.dataset: known[0]}


def _rule(benchmark: Benchmark) -> FrameRule:
    if benchmark.frames is None:
        raise KitError("data", f"{benchmark.name}: say which 'frames' of a video to show")
    return benchmark.frames


def _members(root: Path, clips: Clips) -> dict[str, Any]:
    """What our subclass of a VLMEvalKit class does otherwise."""

    def prepare_dataset(_: Any, dataset: str, *__: object) -> dict[str, str]:
        return {"root": str(root), "data_file": str(root / f"{dataset}.tsv")}

    def save_video_frames(_: Any, video: str, *__: object) -> tuple[list[str], Any, Row]:
        # As Video-MME and WorldSense call it.
        clip = clips.of({"video": video})
        return clip.paths, clip.indices, {"fps": clip.per_second, "n_frames": clip.n_frames}

    def save_video_into_images(_: Any, row: Row) -> list[str]:
        # As the others do.
        return clips.of(row).paths

    return {
        "prepare_dataset": prepare_dataset,
        "save_video_frames": save_video_frames,
        "save_video_into_images": save_video_into_images,
    }


@contextlib.contextmanager
def _parts_of(ours: Callable[[Any], Any]) -> Iterator[None]:
    """Let a set of several datasets be made of our subclasses.

    ``video_concat_dataset.py:18`` imports the function by name when it is built.
    """
    theirs = vlmeval.dataset.build_dataset

    def build_dataset(dataset: str, **arguments: Any) -> Any:
        kinds = (k for k in vlmeval.dataset.DATASET_CLASSES if dataset in k.supported_datasets())
        return ours(next(kinds))(dataset=dataset, **arguments)

    vlmeval.dataset.build_dataset = build_dataset
    try:
        yield
    finally:
        vlmeval.dataset.build_dataset = theirs


def _cut(row: Row, video: Path, rule: FrameRule, *, middles: bool) -> Cut:
    bounds = (float(row["start"]), float(row["end"])) if row.get("bound", False) else None
    return Cut(video, rule, row.get("data_type", "video"), middles, bounds)


def _check_types(data: Any, table: Path) -> None:
    for number, kind in enumerate(data["data_type"], 1):
        if kind not in ("video", "gif", "frame"):
            raise KitError(
                "data", f"{table}: row {number}: data_type '{kind}' is none of video, gif, frame"
            )


def _bounds(row: Row) -> tuple[float, float] | None:
    """The bounds of a clip in a table of one's own; raises `ValueError`."""
    start, end = seconds(row.get("start")), seconds(row.get("end"))
    if start is None and end is None:
        return None
    return start or 0.0, math.inf if end is None else end


def place(row: Row) -> str:
    """What tells a row's video from others of the same name."""
    prefix = words(row.get("prefix"))
    return str(PurePosixPath(prefix) / str(row["video"])) if prefix else str(row["video"])
