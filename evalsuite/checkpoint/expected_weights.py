"""The weights that a config describes: the name and shape of each tensor of SmolVLM and Idefics3.

The defaults are those of ``transformers/models/{smolvlm,idefics3,llama}/configuration_*.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalsuite.checkpoint.weights import Shape

HEAD = "lm_head.weight"
EMBEDDINGS = "model.text_model.embed_tokens.weight"
TEXT_LAYERS = "model.text_model.layers."
VISION_LAYERS = "model.vision_model.encoder.layers."
_TEXT = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
_VISION = {
    "hidden_size": 1152,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
}


def canonical_name(name: str) -> str:
    """`name` with one prefix ``model.``, which transformers adds and removes as needed."""
    while name.startswith("model."):
        name = name.removeprefix("model.")
    return name if name.startswith("lm_head.") else f"model.{name}"


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether transformers ties head and embeddings; it ignores the key in text_config."""
    return bool(config.get("tie_word_embeddings", False))


def stated_sizes(config: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """The sizes of text model and vision encoder.

    Raises `ValueError` with the key and value of one that is not a positive whole number.
    """
    text = _sizes(config, "text_config", _TEXT)
    heads = text["num_attention_heads"]
    optional = {"num_key_value_heads": heads, "head_dim": text["hidden_size"] // heads}
    return text | _sizes(config, "text_config", optional), _sizes(config, "vision_config", _VISION)


def _sizes(config: Mapping[str, Any], part: str, defaults: Mapping[str, int]) -> dict[str, int]:
    stated = config.get(part)
    stated = stated if isinstance(stated, dict) else {}
    sizes = {}
    for key, default in defaults.items():
        value = default if stated.get(key) is None else stated[key]
        if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:  # height, width
            value = value[0]
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"{part}.{key} is {value!r}")
        sizes[key] = value
    return sizes


def expected_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """Shapes by name; without the layers of a text model other than Llama.

    Raises `ValueError` as `stated_sizes` does. The time is proportional to the number of layers.
    """
    text, vision = stated_sizes(config)
    width, rows = text["hidden_size"], text["vocab_size"]
    scale = config.get("scale_factor", 2)
    shapes: dict[str, Shape] = {
        HEAD: (rows, width),
        EMBEDDINGS: (rows, width),
        "model.connector.modality_projection.proj.weight": (
            width,
            vision["hidden_size"] * scale**2,
        ),
    }
    settings = config.get("text_config") or {}
    if settings.get("model_type", "llama") == "llama":
        shapes["model.text_model.norm.weight"] = (width,)
        layer = _text_layer(text, settings)
        for i in range(text["num_hidden_layers"]):
            shapes |= {f"{TEXT_LAYERS}{i}.{name}": shape for name, shape in layer.items()}
    layer = _vision_layer(vision)
    for i in range(vision["num_hidden_layers"]):
        shapes |= {f"{VISION_LAYERS}{i}.{name}": shape for name, shape in layer.items()}
    patch, size = vision["patch_size"], vision["hidden_size"]
    vectors = ("embeddings.patch_embedding.bias", "post_layernorm.weight", "post_layernorm.bias")
    whole: dict[str, Shape] = {
        "embeddings.patch_embedding.weight": (size, vision["num_channels"], patch, patch),
        "embeddings.position_embedding.weight": ((vision["image_size"] // patch) ** 2, size),
        **dict.fromkeys(vectors, (size,)),
    }
    return shapes | {f"model.vision_model.{name}": shape for name, shape in whole.items()}


def _text_layer(text: Mapping[str, int], settings: Mapping[str, Any]) -> dict[str, Shape]:
    width, inner = text["hidden_size"], text["intermediate_size"]
    queries = text["num_attention_heads"] * text["head_dim"]
    keys = text["num_key_value_heads"] * text["head_dim"]
    shapes: dict[str, Shape] = {}
    for part, biased, projections in (
        (
            "self_attn",
            settings.get("attention_bias"),
            {"q": (queries, width), "k": (keys, width), "v": (keys, width), "o": (width, queries)},
        ),
        (
            "mlp",
            settings.get("mlp_bias"),
            {"gate": (inner, width), "up": (inner, width), "down": (width, inner)},
        ),
    ):
        for name, shape in projections.items():
            shapes[f"{part}.{name}_proj.weight"] = shape
            if biased:
                shapes[f"{part}.{name}_proj.bias"] = shape[:1]
    norms = ("input_layernorm.weight", "post_attention_layernorm.weight")
    return shapes | dict.fromkeys(norms, (width,))


def _vision_layer(vision: Mapping[str, int]) -> dict[str, Shape]:
    width, inner = vision["hidden_size"], vision["intermediate_size"]
    square = (width, width)
    shapes: dict[str, Shape] = {}
    for name, shape in {
        **{f"self_attn.{part}_proj": square for part in ("q", "k", "v", "out")},
        "mlp.fc1": (inner, width),
        "mlp.fc2": (width, inner),
        "layer_norm1": (width,),
        "layer_norm2": (width,),
    }.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes
