"""Answer questions with a SmolVLM checkpoint: each image is encoded once, text runs in batches.

The answers equal those of VLMEvalKit's ``SmolVLM2`` class, which calls the checkpoint's processor
and ``model.generate(do_sample=False)`` for one question at a time. In float32 they do not depend on
the batch size or on the order of the questions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import AutoImageProcessor, AutoTokenizer

from evalsuite.checkpoint.processor import read_image_seq_len
from evalsuite.sample import Ended
from evalsuite.smolvlm.formats import IMAGE_TOKEN
from evalsuite.smolvlm.image_decoder import DECODE_TIMEOUT
from evalsuite.smolvlm.image_processing import MediaTiles, Tiler, normalisation_table
from evalsuite.smolvlm.media_loader import MediaKey, MediaReader, Window, WindowLoader
from evalsuite.smolvlm.memory import (
    batch_limits,
    free_bytes,
    free_host_bytes,
    is_fatal,
    peak_bytes,
    peak_resident_bytes,
)
from evalsuite.smolvlm.model import NOT_A_NUMBER, Model, load
from evalsuite.smolvlm.requests import (
    Answer,
    Cost,
    EngineSettings,
    Question,
    QuestionId,
    Stats,
    raised,
)
from evalsuite.smolvlm.roofline import Shape, shape_of
from evalsuite.smolvlm.scheduler import BatchScheduler, EncodedPrompt, Response
from evalsuite.smolvlm.tokenization import PromptTokenizer
from evalsuite.smolvlm.vision import VisionEncoder
from evalsuite.system.process import usable_cpus


@dataclass(frozen=True, slots=True)
class EncodedMedia:
    """Vision features of the media in a window."""

    features: Mapping[MediaKey, torch.Tensor]
    """One tensor (tokens, hidden) per medium."""
    failed: Mapping[MediaKey, str]
    """Reason by medium, for media without features."""


class Engine:
    """A checkpoint on a device. Call `close`, or use a ``with`` statement."""

    def __init__(
        self,
        directory: Path | str,
        settings: EngineSettings = EngineSettings(),  # noqa: B008 - frozen
        *,
        decoders: int | None = None,
        decode_timeout: float = DECODE_TIMEOUT,
        model: Model | None = None,
        share_prefixes: bool = True,
        tile_bytes: int | None = None,
    ) -> None:
        """Load the checkpoint in `directory`; `model` replaces the loaded weights.

        If the settings have no batch size, free memory decides; each worker on the device gets an
        equal share. Two options exist for measurements only: `share_prefixes=False` processes every
        prompt completely, and `tile_bytes` sets the size limit of a window. Raises `ValueError` if
        the parts of the checkpoint do not fit together, and the errors of transformers for
        unreadable files.
        """
        # Not AutoProcessor: it also needs video settings, and all its files in one directory.
        images = settings.processor or Path(directory)
        image_processor = AutoImageProcessor.from_pretrained(images)
        tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer or directory)
        self._model = model or load(Path(directory), settings.device, settings.dtype, settings.base)
        self._tokenizer = PromptTokenizer(tokenizer, read_image_seq_len(images))
        tiler = Tiler(image_processor, settings.longest_edge)
        _check_fit(self._model, tiler, self._tokenizer)
        # One decoder per core, since decoding is CPU-bound; at least two, since one may hang.
        decoders = decoders or max(2, min(16, usable_cpus()))
        self._reader = MediaReader(tiler, decoders, decode_timeout)
        self._limits = batch_limits(
            self.device.type,
            self.shape,
            self._model.dtype.itemsize,
            free_bytes(self.device) // settings.workers_per_device,
            free_host_bytes() // settings.workers_per_device,
            settings.batch_size,
        )
        if tile_bytes is not None:
            self._limits = replace(self._limits, tile_bytes=tile_bytes)
        side = tiler.side // self._model.patch_size
        self._encoder = VisionEncoder(
            self._model,
            normalisation_table(image_processor),
            max(1, self._limits.patches // side**2),
        )
        self._scheduler = BatchScheduler(
            self._model, self._limits.questions, self._limits.tokens, share_prefixes
        )
        options = self._model.non_greedy_options
        self.stats = Stats(f"transformers generate: {options}" if options else "greedy loop")

    @property
    def device(self) -> torch.device:
        """Device of the checkpoint."""
        return self._model.device

    @property
    def shape(self) -> Shape:
        """Model dimensions that determine the cost of inference."""
        return shape_of(self._model.config)

    def answer(self, questions: Iterable[Question]) -> Iterator[list[Answer]]:
        """Answer `questions` in any order; yields one list of answers per finished batch.

        `questions` is read ahead in a thread and may block. A problem with a question or its media
        gives an answer with ``ended="error"``, also an exception of the model. Other exceptions are
        those of `questions`, or the device cannot be used any more.
        """
        size = max(128, 4 * self._limits.questions)
        windows = WindowLoader(questions, self._reader, size, self._limits.tile_bytes)
        encoded = EncodedMedia({}, {})
        try:
            while True:
                started = time.perf_counter()
                window = next(iter(windows), None)
                loaded = time.perf_counter()
                if window is None:
                    return
                encoded = self._encode_media(window, encoded)
                vision = time.perf_counter() - loaded
                spent = {**window.seconds, "wait": loaded - started, "vision": vision}
                yield from self._answer_window(window, encoded, CostShares(window, spent))
        finally:
            windows.close()

    def close(self) -> None:
        """Stop the decoder processes."""
        self._reader.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encode_media(self, window: Window, before: EncodedMedia) -> EncodedMedia:
        """Encode the media of `window`; reuse features of the previous window, `before`."""
        features = {k: v for k, v in before.features.items() if k in window.grids}
        failed = {k: v for k, v in before.failed.items() if k in window.grids}
        new, unencoded = self._encode(window.tiles)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # so that its time is not counted as prefill
        return EncodedMedia(features | new, {**window.failed, **failed, **unencoded})

    def _encode(
        self, tiles: Mapping[MediaKey, MediaTiles]
    ) -> tuple[dict[MediaKey, torch.Tensor], dict[MediaKey, str]]:
        """Encode `tiles`; a medium for which the model raises an error fails alone."""
        try:
            return self._encoder.encode(tiles)
        except Exception as error:
            if is_fatal(error):
                raise
            if len(tiles) == 1:
                return {}, dict.fromkeys(tiles, raised(error))
        features: dict[MediaKey, torch.Tensor] = {}
        failed: dict[MediaKey, str] = {}
        for key, one in tiles.items():
            encoded, reasons = self._encode({key: one})
            features |= encoded
            failed |= reasons
        return features, failed

    def _answer_window(
        self, window: Window, encoded: EncodedMedia, shares: CostShares
    ) -> Iterator[list[Answer]]:
        asked = {question.id: question for question in window.questions}
        started = time.perf_counter()
        prompts, answers = self._encode_prompts(window, encoded)
        for responses in self._scheduler.generate(prompts):
            answers += self._to_answers(responses)
            yield self._with_costs(answers, responses, asked, shares, started)
            answers = []
            started = time.perf_counter()
        if answers:  # no question reached the text model
            yield self._with_costs(answers, [], asked, shares, started)

    def _to_answers(self, responses: Sequence[Response]) -> list[Answer]:
        # Without NOT_A_NUMBER, which the tokenizer does not know.
        tokens_of = [[t for t in response.tokens or [] if t >= 0] for response in responses]
        texts = self._tokenizer.decode(tokens_of)
        answers = []
        for response, text in zip(responses, texts, strict=True):
            id_, tokens = response.prompt.question.id, response.tokens
            if response.error is not None:
                answers.append(_error_answer(response.prompt.question, response.error))
            elif tokens is None:
                length = f"{len(response.prompt.ids):,} tokens"
                why = f"out of memory: a prompt of {length} does not fit on {self.device}"
                answers.append(_error_answer(response.prompt.question, why))
            elif tokens[-1] == NOT_A_NUMBER:
                why = "the model's output is not a number"
                answers.append(_error_answer(response.prompt.question, why))
            else:
                stopped = tokens[-1] in self._model.end_tokens
                ended: Ended = "stop" if stopped else "length"
                answers.append(Answer(id_, text, len(tokens) - stopped, ended))
        return answers

    def _with_costs(
        self,
        answers: Sequence[Answer],
        responses: Sequence[Response],
        asked: Mapping[QuestionId, Question],
        shares: CostShares,
        started: float,
    ) -> list[Answer]:
        """Return `answers` of a batch begun at `started` with their costs; update the stats."""
        answered = {response.prompt.question.id: response for response in responses}
        generating = sum(r.prefill_seconds + r.decode_seconds for r in responses)
        other = (time.perf_counter() - started - generating) / len(answers)
        self.stats.splits = self._encoder.splits + self._scheduler.splits
        self.stats.peak_memory_bytes = peak_bytes(self.device)
        self.stats.host_memory_bytes = peak_resident_bytes()
        return [
            replace(a, cost=shares.cost(asked[a.id], other, answered.get(a.id))) for a in answers
        ]

    def _encode_prompts(
        self, window: Window, encoded: EncodedMedia
    ) -> tuple[list[EncodedPrompt], list[Answer]]:
        """Return the questions ready for the text model, and error answers for the others."""
        errors: list[Answer] = []
        askable: list[tuple[Question, list[MediaKey]]] = []
        for question in window.questions:
            keys = [(medium.digest, question.prompt.split) for medium in question.prompt.media]
            why = next((encoded.failed[key] for key in keys if key in encoded.failed), None)
            why = why or _prompt_error(
                question.prompt.text, sum(len(window.grids[key]) for key in keys)
            )
            if why:
                errors.append(_error_answer(question, why))
            else:
                askable.append((question, keys))
        expanded = self._tokenizer.encode(
            [question.prompt.text for question, _ in askable],
            [[grid for key in keys for grid in window.grids[key]] for _, keys in askable],
        )
        prompts: list[EncodedPrompt] = []
        for (question, keys), ids in zip(askable, expanded, strict=True):
            if max(ids, default=0) >= self.shape.vocabulary:
                why = f"the prompt has token {max(ids)}, which has no embedding"
                errors.append(_error_answer(question, why))
            elif len(ids) > self._model.max_positions:
                limit = f"the checkpoint's limit is {self._model.max_positions:,}"
                errors.append(
                    _error_answer(question, f"the prompt has {len(ids):,} tokens; {limit}")
                )
            else:
                features = tuple(encoded.features[key] for key in keys)
                prompts.append(EncodedPrompt(question, ids, tuple(keys), features))
        return prompts, errors


def _prompt_error(text: str, images: int) -> str | None:
    """Return why a prompt with `text` and this number of images is invalid, or None."""
    if (marks := text.count(IMAGE_TOKEN)) != images:
        return f"the prompt has {marks} {IMAGE_TOKEN} tokens for {images} images"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"the prompt is not Unicode text: {error.reason} at character {error.start}"
    return None


def _error_answer(question: Question, why: str) -> Answer:
    return Answer(question.id, "", 0, "error", why)


def _check_fit(model: Model, tiler: Tiler, tokenizer: PromptTokenizer) -> None:
    """Raise `ValueError` if model and processor disagree about image tokens."""
    if model.image_token_id != tokenizer.image_token_id:
        raise ValueError(
            f"the model's image token is {model.image_token_id}, "
            f"the processor's is {tokenizer.image_token_id}: use files of one checkpoint"
        )
    tokens = (tiler.side // model.patch_size) ** 2 // model.scale_factor**2
    if tokens != tokenizer.tokens_per_tile:
        raise ValueError(
            f"the model makes {tokens} tokens per tile of {tiler.side} pixels, "
            f"the processor expects {tokenizer.tokens_per_tile}: use files of one checkpoint"
        )


MEDIA_STAGES = ("read", "tiles", "vision")
"""Stages whose cost is divided in proportion to tiles."""


class CostShares:
    """Each question's share of the cost of a window."""

    def __init__(self, window: Window, spent: Mapping[str, float]) -> None:
        """`spent` is seconds by stage, before the text model runs."""
        new = {key: len(tiled.pixels) for key, tiled in window.tiles.items()}
        # New tiles of a medium count for the first question that shows it.
        self._tiles = {
            question.id: sum(
                new.pop((medium.digest, question.prompt.split), 0)
                for medium in question.prompt.media
            )
            for question in window.questions
        }
        self._total_tiles = sum(self._tiles.values())
        self._spent = spent
        self._equal_share = 1 / len(window.questions)

    def cost(
        self, question: Question, other_seconds: float = 0.0, response: Response | None = None
    ) -> Cost:
        """Return the cost of the answer to `question`. `response` adds the text model's part."""
        tiles = self._tiles[question.id]
        of_media = tiles / self._total_tiles if self._total_tiles else self._equal_share
        seconds = {
            stage: spent * (of_media if stage in MEDIA_STAGES else self._equal_share)
            for stage, spent in self._spent.items()
        }
        seconds["other"] = other_seconds
        if response is None:
            return Cost(tiles, seconds=seconds)
        seconds["prefill"] = response.prefill_seconds
        seconds["decode"] = response.decode_seconds
        return Cost(tiles, len(response.prompt.ids), response.prefill_tokens, seconds)
