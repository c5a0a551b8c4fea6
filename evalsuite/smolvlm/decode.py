"""Greedy decoding of a batch of prompts, each with its own token limit.

A row of the batch contains the prefix shared by a group of prompts, followed by their remaining
tokens and answers side by side. Each position is owned by one prompt, by all prompts of its row
(`SHARED`) or is `PADDING`. A prompt attends to its own positions and to the shared ones. So a
shared prefix is computed and cached once, and apart from rounding the tokens of a prompt do not
depend on the other prompts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from evalsuite.smolvlm.model import NOT_A_NUMBER, Model
from evalsuite.smolvlm.prefix_sharing import PrefixGroup

SHARED = -1
PADDING = -2
"""Owners of positions that belong to no single prompt; prompts count from 0."""


@dataclass(frozen=True, slots=True)
class TextInput:
    """A prompt as input of the text model."""

    ids: list[int]
    features: Sequence[torch.Tensor]
    """Features of its images in order, each (tokens, hidden)."""
    limit: int
    """Maximum number of new tokens."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens generated for each prompt of a batch, and the time."""

    tokens: list[list[int]]
    prefill_seconds: float
    """Until the first token of each prompt."""
    decode_seconds: float


@torch.inference_mode()
def greedy(
    model: Model, texts: Mapping[int, TextInput], groups: Sequence[PrefixGroup]
) -> Generated:
    """Generate tokens for the `texts` in `groups`; each group is a row of the batch.

    The result follows the order of the groups' members. It includes the end token if one was
    generated within the limit, or `NOT_A_NUMBER`.
    """
    started = time.perf_counter()
    prefill_seconds = 0.0
    batch = _Batch(model)
    heads, rests = _parts(model, texts, groups)
    if any(group.shared for group in groups):
        batch.prefill(heads)
    tokens = batch.prefill(rests)

    running = [i for group in groups for i in group.members]
    answers: dict[int, list[int]] = {i: [] for i in running}
    while True:
        chosen = tokens.tolist()  # synchronizes with the device, so the clock is exact
        prefill_seconds = prefill_seconds or time.perf_counter() - started
        unfinished = []
        for position, (i, token) in enumerate(zip(running, chosen, strict=True)):
            answers[i].append(token)
            ended = token == NOT_A_NUMBER or token in model.end_tokens
            if len(answers[i]) < texts[i].limit and not ended:
                unfinished.append(position)
        if not unfinished:
            total = time.perf_counter() - started
            return Generated(list(answers.values()), prefill_seconds, total - prefill_seconds)
        if len(unfinished) < len(running):
            running = [running[position] for position in unfinished]
            tokens = tokens[unfinished]
            batch.keep(unfinished)
        tokens = batch.step(tokens)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of one prompt, or a shared prefix."""

    owner: int
    start: int
    """Its first position in the prompt."""
    embedded: torch.Tensor
    """(length, hidden)"""


def _parts(
    model: Model, texts: Mapping[int, TextInput], groups: Sequence[PrefixGroup]
) -> tuple[list[list[_Part]], list[list[_Part]]]:
    """Return the shared prefix and the remaining parts of each group, embedded in one call."""
    pieces: list[list[int]] = []
    features: list[torch.Tensor] = []
    for group in groups:
        first = texts[group.members[0]]
        head = first.ids[: group.shared]
        pieces += [head, *(texts[i].ids[group.shared :] for i in group.members)]
        if first.features:
            whole = torch.cat(list(first.features))
            shared = sum(token == model.image_token_id for token in head)
            features += [whole[:shared], *(whole[shared:] for _ in group.members)]
    ids = torch.tensor([[token for piece in pieces for token in piece]], device=model.device)
    embedded = iter(torch.split(model.embed(ids, features)[0], [len(piece) for piece in pieces]))
    heads, rests = [], []
    for group in groups:
        heads.append([_Part(SHARED, 0, next(embedded))])
        rests.append([_Part(i, group.shared, next(embedded)) for i in group.members])
    return heads, rests


class _Batch:
    """State of the text model for the rows of a batch."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._cache = DynamicCache()
        self._owners: torch.Tensor | None = None
        """(rows, positions)"""
        self._unmasked = True
        """True if no row has padding or more than one part, so that causal attention suffices."""
        self._rows: list[int] = []
        """Row of each active prompt."""
        self._slots: tuple[torch.Tensor, torch.Tensor] | None = None
        """Row and column of each active prompt in the next step's input."""
        self._columns = 1
        """Maximum number of active prompts in a row."""
        self._prompt_owners = torch.empty(0)
        """Owner number of each active prompt."""
        self._next = torch.empty(0)
        """Next position of each active prompt."""

    def prefill(self, rows: Sequence[Sequence[_Part]]) -> torch.Tensor:
        """Process the parts of each row; return the most likely next token of each prompt."""
        device = self._model.device
        lengths = [sum(len(part.embedded) for part in row) for row in rows]
        longest = max(lengths)
        first = rows[0][0].embedded
        embedded = first.new_zeros((len(rows), longest, first.shape[1]))
        owners = torch.full((len(rows), longest), PADDING)
        positions = torch.zeros((len(rows), longest), dtype=torch.long)
        ends: list[tuple[int, int]] = []
        active: list[_Part] = []
        for number, row in enumerate(rows):
            start = 0
            for part in row:
                end = start + len(part.embedded)
                embedded[number, start:end] = part.embedded
                owners[number, start:end] = part.owner
                positions[number, start:end] = torch.arange(part.start, part.start + end - start)
                start = end
                if part.owner != SHARED:
                    ends.append((number, end - 1))
                    active.append(part)
        self._unmasked &= min(lengths) == longest and all(len(row) == 1 for row in rows)
        self._rows = [number for number, _ in ends]
        self._prompt_owners = torch.tensor([part.owner for part in active], device=device)
        self._next = torch.tensor([p.start + len(p.embedded) for p in active], device=device)
        # In rows with one part, padding comes last and causal attention excludes it. It also has
        # faster kernels.
        causal = self._owners is None and all(len(row) == 1 for row in rows)
        self._extend(owners.to(device))
        self._slots = None
        return self._model.next_tokens(
            embedded,
            positions.to(device),
            None if causal else self._mask(longest),
            self._cache,
            torch.tensor(ends, device=device, dtype=torch.long).reshape(-1, 2).unbind(1),
        )

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Process one more token of each active prompt; return the most likely next tokens."""
        embedded = self._model.embed(tokens[:, None], ())[:, 0]
        if self._slots is None:
            self._slots = self._assign_slots()
        rows, columns = self._slots
        assert self._owners is not None
        shape = (len(self._owners), self._columns)
        owners = self._owners.new_full(shape, PADDING)
        owners[rows, columns] = self._prompt_owners
        positions = self._next.new_zeros(shape)
        positions[rows, columns] = self._next
        next_input = embedded.new_zeros((*shape, embedded.shape[1]))
        next_input[rows, columns] = embedded
        self._next = self._next + 1
        self._unmasked &= len(tokens) == len(self._owners)
        self._extend(owners)
        mask = None if self._unmasked else self._mask(shape[1])
        return self._model.next_tokens(next_input, positions, mask, self._cache, self._slots)

    def keep(self, prompts: list[int]) -> None:
        """Continue only with these active prompts."""
        assert self._owners is not None
        self._rows = [self._rows[prompt] for prompt in prompts]
        self._prompt_owners, self._next = self._prompt_owners[prompts], self._next[prompts]
        self._slots = None
        rows = sorted(set(self._rows))
        if len(rows) <= len(self._owners) // 2:
            # Copying the cache pays off once half of the rows have finished.
            index = torch.tensor(rows, device=self._owners.device)
            self._owners = self._owners[index]
            self._cache.batch_select_indices(index)
            self._rows = [rows.index(row) for row in self._rows]

    def _assign_slots(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return row and column of the next token of each active prompt."""
        used: dict[int, int] = {}
        columns = []
        for row in self._rows:
            columns.append(used.get(row, 0))
            used[row] = columns[-1] + 1
        self._columns = max(used.values())
        device = self._prompt_owners.device
        return torch.tensor(self._rows, device=device), torch.tensor(columns, device=device)

    def _extend(self, owners: torch.Tensor) -> None:
        self._owners = owners if self._owners is None else torch.cat([self._owners, owners], 1)

    def _mask(self, queries: int) -> torch.Tensor:
        """Return (rows, 1, queries, positions): where the last `queries` positions may attend.

        Padding attends to padding: its result is not used, but attending to nothing would give NaN.
        """
        owners = self._owners
        assert owners is not None
        index = torch.arange(owners.shape[1], device=owners.device)
        causal = index <= index[-queries:, None]
        key_owners = owners[:, None, :]
        query_owners = owners[:, -queries:, None]
        return (((key_owners == SHARED) | (key_owners == query_owners)) & causal)[:, None]
