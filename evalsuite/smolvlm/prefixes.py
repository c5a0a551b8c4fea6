"""Find what prompts of a batch have in common, so that the text model reads it once.

Questions about one image begin alike: with the image's many tokens.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

WORTHWHILE = 0.2
"""The share of a batch's tokens that must be saved to make up for a second call of the model."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of some prompts of a batch."""

    members: tuple[int, ...]
    """Which prompts."""
    length: int
    """In tokens. At least one token of each member comes after it."""


def common_prefixes(
    prompts: Sequence[list[int]], media: Sequence[Sequence[Hashable]]
) -> list[Prefix]:
    """Prefixes that together cover the prompts of a batch; none if they would save too little.

    `prompts` are token ids and `media` what each prompt shows: equal ids mean equal prefixes only
    if the images are the same.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, shown in enumerate(media):
        groups[tuple(shown) or i].append(i)
    lengths: dict[Hashable, int] = {}
    rest = 0
    saved = 0
    for key, members in groups.items():
        if len(members) > 1:
            lengths[key] = _alike([prompts[i] for i in members])
            rest = max(rest, max(len(prompts[i]) for i in members) - lengths[key])
            saved += lengths[key] * (len(members) - 1)
    if saved <= WORTHWHILE * sum(map(len, prompts)):
        return []
    # A prompt without company can be cut anywhere: so that its rest is as long as the others'.
    return [
        Prefix(tuple(members), lengths.get(key, max(0, len(prompts[members[0]]) - rest)))
        for key, members in groups.items()
    ]


def _alike(prompts: Sequence[list[int]]) -> int:
    """Count the tokens all of `prompts` begin with, all but the last token of the shortest at most.

    The first and the last in alphabetical order have no more in common than all.
    """
    first, last = min(prompts), max(prompts)
    pairs = zip(first, last, strict=False)
    alike = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return min(alike, min(map(len, prompts)) - 1)
