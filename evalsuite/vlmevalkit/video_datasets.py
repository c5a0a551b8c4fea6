"""VLMEvalKit's video dataset classes, reading the user's directory.

The classes build every prompt. Frames come from the `media_store`, where VLMEvalKit would store
them by video name and write a lock file next to the video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import vlmeval.dataset

from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from evalsuite.benchmarks.media_references import MediaReferenceError, local_path
from evalsuite.benchmarks.video_layouts import LAYOUTS, Layout
from evalsuite.sample import Frames
from evalsuite.vlmevalkit import custom_data, image_datasets
from evalsuite.vlmevalkit.client import DataError
from evalsuite.vlmevalkit.media_store import MediaError, MediaStore, StoredClip
from evalsuite.vlmevalkit.scoring_workarounds import replaced
from evalsuite.vlmevalkit.tsv import Row, cell_seconds, cell_text, read_table
from evalsuite.vlmevalkit.video_frames import ClipSpec

_BASIC_COLUMNS = ("question", "answer", "video")
_OPTION_COLUMNS = (*_BASIC_COLUMNS, "task_type", "prefix", "candidates")
_FILLED_COLUMNS = {
    "Video-MME": (*_BASIC_COLUMNS, "candidates"),
    "WorldSense": (*_BASIC_COLUMNS, "candidates"),
    "MVBench": (*_OPTION_COLUMNS, "data_type", "bound"),
    "MVBench_MP4": _OPTION_COLUMNS,
    "MLVU_MCQ": _OPTION_COLUMNS,
    "MLVU_OpenEnded": (*_BASIC_COLUMNS, "task_type", "prefix"),
    "TempCompass_MCQ": (*_OPTION_COLUMNS, "suffix", "dim"),
    "TempCompass_Captioning": (*_BASIC_COLUMNS, "task_type", "prefix", "suffix", "dim"),
    "TempCompass_YorN": (*_BASIC_COLUMNS, "task_type", "prefix", "suffix", "dim"),
}
_PRESENT_COLUMNS = {
    "MVBench": ("start", "end"),
    "MLVU_OpenEnded": ("scoring_points",),
    "TempCompass_Captioning": ("mc_question", "mc_answer"),
}
"""Columns by dataset: required in every row, or required to exist."""


class ClipReader:
    """ScoringContext of the clips of a benchmark's rows."""

    def __init__(self, store: MediaStore, spec: Callable[[Row], ClipSpec]) -> None:
        self._store = store
        self._clip_spec = spec
        self._decoded: dict[ClipSpec, StoredClip | MediaError] = {}
        self._shown: dict[str, Frames] = {}

    def read_ahead(self, rows: Iterable[Row]) -> None:
        """Decode the clips of `rows` in parallel, before they are used one by one."""
        self._shown.clear()
        self._decoded = self._store.clips(map(self._clip_spec, rows))

    def read(self, row: Row) -> StoredClip:
        """Return a row's clip; raises `MediaError`."""
        spec = self._clip_spec(row)
        clip = self._decoded[spec] if spec in self._decoded else self._store.clip(spec)
        if isinstance(clip, MediaError):
            raise MediaError(str(clip))
        self._shown[clip.paths[0]] = clip.shown
        return clip

    def shown(self, first: str) -> Frames:
        """Return the shown frames of the clip whose first frame is the file `first`."""
        return self._shown[first]


def build(kind: Any, benchmark: Benchmark, root: Path, store: MediaStore) -> tuple[Any, ClipReader]:
    """Return VLMEvalKit's object of class `kind` for the directory `root`; raises `KitError`."""
    layout, keys = _layout(kind, benchmark)
    rule = _rule(benchmark)
    if kind is vlmeval.dataset.MVBench and rule.per_second is not None:
        raise DataError(
            f"{benchmark.name}: MVBench needs a number of frames, not {rule}: set 'frames: 8', or "
            "use 'dataset: MVBench_MP4'"
        )
    if not root.is_dir():
        tables = " and ".join(f"{table}.tsv" for table in keys)
        raise DataError(f"{root}: no such directory; expected one with {tables}")
    filled = ("subtitle_path",) if benchmark.arguments.get("use_subtitle") else ()
    for table, key in keys.items():
        data = read_table(
            root / f"{table}.tsv",
            (*_FILLED_COLUMNS[key], *filled),
            _PRESENT_COLUMNS.get(key, ()),
            strict=not benchmark.as_published,
        )
        if key == "MVBench":
            _check_types(data, root / f"{table}.tsv")

    mvbench = issubclass(kind, (vlmeval.dataset.MVBench, vlmeval.dataset.MVBench_MP4))
    clips = ClipReader(
        store, lambda row: _clip_spec(row, root / layout.video(row), rule, segment_middles=mvbench)
    )

    def ours(part: Any) -> Any:
        return type(part.__name__, (part,), _overrides(root, clips))

    rate = {"fps": rule.per_second} if rule.per_second else {"nframe": rule.count}
    if not issubclass(kind, vlmeval.dataset.video_concat_dataset.ConcatVideoDataset):
        return ours(kind)(dataset=benchmark.dataset, **rate, **benchmark.arguments), clips

    def build_part(dataset: str, **arguments: Any) -> Any:
        return ours(image_datasets.supporting(dataset))(dataset=dataset, **arguments)

    # ``video_concat_dataset.py:18`` imports the function by name when an object is created.
    with replaced(vlmeval.dataset, build_dataset=build_part):
        return kind(dataset=benchmark.dataset, **rate, **benchmark.arguments), clips


