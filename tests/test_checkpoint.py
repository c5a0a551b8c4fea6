"""Reading checkpoints: names, digests, warnings, and one-line errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from evalsuite.checkpoint.checkpoint import Checkpoint, read
from evalsuite.runner.run_record import checkpoint_record
from evalsuite.runs.records import CheckpointRecord
from tests.builders.checkpoint_files import (
    END,
    IMAGE,
    PARAMETERS,
    TEMPLATE,
    TENSORS,
    TOKENIZER,
    cached,
    change,
    change_part,
    error_for,
    make,
    safetensors,
    weights,
    write,
)

REPOSITORY = Path(__file__).parents[1]
EMBEDDINGS = ("lm_head.weight", "model.text_model.embed_tokens.weight")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json", "tokenizer.json")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make(tmp_path / "tiny")


pytestmark = pytest.mark.usefixtures("offline")


# Fields


def test_every_field(tiny: Path) -> None:
    checkpoint = read(str(tiny))
    assert checkpoint == Checkpoint(
        name="tiny",
        source=str(tiny),
        path=tiny,
        processor_path=tiny,
        tokenizer_path=tiny,
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
    assert len(checkpoint.digest) == 64


def test_record(tiny: Path) -> None:
    checkpoint = read(str(tiny))
    assert checkpoint_record(checkpoint) == CheckpointRecord(
        name="tiny",
        source=str(tiny),
        family="smolvlm",
        digest=checkpoint.digest,
        parameters=PARAMETERS,
        step=None,
        warnings=(),
    )


def test_image_settings_nested_in_processor_config_come_first(tiny: Path) -> None:
    nested = {**IMAGE, "size": {"longest_edge": 96}, "do_image_splitting": False}
    write(tiny, "processor_config.json", {"image_seq_len": 4, "image_processor": nested})
    checkpoint = read(str(tiny))
    assert (checkpoint.longest_edge, checkpoint.splits_images) == (96, False)
    (tiny / "preprocessor_config.json").unlink()
    assert read(str(tiny)).longest_edge == 96


@pytest.mark.parametrize(
    ("image_size", "patch", "scale", "tokens"),
    [(512, 16, 4, 64), (384, 14, 3, 81), (364, 14, 2, 169), ([512, 512], 16, 4, 64)],
)
def test_tokens_per_tile_of_the_published_shapes(
    tiny: Path, image_size: object, patch: int, scale: int, tokens: int
) -> None:
    change_part(tiny, "vision_config", image_size=image_size, patch_size=patch)
    change(tiny / "config.json", scale_factor=scale)
    change(tiny / "processor_config.json", image_seq_len=tokens)
    side = int(str(image_size[0] if isinstance(image_size, list) else image_size))
    change(tiny / "preprocessor_config.json", max_image_size={"longest_edge": side})
    change(tiny / "preprocessor_config.json", size={"longest_edge": 2 * side})
    vision = "model.vision_model.embeddings"
    shapes = {
        f"{vision}.position_embedding.weight": ((side // patch) ** 2, 4),
        f"{vision}.patch_embedding.weight": (4, 3, patch, patch),
        "model.connector.modality_projection.proj.weight": (4, 4 * scale**2),
    }
    weights(tiny, **shapes)
    checkpoint = read(str(tiny))
    assert (checkpoint.tokens_per_tile, checkpoint.warnings) == (tokens, ())


@pytest.mark.parametrize("architectures", [["Idefics3ForConditionalGeneration"], None])
def test_family_is_by_config_not_by_path(tmp_path: Path, architectures: object) -> None:
    path = make(tmp_path / "SmolVLM2-2.2B")
    change(path / "config.json", model_type="idefics3", architectures=architectures)
    checkpoint = read(str(path))
    assert checkpoint.family == "idefics3"
    assert checkpoint.architecture == "Idefics3ForConditionalGeneration"


def test_shards_count_like_one_file(tiny: Path) -> None:
    names = list(TENSORS)
    parts = {"model-00001-of-00002.safetensors": names[:1]}
    parts["model-00002-of-00002.safetensors"] = names[1:]
    (tiny / "model.safetensors").unlink()
    for file, held in parts.items():
        write(tiny, file, safetensors({name: TENSORS[name] for name in held}))
    weight_map = {name: file for file, held in parts.items() for name in held}
    last = "model-00002-of-00002.safetensors"
    write(tiny, "model.safetensors.index.json", {"weight_map": weight_map})
    assert read(str(tiny)).parameters == PARAMETERS

    (tiny / "model-00002-of-00002.safetensors").unlink()
    message = error_for(tiny)
    assert "1 of 2 shards missing (model-00002-of-00002.safetensors)" in message

    write(tiny, last, safetensors({names[1]: TENSORS[names[1]]}))
    assert f"tensor '{min(names[2:])}' is missing" in error_for(tiny)

    write(tiny, "model.safetensors.index.json", {"weight_map": {"a": "../model.safetensors"}})
    assert "shard '../model.safetensors'" in error_for(tiny)
    write(tiny, "model.safetensors.index.json", {})
    assert "model.safetensors.index.json: no 'weight_map'" in error_for(tiny)


# Name and step


@pytest.mark.parametrize(
    ("directory", "name", "step"),
    [
        ("runs/vqa/checkpoint-500", "vqa-checkpoint-500", 500),
        ("my model (v2)", "my-model-v2", None),
        ("модель.v1", "v1", None),
        ("a_b-C.d", "a_b-C.d", None),
        ("checkpoint-best", "checkpoint-best", None),
    ],
)
def test_names(tmp_path: Path, directory: str, name: str, step: int | None) -> None:
    make(tmp_path / directory)
    checkpoint = read(directory)
    assert (checkpoint.name, checkpoint.step) == (name, step)
    assert read(f"./{directory}/").name == name


def test_name_of_the_working_directory(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny)
    assert read(".").name == "tiny"


def test_given_name(tiny: Path) -> None:
    assert read(str(tiny), name="run 7/b").name == "run-7-b"
    for empty in ("", "..", "///"):
        assert "--name" in error_for(tiny, name=empty)


def test_step_from_the_trainer(tiny: Path) -> None:
    write(tiny, "trainer_state.json", {"global_step": 1200})
    assert read(str(tiny)).step == 1200


def test_demo_is_a_reserved_word(tmp_path: Path) -> None:
    make(tmp_path / "demo")
    assert read("demo").path == REPOSITORY / "evalsuite/demo/checkpoints/demo"
    assert read("./demo").path == tmp_path / "demo"
    early = read("demo:early")
    assert (early.name, early.path.name, early.warnings) == ("demo-early", "early", ())
    assert read("demo").warnings == ()
    assert "available are demo and demo:early" in error_for("demo:late")


# Digest


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json",
        "processor_config.json", "tokenizer.json", "chat_template.jinja",
    ],
)  # fmt: skip
def test_a_changed_byte_is_another_digest(tiny: Path, name: str) -> None:
    before = read(str(tiny)).digest
    content = (tiny / name).read_bytes()
    last = b"\x01" if name == "model.safetensors" else content[-1:] + b"\n"
    (tiny / name).write_bytes(content[:-1] + last)
    assert read(str(tiny)).digest != before


@pytest.mark.parametrize(
    "name", ["video_preprocessor_config.json", "tokenizer_config.json", "added_tokens.json"]
)
def test_an_added_file_that_shapes_predictions_is_another_digest(tiny: Path, name: str) -> None:
    before = read(str(tiny)).digest
    write(tiny, name, {})
    assert read(str(tiny)).digest != before


def test_other_files_and_places_do_not_matter(tiny: Path, tmp_path: Path) -> None:
    before = read(str(tiny)).digest
    for name in ("README.md", "optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth"):
        write(tiny, name, "x")
    write(tiny, "trainer_state.json", {"global_step": 5})
    shutil.copytree(tiny, tmp_path / "moved")
    assert read(str(tiny)).digest == read(str(tmp_path / "moved")).digest == before


def test_a_processor_from_elsewhere_digests_like_a_copy_of_it(tiny: Path, tmp_path: Path) -> None:
    whole = read(str(tiny)).digest
    bare = Path(shutil.copytree(tiny, tmp_path / "bare"))
    for name in (*PROCESSOR_FILES, "chat_template.jinja"):
        (bare / name).unlink()
    checkpoint = read(str(bare), processor=str(tiny))
    assert (checkpoint.path, checkpoint.processor_path) == (bare, tiny)
    assert (checkpoint.name, checkpoint.digest) == ("bare", whole)


def test_large_weights_are_hashed_once(tiny: Path, tmp_path: Path) -> None:
    change_part(tiny, "text_config", vocab_size=150_000)
    weights(tiny, **dict.fromkeys(EMBEDDINGS, (150_000, 4)))
    time.sleep(0.06)
    first = read(str(tiny), cache=tmp_path / "digests")
    (entry,) = (tmp_path / "digests").rglob("*.json")
    change(entry, sha256="0" * 64)
    assert read(str(tiny), cache=tmp_path / "digests").digest != first.digest
    assert read(str(tiny), cache=tmp_path / "other").digest == first.digest


# Warnings


@pytest.mark.parametrize(
    ("file", "changes", "expected"),
    [
        ("generation_config.json", {"eos_token_id": 2}, "is 2, so <end_of_utterance> (id 9)"),
        ("generation_config.json", {"eos_token_id": None}, "generation_config.json is None"),
        ("generation_config.json", {"eos_token_id": [2, 3]}, "answers may run to the token limit"),
        (
            "tokenizer.json",
            {"added_tokens": [a for a in TOKENIZER["added_tokens"] if a["id"] != END]},
            "the tokenizer has no <end_of_utterance>",
        ),
        (
            "tokenizer.json",
            {"added_tokens": [*TOKENIZER["added_tokens"], {"id": 12, "content": "x"}]},
            "13 tokens and the model 12 embeddings: a sample",
        ),
        ("preprocessor_config.json", {"size": {"longest_edge": 48}}, "48 pixels"),
        ("preprocessor_config.json", {"size": {"longest_edge": 96}}, "no <row_3_col_3>"),
        (
            "processor_config.json",
            {"image_seq_len": 4, "image_processor": {**IMAGE, "do_image_splitting": False}},
            "preprocessor_config.json and processor_config.json differ in do_image_splitting",
        ),
    ],
)  # fmt: skip
def test_warnings(tiny: Path, file: str, changes: Mapping[str, object], expected: str) -> None:
    change(tiny / file, **changes)
    (warning,) = read(str(tiny)).warnings
    assert expected in warning
    assert checkpoint_record(read(str(tiny))).warnings == (warning,)


def test_a_list_of_end_tokens_with_the_right_one_is_fine(tiny: Path) -> None:
    change(tiny / "generation_config.json", eos_token_id=[2, END])
    assert read(str(tiny)).warnings == ()


def test_no_generation_config(tiny: Path) -> None:
    (tiny / "generation_config.json").unlink()
    assert read(str(tiny)).warnings == (
        "no generation_config.json, so <end_of_utterance> (id 9) does not end an answer: "
        "answers may run to the token limit",
    )


def test_chat_templates(tiny: Path) -> None:
    (tiny / "chat_template.jinja").unlink()
    assert read(str(tiny)).chat_template is None
    assert read(str(tiny)).warnings == ("no chat template: the processor was saved without one",)
    named = [{"name": "tools", "template": TEMPLATE}, {"name": "default", "template": "<image>"}]
    write(tiny, "tokenizer_config.json", {"chat_template": named})
    (warning,) = read(str(tiny)).warnings
    assert warning.endswith("it lacks <end_of_utterance>, Assistant:")
    assert read(str(tiny)).chat_template == "<image>"
    write(tiny, "chat_template.json", {"chat_template": {"tools": "no", "default": "by name"}})
    assert read(str(tiny)).chat_template == "by name"
    (tiny / "chat_template.json").unlink()
    write(tiny, "chat_template.jinja", f"newer {TEMPLATE}")
    assert read(str(tiny)).chat_template == f"newer {TEMPLATE}"
    # As transformers does, which reads the older file of the two if it is there.
    write(tiny, "chat_template.json", {"chat_template": TEMPLATE})
    assert read(str(tiny)).chat_template == TEMPLATE
    assert len(read(str(tiny)).warnings) == 2  # the files differ
    change(tiny / "processor_config.json", chat_template=f"first {TEMPLATE}")
    assert read(str(tiny)).chat_template == f"first {TEMPLATE}"
    assert "in processor_config.json and chat_template.json differ" in read(str(tiny)).warnings[0]


def test_a_processor_for_smaller_tiles(tiny: Path) -> None:
    change(tiny / "preprocessor_config.json", max_image_size={"longest_edge": 16})
    change(tiny / "preprocessor_config.json", size={"longest_edge": 32})
    change(tiny / "processor_config.json", image_seq_len=1)
    (warning,) = read(str(tiny)).warnings
    assert "tiles of 16 pixels, but the vision encoder was made for 32" in warning


def test_embeddings_padded_to_a_round_number_are_fine(tiny: Path) -> None:
    for rows, count in ((1036, 0), (1037, 1)):
        change_part(tiny, "text_config", vocab_size=rows)
        weights(tiny, **dict.fromkeys(EMBEDDINGS, (rows, 4)))
        assert len(read(str(tiny)).warnings) == count


def test_single_file_and_index(tiny: Path) -> None:
    write(tiny, "model.safetensors.index.json", {"weight_map": {}})
    (warning,) = read(str(tiny)).warnings
    assert "model.safetensors and model.safetensors.index.json" in warning


# Errors


def test_missing_paths(tiny: Path) -> None:
    expected = f"no such directory; {tiny.parent} has no directory 'tinny' (did you mean 'tiny'?)"
    assert expected in error_for(tiny.parent / "tinny")
    assert expected in error_for("tinny/checkpoint-500")
    message = error_for("tiny/checkpoint-50")
    assert f"{tiny} has no directory 'checkpoint-50'" in message
    assert "tiny/checkpoint-50@main" in message
    assert "a directory, a Hub id (org/name) or demo" in error_for("nothing")
    assert "a directory, org/name or demo" in error_for("")


def test_a_file_is_not_a_checkpoint(tiny: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        message = error_for(tiny / name)
        assert message.startswith(f"{tiny / name}: is a file")
        assert f"(did you mean {tiny}?)" in message


def test_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty: the directory is empty" in error_for("./empty")


def test_a_directory_without_weights(tmp_path: Path) -> None:
    write(tmp_path / "notes", "a.txt", "text")
    assert "no weights, only a.txt" in error_for("./notes")


def test_the_directory_above_checkpoints(tmp_path: Path) -> None:
    for step in (500, 1000, 50):
        make(tmp_path / "run" / f"checkpoint-{step}")
    message = error_for("./run")
    assert "it contains checkpoint-1000, checkpoint-500, checkpoint-50" in message
    assert f"(did you mean {tmp_path / 'run' / 'checkpoint-1000'}?)" in message
    make(tmp_path / "models--org--name" / "snapshots" / "0a1b")
    assert "(did you mean" in (message := error_for("./models--org--name"))
    assert "models--org--name/snapshots/0a1b?)" in message


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("qwen2_vl", "Qwen2VLForConditionalGeneration"),
        ("smolvlm", "SmolVLMModel"),
        ("smolvlm", "Idefics3ForConditionalGeneration"),
        (None, "LlamaForCausalLM"),
    ],
)
def test_other_architectures(tiny: Path, model_type: str | None, architecture: str) -> None:
    change(tiny / "config.json", model_type=model_type, architectures=[architecture])
    message = error_for(tiny)
    assert f"config.json: {architecture} (model_type {model_type!r}) is not supported" in message
    assert "SmolVLMForConditionalGeneration and Idefics3ForConditionalGeneration" in message


def test_no_model_type(tiny: Path) -> None:
    change(tiny / "config.json", model_type=None)
    assert 'add "model_type": "smolvlm"' in error_for(tiny)


def test_an_unsupported_model_is_named_before_its_weights_or_processor(tmp_path: Path) -> None:
    write(tmp_path / "llama", "config.json", {"architectures": ["LlamaForCausalLM"]})
    write(tmp_path / "llama", "pytorch_model.bin", "x")
    assert "LlamaForCausalLM (model_type None) is not supported" in error_for("./llama")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"vision_config": None}, "config.json: no vision_config"),
        ({"scale_factor": 0}, "scale_factor is 0, not a positive whole number"),
        ({"scale_factor": 3}, "image_size 32, patch_size 8 and scale_factor 3"),
        ({"vision_config": {"image_size": "32"}}, "vision_config.image_size is '32'"),
    ],
)
def test_invalid_configs(tiny: Path, changes: Mapping[str, object], expected: str) -> None:
    change(tiny / "config.json", **changes)
    assert expected in error_for(tiny)


def test_no_config(tiny: Path) -> None:
    (tiny / "config.json").unlink()
    assert "weights but no config.json" in error_for(tiny)


@pytest.mark.parametrize("lost", [PROCESSOR_FILES[:2], PROCESSOR_FILES[2:], PROCESSOR_FILES])
def test_no_processor(tiny: Path, lost: tuple[str, ...]) -> None:
    for name in lost:
        (tiny / name).unlink()
    message = error_for(tiny)
    assert ("no tokenizer.json" in message) == ("tokenizer.json" in lost)
    assert ("no preprocessor_config.json" in message) == ("processor_config.json" in lost)
    assert "processing_class" in message
    assert "--processor PATH or --processor org/name" in message


def test_a_missing_processor_directory(tiny: Path, tmp_path: Path) -> None:
    assert "nowhere: no such directory" in error_for(tiny, processor="nowhere")
    assert "an empty name" in error_for(tiny, processor="")
    (tmp_path / "bare").mkdir()
    assert f"{tmp_path / 'bare'}: no processor" in error_for(tiny, processor="./bare")


def test_no_image_settings(tiny: Path) -> None:
    (tiny / "preprocessor_config.json").unlink()
    assert "processor_config.json: no image settings" in error_for(tiny)
    write(tiny, "preprocessor_config.json", {"size": {"height": 5, "width": 5}})
    assert "max_image_size.longest_edge is None" in error_for(tiny)


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", "processor_config.json"]
)
def test_corrupt_json(tiny: Path, name: str) -> None:
    path = tiny / name
    path.write_bytes(path.read_bytes()[:-9])
    assert f"{path}: is not valid JSON (" in error_for(tiny)
    path.write_bytes(b"\xff\xfe{}")
    assert f"{path}: is not valid JSON (" in error_for(tiny)
    path.write_text("[1]")
    assert f"{path}: expected a JSON object, found a list" in error_for(tiny)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    assert f"`git lfs pull` in {tiny}" in error_for(tiny)


def test_a_tokenizer_of_another_shape(tiny: Path) -> None:
    write(tiny, "tokenizer.json", {"model": {}})
    assert "tokenizer.json: not a valid tokenizer (KeyError('vocab'))" in error_for(tiny)


def test_damaged_safetensors(tiny: Path) -> None:
    path = tiny / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    size = f"{len(whole) - 100:,} of {len(whole):,} bytes"
    assert f"{path}: truncated: {size}" in error_for(tiny)
    path.write_bytes(whole + b"abc")
    assert f"{path}: damaged: 3 bytes after" in error_for(tiny)
    for length in (0, 5, 40):
        path.write_bytes(whole[:length])
        assert f"truncated to {length} bytes" in error_for(tiny)
    path.write_bytes(b"PK\x03\x04 this is a zip file, as torch.save writes")
    assert f"{path}: not a safetensors file" in error_for(tiny)
    path.write_bytes(whole[:8] + b"[" + whole[9:])
    assert "its header is damaged" in error_for(tiny)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    assert "a Git LFS pointer" in error_for(tiny)


def test_a_link_without_a_target(tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    (tiny / "model.safetensors").symlink_to("gone")
    assert "model.safetensors: cannot be read: No such file or directory" in error_for(tiny)


@pytest.fixture
def readable_directory() -> Iterator[Path]:
    """A directory that every user can enter; tests switch from root, who can read everything."""
    user = os.geteuid()
    # Not below pytest's directory, which other users cannot enter.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)
        if user == 0:
            os.seteuid(user)


@pytest.mark.parametrize("name", [".", "config.json", "model.safetensors", "chat_template.jinja"])
def test_permission_denied(readable_directory: Path, name: str) -> None:
    path = make(readable_directory / "tiny")
    (path / name).chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    assert error_for(path) == (
        f"{path / name}: cannot be read: Permission denied; "
        "check that it exists and that you may read it"
    )


# Weights in other formats


def bare(directory: Path, *names: str) -> Path:
    """A checkpoint with other files in place of its weights."""
    make(directory)
    (directory / "model.safetensors").unlink()
    for name in names:
        write((directory / name).parent, Path(name).name, "x")
    return directory


def test_pickled_weights(tmp_path: Path) -> None:
    path = bare(tmp_path / "b", "pytorch_model.bin", "training_args.bin", "optimizer.pt")
    assert error_for(path) == (
        f"{path}: the weights are pytorch_model.bin, and only safetensors are supported; convert "
        "them with `python -c 'from transformers import AutoModelForImageTextToText as M; "
        f'M.from_pretrained("{path}").save_pretrained("{path}-safetensors", '
        f"safe_serialization=True)'`, then evaluate {path}-safetensors with --processor {path}"
    )


@pytest.mark.parametrize("name", ["pytorch_model_fsdp.bin", "model.pt", "weights.pth"])
def test_a_pickled_state_dict(tmp_path: Path, name: str) -> None:
    path = bare(tmp_path / "b", name, "scheduler.pt", "rng_state_0.pth")
    message = error_for(path)
    assert f"the weights are {name}, " in message
    assert "convert them with `python -c 'import torch;" in message
    assert f'torch.load("{path / name}", map_location="cpu", weights_only=True)' in message


def test_training_state_alone_is_not_weights(tmp_path: Path) -> None:
    path = bare(tmp_path / "b", "optimizer.pt", "scheduler.pt", "training_args.bin")
    assert "no weights, only " in error_for(path)


@pytest.mark.parametrize(
    "names",
    [
        ("pytorch_model_fsdp_0/__0_0.distcp", "pytorch_model_fsdp_0/.metadata"),
        ("pytorch_model_fsdp_0/.metadata", "optimizer_0/__0_0.distcp", "optimizer.bin"),
    ],
)
def test_fsdp_shards(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = bare(tmp_path / "checkpoint-500", *names)
    shards = path / "pytorch_model_fsdp_0"
    merge = f"`accelerate merge-weights {shards} {path}`, then evaluate {path}"
    assert f"the weights are FSDP shards; merge them with {merge}" in error_for(path)


def test_the_fsdp_shards_themselves(tmp_path: Path) -> None:
    write(tmp_path / "run" / "pytorch_model_fsdp_0", "__0_0.distcp", "x")
    path = tmp_path / "run" / "pytorch_model_fsdp_0"
    assert f"`accelerate merge-weights {path} {path.parent}`" in error_for(path)


def test_deepspeed(tmp_path: Path) -> None:
    step = "global_step500/mp_rank_00_model_states.pt"
    path = bare(tmp_path / "my run", step, "latest", "zero_to_fp32.py")
    command = f"`cd '{path}' && python zero_to_fp32.py . out --safe_serialization`"
    for source in (path, path / "global_step500"):
        message = error_for(source)
        assert "the weights are a DeepSpeed checkpoint" in message
        assert command in message
        assert f"then evaluate {path / 'out'}" in message
    (path / "zero_to_fp32.py").unlink()
    assert "python -m deepspeed.utils.zero_to_fp32 . out --safe_serialization" in error_for(path)


def test_consolidated_deepspeed_weights_are_read(tiny: Path) -> None:
    write(tiny / "global_step500", "mp_rank_00_model_states.pt", "x")
    write(tiny, "zero_to_fp32.py", "x")
    assert read(str(tiny)).parameters == PARAMETERS


def test_safetensors_of_other_names(tmp_path: Path) -> None:
    path = bare(tmp_path / "a", "model-00001-of-00002.safetensors")
    assert "but no model.safetensors.index.json" in error_for(path)
    path = bare(tmp_path / "b", "weights.safetensors")
    assert "no model.safetensors, only weights.safetensors" in error_for(path)


# The Hub (tests/test_hub.py has the rest)


def test_a_hub_id_from_the_cache(tiny: Path, tmp_path: Path) -> None:
    snapshot = cached(tmp_path, tiny)
    checkpoint = read("org/tiny")
    assert (checkpoint.name, checkpoint.source, checkpoint.path) == ("tiny", "org/tiny", snapshot)
    assert checkpoint.digest == read(str(tiny)).digest
    assert read("org/tiny@main").name == "tiny"
    assert read("org/tiny@0123456789012345678901234567890123456789").path == snapshot


def test_a_processor_from_the_hub(tiny: Path, tmp_path: Path) -> None:
    snapshot = cached(tmp_path, tiny)
    (tiny / "tokenizer.json").unlink()
    assert read(str(tiny), processor="org/tiny").processor_path == snapshot


def test_a_hub_model_without_safetensors(tiny: Path, tmp_path: Path) -> None:
    (tiny / "model.safetensors").unlink()
    cached(tmp_path, tiny)
    message = error_for("org/tiny")
    assert message.startswith("org/tiny: no safetensors in ")
    assert 'M.from_pretrained("org/tiny").save_pretrained("tiny-safetensors"' in message


def test_a_directory_comes_before_the_hub(tmp_path: Path, tiny: Path) -> None:
    cached(tmp_path, tiny)
    make(tmp_path / "org" / "tiny")
    assert read("org/tiny").path == tmp_path / "org" / "tiny"
    (tmp_path / "org" / "tiny").rename(tmp_path / "org" / "tony")
    assert "has no directory 'tiny' (did you mean 'tony'?)" in error_for("org/tiny")
    assert read("org/tiny@main").path.parent.name == "snapshots"


def test_neither_torch_nor_transformers_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from evalsuite.checkpoint.checkpoint import read; print(read('demo').name); "
        "print([m for m in ('torch', 'transformers', 'vlmeval') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "EVALSUITE_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split("\n")[:2] == ["demo", "[]"]
