"""The parts of a loaded checkpoint that the engine calls: vision tower, embeddings, text model.

All methods run without gradients. If memory runs out they raise torch's error; the engine then
retries with smaller batches.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, DynamicCache

from evalsuite.checkpoint import adapter as lora
from evalsuite.checkpoint.json_files import read_json_object
from evalsuite.checkpoint.weights import read_safetensors_header

_IRRELEVANT_OPTIONS = {
    # Used by the greedy loop, or without effect on greedy decoding.
    *("eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id"),
    *("max_length", "max_new_tokens", "use_cache", "disable_compile", "compile_config"),
    *("transformers_version", "return_dict_in_generate"),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits"),
    # For sampling only. Sampling is off: VLMEvalKit sets do_sample=False.
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p"),
    *("epsilon_cutoff", "eta_cutoff", "renormalize_logits"),
    # For beam search only, which num_beams enables.
    *("early_stopping", "length_penalty", "num_beam_groups", "diversity_penalty"),
    # For assisted generation only. The engine passes no assistant.
    *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule"),
    *("assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind"),
    *("assistant_ensemble_weight", "max_matching_ngram_size"),
}
_NEUTRAL_VALUES: dict[str, object] = {
    **dict.fromkeys(("num_beams", "num_return_sequences"), 1),
    **dict.fromkeys(("min_length", "min_new_tokens"), 0),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), 0),
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "guidance_scale"), 1.0),
    **dict.fromkeys(("remove_invalid_values", "token_healing", "low_memory", "use_mtp"), False),
}
"""Values that have no effect."""


NOT_A_NUMBER = -1
"""In place of a token, if a logit is infinite or not a number. It ends an answer."""


class Model:
    """A SmolVLM or Idefics3 checkpoint on a device."""

    def __init__(self, module: Any, device: torch.device) -> None:
        self._module = module
        self._vision = module.model.vision_model
        self._connector = module.model.connector
        self._text = module.model.text_model
        self._head = module.lm_head
        self.device = device
        config = self.config = module.config
        self.dtype: torch.dtype = module.dtype
        self.image_token_id: int = config.image_token_id
        self.patch_size: int = config.vision_config.patch_size
        self.scale_factor: int = config.scale_factor
        self.max_positions: int = config.text_config.max_position_embeddings
        ends = module.generation_config.eos_token_id
        self.end_tokens = frozenset(
            [] if ends is None else [ends] if isinstance(ends, int) else ends
        )
        self.non_greedy_options = non_greedy_options(module.generation_config)

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the features of tiles: (tiles, 3, side, side) to (tiles, tokens per tile, hidden).

        Equal to ``get_image_features``, whose arguments and result differ between versions of
        transformers. Every tile is full, so no mask is needed.
        """
        features: torch.Tensor = self._connector(
            self._vision(pixel_values=pixels).last_hidden_state
        )
        return features

    @torch.inference_mode()
    def embed(self, ids: torch.Tensor, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return embeddings (batch, length, hidden) of `ids` (batch, length).

        Image tokens get `features` instead: those of all prompts in order, each (tokens, hidden).
        """
        embedded: torch.Tensor = self._module.get_input_embeddings()(ids)
        if features:
            embedded[ids == self.image_token_id] = torch.cat(list(features)).to(embedded.dtype)
        return embedded

    @torch.inference_mode()
    def next_tokens(
        self,
        embedded: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor | None,
        cache: DynamicCache,
        selected: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Return the most likely next token at selected positions of `embedded`.

        `embedded` is (batch, length, hidden). `mask` is (batch, 1, length, length with cache), true
        where attention is allowed; None means causal attention. `selected` are row and column
        indices, (number,) each; logits are computed only for them. A token is `NOT_A_NUMBER` if one
        of its logits is not finite.
        """
        if mask is not None:
            # Convert once; otherwise each layer converts the mask.
            mask = torch.zeros_like(mask, dtype=embedded.dtype).masked_fill_(~mask, -torch.inf)
        hidden = self._text(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        rows, columns = selected
        logits: torch.Tensor = self._head(hidden[rows, columns])
        tokens = logits.float().argmax(-1)
        return tokens.masked_fill(~logits.isfinite().all(-1), NOT_A_NUMBER)

    @torch.inference_mode()
    def generate(
        self, ids: torch.Tensor, embedded: torch.Tensor, max_new_tokens: int
    ) -> list[list[int]]:
        """Generate with transformers' ``generate`` for prompts of equal length.

        The ids are passed in addition to the embeddings because a repetition penalty needs them.
        The last token of an answer is `NOT_A_NUMBER` if a logit was not finite.
        """
        finite: list[torch.Tensor] = []
        # On the head: later, generation options set logits to infinity.
        watch = self._head.register_forward_hook(
            lambda _, __, logits: finite.append(logits[:, -1].isfinite().all(-1))
        )
        try:
            sequences: torch.Tensor = self._module.generate(
                input_ids=ids,
                inputs_embeds=embedded,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=max_new_tokens,
            )
        finally:
            watch.remove()
        # Several rows for each prompt with beam search.
        good = torch.stack(finite).reshape(len(finite), len(ids), -1).all(-1)
        answers = [self._until_end(tokens[ids.shape[1] :]) for tokens in sequences.tolist()]
        return [
            answer if all(steps[: len(answer)]) else [*answer, NOT_A_NUMBER]
            for answer, steps in zip(answers, good.T.tolist(), strict=True)
        ]

    def _until_end(self, tokens: list[int]) -> list[int]:
        """Return `tokens` up to and including the end token, without padding."""
        for i, token in enumerate(tokens):
            if token in self.end_tokens:
                return tokens[: i + 1]
        return tokens


def non_greedy_options(generation_config: Any) -> str:
    """Return generation options that need more than greedy decoding.

    An empty string, or for example ``"num_beams=4, repetition_penalty=1.2"``.
    """
    options = generation_config.to_diff_dict()
    return ", ".join(
        f"{name}={value!r}"
        for name, value in sorted(options.items())
        if not (
            name in _IRRELEVANT_OPTIONS
            or name.startswith("_")
            or value is None
            or _NEUTRAL_VALUES.get(name) == value
        )
    )


def load(directory: Path, device: str, dtype: str, base: Path | None = None) -> Model:
    """Load a checkpoint, or merge the adapter in `directory` into `base`.

    Raises `ValueError` if weights are missing or an adapter does not fit. Disables TF32 (which
    rounds to 10 bits) in this process, so that float32 is exact.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch_dtype: torch.dtype = getattr(torch, dtype)
    if base is None:
        module = _load_whole(directory, torch_dtype)
    else:
        module = merge_adapter(_load_whole(base, torch.float32), directory, torch_dtype)
    target = torch.device(device)
    module = module.to(target).eval()
    if target.type == "cpu":
        # Memory of our own: safetensors maps the file, and a later change to it would be seen.
        for weights in module.parameters():
            weights.data = weights.data.clone()
    return Model(module, target)


def _load_whole(directory: Path, dtype: torch.dtype) -> Any:
    module, loading = AutoModelForImageTextToText.from_pretrained(
        directory, dtype=dtype, attn_implementation="sdpa", output_loading_info=True
    )
    if missing := sorted(loading["missing_keys"]):
        # transformers would initialise them randomly.
        raise ValueError(f"{directory}: {len(missing)} weights are missing, first {missing[0]}")
    return module


def merge_adapter(base: Any, adapter: Path, dtype: torch.dtype) -> Any:
    """Merge `adapter` into the float32 module `base`, in place; return it in `dtype`.

    Raises `ValueError` if some of the adapter's weights are missing or unused.
    """
    lora.require_peft()
    from peft import LoraConfig, PeftModel

    _check_known(adapter, LoraConfig)
    settings = LoraConfig.from_pretrained(adapter)
    tensors = read_safetensors_header(adapter / lora.WEIGHTS)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    rows = lora.embedding_rows(shapes)
    if rows is not None and rows > base.get_input_embeddings().num_embeddings:
        # Training added tokens. The adapter replaces all rows, so their first values do not matter.
        base.resize_token_embeddings(rows, mean_resizing=False)
    if lora.changes_head(shapes) and not getattr(settings, "ensure_weight_tying", False):
        # In training, an adapter of the head does not change the embeddings it is tied to.
        base.lm_head.weight = torch.nn.Parameter(base.lm_head.weight.detach().clone())
    adapted = PeftModel(base, settings)
    # Not PeftModel.from_pretrained, which ignores weights that it cannot load.
    loading = adapted.load_adapter(adapter, "default", torch_device="cpu")
    for what, keys in (
        ("are missing", loading.missing_keys),
        ("do not exist in the base model", loading.unexpected_keys),
    ):
        if keys:
            raise ValueError(f"{adapter}: {len(keys)} weights {what}, first {min(keys)}")
    return _cast(adapted.merge_and_unload(), dtype)


def _check_known(adapter: Path, kind: Any) -> None:
    """Raise `ValueError` for options that the installed peft would ignore with a warning."""
    import peft

    known = inspect.signature(kind).parameters
    config = read_json_object(adapter / lora.CONFIG)
    if unknown := sorted(key for key, value in config.items() if value and key not in known):
        raise ValueError(
            f"{adapter / lora.CONFIG}: unknown option '{unknown[0]}' for peft {peft.__version__}; "
            "install the version the adapter was trained with, or a newer one"
        )


def _cast(module: Any, dtype: torch.dtype) -> Any:
    """Cast like ``from_pretrained(dtype=...)``: rotary frequencies, a buffer, stay float32."""
    for weights in module.parameters():
        weights.data = weights.data.to(dtype)
    for config in (module.config, module.config.text_config, module.config.vision_config):
        config.dtype = dtype
    return module
