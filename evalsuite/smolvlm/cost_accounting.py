"""Share out what questions cost together, so that what a benchmark costs can be added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalsuite.smolvlm.media_loader import MediaKey, Window
from evalsuite.smolvlm.requests import Cost, Question
from evalsuite.smolvlm.scheduler import Response

OF_MEDIA = ("read", "tiles", "vision")
"""Stages whose cost is that of the tiles."""


class Shares:
    """What each question of a window has to bear of what was spent on all of them."""

    def __init__(self, window: Window, spent: Mapping[str, float]) -> None:
        """`spent` is seconds by stage, before the text model had its turn."""
        fresh = {key: len(tiled.pixels) for key, tiled in window.tiles.items()}
        self._tiles = _first_shown(window.questions, fresh)
        self._all_tiles = sum(self._tiles.values())
        self._spent = spent
        self._even = 1 / len(window.questions)

    def cost(
        self, question: Question, other_seconds: float = 0.0, response: Response | None = None
    ) -> Cost:
        """What the answer to `question` cost; with a `response`, the text model's part as well."""
        tiles = self._tiles[question.id]
        of_media = tiles / self._all_tiles if self._all_tiles else self._even
        seconds = {
            stage: spent * (of_media if stage in OF_MEDIA else self._even)
            for stage, spent in self._spent.items()
        }
        seconds["other"] = other_seconds
        if response is None:
            return Cost(tiles, seconds=seconds)
        seconds["prefill"] = response.prefill_seconds
        seconds["decode"] = response.decode_seconds
        return Cost(tiles, len(response.job.ids), response.read_tokens, seconds)


def _first_shown(questions: Sequence[Question], fresh: Mapping[MediaKey, int]) -> dict[str, int]:
    """Tiles by question's id: those of a medium go to the first question that shows it."""
    left = dict(fresh)
    return {
        question.id: sum(
            left.pop((medium.digest, question.prompt.split), 0) for medium in question.prompt.media
        )
        for question in questions
    }
