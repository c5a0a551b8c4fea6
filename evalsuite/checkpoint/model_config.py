"""What config.json states: the model family and the shape of the vision encoder's input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalsuite.errors import UsageError

CONFIG = "config.json"
Family = Literal["smolvlm", "idefics3"]
ARCHITECTURES: Mapping[Family, str] = {
    "smolvlm": "SmolVLMForConditionalGeneration",
    "idefics3": "Idefics3ForConditionalGeneration",
}


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The input of the vision encoder; missing values are the defaults of transformers."""

    image_size: int
    """Pixels per tile edge."""
    patch_size: int
    """Pixels per patch edge."""
    scale_factor: int
    """Patches per token, along one edge."""

    @property
    def tokens_per_tile(self) -> int:
        """Tokens that the language model receives for one tile."""
        return (self.image_size // self.patch_size // self.scale_factor) ** 2


def read_family(config: Mapping[str, Any], path: Path) -> Family:
    """The model family by ``model_type``, as in transformers; the directory's name is not used.

    Raises `UsageError` for a model that is not supported; `path` is the file that `config` is from.
    """
    model_type = config.get("model_type")
    listed = config.get("architectures") or []
    named = listed[0] if isinstance(listed, list) and listed else None
    for family, architecture in ARCHITECTURES.items():
        if model_type == family and named in (architecture, None):
            return family
        if model_type is None and named == architecture:
            raise UsageError(
                f'{path}: no model_type, by which transformers loads; add "model_type": "{family}"'
            )
    known = " and ".join(ARCHITECTURES.values())
    raise UsageError(
        f"{path}: {named or 'a model'} (model_type {model_type!r}) is not supported; "
        f"supported are SmolVLM and SmolVLM2: {known}"
    )


def read_vision_config(config: Mapping[str, Any], path: Path) -> VisionConfig:
    """The vision settings of `config`; raises `UsageError` if they are missing or impossible."""
    settings = config.get("vision_config")
    if not isinstance(settings, dict):
        raise UsageError(f"{path}: no vision_config; copy {CONFIG} again")
    vision = VisionConfig(
        _positive(settings.get("image_size", 224), "vision_config.image_size", path),
        _positive(settings.get("patch_size", 32), "vision_config.patch_size", path),
        _positive(config.get("scale_factor", 2), "scale_factor", path),
    )
    patches = vision.image_size // vision.patch_size
    if patches % vision.scale_factor or not vision.tokens_per_tile:
        raise UsageError(
            f"{path}: image_size {vision.image_size}, patch_size {vision.patch_size} and "
            f"scale_factor {vision.scale_factor} do not give a whole number of tokens per tile; "
            f"copy {CONFIG} from where the model was trained"
        )
    return vision


def _positive(value: object, key: str, path: Path) -> int:
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:  # height, width
        value = value[0]
    if not isinstance(value, int) or value <= 0:
        raise UsageError(f"{path}: {key} is {value!r}, not a positive whole number")
    return value
