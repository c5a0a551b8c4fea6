"""VLMEvalKit's own model and dataset objects, without workarounds; used by `reference`.

`reference` lists the settings that are changed.
"""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.media_references import embedded, local_path
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.vlmevalkit import workarounds
from evalsuite.vlmevalkit.table_structure import inspect


@dataclass(frozen=True, slots=True)
class ProcessorInput:
    """One prompt as VLMEvalKit's class passes it to its processor."""

    text: str
    """With one ``<image>`` per image; tile tokens are added later."""
    images: tuple[tuple[int, int, str], ...]
    """Width, height and, if requested, the SHA-256 of the RGB pixels."""


# The model


def merged(adapter: Path, base: Path, into: Path) -> Path:
    """Merge `adapter` into `base` as in PEFT's documentation; return `into`, a checkpoint."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(into)
    return into


def weights(checkpoint: Path, family: str, dtype: str, device: str) -> Any:
    """Load the checkpoint as the class of its family does."""
    import torch
    from transformers import AutoModelForImageTextToText, Idefics3ForConditionalGeneration

    older = family == "idefics3"
    kind = Idefics3ForConditionalGeneration if older else AutoModelForImageTextToText
    model = kind.from_pretrained(checkpoint, dtype=getattr(torch, dtype))
    return model.to(device)


def model(
    loaded: Any,
    checkpoint: Checkpoint,
    benchmark: Benchmark,
    asked: list[ProcessorInput],
    *,
    pixels: bool,
) -> Any:
    """Return VLMEvalKit's model object as its constructor builds it, with the changed settings.

    All processor inputs are added to `asked`.
    """
    from transformers import AutoProcessor
    from vlmeval.vlm.smolvlm import SmolVLM, SmolVLM2

    older = checkpoint.family == "idefics3"
    kind = SmolVLM if older else SmolVLM2
    instance = kind.__new__(kind)
    instance.sampling_frames = _MAX_FRAMES
    instance.resolution = checkpoint.tile_size
    instance.model = loaded
    # New for each benchmark, because a video changes the processor permanently.
    instance.processor = AutoProcessor.from_pretrained(checkpoint.processor_path)
    instance.kwargs = {
        "do_sample": False, "use_cache": True, "max_new_tokens": benchmark.max_new_tokens
    }  # fmt: skip
    _record_inputs(instance.processor, asked, pixels=pixels)
    if benchmark.modality == "video" and (older or benchmark.prompt == "default"):
        _show_frames_as_videos(instance)
    return instance


_MAX_FRAMES = 64


def _record_inputs(processor: Any, asked: list[ProcessorInput], *, pixels: bool) -> None:
    class Recorded(type(processor)):  # type: ignore[misc] # the class depends on the checkpoint
        def __call__(self, *arguments: Any, **given: Any) -> Any:
            images = tuple(
                (*image.size, hashlib.sha256(image.tobytes()).hexdigest() if pixels else "")
                for image in given["images"]
            )
            asked.append(ProcessorInput(given["text"], images))
            return super().__call__(*arguments, **given)

    processor.__class__ = Recorded


def _show_frames_as_videos(model: Any) -> None:
    """Configure the processor and limit the frames as ``build_prompt_video`` does.

    See ``vlmeval/vlm/smolvlm.py:510`` and ``:571``.
    """
    import numpy as np

    images = model.processor.image_processor
    images.size = {"longest_edge": model.resolution}
    images.do_image_splitting = False
    generate = model.generate_inner

    def capped(message: list[dict[str, str]], dataset: str | None = None) -> Any:
        frames = [item for item in message if item["type"] == "image"]
        if len(frames) > _MAX_FRAMES:
            shown = np.linspace(0, len(frames) - 1, _MAX_FRAMES, dtype=int)
            kept = {id(frames[number]) for number in shown}
            message = [m for m in message if m["type"] != "image" or id(m) in kept]
        return generate(message, dataset=dataset)

    model.generate_inner = capped


# The data


def dataset(benchmark: Benchmark, root: Path) -> Any:
    """Return VLMEvalKit's dataset object for the benchmark's file; `root` is its data folder."""
    import vlmeval.dataset
    from vlmeval.dataset import SUPPORTED_DATASETS

    root.mkdir(parents=True)
    # VLMEvalKit reads the variable at each use. New, because it stores media there by name.
    os.environ["LMUData"] = str(root)
    data = Path(benchmark.data or "")
    if benchmark.modality == "image":
        table = root / f"{benchmark.dataset}.tsv"
        kind, known = _class(benchmark), benchmark.dataset in SUPPORTED_DATASETS
        if data.suffix == ".tsv" and (known or benchmark.dataset_class is not None):
            table.symlink_to(data)
        else:
            _as_table(data).to_csv(table, sep="\t", index=False)
        if benchmark.dataset_class is None and known:
            kind.DATASET_MD5 = {}
            return vlmeval.dataset.build_dataset(benchmark.dataset, **benchmark.arguments)
        return kind(dataset=benchmark.dataset, **benchmark.arguments)
    if data.is_file():
        raise LookupError("VLMEvalKit has no class for a table of one's own with videos")
    _provide_videos(benchmark.dataset, data, root / "repository")
    assert benchmark.frames is not None
    frames = {"fps": benchmark.frames.per_second or -1, "nframe": benchmark.frames.count or 0}
    kind = _class(benchmark)
    return kind(dataset=benchmark.dataset, **frames, **benchmark.arguments)


def _as_table(path: Path) -> Any:
    """Return one's own data as a table that VLMEvalKit reads; raises `LookupError`.

    VLMEvalKit reads no JSONL, and paths of images relative to the working directory.
    """
    from evalsuite.vlmevalkit import custom_data
    from evalsuite.vlmevalkit.tsv import listed_texts

    if path.suffix == ".jsonl":
        data = custom_data.read_lines(path, "image")
        images = list(data.pop("image"))
    else:
        data = _read_texts(path)
        column = "image" if "image" in data else "image_path"
        images = [listed_texts(cell) for cell in data.pop(column)]
    held = [[embedded(text) for text in texts] for texts in images]
    if all(None not in each for each in held):
        data["image"] = [str(each) if len(each) > 1 else each[0] for each in held]
        return data
    if any(set(each) != {None} for each in held):
        raise LookupError("VLMEvalKit reads no table with both paths and base64")
    files = [[str(local_path(text, path.parent)) for text in texts] for texts in images]
    data["image_path"] = [str(each) if len(each) > 1 else each[0] for each in files]
    return data


def _read_texts(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(
        path,
        sep="\t" if path.suffix == ".tsv" else ",",
        dtype=str,
        keep_default_na=False,
        quoting=csv.QUOTE_MINIMAL if inspect(path).quoted else csv.QUOTE_NONE,
    )


def _class(benchmark: Benchmark) -> Any:
    from vlmeval.dataset import DATASET_CLASSES

    from evalsuite.vlmevalkit import custom_data

    for kind in DATASET_CLASSES:
        if benchmark.dataset_class is None and benchmark.dataset in kind.supported_datasets():
            return kind
        if kind.__name__ == benchmark.dataset_class:
            return kind
    classes = {kind.__name__: kind for kind in DATASET_CLASSES}
    if benchmark.dataset_class is None and benchmark.metric in custom_data.CLASSES:
        return classes[custom_data.CLASSES[benchmark.metric]]
    raise LookupError(f"VLMEvalKit has no class for dataset '{benchmark.dataset}'")


def _provide_videos(dataset: str, data: Path, repository: Path) -> None:
    """Let VLMEvalKit find `data` as a download, with the published checksum."""
    import importlib

    from vlmeval.dataset import DATASET_CLASSES
    from vlmeval.smp import md5

    if dataset.startswith("MVBench"):
        repository = data
    else:
        _link(data, repository)
    for table in LAYOUTS[dataset].tables:
        kind = next(kind for kind in DATASET_CLASSES if table in kind.supported_datasets())
        module = importlib.import_module(kind.__module__)
        module.get_cache_path = lambda *_, **__: str(repository)  # type: ignore[attr-defined]
        pin = "MP4_MD5" if hasattr(kind, "MP4_MD5") else "MD5"
        setattr(kind, pin, md5(str(repository / f"{table}.tsv")))
    workarounds.allow_concat_datasets()


def _link(data: Path, into: Path) -> None:
    """Recreate the tree `data` with symbolic links.

    VLMEvalKit writes a lock file next to every video it reads (``videomme.py:185``).
    """
    for folder, _, files in os.walk(data, followlinks=True):
        below = into / Path(folder).relative_to(data)
        below.mkdir(parents=True)
        for name in files:
            (below / name).symlink_to(Path(folder) / name)
