"""A SmolVLM2 checkpoint that is small enough to train on two CPU cores."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_clips
import demo_data
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

TILE = 32
"""Tile size in pixels: a 64-pixel image becomes 2 x 2 tiles and a global one."""
PATCH = 8
SCALE = 2
"""Pixel shuffle: 2 x 2 patches become one token."""
IMAGE_TOKENS = (TILE // PATCH // SCALE) ** 2
TOKENIZER = Path(__file__).with_name("tokenizer.json")
VOCABULARY = 768
"""Maximum; the questions need fewer tokens."""
INITIAL_SPREAD = 0.06
"""Standard deviation of the initial weights. With the usual 0.02, this narrow model ignores the
image for hundreds of steps."""

UNKNOWN, START, PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
FAKE, IMAGE, GLOBAL = "<fake_token_around_image>", "<image>", "<global-img>"
END = "<end_of_utterance>"
SPECIAL_TOKENS = [
    UNKNOWN,
    START,
    PAD,
    FAKE,
    IMAGE,
    *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
    GLOBAL,
    END,
]


def _corpus() -> Iterator[str]:
    """Yield all texts for the tokenizer."""
    rng = random.Random(0)
    for shape in demo_data.SHAPES:
        for color in demo_data.COLORS:
            scene = demo_data.Scene(shape, color)
            for question in demo_data.scene_questions(scene, 8, 24, rng):
                yield demo_data.still_prompt(question.text) + f" {question.answer}"
                yield demo_data.still_prompt(demo_data.short_answer_text(question))
    for _ in range(300):
        pair = f"{rng.randint(0, 9)}{rng.randint(0, 9)}"
        for question in demo_data.pair_questions(pair, rng):
            yield demo_data.still_prompt(demo_data.choice_text(question)) + f" {question.answer}"
        for question in demo_data.string_questions(pair):
            yield demo_data.still_prompt(question.text) + f" {question.answer}"
        for question in demo_clips.clip_questions(demo_clips.random_clip(rng)):
            yield demo_data.video_prompt(question, rng.randint(5, 8)) + f" {question.answer}"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer in `TOKENIZER`, with the token names of SmolVLM's processor."""
    if not TOKENIZER.exists():
        learn_tokenizer().save(str(TOKENIZER))
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(TOKENIZER)),
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[FAKE, IMAGE, GLOBAL],
        extra_special_tokens={
            "end_of_utterance_token": END,
            "fake_image_token": FAKE,
            "global_image_token": GLOBAL,
            "image_token": IMAGE,
        },
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def learn_tokenizer() -> Tokenizer:
    """Learn a byte-level BPE with SmolVLM's special tokens and one token per digit.

    The result is stored in `TOKENIZER`, because token numbers depend on every word of the corpus: a
    changed question would make all weights useless.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return tokenizer


def build_processor(tokenizer: PreTrainedTokenizerFast) -> SmolVLMProcessor:
    """Return SmolVLM's processor with this checkpoint's tile size and image splitting."""
    edge = {"longest_edge": TILE}
    return SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(
            size={"longest_edge": demo_data.SIDE}, max_image_size=edge, do_image_splitting=True
        ),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(size=edge, max_image_size=edge, fps=1),
        image_seq_len=IMAGE_TOKENS,
        chat_template=DEFAULT_CHAT_TEMPLATE,
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> SmolVLMConfig:
    """Return SmolVLM2's configuration with small dimensions."""
    return SmolVLMConfig(
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        scale_factor=SCALE,
        initializer_range=INITIAL_SPREAD,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        vision_config={
            "model_type": "smolvlm_vision",
            "initializer_range": INITIAL_SPREAD,
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": TILE,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "initializer_range": INITIAL_SPREAD,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 3,
            "head_dim": 32,
            "max_position_embeddings": 2048,
            "vocab_size": len(tokenizer),
            "rms_norm_eps": 1e-5,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "tie_word_embeddings": False,
        },
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> SmolVLMForConditionalGeneration:
    """Return the untrained model in float32."""
    torch.manual_seed(seed)
    return SmolVLMForConditionalGeneration(build_config(tokenizer))


def save_checkpoint(
    folder: Path,
    config: SmolVLMConfig,
    weights: dict[str, torch.Tensor],
    processor: SmolVLMProcessor,
) -> None:
    """Write the files for `from_pretrained`, with weights in bfloat16."""
    model = SmolVLMForConditionalGeneration(config)
    model.load_state_dict(weights)
    model = model.to(torch.bfloat16)
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    _as_published(folder)


def _as_published(folder: Path) -> None:
    """Set the processor class in ``preprocessor_config.json``, as in SmolVLM2's files."""
    path = folder / "preprocessor_config.json"
    settings: dict[str, Any] = json.loads(path.read_text())
    settings["processor_class"] = "SmolVLMProcessor"
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
