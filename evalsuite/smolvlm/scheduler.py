"""Answer prompts whose images are encoded, in batches that fit into memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from evalsuite.smolvlm.decode import Generated, Text, greedy
from evalsuite.smolvlm.media_loader import MediaKey
from evalsuite.smolvlm.memory import fitting
from evalsuite.smolvlm.model import Model
from evalsuite.smolvlm.prefix_sharing import Group, arrange, extent, group
from evalsuite.smolvlm.requests import Question


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


class Responder:
    """The text model, and how much it takes at a time."""

    def __init__(
        self, model: Model, questions_at_once: int, tokens_at_once: int, share_prefixes: bool = True
    ) -> None:
        self._model = model
        self._share_prefixes = share_prefixes
        self._questions_at_once = questions_at_once
        self.tokens_at_once = tokens_at_once
        """Prompts and padding; what prompts share counts once. Lowered when memory runs out."""
        self.splits = 0
        """How often it did."""

    def respond(self, jobs: Sequence[Job]) -> Iterator[list[Response]]:
        """Generate an answer to each of `jobs`, a list as each batch finishes."""
        take = self._alike if self._model.beyond_greedy else self._fitting
        waiting = deque(self._sorted(jobs))
        while waiting:
            groups = take(waiting, jobs)
            batch = [i for group in groups for i in group.members]
            responses = fitting(self._generate, jobs, groups)
            if responses is not None:
                yield responses
            elif len(batch) == 1:
                yield [Response(jobs[batch[0]], None)]
            else:
                self._take_less(groups)
                waiting.extendleft(reversed(groups))

    def _sorted(self, jobs: Sequence[Job]) -> list[Group]:
        """Order by length, so that batches need little padding.

        Longest first: if memory runs out, it does at once.
        """
        beyond = bool(self._model.beyond_greedy)
        groups = group(
            [job.ids for job in jobs],
            [job.media for job in jobs],
            share=self._share_prefixes and not beyond,
        )
        if beyond:
            return sorted(groups, key=lambda group: _shape(group, jobs), reverse=True)
        return sorted(groups, key=lambda group: (-(group.shared or group.rest), -group.rest))

    def _fitting(self, waiting: deque[Group], _: Sequence[Job]) -> list[Group]:
        """Take the first groups that fit. One is only parted if it does not fit alone."""
        batch = [waiting.popleft()]
        fits = min(self._questions_at_once, batch[0].within(self.tokens_at_once))
        if fits < len(batch[0].members):
            batch[0], others = batch[0].cut(fits)
            waiting.appendleft(others)
        questions, size = len(batch[0].members), extent(batch)
        while waiting:
            questions += len(waiting[0].members)
            size += waiting[0]
            if questions > self._questions_at_once or size.tokens > self.tokens_at_once:
                break
            batch.append(waiting.popleft())
        return batch

    def _alike(self, waiting: deque[Group], jobs: Sequence[Job]) -> list[Group]:
        """Take the first, and those of the same length and limit.

        What transformers' generate does with ids, a repetition penalty say, must not see any
        padding, and it has one limit for all.
        """
        shape = _shape(waiting[0], jobs)
        most = min(self._questions_at_once, max(1, self.tokens_at_once // max(1, shape[0])))
        batch: list[Group] = []
        while waiting and len(batch) < most and _shape(waiting[0], jobs) == shape:
            batch.append(waiting.popleft())
        return batch

    def _take_less(self, groups: Sequence[Group]) -> None:
        """Halve what is taken at once; of one group, the part that can be taken apart."""
        shared = groups[0].shared if len(groups) == 1 else 0
        self.tokens_at_once = shared + (extent(groups).tokens - shared) // 2
        self.splits += 1

    def _generate(self, jobs: Sequence[Job], groups: Sequence[Group]) -> list[Response]:
        if self._model.beyond_greedy:
            return _responses(jobs, groups, self._by_generate([jobs[g.members[0]] for g in groups]))
        rows = arrange(groups)
        texts = {
            i: Text(jobs[i].ids, jobs[i].features, jobs[i].question.max_new_tokens)
            for row in rows
            for i in row.members
        }
        return _responses(jobs, rows, greedy(self._model, texts, rows))

    def _by_generate(self, batch: Sequence[Job]) -> Generated:
        model = self._model
        started = time.perf_counter()
        ids = torch.tensor([job.ids for job in batch], device=model.device)
        embedded = model.embed(ids, [part for job in batch for part in job.features])
        tokens = model.generate(ids, embedded, batch[0].question.max_new_tokens)
        return Generated(tokens, 0.0, time.perf_counter() - started)


def _shape(group: Group, jobs: Sequence[Job]) -> tuple[int, int]:
    """Length and limit of the only member."""
    (member,) = group.members
    return group.rest, jobs[member].question.max_new_tokens


def _responses(jobs: Sequence[Job], rows: Sequence[Group], generated: Generated) -> list[Response]:
    """Give each job its tokens, and its share of the time by its prompt's and answer's length."""
    batch = [jobs[i] for row in rows for i in row.members]
    read = [
        rest + (row.shared if number == 0 else 0)
        for row in rows
        for number, rest in enumerate(row.rests)
    ]
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
