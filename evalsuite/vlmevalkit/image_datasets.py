"""VLMEvalKit's classes for questions about images, reading from where the user's data lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vlmeval.dataset
from vlmeval.smp import toliststr

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.vlmevalkit import custom_data, workarounds
from evalsuite.vlmevalkit.client import KitError
from evalsuite.vlmevalkit.media_store import MediaError, Store
from evalsuite.vlmevalkit.tsv import Row, read, require, several

_FILLED = {
    "MathVista": ("question_type", "answer_type", "task", "skills"),
    "OCRBench": ("category",),
}
_PRESENT = {"MathVista": ("choices", "answer_option")}
"""What else a class reads of a row, by its name: filled in every row, or at least there."""


def build(kind: Any, benchmark: Benchmark, path: Path, store: Store) -> Any:
    """VLMEvalKit's object of class `kind` over the table at `path`; raises `KitError`."""
    if not issubclass(kind, vlmeval.dataset.ImageBaseDataset):
        raise KitError("data", f"{benchmark.name}: {kind.__name__} is no class for images")
    if path.suffix == ".jsonl":
        data = custom_data.read_lines(path, "image")
        media = data.pop("image")
        require(data, _FILLED.get(kind.__name__, ()), path)
        dataset = instance(kind, benchmark, lambda: data, lambda row: _shown(row, path, store))
        dataset.data["image"] = list(media)
        return dataset

    def table() -> Any:
        data = read(
            path,
            ("index", "question", "answer", *_FILLED.get(kind.__name__, ())),
            _PRESENT.get(kind.__name__, ()),
        )
        if "image" in data:
            if benchmark.published is None:
                # VLMEvalKit leaves rows without an image out, and says nothing.
                require(data, ("image",), path)
            workarounds.short_images_reach_their_sample(data)
        elif "image_path" in data:
            require(data, ("image_path",), path)
        else:
            raise KitError("data", f"{path}: no column 'image' or 'image_path'")
        return data

    def files(row: Row) -> list[str]:
        if "image" not in row:
            return [str(path.parent / name) for name in several(row["image_path"])]
        images = toliststr(row["image"])
        named = "image_path" in row
        names = toliststr(row["image_path"]) if named else [unnamed(path)] * len(images)
        if len(names) != len(images):
            raise MediaError(f"{len(images)} images, and {len(names)} names of them")
        # VLMEvalKit writes in the format the name's suffix says.
        pairs = zip(images, names, strict=True)
        return [store.image(image, Path(name).suffix) for image, name in pairs]

    return instance(kind, benchmark, table, files)


def instance(
    kind: Any,
    benchmark: Benchmark,
    table: Callable[[], Any],
    files: Callable[[Row], list[str]],
) -> Any:
    """An object of class `kind` that gets its rows of `table`, and a row's images of `files`."""

    def prepare_tsv(self: Any, *_: object) -> Any:
        self.data_path = benchmark.data
        return table()

    ours: dict[str, Any] = {
        "prepare_tsv": prepare_tsv,
        "dump_image": lambda _, row: files(row),
    }
    if issubclass(kind, (vlmeval.dataset.CustomMCQDataset, vlmeval.dataset.CustomVQADataset)):
        ours["load_data"] = prepare_tsv  # theirs reads the file by itself
    dataset = type(kind.__name__, (kind,), ours)(dataset=benchmark.dataset, **benchmark.arguments)
    # Or it would take the paths as they are, relative ones to wherever it happens to run.
    dataset.meta_only = False
    return dataset


def unnamed(table: Path) -> str:
    """Name an image as VLMEvalKit would, as far as the format goes.

    It writes PNG files, but unpacks a table over 1 GiB into JPEG files of Pillow's own quality
    (``image_base.py:247``, ``smp/file.py:60``): other pixels, and the ones its scores are about.
    """
    return "1.jpg" if table.stat().st_size > 2**30 else "1.png"


def _shown(row: Row, table: Path, store: Store) -> list[str]:
    """A JSONL row's images: paths, or base64 that is put on disk."""
    return [
        str(table.parent / text) if custom_data.is_path(text) else store.image(text)
        for text in row["image"]
    ]
