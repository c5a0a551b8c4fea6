"""Greedy decoding of a batch of prompts, each with its own limit.

Everything is padded on the left. Which places are real is kept for the attention, and places of
padding count for no position, so a prompt's tokens do not depend on its company but for rounding.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from evalsuite.smolvlm.model import Model
from evalsuite.smolvlm.prefixes import Prefix


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens generated after each prompt of a batch, and the seconds that took."""

    tokens: list[list[int]]
    prefill_seconds: float
    """Until the first token of each was there."""
    decode_seconds: float


@torch.inference_mode()
def greedy(
    model: Model,
    prompts: Sequence[torch.Tensor],
    prefixes: Sequence[Prefix],
    limits: Sequence[int],
) -> Generated:
    """Generate tokens after each prompt, its end token included if it came within the limit.

    `prompts` are embeddings, (length, hidden) each. What `prefixes` says they share is read once;
    without any, each is read whole.
    """
    started = time.perf_counter()
    prefill_seconds = 0.0
    batch = _Batch(model)
    starts = [0] * len(prompts)
    if prefixes:
        batch.read([prompts[prefix.members[0]][: prefix.length] for prefix in prefixes])
        owners = {i: row for row, prefix in enumerate(prefixes) for i in prefix.members}
        batch.keep([owners[i] for i in range(len(prompts))])
        starts = [prefixes[owners[i]].length for i in range(len(prompts))]
    tokens = batch.read([prompt[start:] for prompt, start in zip(prompts, starts, strict=True)])

    answers: list[list[int]] = [[] for _ in prompts]
    running = list(range(len(prompts)))
    """Which answer each row of the batch belongs to."""
    while True:
        going = []
        chosen = tokens.tolist()  # waits for the device, so that the clock can be read for nothing
        prefill_seconds = prefill_seconds or time.perf_counter() - started
        for row, (answer, token) in enumerate(zip(running, chosen, strict=True)):
            told = answers[answer]
            if len(told) >= limits[answer] or (told and told[-1] in model.ends):
                continue  # finished before, but still along
            told.append(token)
            if len(told) < limits[answer] and token not in model.ends:
                going.append(row)
        if not going:
            whole = time.perf_counter() - started
            return Generated(answers, prefill_seconds, whole - prefill_seconds)
        if len(going) <= len(running) // 2:
            # Copying the cache pays once half of the rows have nothing left to say.
            batch.keep(going)
            tokens = tokens[going]
            running = [running[row] for row in going]
        tokens = batch.read_tokens(tokens)


class _Batch:
    """What the text model has read so far of each row."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._cache = DynamicCache()
        self._real: torch.Tensor | None = None
        """(rows, places): false where a place is padding."""
        self._padded = False

    def read(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """Read on, (length, hidden) a row; find the likeliest next token of each row."""
        lengths = [len(row) for row in rows]
        longest = max(lengths)
        embedded = rows[0].new_zeros((len(rows), longest, rows[0].shape[1]))
        for into, row in zip(embedded, rows, strict=True):
            into[longest - len(row) :] = row
        places = torch.arange(longest, device=embedded.device)
        padding = longest - torch.tensor(lengths, device=embedded.device)
        self._padded |= min(lengths) < longest
        return self._go_on(embedded, places >= padding[:, None])

    def read_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read one more token a row; find the likeliest next one."""
        embedded = self._model.embed(tokens[:, None], ())
        return self._go_on(embedded, torch.ones_like(tokens, dtype=torch.bool)[:, None])

    def _go_on(self, embedded: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        if self._real is None:
            self._real = real.new_empty((len(real), 0))
        positions = self._real.sum(1, keepdim=True) + real.cumsum(1) - 1
        self._real = torch.cat([self._real, real], 1)
        return self._model.next_tokens(
            embedded, positions.clamp_(min=0), self._mask(embedded.shape[1]), self._cache
        )

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows, some of them perhaps several times."""
        assert self._real is not None
        index = torch.tensor(rows, device=self._real.device)
        self._real = self._real[index]
        self._cache.batch_select_indices(index)

    def _mask(self, queries: int) -> torch.Tensor | None:
        """(rows, 1, queries, places): true where one of the last `queries` places may look.

        None for plain causal attention, which has faster kernels. Places of padding look at all
        that comes before them: nothing reads what they see, but a row with nothing to look at
        would be not a number.
        """
        real = self._real
        assert real is not None
        places = real.shape[1]
        if not self._padded and queries in (1, places):
            return None
        index = torch.arange(places, device=real.device)
        causal = index <= index[-queries:, None]
        return (causal & (real[:, None, :] | ~real[:, -queries:, None]))[:, None]
