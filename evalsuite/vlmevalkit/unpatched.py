"""VLMEvalKit's own model and dataset objects, unmended: what the child of `reference` runs.

`reference` says what is set on them, and why.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.benchmarks.video_layouts import LAYOUTS


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt as VLMEvalKit's class hands it to its processor."""

    text: str
    """With one ``<image>`` an image: tiles are not spelled out yet."""
    images: tuple[tuple[int, int, str], ...]
    """Width, height and, if that was asked for, the SHA-256 of the RGB pixels."""


# --------------------------------------------------------------------------------------------------
# The model
# --------------------------------------------------------------------------------------------------


def merged(adapter: Path, base: Path, into: Path) -> Path:
    """Merge `adapter` into `base` as PEFT's documentation does it; returns `into`, a checkpoint."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(into)
    return into


def weights(checkpoint: Path, family: str, dtype: str, device: str) -> Any:
    """The checkpoint, loaded as the class for its family loads it."""
    import torch
    from transformers import AutoModelForImageTextToText, Idefics3ForConditionalGeneration

    older = family == "idefics3"
    kind = Idefics3ForConditionalGeneration if older else AutoModelForImageTextToText
    model = kind.from_pretrained(checkpoint, dtype=getattr(torch, dtype))
    return model.to(device)


def model(
    loaded: Any,
    processor: Path,
    family: str,
    tile_size: int,
    benchmark: Benchmark,
    asked: list[Asked],
    *,
    pixels: bool,
) -> Any:
    """VLMEvalKit's model object, as its constructor would build it but for what is set.

    Everything it asks is added to `asked`.
    """
    from transformers import AutoProcessor
    from vlmeval.vlm.smolvlm import SmolVLM, SmolVLM2

    older = family == "idefics3"
    kind = SmolVLM if older else SmolVLM2
    asker = kind.__new__(kind)
    asker.sampling_frames = _MAX_FRAMES
    asker.resolution = tile_size
    asker.model = loaded
    # Fresh for each benchmark: a video leaves it changed for whatever comes after.
    asker.processor = AutoProcessor.from_pretrained(processor)
    asker.kwargs = {
        "do_sample": False, "use_cache": True, "max_new_tokens": benchmark.max_new_tokens
    }  # fmt: skip
    _watch(asker.processor, asked, pixels=pixels)
    if benchmark.modality == "video" and (older or benchmark.prompt == "default"):
        _show_frames_as_videos(asker)
    return asker


_MAX_FRAMES = 64


def _watch(processor: Any, asked: list[Asked], *, pixels: bool) -> None:
    """Take down everything `processor` is given."""
    import hashlib

    class Watched(type(processor)):  # type: ignore[misc] # the class depends on the checkpoint
        def __call__(self, *arguments: Any, **given: Any) -> Any:
            images = tuple(
                (*image.size, hashlib.sha256(image.tobytes()).hexdigest() if pixels else "")
                for image in given["images"]
            )
            asked.append(Asked(given["text"], images))
            return super().__call__(*arguments, **given)

    processor.__class__ = Watched


def _show_frames_as_videos(model: Any) -> None:
    """What ``build_prompt_video`` does to the processor and to too many frames, without its text.

    See ``vlmeval/vlm/smolvlm.py:510`` and ``:571``.
    """
    import numpy as np

    images = model.processor.image_processor
    images.size = {"longest_edge": model.resolution}
    images.do_image_splitting = False
    ask = model.generate_inner

    def capped(message: list[dict[str, str]], dataset: str | None = None) -> Any:
        frames = [item for item in message if item["type"] == "image"]
        if len(frames) > _MAX_FRAMES:
            shown = np.linspace(0, len(frames) - 1, _MAX_FRAMES, dtype=int)
            kept = {id(frames[number]) for number in shown}
            message = [m for m in message if m["type"] != "image" or id(m) in kept]
        return ask(message, dataset=dataset)

    model.generate_inner = capped


def peak_memory_bytes(device: str) -> int:
    """As `reference.Reference` has it."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --------------------------------------------------------------------------------------------------
# The data
# --------------------------------------------------------------------------------------------------


def dataset(benchmark: Benchmark, root: Path) -> Any:
    """VLMEvalKit's dataset object over the benchmark's own file; `root` is its data folder."""
    import vlmeval.dataset

    root.mkdir(parents=True)
    # VLMEvalKit reads it at every use. Fresh, because images and frames are kept there by name.
    os.environ["LMUData"] = str(root)
    data = Path(benchmark.data or "")
    if benchmark.modality == "image":
        (root / f"{benchmark.dataset}.tsv").symlink_to(data)
        if benchmark.dataset_class is None:
            unpinned = _class(benchmark)
            unpinned.DATASET_MD5 = {}
            return vlmeval.dataset.build_dataset(benchmark.dataset, **benchmark.arguments)
        return _class(benchmark)(dataset=benchmark.dataset, **benchmark.arguments)
    _place_videos(benchmark.dataset, data, root / "repository")
    assert benchmark.frames is not None
    frames = {"fps": benchmark.frames.per_second or -1, "nframe": benchmark.frames.count or 0}
    kind = _class(benchmark)
    return kind(dataset=benchmark.dataset, **frames, **benchmark.arguments)


def _class(benchmark: Benchmark) -> Any:
    from vlmeval.dataset import DATASET_CLASSES

    for kind in DATASET_CLASSES:
        if benchmark.dataset_class is None and benchmark.dataset in kind.supported_datasets():
            return kind
        if kind.__name__ == benchmark.dataset_class:
            return kind
    raise LookupError(f"VLMEvalKit has no class for dataset '{benchmark.dataset}'")


def _place_videos(dataset: str, data: Path, repository: Path) -> None:
    """Let VLMEvalKit find `data` where it looks for a download, and think it the published one."""
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
    _let_parts_be_joined()


def _link(data: Path, into: Path) -> None:
    """Make the tree `data` again out of links.

    VLMEvalKit leaves a lock file beside every video it reads (``videomme.py:185``): here, then.
    """
    for folder, _, files in os.walk(data, followlinks=True):
        below = into / Path(folder).relative_to(data)
        below.mkdir(parents=True)
        for name in files:
            (below / name).symlink_to(Path(folder) / name)


def _let_parts_be_joined() -> None:
    import abc

    from vlmeval.dataset import mlvu, tempcompass, video_concat_dataset

    joined = video_concat_dataset.ConcatVideoDataset
    joined.prepare_dataset = lambda *_: None
    for kind in (joined, mlvu.MLVU, tempcompass.TempCompass):
        abc.update_abstractmethods(kind)
