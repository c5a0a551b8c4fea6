"""Find common prefixes of prompts, so that the text model processes them once.

Questions about the same image share a prefix: the image's many tokens.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

MIN_SAVED_SHARE = 0.2
"""Share of a batch's tokens that prefix sharing must save to justify a second model call."""


@dataclass(frozen=True, slots=True)
class PrefixGroup:
    """Prompts with a shared prefix, processed in one row of a batch."""

    members: tuple[int, ...]
    """Indices of the prompts."""
    shared: int
    """Length of the shared prefix in tokens. Every member has at least one more token."""
    rests: tuple[int, ...]
    """Tokens of each member after the shared prefix."""

    @property
    def rest(self) -> int:
        """Tokens of all members after the shared prefix."""
        return sum(self.rests)

    def split(self, members: int) -> tuple[PrefixGroup, PrefixGroup]:
        """Split into two groups; the first gets this number of members."""
        return (
            PrefixGroup(self.members[:members], self.shared, self.rests[:members]),
            PrefixGroup(self.members[members:], self.shared, self.rests[members:]),
        )

    def members_within(self, tokens: int) -> int:
        """Return how many leading members fit into `tokens`, at least one."""
        sums = itertools.accumulate(self.rests, initial=self.shared)
        return max(1, sum(1 for total in sums if total <= tokens) - 1)


def group_by_media(
    prompts: Sequence[list[int]], media: Sequence[Sequence[Hashable]], *, share: bool = True
) -> list[PrefixGroup]:
    """Group prompts with the same media; a prompt with unique media forms its own group.

    `prompts` are token ids, and `media` the media of each prompt: equal ids are equal prefixes only
    if the images are equal too. With `share=False`, every prompt forms its own group.
    """
    by_media: dict[Hashable, list[int]] = defaultdict(list)
    for i, prompt_media in enumerate(media):
        by_media[(tuple(prompt_media) or i) if share else i].append(i)
    groups = []
    for members in by_media.values():
        shared = _common_prefix_length([prompts[i] for i in members]) if len(members) > 1 else 0
        groups.append(
            PrefixGroup(tuple(members), shared, tuple(len(prompts[i]) - shared for i in members))
        )
    return groups


@dataclass(frozen=True, slots=True)
class BatchShape:
    """Size of a batch whose rows are some groups, after `arrange_rows`."""

    rows: int = 0
    shared: int = 0
    """Longest shared prefix."""
    rest: int = 0
    """Longest rest of a group with a shared prefix."""
    alone: int = 0
    """Longest prompt without a shared prefix. `arrange_rows` splits it like the others."""

    def __add__(self, group: PrefixGroup) -> BatchShape:
        if not group.shared:
            return BatchShape(self.rows + 1, self.shared, self.rest, max(self.alone, group.rest))
        shared, rest = max(self.shared, group.shared), max(self.rest, group.rest)
        return BatchShape(self.rows + 1, shared, rest, self.alone)

    @property
    def tokens(self) -> int:
        """Tokens including padding."""
        return self.rows * max(self.shared + self.rest, self.alone)


def batch_shape(groups: Sequence[PrefixGroup]) -> BatchShape:
    """Return the size of a batch of all `groups`."""
    return functools.reduce(operator.add, groups, BatchShape())


def arrange_rows(groups: Sequence[PrefixGroup]) -> list[PrefixGroup]:
    """Return `groups` as the rows of a batch with the fewest tokens to process."""
    saved = sum(group.shared * (len(group.members) - 1) for group in groups)
    read = sum(group.shared + group.rest for group in groups)
    if saved <= MIN_SAVED_SHARE * (read + saved):
        return [
            PrefixGroup((member,), 0, (group.shared + rest,))
            for group in groups
            for member, rest in zip(group.members, group.rests, strict=True)
        ]
    # A prompt without a shared prefix can be split anywhere. Make its rest as long as the others'.
    longest_rest = max(group.rest for group in groups if group.shared)
    rows = []
    for group in groups:
        shared = group.shared or max(0, group.rest - longest_rest)
        rests = group.rests if group.shared else (group.rest - shared,)
        rows.append(PrefixGroup(group.members, shared, rests))
    return rows


def _common_prefix_length(prompts: Sequence[list[int]]) -> int:
    """Return the length of the common prefix, at most the shortest prompt minus one token.

    The first and the last prompt in lexicographic order have the shortest common prefix.
    """
    first, last = min(prompts), max(prompts)
    pairs = zip(first, last, strict=False)
    common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return min(common, min(map(len, prompts)) - 1)
