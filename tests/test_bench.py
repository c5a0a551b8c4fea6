"""The benchmarks of speed: generated checkpoints and images, and both measurements."""

from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor, SmolVLMForConditionalGeneration

from bench import photos, prefixes, shapes, side_by_side
from bench.shapes import SIZES, Size
from bench.side_by_side import DeviceSetting, LoopResult
from evalsuite.checkpoint import checkpoint
from evalsuite.smolvlm import roofline
from evalsuite.smolvlm.engine import Engine
from evalsuite.smolvlm.profiler import questions

pytestmark = pytest.mark.integration

TINY = Size(
    vision={
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    },
    text={
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
    scale_factor=2,
    longest_edge=96,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.make(TINY, tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("name", "weights", "tokens_per_tile"),
    [("256M", 256_484_928, 64), ("500M", 507_482_304, 64), ("2.2B", 2_246_784_880, 81)],
)
def test_shapes_have_the_published_sizes(name: str, weights: int, tokens_per_tile: int) -> None:
    size = SIZES[name]
    config = shapes.config(size, shapes.build_tokenizer())
    with torch.device("meta"):
        module = SmolVLMForConditionalGeneration(config)
    assert sum(p.numel() for p in module.parameters()) == weights
    assert size.tokens_per_tile == tokens_per_tile
    assert size.longest_edge == 4 * size.tile
    shape = roofline.shape_of(config)
    assert shape.tokens_per_tile == tokens_per_tile
    assert shape.vocabulary == 49_280
    # All matrices. The rest are embeddings, norms and biases.
    workload = roofline.vision_weights(shape) + roofline.connector_weights(shape)
    workload += roofline.text_weights(shape) + 2 * roofline.head_weights(shape)
    assert workload == pytest.approx(weights, rel=0.01)


def test_a_generated_checkpoint_is_complete(tiny: Path, tmp_path: Path) -> None:
    read = checkpoint.read(str(tiny))
    assert read.warnings == ()
    assert (read.tile_size, read.tokens_per_tile, read.longest_edge) == (32, 4, 96)
    tokenizer = AutoProcessor.from_pretrained(tiny).tokenizer
    assert len(tokenizer) == 49_280
    assert max(tokenizer("What is in the picture?")["input_ids"]) < 1000, "filler tokens are unused"
    with Engine(tiny) as engine:
        asked = questions(8, (96, 72), 6, tmp_path)
        answers = [answer for batch in engine.answer(asked) for answer in batch]
    assert len({answer.text for answer in answers}) == 8, "answers depend on the image"


def test_prefix_sharing_does_not_change_texts(tiny: Path, tmp_path: Path) -> None:
    asked = prefixes.video(tmp_path, frames=5, questions=6, new_tokens=4)
    ((whole, shared),) = prefixes.measure(tiny, "cpu", "float32", asked, rounds=1)
    assert whole.texts == shared.texts
    assert len(set(whole.texts.values())) > 1
    assert whole.prefill_tokens == whole.prompt_tokens == shared.prompt_tokens
    assert shared.prefill_tokens < whole.prefill_tokens / 2
    assert 0 < shared.text_seconds < shared.seconds
    shown = prefixes.table([(whole, shared)])
    assert f"{whole.prefill_tokens:,} / {shared.prefill_tokens:,}" in shown
    assert "6 of 6" in shown


def test_generated_photos_are_a_benchmark(tmp_path: Path) -> None:
    made = photos.make(tmp_path, images=2, questions=5, size=(64, 48), new_tokens=3)
    lines = (tmp_path / "photos.tsv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 5
    asked = [line.split("\t")[2] for line in lines[1:]]
    assert len(set(asked)) == 5
    assert made.max_new_tokens == 3


@pytest.mark.parametrize(
    ("dtype", "ours", "theirs", "comparable"),
    [
        ("float32", "float32", "float32", True),
        ("bfloat16", "bfloat16", "bfloat16", False),
        ("default", "float32", "float32", True),
    ],
)
def test_number_formats_of_both_sides(dtype: str, ours: str, theirs: str, comparable: bool) -> None:
    on = side_by_side.setting_of("cpu", dtype)
    assert on == DeviceSetting("cpu", ours, theirs)
    assert on.comparable is comparable


def test_both_sides_give_equal_predictions(tiny: Path, tmp_path: Path) -> None:
    benchmark = photos.make(tmp_path, images=2, questions=2, size=(96, 72), new_tokens=4)
    on = side_by_side.setting_of("cpu", "float32")
    read = checkpoint.read(str(tiny))
    turns = side_by_side.measure(read, [benchmark], on, rounds=1)
    ((theirs, ours),) = turns
    assert isinstance(theirs, LoopResult)
    assert theirs.predictions == ours.predictions
    assert len(ours.predictions) == 4
    assert ours.workload is not None
    # 96 x 72 pixels are 3 x 3 tiles and a global one; each image is encoded once.
    assert ours.workload.tiles == 2 * 10
    assert "4 of 4" in side_by_side.table(turns)
    assert "20 tiles" in side_by_side.roofline_summary(read, on, turns)
