"""Which files of image settings and of words are used, and the tokens that prompts are made of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evalsuite.checkpoint.checkpoint import read
from tests.builders.checkpoint_files import (
    IMAGE,
    TEMPLATE,
    TOKENIZER,
    change,
    error_for,
    make,
    write,
)

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make(tmp_path / "tiny")


@pytest.fixture
def other(tmp_path: Path, tiny: Path) -> Path:
    """Another checkpoint, whose tokenizer gives two tokens the id of each other."""
    path = Path(shutil.copytree(tiny, tmp_path / "other"))
    vocabulary = {**TOKENIZER["model"]["vocab"], "a": 1, "b": 0}
    change(path / "tokenizer.json", model={**TOKENIZER["model"], "vocab": vocabulary})
    return path


# Files that shadow each other


def test_the_named_processor_never_replaces_the_tokenizer(tiny: Path, other: Path) -> None:
    for name in ("preprocessor_config.json", "processor_config.json"):
        (tiny / name).unlink()
    found = read(str(tiny), processor=str(other))
    assert (found.processor_path, found.tokenizer_path) == (other, tiny)
    (warning,) = found.warnings
    assert warning == (
        f"the tokenizer in {tiny} is used; that of --processor differs and is not used"
    )
    before = found.digest
    change(other / "tokenizer.json", truncation=None)
    assert read(str(tiny), processor=str(other)).digest == before
    change(other / "preprocessor_config.json", image_mean=[0, 0, 0])
    assert read(str(tiny), processor=str(other)).digest != before


def test_the_named_processor_gives_what_is_missing(tiny: Path, other: Path) -> None:
    (tiny / "tokenizer.json").unlink()
    (tiny / "chat_template.jinja").unlink()
    write(other, "chat_template.jinja", f"other {TEMPLATE}")
    found = read(str(tiny), processor=str(other))
    assert (found.processor_path, found.tokenizer_path) == (other, other)
    assert (found.chat_template, found.warnings) == (f"other {TEMPLATE}", ())


def test_the_chat_template_is_the_checkpoints_own(tiny: Path, other: Path) -> None:
    write(other, "chat_template.jinja", f"other {TEMPLATE}")
    assert read(str(tiny), processor=str(other)).chat_template == TEMPLATE
    (tiny / "chat_template.jinja").unlink()
    found = read(str(tiny), processor=str(other))
    assert found.chat_template == f"other {TEMPLATE}"
    change(other / "tokenizer.json", truncation=None)
    assert read(str(tiny), processor=str(other)).digest == found.digest
    write(other, "chat_template.jinja", TEMPLATE)
    assert read(str(tiny), processor=str(other)).digest != found.digest


def test_a_tokenizer_in_its_older_files_only(tiny: Path, other: Path) -> None:
    (tiny / "tokenizer.json").unlink()
    write(tiny, "vocab.json", TOKENIZER["model"]["vocab"])
    write(tiny, "merges.txt", "#version: 0.2\n")
    message = error_for(tiny)
    assert "no tokenizer.json, only vocab.json" in message
    assert "save_pretrained()" in message
    assert read(str(tiny), processor=str(other)).tokenizer_path == other


def test_two_files_of_image_settings(tiny: Path) -> None:
    write(tiny, "processor_config.json", {"image_seq_len": 4, "image_processor": IMAGE})
    change(tiny / "preprocessor_config.json", image_processor_type="other")
    assert read(str(tiny)).warnings == ()
    change(tiny / "preprocessor_config.json", image_mean=[0, 0, 0], size={"longest_edge": 96})
    nested = {**IMAGE, "image_mean": [0.5, 0.5, 0.5]}
    write(tiny, "processor_config.json", {"image_seq_len": 4, "image_processor": nested})
    (warning,) = read(str(tiny)).warnings
    assert "differ in size, image_mean: the latter is used" in warning


def test_an_image_processor_without_a_video_processor(tiny: Path) -> None:
    (tiny / "preprocessor_config.json").unlink()
    write(tiny, "processor_config.json", {"image_seq_len": 4, "image_processor": IMAGE})
    assert read(str(tiny)).warnings == ()


@pytest.mark.parametrize("value", [0, "4", None, [4]])
def test_image_seq_len_of_another_type(tiny: Path, value: object) -> None:
    change(tiny / "processor_config.json", image_seq_len=value)
    assert f"image_seq_len is {value!r}, not a number of tokens" in error_for(tiny)


# Tokens of prompts


@pytest.mark.parametrize(
    "token", ["<image>", "<fake_token_around_image>", "<global-img>", "<row_1_col_1>"]
)
def test_a_tokenizer_without_a_token_of_prompts(tiny: Path, token: str) -> None:
    text = (tiny / "tokenizer.json").read_text().replace(token, "<other>")
    write(tiny, "tokenizer.json", text)
    assert f"the tokenizer has no token {token}" in error_for(tiny)


def test_no_tile_tokens_and_whole_images(tiny: Path) -> None:
    text = (tiny / "tokenizer.json").read_text().replace("<row_", "<other_")
    write(tiny, "tokenizer.json", text)
    change(tiny / "preprocessor_config.json", do_image_splitting=False)
    assert read(str(tiny)).warnings == ()


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("value", ["<|image_pad|>", {"content": "<|image_pad|>"}])
def test_a_tokenizer_that_names_another_image_token(tiny: Path, value: object, extra: bool) -> None:
    named = {"image_token": value}
    write(tiny, "tokenizer_config.json", {"extra_special_tokens": named} if extra else named)
    assert "its image_token is <|image_pad|>" in error_for(tiny)
    write(tiny, "tokenizer_config.json", {"image_token": {"content": "<image>"}})
    assert read(str(tiny)).warnings == ()


def test_another_image_token_in_the_config(tiny: Path) -> None:
    change(tiny / "config.json", image_token_id=3)
    assert "image_token_id is 3 in config.json, but <image> is 8" in error_for(tiny)


def test_whether_there_is_a_start_token(tiny: Path) -> None:
    assert read(str(tiny)).has_start_token
    text = (tiny / "tokenizer.json").read_text().replace("<|im_start|>", "<|begin_of_text|>")
    write(tiny, "tokenizer.json", text)
    assert not read(str(tiny)).has_start_token


@pytest.mark.parametrize(("tile", "seq_len", "made"), [(32, 64, 4), (16, 4, 1), (64, 4, 16)])
def test_another_number_of_tokens_per_tile(tiny: Path, tile: int, seq_len: int, made: int) -> None:
    change(tiny / "preprocessor_config.json", max_image_size={"longest_edge": tile})
    change(tiny / "processor_config.json", image_seq_len=seq_len)
    message = error_for(tiny)
    assert f"counts {seq_len} tokens per tile" in message
    assert f"makes {made} of a tile of {tile}" in message


# Hostile JSON files


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "preprocessor_config.json", "processor_config.json", "chat_template.json",
        "trainer_state.json", "model.safetensors.index.json",
    ],
)  # fmt: skip
def test_deeply_nested_json(tiny: Path, name: str) -> None:
    if name.endswith("index.json"):
        (tiny / "model.safetensors").unlink()
    for text in ("[" * 200_000, '{"a":' * 200_000):
        write(tiny, name, text)
        assert f"{tiny / name}: is not valid JSON" in error_for(tiny)


@pytest.mark.parametrize("value", [None, [], "x", 1, True, {"a": {}}])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("config.json", "text_config"), ("config.json", "vision_config"),
        ("config.json", "architectures"), ("config.json", "tie_word_embeddings"),
        ("config.json", "image_token_id"), ("config.json", "scale_factor"),
        ("config.json", "quantization_config"), ("config.json", "model_type"),
        ("generation_config.json", "eos_token_id"),
        ("preprocessor_config.json", "size"), ("preprocessor_config.json", "max_image_size"),
        ("preprocessor_config.json", "do_image_splitting"),
        ("processor_config.json", "image_processor"), ("processor_config.json", "chat_template"),
        ("tokenizer.json", "model"), ("tokenizer.json", "added_tokens"),
        ("tokenizer_config.json", "extra_special_tokens"),
        ("tokenizer_config.json", "chat_template"), ("tokenizer_config.json", "image_token"),
        ("trainer_state.json", "global_step"),
    ],
)  # fmt: skip
def test_values_of_other_types(tiny: Path, name: str, key: str, value: object) -> None:
    """Each is read, or is an error of one line."""
    path = tiny / name
    content = json.loads(path.read_text()) if path.exists() else {}
    write(tiny, name, {**content, key: value})
    try:
        found = read(str(tiny))
    except Exception:  # noqa: BLE001 - the helper below fails for any other error
        assert str(tiny) in error_for(tiny)
    else:
        assert found.path == tiny
