"""Predictions for samples of the kit, and the workarounds that change tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalsuite.runs.records import Prediction
from tests.builders import kit_data as made


def said(chosen: Sequence[str], texts: Sequence[str | None]) -> dict[str, Prediction]:
    """Predictions `texts` for the samples `chosen`."""
    given = made.predictions(texts).values()
    return {id: replace(text, id=id) for id, text in zip(chosen, given, strict=True)}


TABLES = {"tables_keep_their_words", "table_text"}
"""Mends of tables: an ordinary VLMEvalKit reads some cells otherwise."""


EXCEPTED = {
    "mathvista": {"words_can_be_right"},
    "mvbench": {"a_mark_is_no_answer", "failure_is_no_answer"},
    "mlvu": {"failure_is_no_answer"},
}
