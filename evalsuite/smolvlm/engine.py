"""Answer questions with a SmolVLM checkpoint: every image encoded once, text in batches.

The texts are those that VLMEvalKit's ``SmolVLM2`` class gets one at a time from the checkpoint's
processor and ``model.generate(do_sample=False)``. In float32 they do not depend on the batch size
or the order of the questions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import AutoProcessor

from evalsuite.sample import Ended
from evalsuite.smolvlm import batch_limits
from evalsuite.smolvlm.cost_accounting import Shares
from evalsuite.smolvlm.image_decoder import DECODE_TIMEOUT
from evalsuite.smolvlm.image_processing import Tiler, levels
from evalsuite.smolvlm.media_loader import MediaKey, MediaReader, Window, Windows
from evalsuite.smolvlm.memory import free_bytes, free_host_bytes, peak_bytes, peak_resident_bytes
from evalsuite.smolvlm.model import Model, load
from evalsuite.smolvlm.prompts import IMAGE_TOKEN
from evalsuite.smolvlm.requests import Answer, Question, Stats
from evalsuite.smolvlm.roofline import Shape, shape_of
from evalsuite.smolvlm.scheduler import Job, Responder, Response
from evalsuite.smolvlm.tokenization import Expander
from evalsuite.smolvlm.vision import Encoder


@dataclass(frozen=True, slots=True)
class Seen:
    """What the vision tower made of the media of a window."""

    features: Mapping[MediaKey, torch.Tensor]
    """(tokens, hidden) each."""
    failed: Mapping[MediaKey, str]
    """Media without features, and why."""


class Engine:
    """A checkpoint on a device. Close it, or use it in a ``with`` statement."""

    def __init__(
        self,
        directory: Path | str,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        batch_size: int | None = None,
        base: Path | None = None,
        processor: Path | None = None,
        longest_edge: int | None = None,
        decoders: int | None = None,
        decode_timeout: float = DECODE_TIMEOUT,
        model: Model | None = None,
        workers_a_device: int = 1,
        share_prefixes: bool = True,
        tile_bytes: int | None = None,
    ) -> None:
        """Load the checkpoint in `directory`, with the `processor` of another if given.

        With a `base`, `directory` holds an adapter to it. `model` stands in for the weights.
        Without a `batch_size` the memory that is free decides, of which each of `workers_a_device`
        (on the CPU, of this machine) has its part. For measurements alone: `share_prefixes` off
        reads every prompt whole, and `tile_bytes` is what a window may hold. Raises `ValueError`
        for a checkpoint whose parts do not fit together, and what transformers raises for files it
        cannot read.
        """
        processing = AutoProcessor.from_pretrained(processor or directory)
        self._model = model or load(Path(directory), device, dtype, base)
        self._expander = Expander(processing)
        tiler = Tiler(processing.image_processor, longest_edge)
        _check_fit(self._model, tiler, self._expander)
        self._reader = MediaReader(tiler, decoders or _default_decoders(), decode_timeout)
        self._limits = batch_limits.choose(
            self.device.type,
            self.shape,
            self._model.dtype.itemsize,
            free_bytes(self.device) // workers_a_device,
            free_host_bytes() // workers_a_device,
            batch_size,
        )
        if tile_bytes is not None:
            self._limits = replace(self._limits, tile_bytes=tile_bytes)
        side = tiler.side // self._model.patch_size
        self._encoder = Encoder(
            self._model,
            levels(processing.image_processor),
            max(1, self._limits.patches // side**2),
        )
        self._responder = Responder(
            self._model, self._limits.questions, self._limits.tokens, share_prefixes
        )
        asked = self._model.beyond_greedy
        self.stats = Stats(f"transformers generate: {asked}" if asked else "greedy loop")

    @property
    def device(self) -> torch.device:
        """Where the checkpoint runs."""
        return self._model.device

    @property
    def shape(self) -> Shape:
        """The sizes that decide what its work costs."""
        return shape_of(self._model.config)

    def answer(self, questions: Iterable[Question]) -> Iterator[list[Answer]]:
        """Answer `questions` in whatever order suits, a list of answers as each batch finishes.

        `questions` is read ahead, in a thread, and may block. Whatever is wrong with a question or
        its media is an answer with ``ended`` ``error``; an exception is a defect, or what
        `questions` raised.
        """
        size = max(128, 4 * self._limits.questions)
        windows = Windows(questions, self._reader, size, self._limits.tile_bytes)
        seen = Seen({}, {})
        try:
            while True:
                started = time.perf_counter()
                window = next(iter(windows), None)
                looked = time.perf_counter()
                if window is None:
                    return
                seen = self._look(window, seen)
                vision = time.perf_counter() - looked
                spent = {**window.seconds, "wait": looked - started, "vision": vision}
                yield from self._answer_window(window, seen, Shares(window, spent))
        finally:
            windows.close()

    def close(self) -> None:
        """End the decoding processes."""
        self._reader.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self, window: Window, before: Seen) -> Seen:
        """Encode the media of `window`, but for those that the window `before` had."""
        features = {k: v for k, v in before.features.items() if k in window.grids}
        failed = {k: v for k, v in before.failed.items() if k in window.grids}
        fresh, unfit = self._encoder.encode(window.tiles)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # else the time would count as the text model's
        return Seen(features | fresh, {**window.failed, **failed, **unfit})

    def _answer_window(self, window: Window, seen: Seen, shares: Shares) -> Iterator[list[Answer]]:
        asked = {question.id: question for question in window.questions}
        started = time.perf_counter()
        jobs, answers = self._jobs(window, seen)
        for responses in self._responder.respond(jobs):
            answers += self._read(responses)
            yield self._priced(answers, responses, asked, shares, started)
            answers = []
            started = time.perf_counter()
        if answers:  # there was no job to be done
            yield self._priced(answers, [], asked, shares, started)

    def _read(self, responses: Sequence[Response]) -> list[Answer]:
        texts = self._expander.decode([response.tokens or [] for response in responses])
        answers = []
        for response, text in zip(responses, texts, strict=True):
            id_, tokens = response.job.question.id, response.tokens
            if tokens is None:
                length = f"{len(response.job.ids):,} tokens"
                why = f"out of memory: {length} do not fit on {self.device}"
                answers.append(_failed(response.job.question, why))
            else:
                stopped = tokens[-1] in self._model.ends
                ended: Ended = "stop" if stopped else "length"
                answers.append(Answer(id_, text, len(tokens) - stopped, ended))
        return answers

    def _priced(
        self,
        answers: Sequence[Answer],
        responses: Sequence[Response],
        asked: Mapping[str, Question],
        shares: Shares,
        started: float,
    ) -> list[Answer]:
        """`answers` with what they cost, counted; `started` is when their batch was."""
        answered = {response.job.question.id: response for response in responses}
        generating = sum(r.prefill_seconds + r.decode_seconds for r in responses)
        other = (time.perf_counter() - started - generating) / len(answers)
        priced = [
            replace(a, cost=shares.cost(asked[a.id], other, answered.get(a.id))) for a in answers
        ]
        for answer in priced:
            self.stats.count(answer)
        self.stats.splits = self._encoder.splits + self._responder.splits
        self.stats.peak_memory_bytes = peak_bytes(self.device)
        self.stats.host_memory_bytes = peak_resident_bytes()
        return priced

    def _jobs(self, window: Window, seen: Seen) -> tuple[list[Job], list[Answer]]:
        """Make questions ready for the text model; answer those that cannot be asked."""
        errors: list[Answer] = []
        askable: list[tuple[Question, list[MediaKey]]] = []
        for question in window.questions:
            keys = [(medium.digest, question.prompt.split) for medium in question.prompt.media]
            why = next((seen.failed[key] for key in keys if key in seen.failed), None)
            why = why or _misfit(question.prompt.text, sum(len(window.grids[key]) for key in keys))
            if why:
                errors.append(_failed(question, why))
            else:
                askable.append((question, keys))
        expanded = self._expander.ids(
            [question.prompt.text for question, _ in askable],
            [[grid for key in keys for grid in window.grids[key]] for _, keys in askable],
        )
        jobs: list[Job] = []
        for (question, keys), ids in zip(askable, expanded, strict=True):
            if len(ids) > self._model.max_positions:
                room = f"the checkpoint has room for {self._model.max_positions:,}"
                errors.append(_failed(question, f"the prompt is {len(ids):,} tokens, {room}"))
            else:
                features = tuple(seen.features[key] for key in keys)
                jobs.append(Job(question, ids, tuple(keys), features))
        return jobs, errors


def _misfit(text: str, images: int) -> str | None:
    """Say why a prompt with this text and so many images cannot be asked, if it cannot."""
    if (marks := text.count(IMAGE_TOKEN)) != images:
        return f"the prompt has {marks} {IMAGE_TOKEN} marks for {images} images"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"the prompt is not Unicode text: {error.reason} at character {error.start}"
    return None


def _failed(question: Question, why: str) -> Answer:
    return Answer(question.id, "", 0, "error", why)


def _default_decoders() -> int:
    """One a core, as preparing images is work for all of them; two at least, as one may hang."""
    return max(2, min(16, os.cpu_count() or 2))


def _check_fit(model: Model, tiler: Tiler, expander: Expander) -> None:
    """Raise `ValueError` where model and processor disagree on how an image is spelled."""
    if model.image_token_id != expander.image_token_id:
        raise ValueError(
            f"the model's image token is {model.image_token_id}, "
            f"the processor's {expander.image_token_id}: they are not of one checkpoint"
        )
    tokens = (tiler.side // model.patch_size) ** 2 // model.scale_factor**2
    if tokens != expander.tokens_per_tile:
        raise ValueError(
            f"the model makes {tokens} tokens of a tile of {tiler.side} pixels, "
            f"the processor expects {expander.tokens_per_tile}: they are not of one checkpoint"
        )


__all__ = ["Answer", "Engine", "Question", "Stats"]
