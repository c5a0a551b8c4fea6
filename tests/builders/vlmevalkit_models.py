"""VLMEvalKit's own model classes, to read the prompts they build."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import kit_data as made

CLASSES = {"smolvlm": "SmolVLM2", "idefics3": "SmolVLM"}


class PromptBuilt(Exception):
    """Raised by VLMEvalKit's model once it has built its prompt."""


class _Processor(SimpleNamespace):
    def __call__(self, *, text: str, images: Sequence[Any], return_tensors: str) -> None:
        raise PromptBuilt(text, len(images))


def model(family: str) -> Any:
    """Return VLMEvalKit's model of a family, without weights."""
    made.vlmevalkit()
    import vlmeval.vlm.smolvlm

    kind = getattr(vlmeval.vlm.smolvlm, CLASSES[family])
    model = kind.__new__(kind)
    model.sampling_frames, model.resolution = 64, 32
    model.processor = _Processor(image_processor=SimpleNamespace(do_image_splitting=True))
    return model


def vlmevalkit_prompt(
    family: str, dataset: str | None, message: Sequence[dict[str, str]]
) -> tuple[str, int]:
    """Return what VLMEvalKit's model passes to its processor: text and number of images."""
    return built_prompt(model(family), dataset, message)


def built_prompt(
    model: Any, dataset: str | None, message: Sequence[dict[str, str]]
) -> tuple[str, int]:
    with pytest.raises(PromptBuilt) as built:
        model.generate_inner(message, dataset)
    text, images = built.value.args
    return text, images


@functools.cache
def picture() -> str:
    path = Path(tempfile.mkdtemp(prefix="evalsuite-tests-")) / "a.png"
    made.picture(side=2).save(path)
    return str(path)
