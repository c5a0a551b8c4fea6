"""Greedy decoding of a batch of prompts, each with its own limit.

A row of the batch is what some prompts share, and after it their rests and answers side by side.
Each place belongs to one prompt, to all of its row, or is padding; a prompt looks at its own and at
the shared places. So what is shared is computed and kept once, and the tokens of a prompt do not
depend on its company but for rounding.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from evalsuite.smolvlm.model import Model
from evalsuite.smolvlm.prefix_sharing import Group

SHARED = -1
PADDING = -2
"""Owners of places, besides the prompts, which count from 0."""


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt as the text model takes it."""

    ids: list[int]
    features: Sequence[torch.Tensor]
    """Of its images, in order, (tokens, hidden) each."""
    limit: int
    """The most tokens to generate after it."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens generated after each text of a batch, and the seconds that took."""

    tokens: list[list[int]]
    prefill_seconds: float
    """Until the first token of each was there."""
    decode_seconds: float


@torch.inference_mode()
def greedy(model: Model, texts: Mapping[int, Text], groups: Sequence[Group]) -> Generated:
    """Generate tokens after the texts in `groups`, which are the rows of the batch.

    In the order of the groups' members; with the end token if it came within the text's limit.
    """
    started = time.perf_counter()
    prefill_seconds = 0.0
    batch = _Batch(model)
    heads, rests = _parts(model, texts, groups)
    if any(group.shared for group in groups):
        batch.read(heads)
    tokens = batch.read(rests)

    running = [i for group in groups for i in group.members]
    answers: dict[int, list[int]] = {i: [] for i in running}
    while True:
        chosen = tokens.tolist()  # waits for the device, so that the clock can be read for nothing
        prefill_seconds = prefill_seconds or time.perf_counter() - started
        going = []
        for place, (i, token) in enumerate(zip(running, chosen, strict=True)):
            answers[i].append(token)
            if len(answers[i]) < texts[i].limit and token not in model.ends:
                going.append(place)
        if not going:
            whole = time.perf_counter() - started
            return Generated(list(answers.values()), prefill_seconds, whole - prefill_seconds)
        if len(going) < len(running):
            running = [running[place] for place in going]
            tokens = tokens[going]
            batch.go_on_with(going)
        tokens = batch.read_tokens(tokens)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of a text, or what several begin with."""

    owner: int
    start: int
    """Its first position in the text."""
    embedded: torch.Tensor
    """(length, hidden)"""


def _parts(
    model: Model, texts: Mapping[int, Text], groups: Sequence[Group]
) -> tuple[list[list[_Part]], list[list[_Part]]]:
    """What each group shares, and the rests of its texts; all is embedded in one call."""
    pieces: list[list[int]] = []
    features: list[torch.Tensor] = []
    for group in groups:
        first = texts[group.members[0]]
        head = first.ids[: group.shared]
        pieces += [head, *(texts[i].ids[group.shared :] for i in group.members)]
        if first.features:
            shown = torch.cat(list(first.features))
            seen = sum(token == model.image_token_id for token in head)
            features += [shown[:seen], *(shown[seen:] for _ in group.members)]
    ids = torch.tensor([[token for piece in pieces for token in piece]], device=model.device)
    embedded = iter(torch.split(model.embed(ids, features)[0], [len(piece) for piece in pieces]))
    heads, rests = [], []
    for group in groups:
        heads.append([_Part(SHARED, 0, next(embedded))])
        rests.append([_Part(i, group.shared, next(embedded)) for i in group.members])
    return heads, rests


class _Batch:
    """What the text model has read so far of each row."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._cache = DynamicCache()
        self._owners: torch.Tensor | None = None
        """(rows, places)"""
        self._plain = True
        """Whether no row has padding or more than one part, so that all before may be looked at."""
        self._rows: list[int] = []
        """Of each text at work: its row."""
        self._at: tuple[torch.Tensor, torch.Tensor] | None = None
        """Of each text at work: its row, and its place among those that its row reads next."""
        self._wide = 1
        """How many of one row are at work, at most."""
        self._mine = torch.empty(0)
        """Of each text at work: it as an owner."""
        self._next = torch.empty(0)
        """Of each text at work: its next position."""

    def read(self, rows: Sequence[Sequence[_Part]]) -> torch.Tensor:
        """Read on; find the likeliest next token of each part but what is shared."""
        device = self._model.device
        lengths = [sum(len(part.embedded) for part in row) for row in rows]
        longest = max(lengths)
        some = rows[0][0].embedded
        embedded = some.new_zeros((len(rows), longest, some.shape[1]))
        owners = torch.full((len(rows), longest), PADDING)
        positions = torch.zeros((len(rows), longest), dtype=torch.long)
        ends: list[tuple[int, int]] = []
        at_work: list[_Part] = []
        for number, row in enumerate(rows):
            place = 0
            for part in row:
                end = place + len(part.embedded)
                embedded[number, place:end] = part.embedded
                owners[number, place:end] = part.owner
                positions[number, place:end] = torch.arange(part.start, part.start + end - place)
                place = end
                if part.owner != SHARED:
                    ends.append((number, end - 1))
                    at_work.append(part)
        self._plain &= min(lengths) == longest and all(len(row) == 1 for row in rows)
        self._rows = [number for number, _ in ends]
        self._mine = torch.tensor([part.owner for part in at_work], device=device)
        self._next = torch.tensor([p.start + len(p.embedded) for p in at_work], device=device)
        # Padding comes last: of rows with one part nothing real looks at it, and attention that is
        # causal and no more has faster kernels.
        causal = self._owners is None and all(len(row) == 1 for row in rows)
        self._extend(owners.to(device))
        self._at = None
        return self._model.next_tokens(
            embedded,
            positions.to(device),
            None if causal else self._mask(longest),
            self._cache,
            torch.tensor(ends, device=device, dtype=torch.long).reshape(-1, 2).unbind(1),
        )

    def read_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read one more token of each text at work; find the likeliest next ones."""
        embedded = self._model.embed(tokens[:, None], ())[:, 0]
        if self._at is None:
            self._at = self._side_by_side()
        rows, places = self._at
        assert self._owners is not None
        shape = (len(self._owners), self._wide)
        owners = self._owners.new_full(shape, PADDING)
        owners[rows, places] = self._mine
        positions = self._next.new_zeros(shape)
        positions[rows, places] = self._next
        into = embedded.new_zeros((*shape, embedded.shape[1]))
        into[rows, places] = embedded
        self._next = self._next + 1
        self._plain &= len(tokens) == len(self._owners)
        self._extend(owners)
        mask = None if self._plain else self._mask(shape[1])
        return self._model.next_tokens(into, positions, mask, self._cache, self._at)

    def go_on_with(self, texts: list[int]) -> None:
        """Of the texts at work, read on with these."""
        assert self._owners is not None
        self._rows = [self._rows[text] for text in texts]
        self._mine, self._next, self._at = self._mine[texts], self._next[texts], None
        rows = sorted(set(self._rows))
        if len(rows) <= len(self._owners) // 2:
            # Copying the cache pays once half of the rows have nothing left to say.
            index = torch.tensor(rows, device=self._owners.device)
            self._owners = self._owners[index]
            self._cache.batch_select_indices(index)
            self._rows = [rows.index(row) for row in self._rows]

    def _side_by_side(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Row and place of the next token of each text at work."""
        taken: dict[int, int] = {}
        places = []
        for row in self._rows:
            places.append(taken.get(row, 0))
            taken[row] = places[-1] + 1
        self._wide = max(taken.values())
        device = self._mine.device
        return torch.tensor(self._rows, device=device), torch.tensor(places, device=device)

    def _extend(self, owners: torch.Tensor) -> None:
        self._owners = owners if self._owners is None else torch.cat([self._owners, owners], 1)

    def _mask(self, queries: int) -> torch.Tensor:
        """(rows, 1, queries, places): true where one of the last `queries` places may look.

        Padding looks at padding: nothing reads what it sees, but a place with nothing to look at
        would be not a number.
        """
        owners = self._owners
        assert owners is not None
        index = torch.arange(owners.shape[1], device=owners.device)
        causal = index <= index[-queries:, None]
        theirs = owners[:, None, :]
        mine = owners[:, -queries:, None]
        return (((theirs == SHARED) | (theirs == mine)) & causal)[:, None]
