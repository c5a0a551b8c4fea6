"""VLMEvalKit's own model classes, asked for their prompts."""

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


class Worded(Exception):
    """Thrown out of VLMEvalKit's model once it has its prompt."""


class _Processor(SimpleNamespace):
    def __call__(self, *, text: str, images: Sequence[Any], return_tensors: str) -> None:
        raise Worded(text, len(images))


def model(family: str) -> Any:
    """VLMEvalKit's own model of a family, but for its weights."""
    made.vlmevalkit()
    import vlmeval.vlm.smolvlm

    kind = getattr(vlmeval.vlm.smolvlm, CLASSES[family])
    model = kind.__new__(kind)
    model.sampling_frames, model.resolution = 64, 32
    model.processor = _Processor(image_processor=SimpleNamespace(do_image_splitting=True))
    return model


def theirs(family: str, dataset: str | None, message: Sequence[dict[str, str]]) -> tuple[str, int]:
    """What VLMEvalKit's own model hands to its processor: the text, and how many images."""
    return _said(model(family), dataset, message)


def _said(model: Any, dataset: str | None, message: Sequence[dict[str, str]]) -> tuple[str, int]:
    with pytest.raises(Worded) as worded:
        model.generate_inner(message, dataset)
    text, images = worded.value.args
    return text, images


@functools.cache
def picture() -> str:
    path = Path(tempfile.mkdtemp(prefix="evalsuite-tests-")) / "a.png"
    made.picture(side=2).save(path)
    return str(path)
