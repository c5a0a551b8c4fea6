"""Compares the weights of a loaded adapter with a checkpoint that PEFT merged and saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evalsuite.smolvlm.model import load
from tests.builders.checkpoints import make_checkpoint, merge_with_peft, train_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base"))


def weights(directory: Path, dtype: str, base: Path | None = None) -> dict[str, torch.Tensor]:
    """Return parameters and all buffers, including those that are not saved."""
    module = load(directory, "cpu", dtype, base)._module
    assert module.dtype == module.config.text_config.dtype == getattr(torch, dtype)
    assert not module.training
    return dict(module.named_parameters()) | dict(module.named_buffers())


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name])
        for name in ours
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True, "rank_pattern": {"q_proj": 2}},
        {"use_dora": True, "init_lora_weights": "gaussian"},
        {"target_modules": ["q_proj", "embed_tokens", "patch_embedding"]},
        {"modules_to_save": ["lm_head", "modality_projection"]},
        {"target_modules": "all-linear", "bias": "lora_only"},
    ],
    ids=["plain", "rslora", "dora", "embeddings and patches", "modules to save", "all linear"],
)
def test_weights_equal_those_peft_saves(
    base: Path, tmp_path: Path, options: dict[str, Any], dtype: str
) -> None:
    adapter = train_adapter(base, tmp_path / "adapter", **options)
    merged = merge_with_peft(base, adapter, tmp_path / "merged")
    ours = weights(adapter, dtype, base)
    assert same(ours, weights(merged, dtype))
    assert not same(ours, weights(base, dtype))


def tied(directory: Path, family: Any = "smolvlm") -> Path:
    """A base whose head is tied to its embeddings."""
    base = make_checkpoint(directory, family=family)
    config = json.loads((base / "config.json").read_text())
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = True
    (base / "config.json").write_text(json.dumps(config))
    stored = load_file(base / "model.safetensors")
    del stored["lm_head.weight"]
    save_file(stored, base / "model.safetensors", {"format": "pt"})
    return base


@pytest.mark.parametrize("family", ["smolvlm", "idefics3"])
def test_merge_for_both_families_with_tied_embeddings(family: Any, tmp_path: Path) -> None:
    base = tied(tmp_path / "base", family)
    adapter = train_adapter(base, tmp_path / "adapter")
    merged = merge_with_peft(base, adapter, tmp_path / "merged")
    model = load(adapter, "cpu", "bfloat16", base)
    assert model._head.weight is model._module.get_input_embeddings().weight
    assert same(weights(adapter, "bfloat16", base), weights(merged, "bfloat16"))


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_of_one_of_two_tied_modules_changes_only_that(
    tmp_path: Path, target: str
) -> None:
    """As in training, where the adapter's part is added to the output of one module."""
    base = tied(tmp_path / "base")
    adapter = train_adapter(base, tmp_path / "adapter", target_modules=[target], steps=1)
    names = {"lm_head": "lm_head.weight", "embed_tokens": "model.text_model.embed_tokens.weight"}
    before, after = weights(base, "float32"), weights(adapter, "float32", base)
    embeddings = before[names["embed_tokens"]]
    other = names["embed_tokens" if target == "lm_head" else "lm_head"]
    assert torch.equal(after[other], embeddings)
    assert not torch.equal(after[names[target]], embeddings)


@pytest.mark.parametrize("saved", ["modules_to_save", "save_embedding_layers"])
def test_tokens_that_were_added_in_training(base: Path, tmp_path: Path, saved: str) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    rows = model.config.text_config.vocab_size + 4
    model.resize_token_embeddings(rows)
    modules = ["embed_tokens", "lm_head"] if saved == "modules_to_save" else None
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"], modules_to_save=modules))
    if modules is None:
        adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    else:
        adapted.save_pretrained(tmp_path / "adapter")
    ours = weights(tmp_path / "adapter", "float32", base)
    theirs = adapted.merge_and_unload().state_dict()
    for name in ("lm_head.weight", "model.text_model.embed_tokens.weight"):
        assert len(ours[name]) == rows
        assert torch.equal(ours[name], theirs[name])


def test_the_merge_runs_in_float32(base: Path, tmp_path: Path) -> None:
    adapter = train_adapter(base, tmp_path / "adapter")
    exact, rounded = weights(adapter, "float32", base), weights(adapter, "bfloat16", base)
    name = "model.text_model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(exact[name].to(torch.bfloat16), rounded[name])


def changed(adapter: Path, **tensors: torch.Tensor | None) -> None:
    path = adapter / "adapter_model.safetensors"
    stored = load_file(path) | tensors
    save_file({name: t for name, t in stored.items() if t is not None}, path)


def test_missing_and_unexpected_weights_are_errors(base: Path, tmp_path: Path) -> None:
    adapter = train_adapter(base, tmp_path / "adapter", steps=1)
    name = "base_model.model.model.text_model.layers.0.self_attn.q_proj.lora_A.weight"
    kept = load_file(adapter / "adapter_model.safetensors")[name]
    changed(adapter, **{name: None})
    with pytest.raises(ValueError, match=r"1 weights are missing, first .*layers\.0\."):
        load(adapter, "cpu", "float32", base)
    changed(adapter, **{name: kept, name.replace("layers.0", "layers.9"): kept.clone()})
    with pytest.raises(ValueError, match=r"1 weights .* base.*layers\.9"):
        load(adapter, "cpu", "float32", base)


def test_options_unknown_to_peft_are_errors(base: Path, tmp_path: Path) -> None:
    adapter = train_adapter(base, tmp_path / "adapter", steps=1)
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"off_in_the_future": None}))
    load(adapter, "cpu", "float32", base)
    path.write_text(json.dumps(config | {"use_the_future": True}))
    with pytest.raises(ValueError, match=r"'use_the_future'.* peft "):
        load(adapter, "cpu", "float32", base)
