"""Count what a checkpoint's work needs at the least: operations, and bytes from memory.

Pure arithmetic on shapes. An operation is one multiplication or addition in a matrix product; what
is not a matrix product (norms, activations, softmax, rotary embeddings) is left out, 1 to 2 % of
the whole. Bytes are weights, once a pass, and the cached keys and values a new token looks at;
activations, which an ideal device would never send to memory, are left out too. So the time that a
measured matrix rate and bandwidth give for these counts is a floor: nothing on this device goes
below it with this model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a SmolVLM or Idefics3 checkpoint that decide its cost."""

    side: int
    """Pixels along a tile."""
    patch: int
    """Pixels along a patch."""
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
    """Heads of keys and values, which several query heads share."""
    head_width: int
    vocabulary: int

    @property
    def patches(self) -> int:
        """Patches a tile."""
        return (self.side // self.patch) ** 2

    @property
    def tokens_per_tile(self) -> int:
        """Tokens the text model gets of a tile."""
        return self.patches // self.scale**2


@dataclass(frozen=True, slots=True)
class Work:
    """Operations, and bytes that must come from memory."""

    operations: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.operations + other.operations, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Work:
        return Work(self.operations * times, self.bytes * times)

    def seconds(self, rate: float, bandwidth: float) -> float:
        """The least time at `rate` operations and `bandwidth` bytes a second."""
        return max(self.operations / rate, self.bytes / bandwidth)


def shape_of(config: Any) -> Shape:
    """Read the shape off a transformers config."""
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

    ``q`` and ``kv`` are the widths of all query heads and of all key heads; embeddings are looked
    up, not multiplied, and the vocabulary's matrix is `head_weights`.
    """
    w = shape.width
    attention = 2 * w * shape.head_width * (shape.heads + shape.key_heads)
    return shape.layers * (attention + 3 * w * shape.inner)


def head_weights(shape: Shape) -> int:
    """Weights of the matrix from hidden states to the vocabulary."""
    return shape.width * shape.vocabulary


def vision_operations(shape: Shape) -> int:
    """Operations of one tile through the vision tower and the connector.

    ``2 weights`` for each patch (each token in the connector), and in each layer ``4 d patches²``
    for attention: scores and weighted sum, every patch with every patch.
    """
    attention = 4 * shape.vision_layers * shape.vision_width * shape.patches**2
    tower = 2 * vision_weights(shape) * shape.patches
    return tower + attention + 2 * connector_weights(shape) * shape.tokens_per_tile


def text_operations(shape: Shape, tokens: int, pairs: float) -> float:
    """Operations of `tokens` through the layers: ``2 weights`` each, ``4 q`` a layer and pair.

    `pairs` counts a token and one it looks at, see `causal_pairs`; ``q`` is as in `text_weights`.
    The vocabulary is apart: ``2 head_weights`` for each token whose successor is wanted.
    """
    queries = shape.heads * shape.head_width
    return 2 * text_weights(shape) * tokens + 4 * shape.layers * queries * pairs


def causal_pairs(new: float, before: float = 0) -> float:
    """Pairs of a token and itself or one before it, for `new` tokens after `before` others."""
    return new * before + new * (new + 1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was asked and answered."""

    prompts: int
    tiles: int
    """Encoded."""
    prompt_tokens: int
    read_tokens: int
    """Of the prompts, by the text model: what several share counts once."""
    generated: int
    """Tokens generated, end tokens counted."""
    batches: int = 1
    """So often, at the least, all weights had to be read."""


def work(shape: Shape, counted: Counted, width: int) -> dict[str, Work]:
    """What `counted` needs at the least by stage, with weights of `width` bytes."""
    length = counted.prompt_tokens / counted.prompts
    steps = max(0.0, counted.generated / counted.prompts - 1)
    return {
        "vision": vision_work(shape, counted.tiles, counted.batches, width),
        "prefill": prefill_work(
            shape, counted.read_tokens, length, counted.prompts, counted.batches, width
        ),
        "decode": decode_work(
            shape, counted.prompts, length, steps, steps * counted.batches, width
        ),
    }


def vision_work(shape: Shape, tiles: float, calls: int, width: int) -> Work:
    """Encode `tiles` in so many `calls`, with weights of `width` bytes."""
    weights = vision_weights(shape) + connector_weights(shape)
    return Work(vision_operations(shape) * tiles, weights * width * calls)


def prefill_work(
    shape: Shape, read: int, length: float, prompts: int, calls: int, width: int
) -> Work:
    """Read `read` tokens of `prompts` prompts of mean `length`, and find each its first token.

    A token is taken to look at half of its prompt, as the mean token of a prompt read whole does;
    where prefixes are shared that is a little less than it looks at, so the floor stays one.
    """
    operations = text_operations(shape, read, read * (length + 1) / 2)
    operations += 2 * head_weights(shape) * prompts
    return Work(operations, (text_weights(shape) + head_weights(shape)) * width * calls)


def decode_work(
    shape: Shape, prompts: int, length: float, steps: float, calls: float, width: int
) -> Work:
    """Generate `steps` tokens after the first for each of `prompts` prompts of mean `length`.

    `calls` is how often the weights are read: `steps` times the number of batches.
    """
    tokens = prompts * steps
    pairs = prompts * causal_pairs(steps, length)
    operations = text_operations(shape, 1, 0) * tokens + text_operations(shape, 0, pairs)
    operations += 2 * head_weights(shape) * tokens
    cached = 2 * shape.layers * shape.key_heads * shape.head_width
    weights = (text_weights(shape) + head_weights(shape)) * calls
    return Work(operations, (weights + cached * pairs) * width)
