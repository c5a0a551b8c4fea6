"""Compares operation and weight counts with torch's counter and a real module."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from evalsuite.smolvlm import roofline
from evalsuite.smolvlm.model import Model, load
from evalsuite.smolvlm.roofline import Shape, Work, Workload
from tests.builders.checkpoints import SIDE, TOKENS_PER_TILE, make_checkpoint
from tests.builders.models import SMALL


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(make_checkpoint(tmp_path_factory.mktemp("checkpoint")), "cpu", "float32")


@pytest.fixture(scope="module")
def shape(model: Model) -> Shape:
    return roofline.shape_of(model.config)


def test_shape_of_config(shape: Shape) -> None:
    assert (shape.side, shape.patch, shape.scale) == (SIDE, 8, 2)
    assert (shape.patches, shape.tokens_per_tile) == (16, TOKENS_PER_TILE)
    assert (shape.heads, shape.key_heads, shape.head_width) == (4, 2, 16)


def test_weights_equal_the_matrices(model: Model, shape: Shape) -> None:
    named = {n: p for n, p in model._module.named_parameters() if p.dim() > 1}
    sizes = {
        part: sum(p.numel() for n, p in named.items() if part in n and "embed_tokens" not in n)
        for part in ("vision_model", "connector", "text_model", "lm_head")
    }
    positions = shape.patches * shape.vision_width  # added, not multiplied
    assert roofline.vision_weights(shape) == sizes["vision_model"] - positions
    assert roofline.connector_weights(shape) == sizes["connector"]
    assert roofline.text_weights(shape) == sizes["text_model"]
    assert roofline.head_weights(shape) == sizes["lm_head"]


def operations(call: object) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()  # type: ignore[operator]
    return counter.get_total_flops()


def test_vision_operations_equal_torch_count(model: Model, shape: Shape) -> None:
    pixels = torch.rand(3, 3, SIDE, SIDE)
    workload = operations(lambda: model.encode(pixels))
    assert 3 * roofline.vision_operations(shape) == pytest.approx(workload, rel=0.01)


@pytest.mark.parametrize(("rows", "length"), [(1, 7), (3, 60)])
def test_text_operations_equal_torch_count(
    model: Model, shape: Shape, rows: int, length: int
) -> None:
    cache = DynamicCache()
    embedded = torch.rand(rows, length, shape.width)
    positions = torch.arange(length).expand(rows, -1)
    last = torch.arange(rows), torch.full((rows,), -1)
    prefill = operations(lambda: model.next_tokens(embedded, positions, None, cache, last))
    # This kernel computes masked positions too: each token attends to all.
    expected = roofline.text_operations(shape, length, length**2) + 2 * roofline.head_weights(shape)
    assert rows * expected == pytest.approx(prefill, rel=0.01)
    step = operations(
        lambda: model.next_tokens(embedded[:, :1], positions[:, -1:] + 1, None, cache, last)
    )
    pairs = roofline.causal_pairs(1, length)
    expected = roofline.text_operations(shape, 1, pairs) + 2 * roofline.head_weights(shape)
    assert rows * expected == pytest.approx(step, rel=0.01)


def test_causal_pairs() -> None:
    assert roofline.causal_pairs(4) == 1 + 2 + 3 + 4
    assert roofline.causal_pairs(3, 10) == 11 + 12 + 13


def test_figures_of_256m() -> None:
    # By hand: 4 x 768² + 2 x 768 x 3072 a layer, and 3 x 16² x 768 to embed a patch.
    assert roofline.vision_weights(SMALL) == 12 * 7_077_888 + 589_824
    assert roofline.text_weights(SMALL) == 30 * 3_538_944
    assert roofline.head_weights(SMALL) == 576 * 49_280
    # 2 x 85.5M x 1,024 patches, 4 x 12 x 768 x 1,024² of attention, 2 x 7.1M x 64 tokens.
    assert roofline.vision_operations(SMALL) == 175_154_135_040 + 38_654_705_664 + 905_969_664


def test_work_by_stage() -> None:
    workload = Workload(
        prompts=2, tiles=26, prompt_tokens=2000, prefill_tokens=1100, generated=10, batches=1
    )
    work = roofline.minimum_work(SMALL, workload, 2)
    assert work["vision"].operations == 26 * roofline.vision_operations(SMALL)
    weights = roofline.text_weights(SMALL) + roofline.head_weights(SMALL)
    assert work["prefill"].bytes == 2 * weights
    assert work["prefill"].operations == (
        2 * roofline.text_weights(SMALL) * 1100
        + 4 * 30 * 576 * 1100 * 1001 / 2
        + 2 * 2 * roofline.head_weights(SMALL)
    )
    # Four steps after the first token; each reads all weights, and each row its keys and values.
    pairs = 2 * (1001 + 1002 + 1003 + 1004)
    assert work["decode"].bytes == 2 * (4 * weights + 2 * 30 * 3 * 64 * pairs)
    assert work["decode"].operations == 2 * weights * 8 + 4 * 30 * 576 * pairs


def test_one_token_per_prompt_needs_no_decode_step() -> None:
    workload = Workload(prompts=3, tiles=0, prompt_tokens=30, prefill_tokens=30, generated=3)
    assert roofline.minimum_work(SMALL, workload, 4)["decode"] == Work(0, 0)


def test_minimum_time_is_the_slower_of_compute_and_memory() -> None:
    assert Work(100, 10).seconds(rate=50, bandwidth=10) == 2
    assert Work(100, 40).seconds(rate=50, bandwidth=10) == 4
