"""Find what prompts have in common, so that the text model reads it once.

Questions about one image begin alike: with the image's many tokens.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

WORTHWHILE = 0.2
"""The share of a batch's tokens that must be saved to make up for a second call of the model."""


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts the text model reads side by side, in one row of a batch."""

    members: tuple[int, ...]
    """Which prompts."""
    shared: int
    """Tokens that all begin with and that are read once. At least one of each comes after them."""
    rests: tuple[int, ...]
    """How many tokens of each member come after those."""

    @property
    def rest(self) -> int:
        """Tokens of all members that are not shared."""
        return sum(self.rests)

    def cut(self, members: int) -> tuple[Group, Group]:
        """Two groups: the first so many members, and the others."""
        return (
            Group(self.members[:members], self.shared, self.rests[:members]),
            Group(self.members[members:], self.shared, self.rests[members:]),
        )

    def within(self, tokens: int) -> int:
        """How many of its first members are so many tokens at most, one at least."""
        sums = itertools.accumulate(self.rests, initial=self.shared)
        return max(1, sum(1 for total in sums if total <= tokens) - 1)


def group(
    prompts: Sequence[list[int]], media: Sequence[Sequence[Hashable]], *, share: bool = True
) -> list[Group]:
    """Group prompts that show the same; what has no company, or `share` off, is alone.

    `prompts` are token ids and `media` what each prompt shows: equal ids mean equal prefixes only
    if the images are the same.
    """
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for i, shown in enumerate(media):
        alike[(tuple(shown) or i) if share else i].append(i)
    groups = []
    for members in alike.values():
        shared = _common([prompts[i] for i in members]) if len(members) > 1 else 0
        groups.append(
            Group(tuple(members), shared, tuple(len(prompts[i]) - shared for i in members))
        )
    return groups


@dataclass(frozen=True, slots=True)
class Extent:
    """What groups take as the rows of a batch, once they are arranged."""

    rows: int = 0
    shared: int = 0
    """The longest that any of them shares."""
    rest: int = 0
    """The longest rest of one that shares something."""
    alone: int = 0
    """The longest without company. `arrange` cuts it as the others are cut."""

    def __add__(self, group: Group) -> Extent:
        if not group.shared:
            return Extent(self.rows + 1, self.shared, self.rest, max(self.alone, group.rest))
        shared, rest = max(self.shared, group.shared), max(self.rest, group.rest)
        return Extent(self.rows + 1, shared, rest, self.alone)

    @property
    def tokens(self) -> int:
        """Padding included."""
        return self.rows * max(self.shared + self.rest, self.alone)


def extent(groups: Sequence[Group]) -> Extent:
    """That of all `groups` together."""
    return functools.reduce(operator.add, groups, Extent())


def arrange(groups: Sequence[Group]) -> list[Group]:
    """`groups` as the rows of a batch, so that reading them takes least."""
    saved = sum(group.shared * (len(group.members) - 1) for group in groups)
    read = sum(group.shared + group.rest for group in groups)
    if saved <= WORTHWHILE * (read + saved):
        return [
            Group((member,), 0, (group.shared + rest,))
            for group in groups
            for member, rest in zip(group.members, group.rests, strict=True)
        ]
    # A prompt without company can be cut anywhere: so that its rest is as long as the others'.
    longest = max(group.rest for group in groups if group.shared)
    return [
        group if group.shared else Group(group.members, *_cut_at(group.rest, longest))
        for group in groups
    ]


def _cut_at(length: int, rest: int) -> tuple[int, tuple[int]]:
    shared = max(0, length - rest)
    return shared, (length - shared,)


def _common(prompts: Sequence[list[int]]) -> int:
    """Count the tokens all of `prompts` begin with, all but the last token of the shortest at most.

    The first and the last in alphabetical order have no more in common than all.
    """
    first, last = min(prompts), max(prompts)
    pairs = zip(first, last, strict=False)
    alike = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return min(alike, min(map(len, prompts)) - 1)
