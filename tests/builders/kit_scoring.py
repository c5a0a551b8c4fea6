"""Predictions for samples of the kit, and the deviations that scores may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalsuite.runs.records import Prediction
from evalsuite.vlmevalkit import scoring_workarounds, workarounds
from tests.builders import kit_data as made


def predictions_of(chosen: Sequence[str], texts: Sequence[str | None]) -> dict[str, Prediction]:
    """Return `texts` as the predictions of the samples `chosen`."""
    given = made.predictions(texts).values()
    return {id: replace(text, id=id) for id, text in zip(chosen, given, strict=True)}


TABLES = {workarounds.NA_VALUES_AS_TEXT, workarounds.EMPTY_IS_WRONG}
"""Deviations due to differently read tables."""


RULE_DEVIATIONS = {
    "mathvista": {scoring_workarounds.OPEN_ANSWERS_COMPARED},
    "mvbench": {
        scoring_workarounds.PUNCTUATION_IS_WRONG,
        scoring_workarounds.FAILURE_IS_WRONG,
    },
    "mlvu": {scoring_workarounds.FAILURE_IS_WRONG},
}
