"""Divide the cost of shared work among questions, so that costs per benchmark can be summed."""

from __future__ import annotations

from collections.abc import Mapping

from evalsuite.smolvlm.media_loader import Window
from evalsuite.smolvlm.requests import Cost, Question
from evalsuite.smolvlm.scheduler import Response

MEDIA_STAGES = ("read", "tiles", "vision")
"""Stages whose cost is divided in proportion to tiles."""


class CostShares:
    """Each question's share of the cost of a window."""

    def __init__(self, window: Window, spent: Mapping[str, float]) -> None:
        """`spent` is seconds by stage, before the text model runs."""
        new = {key: len(tiled.pixels) for key, tiled in window.tiles.items()}
        # New tiles of a medium count for the first question that shows it.
        self._tiles = {
            question.id: sum(
                new.pop((medium.digest, question.prompt.split), 0)
                for medium in question.prompt.media
            )
            for question in window.questions
        }
        self._total_tiles = sum(self._tiles.values())
        self._spent = spent
        self._equal_share = 1 / len(window.questions)

    def cost(
        self, question: Question, other_seconds: float = 0.0, response: Response | None = None
    ) -> Cost:
        """Return the cost of the answer to `question`. `response` adds the text model's part."""
        tiles = self._tiles[question.id]
        of_media = tiles / self._total_tiles if self._total_tiles else self._equal_share
        seconds = {
            stage: spent * (of_media if stage in MEDIA_STAGES else self._equal_share)
            for stage, spent in self._spent.items()
        }
        seconds["other"] = other_seconds
        if response is None:
            return Cost(tiles, seconds=seconds)
        seconds["prefill"] = response.prefill_seconds
        seconds["decode"] = response.decode_seconds
        return Cost(tiles, len(response.prompt.ids), response.prefill_tokens, seconds)