def build_custom(
    kind: Any, benchmark: Benchmark, path: Path, store: MediaStore
) -> tuple[Any, ClipReader]:
    """Return an object of an image class for a table with a column ``video``.

    The class builds its usual prompts, with frames instead of images. Raises `KitError`.
    """
    if not issubclass(kind, vlmeval.dataset.ImageBaseDataset):
        raise DataError(
            f"{benchmark.name}: {kind.__name__} reads a directory, not {path.name}; for a custom "
            "table remove 'dataset_class', or use an image class"
        )
    rule = _rule(benchmark)
    clips = ClipReader(
        store, lambda row: ClipSpec(path.parent / row["video"], rule, bounds=_clip_bounds(row))
    )

    def table() -> Any:
        if path.suffix == ".jsonl":
            data = custom_data.read_lines(path, "video")
        else:
            data = read_table(path, ("question", "answer", "video"))
            data["video"] = [_video(video, path, row) for row, video in enumerate(data["video"], 1)]
        if "index" not in data:
            data.insert(0, "index", range(len(data)))
        for number, row in enumerate(data.to_dict("records"), 1):
            try:
                _clip_bounds(row)
            except ValueError as error:
                raise DataError(f"{path}: row {number}: start or end: {error}") from error
        return data.drop(columns=["image", "image_path"], errors="ignore")

    return image_datasets.instance(kind, benchmark, table, lambda row: clips.read(row).paths), clips


def _video(name: str, table: Path, row: int) -> str:
    try:
        return str(local_path(name, table.parent)) if "://" in name else name
    except MediaReferenceError as error:
        raise DataError(f"{table}: row {row} has the video {error}") from None


def _layout(kind: Any, benchmark: Benchmark) -> tuple[Layout, dict[str, str]]:
    """Return the directory layout, and by table the dataset whose columns it has."""
    known = [key for key in kind.supported_datasets() if key in LAYOUTS]
    if not issubclass(kind, vlmeval.dataset.video_base.VideoBaseDataset) or len(known) != 1:
        raise DataError(
            f"{benchmark.name}: {kind.__name__} is not a supported video class; "
            f"supported are the classes of {', '.join(LAYOUTS)}"
        )
    layout = LAYOUTS[known[0]]
    if len(layout.tables) > 1:
        return layout, {table: table for table in layout.tables}
    return layout, {benchmark.dataset: known[0]}


def _rule(benchmark: Benchmark) -> FrameRule:
    if benchmark.frames is None:
        raise DataError(f"{benchmark.name}: set 'frames', which selects the frames of a video")
    return benchmark.frames


def _overrides(root: Path, clips: ClipReader) -> dict[str, Any]:
    """Return the methods of our subclass of a VLMEvalKit class."""

    def prepare_dataset(_: Any, dataset: str, *__: object) -> dict[str, str]:
        return {"root": str(root), "data_file": str(root / f"{dataset}.tsv")}

    def save_video_frames(_: Any, video: str, *__: object) -> tuple[list[str], Any, Row]:
        # Signature for Video-MME and WorldSense.
        clip = clips.read({"video": video})
        return clip.paths, clip.indices, {"fps": clip.per_second, "n_frames": clip.n_frames}

    def save_video_into_images(_: Any, row: Row) -> list[str]:
        # Signature for the other classes.
        return clips.read(row).paths

    return {
        "prepare_dataset": prepare_dataset,
        "save_video_frames": save_video_frames,
        "save_video_into_images": save_video_into_images,
    }


def _clip_spec(row: Row, video: Path, rule: FrameRule, *, segment_middles: bool) -> ClipSpec:
    bounds = (float(row["start"]), float(row["end"])) if row.get("bound", False) else None
    return ClipSpec(video, rule, row.get("data_type", "video"), segment_middles, bounds)


def _check_types(data: Any, table: Path) -> None:
    for number, kind in enumerate(data["data_type"], 1):
        if kind not in ("video", "gif", "frame"):
            raise DataError(
                f"{table}: row {number}: data_type '{kind}', expected video, gif or frame"
            )


def _clip_bounds(row: Row) -> tuple[float, float] | None:
    """Return start and end of a clip in a custom table; raises `ValueError`."""
    start, end = cell_seconds(row.get("start")), cell_seconds(row.get("end"))
    if start is None and end is None:
        return None
    return start or 0.0, math.inf if end is None else end


def video_id(row: Row) -> str:
    """Return what identifies a row's video, which may share its name with others."""
    prefix = cell_text(row.get("prefix"))
    return str(PurePosixPath(prefix) / str(row["video"])) if prefix else str(row["video"])
