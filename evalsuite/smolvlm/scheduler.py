"""Generate answers in batches that fit into memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from evalsuite.smolvlm.decode import Generated, TextInput, greedy
from evalsuite.smolvlm.media_loader import MediaKey
from evalsuite.smolvlm.memory import is_fatal, none_if_out_of_memory
from evalsuite.smolvlm.model import NOT_A_NUMBER, Model
from evalsuite.smolvlm.prefix_sharing import PrefixGroup, arrange_rows, batch_shape, group_by_media
from evalsuite.smolvlm.requests import Question, raised


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A question with its token ids and vision features."""

    question: Question
    ids: list[int]
    media: tuple[MediaKey, ...]
    features: tuple[torch.Tensor, ...]
    """One tensor (tokens, hidden) per medium."""


@dataclass(frozen=True, slots=True)
class Response:
    """The tokens generated for a prompt, including the end token."""

    prompt: EncodedPrompt
    tokens: list[int] | None
    """None if memory ran out, or for the reason `error`."""
    error: str | None = None
    prefill_tokens: int = 0
    """Prompt tokens processed for this prompt. A shared prefix counts for its first prompt."""
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    """Share of the batch's time."""


class BatchScheduler:
    """Forms batches for the text model and reduces their size when memory runs out."""

    def __init__(
        self, model: Model, max_questions: int, max_tokens: int, share_prefixes: bool = True
    ) -> None:
        self._model = model
        self._share_prefixes = share_prefixes
        self._max_questions = max_questions
        self.max_tokens = max_tokens
        """Tokens per batch: prompts and padding; a shared prefix counts once. Reduced if memory
        runs out."""
        self.splits = 0
        """Number of times it was reduced."""

    def generate(self, prompts: Sequence[EncodedPrompt]) -> Iterator[list[Response]]:
        """Generate an answer to each of `prompts`; yields one list per finished batch."""
        take = self._take_same_length if self._model.non_greedy_options else self._take_batch
        waiting = deque(self._sorted(prompts))
        while waiting:
            groups = take(waiting, prompts)
            batch = [i for group in groups for i in group.members]
            responses = self._try(prompts, groups)
            if responses is not None:
                yield responses
            elif len(batch) == 1:
                yield [Response(prompts[batch[0]], None)]
            else:
                self._reduce_batch_size(groups)
                waiting.extendleft(reversed(groups))

    def _try(
        self, prompts: Sequence[EncodedPrompt], groups: Sequence[PrefixGroup]
    ) -> list[Response] | None:
        """Generate; None if memory runs out.

        If the model raises an error, or the logits of prompts that share a row are not finite, the
        prompts are tried alone: one of them may be the cause.
        """
        members = [i for group in groups for i in group.members]
        shared = {i for group in groups if len(group.members) > 1 for i in group.members}
        try:
            responses = none_if_out_of_memory(self._generate, prompts, groups)
        except Exception as error:
            if is_fatal(error):
                raise
            if len(members) == 1:
                return [Response(prompts[members[0]], None, raised(error))]
            responses, again = [], members
        else:
            if responses is None:
                return None
            done = dict(zip(members, responses, strict=True))
            again = [i for i in members if i in shared and NOT_A_NUMBER in (done[i].tokens or ())]
            responses = [response for i, response in done.items() if i not in again]
        for i in again:
            alone = PrefixGroup((i,), 0, (len(prompts[i].ids),))
            responses += self._try(prompts, [alone]) or [Response(prompts[i], None)]
        return responses

    def _sorted(self, prompts: Sequence[EncodedPrompt]) -> list[PrefixGroup]:
        """Sort by length, longest first, so that batches need little padding.

        If memory runs out, it happens in the first batch.
        """
        plain_rows = bool(self._model.non_greedy_options)
        groups = group_by_media(
            [prompt.ids for prompt in prompts],
            [prompt.media for prompt in prompts],
            share=self._share_prefixes and not plain_rows,
        )
        if plain_rows:
            return sorted(groups, key=lambda group: _shape(group, prompts), reverse=True)
        return sorted(groups, key=lambda group: (-(group.shared or group.rest), -group.rest))

    def _take_batch(
        self, waiting: deque[PrefixGroup], _: Sequence[EncodedPrompt]
    ) -> list[PrefixGroup]:
        """Take leading groups that fit. A group is split only if it does not fit by itself."""
        batch = [waiting.popleft()]
        fits = min(self._max_questions, batch[0].members_within(self.max_tokens))
        if fits < len(batch[0].members):
            batch[0], others = batch[0].split(fits)
            waiting.appendleft(others)
        questions, size = len(batch[0].members), batch_shape(batch)
        while waiting:
            questions += len(waiting[0].members)
            size += waiting[0]
            if questions > self._max_questions or size.tokens > self.max_tokens:
                break
            batch.append(waiting.popleft())
        return batch

    def _take_same_length(
        self, waiting: deque[PrefixGroup], prompts: Sequence[EncodedPrompt]
    ) -> list[PrefixGroup]:
        """Take the first group and those with equal prompt length and token limit.

        transformers' ``generate`` has one limit per batch, and its processing of ids, such as a
        repetition penalty, must not see padding.
        """
        shape = _shape(waiting[0], prompts)
        limit = min(self._max_questions, max(1, self.max_tokens // max(1, shape[0])))
        batch: list[PrefixGroup] = []
        while waiting and len(batch) < limit and _shape(waiting[0], prompts) == shape:
            batch.append(waiting.popleft())
        return batch

    def _reduce_batch_size(self, groups: Sequence[PrefixGroup]) -> None:
        """Halve the token limit; for a single group, halve only its unshared part."""
        shared = groups[0].shared if len(groups) == 1 else 0
        self.max_tokens = shared + (batch_shape(groups).tokens - shared) // 2
        self.splits += 1

    def _generate(
        self, prompts: Sequence[EncodedPrompt], groups: Sequence[PrefixGroup]
    ) -> list[Response]:
        if self._model.non_greedy_options:
            return _responses(
                prompts,
                groups,
                self._generate_by_transformers([prompts[g.members[0]] for g in groups]),
            )
        rows = arrange_rows(groups)
        texts = {
            i: TextInput(prompts[i].ids, prompts[i].features, prompts[i].question.max_new_tokens)
            for row in rows
            for i in row.members
        }
        return _responses(prompts, rows, greedy(self._model, texts, rows))

    def _generate_by_transformers(self, batch: Sequence[EncodedPrompt]) -> Generated:
        model = self._model
        started = time.perf_counter()
        ids = torch.tensor([prompt.ids for prompt in batch], device=model.device)
        embedded = model.embed(ids, [part for prompt in batch for part in prompt.features])
        tokens = model.generate(ids, embedded, batch[0].question.max_new_tokens)
        return Generated(tokens, 0.0, time.perf_counter() - started)


def _shape(group: PrefixGroup, prompts: Sequence[EncodedPrompt]) -> tuple[int, int]:
    """Return prompt length and token limit of a group with one member."""
    (member,) = group.members
    return group.rest, prompts[member].question.max_new_tokens


def _responses(
    prompts: Sequence[EncodedPrompt], rows: Sequence[PrefixGroup], generated: Generated
) -> list[Response]:
    """Assign tokens to prompts, and batch time in proportion to prompt and answer length."""
    batch = [prompts[i] for row in rows for i in row.members]
    prefill = [
        rest + (row.shared if number == 0 else 0)
        for row in rows
        for number, rest in enumerate(row.rests)
    ]
    prompt_tokens = sum(len(prompt.ids) for prompt in batch)
    new_tokens = sum(map(len, generated.tokens))
    return [
        Response(
            prompt,
            tokens,
            prefill_tokens=prefilled,
            prefill_seconds=generated.prefill_seconds * len(prompt.ids) / prompt_tokens,
            decode_seconds=generated.decode_seconds * len(tokens) / new_tokens,
        )
        for prompt, tokens, prefilled in zip(batch, generated.tokens, prefill, strict=True)
    ]
