from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor
from transformers.image_utils import load_image

from evalsuite.smolvlm.image_decoder import Decoder
from evalsuite.smolvlm.image_processing import (
    MediaTiles,
    Tiler,
    join,
    normalisation_table,
    normalise,
)
from evalsuite.smolvlm.tokenization import PromptTokenizer
from tests.builders.checkpoints import LONGEST_EDGE, SIDE, make_checkpoint

SIZES = [(64, 64), (1, 1), (20000, 10), (301, 77), (3, 3), (64, 64), (33, 200), (96, 96)]
"""Width and height."""


@pytest.fixture(scope="module")
def images() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in SIZES]


@pytest.fixture(scope="module", params=["smolvlm", "idefics3", "smolvlm-pil"])
def processor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    family, _, backend = request.param.partition("-")
    directory: Path = make_checkpoint(tmp_path_factory.mktemp(request.param), family=family)
    processor = AutoProcessor.from_pretrained(directory)
    if backend:
        from transformers.models.smolvlm.image_processing_pil_smolvlm import (
            SmolVLMImageProcessorPil,
        )

        processor.image_processor = SmolVLMImageProcessorPil.from_pretrained(directory)
    return processor


WHOLE = {"do_image_splitting": False, "size": {"longest_edge": SIDE}}


@pytest.mark.parametrize("split", [True, False])
def test_normalised_tiles_equal_the_processors_pixel_values(
    processor: Any, images: list[np.ndarray[Any, Any]], split: bool
) -> None:
    tiler = Tiler(processor.image_processor)
    table = normalisation_table(processor.image_processor)
    # The tiler gets all images, the processor one at a time as in VLMEvalKit.
    for image, tiled in zip(images, tiler.tile(images, split), strict=True):
        expected = processor(
            text="<image>",
            images=[Image.fromarray(image)],
            return_tensors="pt",
            **({} if split else WHOLE),
        )
        assert tiled.pixels.dtype == torch.uint8
        assert torch.equal(normalise(tiled.pixels, table), expected["pixel_values"][0])
        assert expected["pixel_attention_mask"].all()
        assert tiled.pixels.nbytes <= tiler.max_bytes(1, split)


def test_longest_edge_option(processor: Any, images: list[np.ndarray[Any, Any]]) -> None:
    (tiled,) = Tiler(processor.image_processor, longest_edge=2 * SIDE).tile(images[:1], split=True)
    assert tiled.grids == ((2, 2),)
    expected = processor(
        text="<image>",
        images=[Image.fromarray(images[0])],
        size={"longest_edge": 2 * SIDE},
        return_tensors="pt",
    )
    table = normalisation_table(processor.image_processor)
    assert torch.equal(normalise(tiled.pixels, table), expected["pixel_values"][0])


def test_the_processor_is_not_changed(processor: Any, images: list[np.ndarray[Any, Any]]) -> None:
    before = processor.to_dict(), processor.image_processor.to_dict()
    tiler = Tiler(processor.image_processor, longest_edge=2 * SIDE)
    tiler.tile(images[:2], split=False)
    tiler.tile(images[:2], split=True)
    normalisation_table(processor.image_processor)
    assert before == (processor.to_dict(), processor.image_processor.to_dict())
    assert processor.image_processor.size["longest_edge"] == LONGEST_EDGE


def test_token_ids_equal_the_processors(processor: Any, images: list[np.ndarray[Any, Any]]) -> None:
    texts = [
        "<|im_start|>User:<image>What is it?<end_of_utterance>\nAssistant:",
        "<|im_start|>User: <image> \n\n<image>\nOptions:<image><end_of_utterance>\nAssistant:",
        "<image 1>:<image>\n Frame from 00:01: <image>",
        "no image, a <row_1_col_1> and <fake_token_around_image>",
        "<image>",
    ]
    marks = [text.count("<image>") for text in texts]
    tiler = Tiler(processor.image_processor)
    for split in (True, False):
        shown = [images[i : i + n] for i, n in enumerate(marks)]
        grids = [[grid for t in tiler.tile(s, split) for grid in t.grids] for s in shown]
        for text, some, ids in zip(
            texts,
            shown,
            PromptTokenizer(processor.tokenizer, processor.image_seq_len).encode(texts, grids),
            strict=True,
        ):
            expected = processor(
                text=text,
                images=[Image.fromarray(image) for image in some] or None,
                **({} if split else WHOLE),
            )
            assert ids == list(expected["input_ids"][0])


def _with_transparency(mode: str) -> Image.Image:
    """An image of one mode, a third of which has the transparent colour."""
    grey = Image.fromarray(np.tile(np.repeat(np.uint8([0, 90, 200]), 16), (48, 1)))
    if mode == "P":
        picture = grey.quantize(8)
        picture.info["transparency"] = picture.getpixel((0, 0))
    else:
        picture = grey.convert(mode)
        picture.info["transparency"] = picture.getpixel((0, 0))
    return picture


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
@pytest.mark.parametrize("form", ["png", "gif"])
def test_a_transparent_colour_is_processed_like_the_processor(
    processor: Any, tmp_path: Path, mode: str, form: str
) -> None:
    if form == "gif" and mode == "RGB":
        pytest.skip("a GIF has a palette")
    path = tmp_path / f"clear.{form}"
    picture = _with_transparency(mode)
    picture.save(path, transparency=picture.info["transparency"])
    # As in VLMEvalKit's class.
    theirs = processor.image_processor([[load_image(str(path))]], return_tensors="pt", **WHOLE)
    tiler = Tiler(processor.image_processor)
    decoder = Decoder(whitens_transparency=tiler.whitens_transparency)
    (ours,) = tiler.tile([decoder.read(str(path))], split=False)
    decoder.close()
    shown = normalise(ours.pixels, normalisation_table(processor.image_processor))
    torch.testing.assert_close(shown, theirs["pixel_values"][0], rtol=0, atol=0)
    assert tiler.whitens_transparency
    assert (ours.pixels == 255).float().mean() > 0.2


def test_joined_frames_keep_their_order() -> None:
    parts = [
        MediaTiles(((0, 0),), torch.full((1, 3, 2, 2), i, dtype=torch.uint8)) for i in range(3)
    ]
    joined = join(parts)
    assert joined.grids == ((0, 0),) * 3
    assert joined.pixels[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_normalise_keeps_the_dtype_of_the_table() -> None:
    table = torch.arange(768, dtype=torch.bfloat16).view(3, 256)
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    pixels[0, 1] = 255
    normalised = normalise(pixels, table)
    assert normalised.dtype == torch.bfloat16
    assert normalised[0, 1].eq(table[1, 255]).all()
    assert normalised[1, 2].eq(table[2, 0]).all()
