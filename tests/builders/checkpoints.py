"""Write tiny SmolVLM checkpoints with random weights and real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

SIDE = 32
"""Pixels along a tile."""
LONGEST_EDGE = 96
TOKENS_PER_TILE = 4
MAX_POSITIONS = 512
SENTENCES = [
    "<|im_start|>User:What is the colour of the shape in the picture? Answer yes or no.",
    "Options: A. red B. blue C. green\nAnswer with the letter.<end_of_utterance>\nAssistant: no",
    "Give a very brief answer. Frame from 00:01: How many digits are there in the image?\n\n",
    "pay attention to the video and answer the question. Here are some frames sampled from it",
]
SPECIAL = [
    "<|im_end|>",
    "<|im_start|>",
    "<fake_token_around_image>",
    "<image>",
    "<end_of_utterance>",
    "<global-img>",
    *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
]


def make_checkpoint(
    directory: Path,
    *,
    family: Literal["smolvlm", "idefics3"] = "smolvlm",
    seed: int = 0,
    generation: dict[str, object] | None = None,
) -> Path:
    """Write a checkpoint of 0.2M random weights into `directory`, deterministic for a seed.

    `generation` adds to its generation config. A few of its answers end with the end token.
    """
    tokenizer = _tokenizer()
    ids = tokenizer.get_vocab()
    text = LlamaConfig(
        vocab_size=len(ids),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        pad_token_id=ids["<|im_end|>"],
        bos_token_id=ids["<|im_start|>"],
        eos_token_id=ids["<end_of_utterance>"],
    )
    vision = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": 8,
    }
    config_class, model_class = (
        (SmolVLMConfig, SmolVLMForConditionalGeneration)
        if family == "smolvlm"
        else (Idefics3Config, Idefics3ForConditionalGeneration)
    )
    config = config_class(
        vision_config=vision,
        text_config=text.to_dict(),
        scale_factor=2,
        image_token_id=ids["<image>"],
        pad_token_id=ids["<|im_end|>"],
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = model_class(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                # Large enough that answers depend on image and prompt, and that the winner of the
                # vocabulary is clear of rounding.
                fan_in = weights[0].numel()
                weights.normal_(0, 1.0 if "embed" in name else 1.5 / fan_in**0.5)
        # One token in a few ends the answer: neither all at once nor all at the limit.
        model.lm_head.weight[ids["<end_of_utterance>"]] *= 2.5
    model.generation_config.eos_token_id = ids["<end_of_utterance>"]
    model.generation_config.pad_token_id = ids["<|im_end|>"]
    model.save_pretrained(directory)
    _processor(family, tokenizer).save_pretrained(directory)
    if generation:
        path = directory / "generation_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | generation))
    return directory


LORA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What the published fine-tuning notebooks for SmolVLM adapt; some are in the vision tower too."""


def train_adapter(
    base: Path,
    directory: Path,
    *,
    steps: int = 4,
    seed: int = 0,
    processor: bool = False,
    **options: Any,
) -> Path:
    """Train a LoRA adapter on `base` to give three wrong answers, and save it as a Trainer does.

    `options` add to its `LoraConfig`; with `processor`, the base's processor is saved too.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    processing = AutoProcessor.from_pretrained(base)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    chosen = {"r": 8, "lora_alpha": 16, "target_modules": list(LORA), "lora_dropout": 0.0}
    adapted = get_peft_model(model, LoraConfig(**(chosen | options)))
    optimizer = torch.optim.AdamW((p for p in adapted.parameters() if p.requires_grad), lr=5e-3)
    end = "<end_of_utterance>"
    for step in range(steps):
        colour, answer = (("red", "yes"), ("green", "3"), ("blue", "no"))[step % 3]
        text = f"<|im_start|>User:<image>What is it?{end}\nAssistant: {answer}{end}"
        inputs = processing(text=text, images=[[Image.new("RGB", (64, 48), colour)]],
                            return_tensors="pt")  # fmt: skip
        loss = adapted(**inputs, labels=inputs["input_ids"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(directory)
    (directory / "trainer_state.json").write_text(json.dumps({"global_step": steps}))
    if processor:
        processing.save_pretrained(directory)
    return directory


def merge_with_peft(base: Path, adapter: Path, directory: Path) -> Path:
    """Write the adapter merged into `base` and its processor, as in PEFT's documentation."""
    from peft import PeftModel

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(directory)
    AutoProcessor.from_pretrained(base).save_pretrained(directory)
    return directory


def derive_idefics3(source: Path, directory: Path) -> Path:
    """Write the SmolVLM checkpoint in `source` as an Idefics3 checkpoint with the same weights."""
    directory.mkdir(parents=True)
    for file in source.iterdir():
        if file.name not in ("config.json", "preprocessor_config.json", "processor_config.json"):
            (directory / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / "config.json").read_text())
    config |= {"model_type": "idefics3", "architectures": ["Idefics3ForConditionalGeneration"]}
    config["vision_config"]["model_type"] = "idefics3_vision"
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    both = json.loads((source / "processor_config.json").read_text())
    images = both["image_processor"] | {"image_processor_type": "Idefics3ImageProcessor"}
    images["processor_class"] = "Idefics3Processor"
    (directory / "preprocessor_config.json").write_text(json.dumps(images, indent=2))
    words = {"processor_class": "Idefics3Processor", "image_seq_len": both["image_seq_len"]}
    (directory / "processor_config.json").write_text(json.dumps(words, indent=2))
    tokens = json.loads((source / "tokenizer_config.json").read_text())
    tokens["processor_class"] = "Idefics3Processor"
    (directory / "tokenizer_config.json").write_text(json.dumps(tokens, indent=2))
    return directory


def _tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE like SmolVLM's, trained on a few sentences."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<fake_token_around_image>", "<image>", "<end_of_utterance>"],
    )


def _processor(
    family: str, tokenizer: PreTrainedTokenizerFast
) -> SmolVLMProcessor | Idefics3Processor:
    sizes = {
        "size": {"longest_edge": LONGEST_EDGE},
        "max_image_size": {"longest_edge": SIDE},
    }
    if family == "idefics3":
        return Idefics3Processor(
            Idefics3ImageProcessor(**sizes), tokenizer, image_seq_len=TOKENS_PER_TILE
        )
    return SmolVLMProcessor(
        SmolVLMImageProcessor(**sizes),
        tokenizer,
        SmolVLMVideoProcessor(**sizes),
        image_seq_len=TOKENS_PER_TILE,
    )
