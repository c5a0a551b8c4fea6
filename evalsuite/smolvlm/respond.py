"""Answer prompts whose images are encoded, in batches that fit into memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from evalsuite.smolvlm.decode import Generated, greedy
from evalsuite.smolvlm.memory import fitting
from evalsuite.smolvlm.model import Model
from evalsuite.smolvlm.prefixes import Prefix, common_prefixes
from evalsuite.smolvlm.questions import Question
from evalsuite.smolvlm.windows import MediaKey


@dataclass(frozen=True, slots=True)
class Job:
    """A question ready for the text model."""

    question: Question
    ids: list[int]
    media: tuple[MediaKey, ...]
    features: tuple[torch.Tensor, ...]
    """Of each medium, (tokens, hidden)."""


@dataclass(frozen=True, slots=True)
class Response:
    """The tokens generated for a job, its end token included; None if it does not fit alone."""

    job: Job
    tokens: list[int] | None
    read_tokens: int = 0
    """Of the prompt, those read for this job; a shared prefix is read for the first that has it."""
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    """Its share of what the batch took."""


@dataclass(frozen=True, slots=True)
class _Batched:
    """What came of a batch."""

    generated: Generated
    prefixes: list[Prefix]


class Responder:
    """The text model, and how much it takes at a time."""

    def __init__(
        self, model: Model, questions_at_once: int, tokens_at_once: int, share_prefixes: bool = True
    ) -> None:
        self._model = model
        self._share_prefixes = share_prefixes
        self._questions_at_once = questions_at_once
        self.tokens_at_once = tokens_at_once
        """Prompts and padding. Lowered when memory runs out."""
        self.splits = 0
        """How often it did."""

    def respond(self, jobs: Sequence[Job]) -> Iterator[list[Response]]:
        """Generate an answer to each of `jobs`, a list as each batch finishes."""
        waiting = self._sorted(jobs)
        while waiting:
            batch = self._batch(waiting)
            done = fitting(self._generate, batch)
            if done is None and len(batch) > 1:
                self.tokens_at_once = max(len(job.ids) for job in batch) * len(batch) // 2
                self.splits += 1
                continue
            del waiting[: len(batch)]
            yield [Response(batch[0], None)] if done is None else _responses(batch, done)

    def _sorted(self, jobs: Sequence[Job]) -> list[Job]:
        """Order by length, so that batches need little padding.

        Longest first: if memory runs out, it does at once.
        """
        if self._model.beyond_greedy:
            return sorted(jobs, key=lambda job: (-len(job.ids), job.question.max_new_tokens))
        # Those about the same media together: they share most of their prompts.
        longest: dict[tuple[MediaKey, ...], int] = {}
        for job in jobs:
            longest[job.media] = max(len(job.ids), longest.get(job.media, 0))
        return sorted(jobs, key=lambda job: (-longest[job.media], job.media, -len(job.ids)))

    def _batch(self, jobs: Sequence[Job]) -> list[Job]:
        """Take the first of `jobs` that go through the text model together."""
        batch = list(jobs[: self._questions_at_once])
        longest = max(len(job.ids) for job in batch)
        batch = batch[: max(1, self.tokens_at_once // longest)]
        if not self._model.beyond_greedy:
            return batch
        # What generate does with the ids, a repetition penalty say, must not see any padding, and
        # it has one limit for all.
        shape = (len(batch[0].ids), batch[0].question.max_new_tokens)
        return list(
            itertools.takewhile(
                lambda job: (len(job.ids), job.question.max_new_tokens) == shape, batch
            )
        )

    def _generate(self, batch: Sequence[Job]) -> _Batched:
        model = self._model
        prompts = [job.ids for job in batch]
        longest = max(map(len, prompts))
        # Any id does for padding that is not taken for an image.
        pad = 0 if model.image_token_id else 1
        ids = torch.tensor(
            [[pad] * (longest - len(prompt)) + prompt for prompt in prompts], device=model.device
        )
        embedded = model.embed(ids, [part for job in batch for part in job.features])
        limits = [job.question.max_new_tokens for job in batch]
        if model.beyond_greedy:
            started = time.perf_counter()
            tokens = model.generate(ids, embedded, limits[0])
            return _Batched(Generated(tokens, 0.0, time.perf_counter() - started), [])
        rows = [row[-len(prompt) :] for row, prompt in zip(embedded, prompts, strict=True)]
        prefixes: list[Prefix] = []
        if self._share_prefixes:
            prefixes = common_prefixes(prompts, [job.media for job in batch])
        return _Batched(greedy(model, rows, prefixes, limits), prefixes)


def _responses(batch: Sequence[Job], done: _Batched) -> list[Response]:
    """Give each job its tokens, and its share of the time by its prompt's and answer's length."""
    read = [len(job.ids) for job in batch]
    for prefix in done.prefixes:
        for member in prefix.members[1:]:
            read[member] -= prefix.length
    generated = done.generated
    asked = sum(len(job.ids) for job in batch)
    told = sum(map(len, generated.tokens))
    return [
        Response(
            job,
            tokens,
            read_tokens=tokens_read,
            prefill_seconds=generated.prefill_seconds * len(job.ids) / asked,
            decode_seconds=generated.decode_seconds * len(tokens) / told,
        )
        for job, tokens, tokens_read in zip(batch, generated.tokens, read, strict=True)
    ]
