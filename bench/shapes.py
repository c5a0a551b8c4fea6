"""Checkpoints with random weights and the dimensions of SmolVLM2, for measuring speed.

    python -m bench.shapes 256M DIRECTORY [--seed 0]

The dimensions are from memory, not from published files: layers, widths, heads, tile and patch
sizes, pixel shuffle, image sizes, vocabulary and positions of SmolVLM2-256M-Video-Instruct,
SmolVLM2-500M-Video-Instruct and SmolVLM2-2.2B-Instruct. They give 256,484,928 and 507,482,304
weights, which are the published numbers (also from memory), and 2,246,784,880 for the 2.2B.
Positions and the base of the rotary embedding, which do not affect speed, are always those of the
256M. The tokenizer is the demo's, extended to the true vocabulary with unused tokens. Prompts are
therefore longer than with the true tokenizer (about 2 tokens per word), equally on both sides of a
comparison.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).parents[1] / "tools"
VOCABULARY = 49_280
POSITIONS = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Dimensions of one size of SmolVLM2."""

    vision: dict[str, int]
    text: dict[str, int]
    scale_factor: int
    longest_edge: int
    """Images are resized to this before they are cut into tiles."""

    @property
    def tile(self) -> int:
        """Tile size in pixels."""
        return self.vision["image_size"]

    @property
    def tokens_per_tile(self) -> int:
        """Tokens of the text model per tile."""
        return (self.tile // self.vision["patch_size"] // self.scale_factor) ** 2


_SIGLIP_BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 512,
    "patch_size": 16,
}
_SIGLIP_SO400M = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}


def _llama(width: int, inner: int, layers: int, heads: int, key_heads: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "head_dim": 64,
    }


SIZES = {
    "256M": Size(
        vision=_SIGLIP_BASE, text=_llama(576, 1536, 30, 9, 3), scale_factor=4, longest_edge=2048
    ),
    "500M": Size(
        vision=_SIGLIP_BASE, text=_llama(960, 2560, 32, 15, 5), scale_factor=4, longest_edge=2048
    ),
    "2.2B": Size(
        vision=_SIGLIP_SO400M, text=_llama(2048, 8192, 24, 32, 32), scale_factor=3,
        longest_edge=1536,
    ),
}  # fmt: skip
"""SmolLM2's 135M, 360M and 1.7B with SigLIP's base-patch16-512 and so400m-patch14-384."""


def make(shape: Size, directory: Path, seed: int = 0) -> Path:
    """Write a checkpoint of `shape` in bfloat16 into `directory`, deterministic for a seed."""
    import torch
    from transformers import GenerationConfig, SmolVLMForConditionalGeneration

    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    # In bfloat16, because a checkpoint of 2.2B weights takes 4.5 GB.
    model = SmolVLMForConditionalGeneration(config(shape, tokenizer)).to(torch.bfloat16)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                # Large enough that answers depend on image and question, and that rounding does
                # not change the most likely token.
                spread = 1.0 if "embed" in name else 1.5 / weights[0].numel() ** 0.5
                weights.normal_(0, spread)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    model.save_pretrained(directory)
    processor = _processor(shape, tokenizer)
    processor.save_pretrained(directory)
    processor.image_processor.save_pretrained(directory)
    return directory


def config(shape: Size, tokenizer: Any) -> Any:
    """Return the configuration of a checkpoint of `shape`."""
    from transformers import SmolVLMConfig

    return SmolVLMConfig(
        vision_config={"model_type": "smolvlm_vision", **shape.vision},
        text_config={
            "model_type": "llama",
            **shape.text,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": POSITIONS,
            "rope_theta": 100_000.0,
            "rms_norm_eps": 1e-5,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "tie_word_embeddings": False,
        },
        scale_factor=shape.scale_factor,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )


def build_tokenizer() -> Any:
    """Return the demo's tokenizer with the size of SmolVLM2's vocabulary."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    plain = json.loads((TOOLS / "tokenizer.json").read_text())
    vocabulary = plain["model"]["vocab"]
    # No merge creates these tokens, so they are never used.
    vocabulary |= {f"<filler_{i}>": i for i in range(len(vocabulary), VOCABULARY)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(plain)),
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=["<fake_token_around_image>", "<image>", "<global-img>"],
        extra_special_tokens={
            "end_of_utterance_token": "<end_of_utterance>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "image_token": "<image>",
        },
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def _processor(shape: Size, tokenizer: Any) -> Any:
    from transformers import SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    tile = {"longest_edge": shape.tile}
    return SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(
            size={"longest_edge": shape.longest_edge}, max_image_size=tile, do_image_splitting=True
        ),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(size=tile, max_image_size=tile, fps=1),
        image_seq_len=shape.tokens_per_tile,
        chat_template=DEFAULT_CHAT_TEMPLATE,
    )


def main() -> None:
    """Write a checkpoint."""
    parser = argparse.ArgumentParser(
        description="Write a checkpoint with random weights and true dimensions."
    )
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(make(SIZES[arguments.size], arguments.directory, arguments.seed), file=sys.stderr)


if __name__ == "__main__":
    main()
