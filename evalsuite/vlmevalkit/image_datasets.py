"""VLMEvalKit's image dataset classes, reading the user's files directly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vlmeval.dataset
from vlmeval.smp import toliststr

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.media_references import MediaReferenceError, embedded, local_path
from evalsuite.vlmevalkit import custom_data, workarounds
from evalsuite.vlmevalkit.client import DataError
from evalsuite.vlmevalkit.media_store import MediaError, MediaStore
from evalsuite.vlmevalkit.tsv import Row, listed_texts, read_table, require_columns

_FILLED_COLUMNS = {
    "MathVista": ("question_type", "answer_type", "task", "skills"),
    "OCRBench": ("category",),
}
_PRESENT_COLUMNS = {"MathVista": ("choices", "answer_option")}
"""Further columns by class name: required in every row, or required to exist."""


def build(kind: Any, benchmark: Benchmark, path: Path, store: MediaStore) -> Any:
    """Return VLMEvalKit's object of class `kind` for the table at `path`; raises `KitError`."""
    if not issubclass(kind, vlmeval.dataset.ImageBaseDataset):
        raise DataError(f"{benchmark.name}: {kind.__name__} is not an image class")
    if path.suffix == ".jsonl":
        data = custom_data.read_lines(path, "image")
        media = data.pop("image")
        require_columns(data, _FILLED_COLUMNS.get(kind.__name__, ()), path)
        dataset = instance(
            kind, benchmark, lambda: data, lambda row: _json_images(row, path, store)
        )
        dataset.data["image"] = list(media)
        return dataset

    def table() -> Any:
        data = read_table(
            path,
            ("index", "question", "answer", *_FILLED_COLUMNS.get(kind.__name__, ())),
            _PRESENT_COLUMNS.get(kind.__name__, ()),
            strict=not benchmark.as_published,
        )
        if "image" in data:
            if benchmark.published is None:
                # VLMEvalKit silently drops rows without an image.
                require_columns(data, ("image",), path)
            workarounds.pad_short_images(data)
        elif "image_path" in data:
            require_columns(data, ("image_path",), path)
        else:
            raise DataError(f"{path}: no column 'image' or 'image_path'")
        return data

    def files(row: Row) -> list[str]:
        if "image" not in row:
            return [_file(name, path) for name in listed_texts(row["image_path"])]
        images = toliststr(row["image"])
        if not benchmark.as_published:
            images = [text.rstrip() for text in images]
            if any("." in text or ":" in text for text in images):
                return [_stored(text, path, store) for text in images]
        named = "image_path" in row
        names = toliststr(row["image_path"]) if named else [default_image_name(path)] * len(images)
        if len(names) != len(images):
            raise MediaError(f"{len(images)} images but {len(names)} names")
        # VLMEvalKit writes in the format of the name's suffix.
        pairs = zip(images, names, strict=True)
        return [store.image(image, Path(name).suffix) for image, name in pairs]

    return instance(kind, benchmark, table, files)


def instance(
    kind: Any,
    benchmark: Benchmark,
    table: Callable[[], Any],
    files: Callable[[Row], list[str]],
) -> Any:
    """Return an object of class `kind` with rows from `table` and a row's images from `files`."""

    def prepare_tsv(self: Any, *_: object) -> Any:
        self.data_path = benchmark.data
        return table()

    ours: dict[str, Any] = {
        "prepare_tsv": prepare_tsv,
        "dump_image": lambda _, row: files(row),
    }
    if issubclass(kind, (vlmeval.dataset.CustomMCQDataset, vlmeval.dataset.CustomVQADataset)):
        ours["load_data"] = prepare_tsv  # the original reads the file itself
    dataset = type(kind.__name__, (kind,), ours)(dataset=benchmark.dataset, **benchmark.arguments)
    # Otherwise the class uses relative paths as they are, relative to the working directory.
    dataset.meta_only = False
    return dataset


def supporting(dataset: str) -> Any:
    """Return VLMEvalKit's class for a dataset key, or None."""
    kinds = vlmeval.dataset.DATASET_CLASSES
    return next((kind for kind in kinds if dataset in kind.supported_datasets()), None)


def default_image_name(table: Path) -> str:
    """Return VLMEvalKit's name for an image without a name; only the suffix matters.

    It writes PNG files, but unpacks a table over 1 GiB into JPEG files with Pillow's default
    quality (``image_base.py:247``, ``smp/file.py:60``), which changes the pixels that it scores.
    """
    return "1.jpg" if table.stat().st_size > 2**30 else "1.png"


def _json_images(row: Row, table: Path, store: MediaStore) -> list[str]:
    """Return the image paths of a JSONL row; base64 images are written to disk."""
    return [_stored(text, table, store) for text in row["image"]]


def _stored(text: str, table: Path, store: MediaStore) -> str:
    """Return the path of the image that a cell of `table` names or holds."""
    image = embedded(text)
    return _file(text, table) if image is None else store.image(image)


def _file(text: str, table: Path) -> str:
    try:
        return str(local_path(text, table.parent))
    except MediaReferenceError as error:
        raise MediaError(str(error)) from None
