"""LoRA adapters: what is read of one before anything is loaded, and a whole run of a real one."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from evalsuite.checkpoint.adapter import require_peft
from evalsuite.checkpoint.checkpoint import Checkpoint, read
from evalsuite.errors import UsageError
from evalsuite.runner.run_record import checkpoint_record
from evalsuite.runs.storage import read_run
from tests.builders.checkpoint_files import (
    PARAMETERS,
    TEMPLATE,
    TENSORS,
    TOKENIZER,
    cached,
    change,
    error_for,
    make,
    safetensors,
    write,
)
from tests.builders.checkpoints import merge_with_peft, train_adapter
from tests.builders.commands import evalsuite, evalsuite_process
from tests.conftest import Bench, demo

pytestmark = pytest.mark.usefixtures("offline")

EMBEDDINGS = "model.text_model.embed_tokens.weight"
LAYER = "model.text_model.layers.0.self_attn.q_proj"
BASE = {**TENSORS, f"{LAYER}.weight": (6, 4)}
FACTORS = {
    f"base_model.model.{LAYER}.lora_A.weight": (2, 4),
    f"base_model.model.{LAYER}.lora_B.weight": (6, 2),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = make(tmp_path / "base")
    write(path, "model.safetensors", safetensors(BASE))
    return path


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    return make_adapter(tmp_path / "lora", str(base))


def make_adapter(directory: Path, base: str | None, **more: object) -> Path:
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 2, **more}
    write(directory, "adapter_config.json", config)
    write(directory, "adapter_model.safetensors", safetensors(FACTORS))
    return directory


# What is read


def test_every_field(adapter: Path, base: Path) -> None:
    checkpoint = read(str(adapter))
    assert checkpoint == Checkpoint(
        name="lora",
        source=str(adapter),
        path=adapter,
        base_path=base,
        base=str(base),
        processor_path=base,
        tokenizer_path=base,
        family="smolvlm",
        architecture="SmolVLMForConditionalGeneration",
        digest=checkpoint.digest,
        parameters=PARAMETERS,
        tile_size=32,
        tokens_per_tile=4,
        longest_edge=64,
        splits_images=True,
        chat_template=TEMPLATE,
        step=None,
        warnings=(),
    )
    assert checkpoint_record(checkpoint).base == str(base)
    assert checkpoint_record(read(str(base))).base is None


def test_a_trainers_step(adapter: Path, tmp_path: Path) -> None:
    write(adapter, "trainer_state.json", {"global_step": 7})
    assert (read(str(adapter)).name, read(str(adapter)).step) == ("lora", 7)
    path = shutil.copytree(adapter, tmp_path / "sft" / "checkpoint-500")
    assert (read(str(path)).name, read(str(path)).step) == ("sft-checkpoint-500", 500)


@pytest.mark.parametrize(
    "file",
    [
        "lora/adapter_config.json", "lora/adapter_model.safetensors", "base/model.safetensors",
        "base/config.json", "base/generation_config.json", "base/tokenizer.json",
    ],
)  # fmt: skip
def test_the_digest_covers_adapter_and_base(adapter: Path, tmp_path: Path, file: str) -> None:
    before = read(str(adapter)).digest
    assert before != read(str(tmp_path / "base")).digest
    path = tmp_path / file
    if path.suffix == ".json":
        change(path, something="else")
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert read(str(adapter)).digest != before


def test_the_digest_does_not_depend_on_the_directory_of_the_base(
    adapter: Path, base: Path, tmp_path: Path
) -> None:
    before = read(str(adapter)).digest
    moved = base.rename(tmp_path / "moved")
    found = read(str(adapter), base=str(moved))
    assert (found.digest, found.base, found.base_path) == (before, str(moved), moved)


@pytest.mark.parametrize("named", ["../base", "base", "{tmp}/base", "demo"])
def test_where_the_base_is_looked_for(base: Path, tmp_path: Path, named: str) -> None:
    # The tests run in tmp_path, where the second is found; the last is no folder there.
    named = named.format(tmp=tmp_path)
    adapter = make_adapter(tmp_path / "runs" / "lora", named)
    inner = shutil.copytree(base, tmp_path / "runs" / "base")
    if named == "demo":
        assert "(192, 192)" in error_for(adapter)  # it was found, and it is another model
    else:
        assert read(str(adapter)).base_path == (inner if named == "../base" else base).absolute()


def test_a_base_beside_the_adapter_comes_first(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "lora", "base")
    inside = shutil.copytree(base, adapter / "base")
    assert read(str(adapter)).base_path == inside


def test_a_base_on_the_hub(tmp_path: Path, base: Path) -> None:
    commit = "0123456789" * 4
    model = tmp_path / "hub" / "models--org--tiny"
    snapshot = shutil.copytree(base, model / "snapshots" / commit)
    write(model / "refs", "main", commit)
    adapter = make_adapter(tmp_path / "lora", "org/tiny")
    assert (read(str(adapter)).base, read(str(adapter)).base_path) == ("org/tiny", snapshot)
    pinned = make_adapter(tmp_path / "pinned", "org/tiny", revision=commit)
    assert read(str(pinned)).base == f"org/tiny@{commit}"
    gone = make_adapter(tmp_path / "gone", "org/tiny", revision="v2")
    assert "org/tiny@v2: " in error_for(gone)
    assert read(str(gone), base="org/tiny").base_path == snapshot


def test_an_adapter_on_the_hub(adapter: Path, base: Path, tmp_path: Path) -> None:
    snapshot = cached(tmp_path, adapter)
    found = read("org/tiny")
    assert (found.name, found.path, found.base_path) == ("tiny", snapshot, base)
    assert found.digest == read(str(adapter)).digest


def test_whose_processor(adapter: Path, base: Path) -> None:
    for name in ("preprocessor_config.json", "tokenizer.json", "chat_template.jinja"):
        shutil.copy(base / name, adapter / name)
    shutil.copy(base / "processor_config.json", adapter / "processor_config.json")
    own = read(str(adapter))
    assert (own.processor_path, own.warnings) == (adapter, ())
    assert read(str(adapter), processor=str(base)).processor_path == base
    (adapter / "preprocessor_config.json").unlink()
    (adapter / "processor_config.json").unlink()
    part = read(str(adapter))
    assert (part.processor_path, part.tokenizer_path) == (base, adapter)
    (adapter / "tokenizer.json").unlink()
    assert read(str(adapter)).tokenizer_path == base


# What is wrong


def test_no_base(adapter: Path, base: Path) -> None:
    shutil.rmtree(base)
    message = error_for(adapter)
    assert message.startswith(f"{adapter / 'adapter_config.json'}: its base")
    assert "has no directory 'base'" in message
    assert "--base" in message
    for nameless in (None, ""):
        change(adapter / "adapter_config.json", base_model_name_or_path=nameless)
        assert "no base_model_name_or_path; set --base" in error_for(adapter)
    assert error_for(adapter, base=str(base)).startswith(f"{base}: no such directory")


def test_a_base_for_a_whole_checkpoint(base: Path) -> None:
    assert error_for(base, base="demo").startswith(f"--base demo: {base} is not a LoRA adapter")


def test_a_base_that_is_an_adapter(adapter: Path, tmp_path: Path) -> None:
    second = make_adapter(tmp_path / "second", str(adapter))
    assert f"its base {adapter} is also a PEFT adapter" in error_for(second)


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({f"{LAYER}.lora_A.weight": (2, 8)}, "shape (2, 8) does not fit"),
        ({f"{LAYER}.lora_B.weight": (8, 2)}, "shape (6, 4) in its base"),
        ({"model.text_model.embed_tokens.weight": (11, 4)}, "shape (12, 4)"),
        (dict.fromkeys(("lm_head.weight", EMBEDDINGS), (13, 5)), "shape (12, 4)"),
        ({"model.text_model.embed_tokens.base_layer.weight": (11, 4)}, "shape (12, 4)"),
        ({"model.text_model.embed_tokens.lora_embedding_A": (2, 13)}, "shape (12, 4)"),
        ({"model.text_model.embed_tokens.lora_embedding_B": (5, 2)}, "shape (12, 4)"),
        ({"model.vision_model.embeddings.patch_embedding.lora_A.weight": (2, 3, 9, 9)},
         "shape (4, 3, 8, 8)"),
    ],
)  # fmt: skip
def test_a_base_of_another_shape(adapter: Path, factors: dict[str, Any], said: str) -> None:
    changed = {f"base_model.model.{name}": shape for name, shape in factors.items()}
    write(adapter, "adapter_model.safetensors", safetensors(FACTORS | changed))
    message = error_for(adapter)
    assert said in message
    assert "--base" in message


def test_added_tokens(adapter: Path, base: Path) -> None:
    grown = {f"base_model.model.{name}": (16, 4) for name in (EMBEDDINGS, "lm_head.weight")}
    write(adapter, "adapter_model.safetensors", safetensors(FACTORS | grown))
    shutil.copy(base / "tokenizer.json", adapter)
    added = [*TOKENIZER["added_tokens"], *({"id": i, "content": f"<{i}>"} for i in range(12, 16))]
    change(adapter / "tokenizer.json", added_tokens=added)
    assert read(str(adapter)).warnings == ()
    del grown["base_model.model.lm_head.weight"]
    write(adapter, "adapter_model.safetensors", safetensors(FACTORS | grown))
    message = error_for(adapter)
    assert "training added 4 tokens" in message
    assert "no lm_head.weight for them" in message


def test_an_adapter_of_a_quantized_base(adapter: Path, base: Path) -> None:
    change(base / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    assert f"{base}: the model is quantized by bitsandbytes" in error_for(adapter)


def test_what_fits(adapter: Path) -> None:
    embedding = "base_model.model.model.text_model.embed_tokens"
    patches = "base_model.model.model.vision_model.embeddings.patch_embedding"
    fitting = {
        f"{embedding}.lora_embedding_A": (2, 12),
        f"{embedding}.lora_embedding_B": (4, 2),
        f"{embedding}.base_layer.weight": (12, 4),
        f"{patches}.lora_A.weight": (2, 3, 8, 8),
        f"{patches}.lora_B.weight": (4, 2, 1, 1),
        f"base_model.model.{LAYER}.lora_magnitude_vector": (6,),
    }
    write(adapter, "adapter_model.safetensors", safetensors(FACTORS | fitting))
    assert read(str(adapter)).parameters == PARAMETERS


def test_an_adapter_for_another_architecture(adapter: Path) -> None:
    other = {"base_model.model.transformer.h.0.attn.c_attn.lora_A.weight": (2, 4)}
    write(adapter, "adapter_model.safetensors", safetensors(other))
    message = error_for(adapter)
    assert "(first base_model.model.transformer.h.0" in message


def test_missing_weights(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    assert "no adapter_model.safetensors" in error_for(adapter)
    write(adapter, "adapter_model.bin", "x")
    message = error_for(adapter)
    assert "the weights are adapter_model.bin" in message
    assert "weights_only=True" in message
    write(adapter, "adapter_model.safetensors", safetensors({}))
    assert "contains no weights" in error_for(adapter)
    write(adapter, "adapter_model.safetensors", safetensors(FACTORS)[:-3])
    assert "truncated" in error_for(adapter)
    (adapter / "adapter_config.json").unlink()
    assert "no adapter_config.json" in error_for(adapter)


def test_a_module_trained_whole_that_is_not_there(adapter: Path) -> None:
    change(adapter / "adapter_config.json", modules_to_save=["lm_head"])
    assert "no weight of 'lm_head'" in error_for(adapter)
    head = {"base_model.model.lm_head.weight": (12, 4)}
    write(adapter, "adapter_model.safetensors", safetensors(FACTORS | head))
    assert read(str(adapter)).path == adapter


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "peft_type 'PROMPT_TUNING' is not supported"),
        ({"peft_type": None}, "peft_type None is not supported"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is not supported"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is not supported"),
    ],
)
def test_other_kinds(adapter: Path, changes: dict[str, object], said: str) -> None:
    change(adapter / "adapter_config.json", **changes)
    assert said in error_for(adapter)


def test_a_whole_model_and_an_adapter_in_one_directory(adapter: Path, base: Path) -> None:
    shutil.copy(base / "model.safetensors", adapter)
    assert "both a whole model (model.safetensors) and a PEFT adapter" in error_for(adapter)
    (adapter / "adapter_config.json").unlink()  # transformers then passes over the adapter
    assert "weights but no config.json" in error_for(adapter)


def test_a_directory_of_adapters(tmp_path: Path, adapter: Path) -> None:
    (tmp_path / "runs").mkdir()
    adapter.rename(tmp_path / "runs" / "one")
    assert f"(did you mean {tmp_path / 'runs' / 'one'}?)" in error_for(tmp_path / "runs")


def test_without_peft(adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_peft()
    write(tmp_path / "blocked", "sitecustomize.py", "import sys; sys.modules['peft'] = None")
    path = os.pathsep.join([str(tmp_path / "blocked"), os.environ.get("PYTHONPATH", "")])
    result = evalsuite_process(
        "run", "--ckpt", str(adapter), "-b", "DemoOCR", environment={"PYTHONPATH": path}
    )
    said = "a LoRA adapter needs peft, which is not installed: pip install 'evalsuite[lora]'"
    assert (result.returncode, result.stderr) == (2, f"evalsuite: {said}\n")
    assert not list((tmp_path / "results").glob("*"))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=re.escape(said)):
        require_peft()


# The real thing


def test_a_run_answers_as_one_that_peft_merged(tmp_path: Path) -> None:
    demo = read("demo").path
    adapter = train_adapter(
        demo, tmp_path / "sft" / "checkpoint-24", steps=24, lora_alpha=64, processor=True
    )
    merged = merge_with_peft(demo, adapter, tmp_path / "merged")
    result = evalsuite(
        "run", *(f"--ckpt={source}" for source in (adapter, merged, demo)),
        "-b", "DemoOCR,DemoShapes,DemoVideo", "--limit", "24", "--device", "cpu",
        "--dtype", "float32", "--max-new-tokens", "12",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    said = {}
    for path in (tmp_path / "results").glob("*/*/run@24.json"):
        run = read_run(path)
        said[run.checkpoint.name] = {
            (b, line["id"]): (line["text"], line["tokens"], line["ended"])
            for b in ("DemoOCR", "DemoShapes", "DemoVideo")
            for line in map(json.loads, (path.parent / b / "predictions.jsonl").open())
            if "id" in line
        }
        if run.checkpoint.name == "sft-checkpoint-24":
            assert (run.checkpoint.base, run.checkpoint.step) == (str(demo), 24)
            assert f"base        {demo}" in result.stderr
    assert len(said["sft-checkpoint-24"]) == 72
    assert said["sft-checkpoint-24"] == said["merged"]
    # Else the adapter might have been left out.
    different = sum(said["demo"][key] != text for key, text in said["merged"].items())
    assert different > 24
    assert len(set(said["merged"].values())) > 5


def test_what_only_loading_shows_is_one_line(bench: Bench, tmp_path: Path) -> None:
    adapter = train_adapter(read("demo").path, tmp_path / "adapter", steps=1)
    change(adapter / "adapter_config.json", target_modules=["q_proj"])
    with pytest.raises(UsageError) as refusal:
        bench.of(read(str(adapter))).run(tmp_path / "out", demo("DemoOCR"), limit="1")
    said = str(refusal.value)
    assert said.startswith(f"{adapter}: cannot be loaded: ValueError: {adapter}: ")
    assert "do not exist in the base model" in said
    assert "\n" not in said
