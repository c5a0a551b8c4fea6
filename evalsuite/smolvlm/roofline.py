"""Roofline model: the minimum operations and memory traffic of a checkpoint's inference.

Pure arithmetic on model dimensions. An operation is one multiplication or addition in a matrix
product. Everything else (norms, activations, softmax, rotary embeddings) is left out; it is 1 to 2
% of the total. Bytes are the weights, once per pass, and the cached keys and values that a new
token attends to. Activations are left out, because an ideal device never writes them to memory.
With measured rates of a device, the counts give a lower bound of the time for this model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Dimensions of a SmolVLM or Idefics3 checkpoint that determine its cost."""

    side: int
    """Tile size in pixels."""
    patch: int
    """Patch size in pixels."""
    scale: int
    """Pixel shuffle: scale x scale patches become one token."""
    vision_width: int
    vision_inner: int
    vision_layers: int
    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    """Heads of keys and values; several query heads share one."""
    head_width: int
    vocabulary: int

    @property
    def patches(self) -> int:
        """Patches per tile."""
        return (self.side // self.patch) ** 2

    @property
    def tokens_per_tile(self) -> int:
        """Tokens of the text model per tile."""
        return self.patches // self.scale**2


@dataclass(frozen=True, slots=True)
class Work:
    """Operations, and bytes read from memory."""

    operations: float = 0.0
    bytes: float = 0.0

    def seconds(self, rate: float, bandwidth: float) -> float:
        """Return the minimum time at `rate` operations and `bandwidth` bytes per second."""
        return max(self.operations / rate, self.bytes / bandwidth)


def shape_of(config: Any) -> Shape:
    """Read the dimensions from a transformers config."""
    vision, text = config.vision_config, config.text_config
    heads = text.num_attention_heads
    return Shape(
        side=vision.image_size,
        patch=vision.patch_size,
        scale=config.scale_factor,
        vision_width=vision.hidden_size,
        vision_inner=vision.intermediate_size,
        vision_layers=vision.num_hidden_layers,
        width=text.hidden_size,
        inner=text.intermediate_size,
        layers=text.num_hidden_layers,
        heads=heads,
        key_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_width=getattr(text, "head_dim", None) or text.hidden_size // heads,
        vocabulary=text.vocab_size,
    )


def vision_weights(shape: Shape) -> int:
    """Weights of the vision tower's matrices: ``layers x (4 d² + 2 d inner) + 3 patch² d``."""
    d = shape.vision_width
    return shape.vision_layers * (4 * d * d + 2 * d * shape.vision_inner) + 3 * shape.patch**2 * d


def connector_weights(shape: Shape) -> int:
    """Weights of the projection from scale² patches to one token: ``scale² d width``."""
    return shape.scale**2 * shape.vision_width * shape.width


def text_weights(shape: Shape) -> int:
    """Weights of the text model's layers: ``layers x (2 w q + 2 w kv + 3 w inner)``.

    ``q`` and ``kv`` are the total widths of query and key heads. Embeddings are looked up, not
    multiplied; the vocabulary matrix is counted in `head_weights`.
    """
    w = shape.width
    attention = 2 * w * shape.head_width * (shape.heads + shape.key_heads)
    return shape.layers * (attention + 3 * w * shape.inner)


def head_weights(shape: Shape) -> int:
    """Weights of the matrix from hidden states to the vocabulary."""
    return shape.width * shape.vocabulary


def vision_operations(shape: Shape) -> int:
    """Operations for one tile in the vision tower and the connector.

    ``2 weights`` per patch (per token in the connector), and in each layer ``4 d patches²`` for
    attention: scores and weighted sum between all patches.
    """
    attention = 4 * shape.vision_layers * shape.vision_width * shape.patches**2
    tower = 2 * vision_weights(shape) * shape.patches
    return tower + attention + 2 * connector_weights(shape) * shape.tokens_per_tile


def text_operations(shape: Shape, tokens: float, pairs: float) -> float:
    """Operations for `tokens` in the layers: ``2 weights`` each, plus ``4 q`` per layer and pair.

    `pairs` counts token pairs in attention, see `causal_pairs`; ``q`` is as in `text_weights`. The
    vocabulary is separate: ``2 head_weights`` per predicted token.
    """
    queries = shape.heads * shape.head_width
    return 2 * text_weights(shape) * tokens + 4 * shape.layers * queries * pairs


def causal_pairs(new: float, before: float = 0) -> float:
    """Return the attention pairs of `new` tokens with themselves and `before` earlier tokens."""
    return new * before + new * (new + 1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Number of prompts, tiles and tokens processed."""

    prompts: int
    tiles: int
    """Encoded tiles."""
    prompt_tokens: int
    prefill_tokens: int
    """Prompt tokens processed by the text model. A shared prefix counts once."""
    generated: int
    """Generated tokens, including end tokens."""
    batches: int = 1
    """Minimum number of times all weights are read."""


def minimum_work(shape: Shape, workload: Workload, weight_bytes: int) -> dict[str, Work]:
    """Return the minimum work of `workload` by stage; a weight has `weight_bytes` bytes.

    In ``prefill``, a token is assumed to attend to half of its prompt, the average of a complete
    prompt. With shared prefixes the true number is a little larger, so the result remains a lower
    bound. ``decode`` generates the tokens after the first of each prompt.
    """
    length = workload.prompt_tokens / workload.prompts
    steps = max(0.0, workload.generated / workload.prompts - 1)
    read, generated = workload.prefill_tokens, workload.prompts * steps
    pairs = workload.prompts * causal_pairs(steps, length)
    cached = 2 * shape.layers * shape.key_heads * shape.head_width
    head = 2 * head_weights(shape)
    vision = (vision_weights(shape) + connector_weights(shape)) * workload.batches
    text = (text_weights(shape) + head_weights(shape)) * workload.batches
    return {
        "vision": Work(vision_operations(shape) * workload.tiles, vision * weight_bytes),
        "prefill": Work(
            text_operations(shape, read, read * (length + 1) / 2) + head * workload.prompts,
            text * weight_bytes,
        ),
        "decode": Work(
            text_operations(shape, generated, pairs) + head * generated,
            (text * steps + cached * pairs) * weight_bytes,
        ),
    }
