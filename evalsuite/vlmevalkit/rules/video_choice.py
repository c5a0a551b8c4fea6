"""Multiple choice about videos, one question a row."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from vlmeval.dataset.utils import mvbench, videomme, worldsense
from vlmeval.dataset.utils.multiple_choice import build_choices, extract_answer_from_item

from evalsuite.vlmevalkit import scoring_workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.rules.base import Metric, Reader, Rule, Verdict, texts, unknown


def _by_letter(module: Any, name: str) -> Rule:
    """Return the rule of Video-MME, which is WorldSense's as well."""

    def rule(row: Row, text: str, reader: Reader) -> Verdict:
        found = module.extract_characters_regex(text)
        if not found:
            found = module.extract_option(reader.judge, row | {"prediction": text}, name)
        options = "ABCDEFGHIJ"[: len(ast.literal_eval(row["candidates"]))]
        return Verdict(float(found == row["answer"]), bool(found) and found in options)

    return rule


def _headline(result: Any, _: Sequence[Row]) -> float:
    return 100 * float(result["overall"]["overall"])


def _videomme_complaint(row: Row) -> str | None:
    if not texts(row["candidates"]):
        return "its candidates are no list of options"
    return (
        unknown(row, "duration", videomme.DURATIONS)
        or unknown(row, "domain", videomme.DOMAINS)
        or unknown(row, "sub_category", videomme.SUB_CATEGORIES)
        or unknown(row, "task_type", videomme.TASK_CATEGORIES)
    )


def _worldsense_complaint(row: Row) -> str | None:
    if not texts(row["candidates"]):
        return "its candidates are no list of options"
    sounds = texts(row.get("audio_class"))
    if sounds is None:
        return "its audio_class is no list of texts"
    return (
        unknown(row, "duration", worldsense.DURATIONS)
        or unknown(row, "domain", worldsense.DOMAINS)
        or unknown(row, "sub_category", worldsense.SUB_CATEGORIES)
        or unknown(row, "task_domain", worldsense.TASK_DOMAINS)
        or unknown(row, "task_type", worldsense.TASK_CATEGORIES)
        or next(filter(None, (_sound(sound) for sound in sounds)), None)
    )


def _sound(sound: str) -> str | None:
    return unknown({"audio_class": sound}, "audio_class", worldsense.AUDIO_CLASSES)


VIDEO_CHOICE = Metric(
    rule=_by_letter(videomme, "Video-MME"),
    headline=_headline,
    complaint=_videomme_complaint,
    rounding=0.05,
    uses_judge=True,
)
WORLDSENSE = Metric(
    rule=_by_letter(worldsense, "WorldSense"),
    headline=_headline,
    complaint=_worldsense_complaint,
    rounding=0.05,
    uses_judge=True,
    from_zero=True,
)


def expected(row: Row) -> str:
    """Return the right option as ``(B) down``, by ``mvbench.py:403`` and ``mlvu.py:243``."""
    at = -1
    for number, option in enumerate(ast.literal_eval(row["candidates"])):
        if option == row["answer"]:
            at = number
    return f"({chr(ord('A') + at)}) {row['answer']}"


def lettered(row: Row, text: str) -> Row:
    """Return the row as a question with options A, B, …, by ``mvbench.py:408``."""
    item = row | {"prediction": text}
    for number, option in enumerate(ast.literal_eval(row["candidates"])):
        item[chr(ord("A") + number)] = option
        if option == item["answer"]:
            item["answer"] = chr(ord("A") + number)
    return item


def picked(row: Row, text: str, reader: Reader) -> tuple[bool, bool]:
    """Return whether the option that `text` names is right, and whether it names one."""
    item = lettered(row, text)
    found = extract_answer_from_item(reader.judge, item, reader.dataset)["opt"]
    return found == item["answer"], found in build_choices(item)


def _mvbench(row: Row, text: str, reader: Reader) -> Verdict:
    if scoring_workarounds.failure_is_no_answer(text):
        return Verdict(0.0, False, 1.0, scoring_workarounds.failure_is_no_answer.__name__)
    item = lettered(row, text)
    theirs = mvbench.check_ans_with_model(text, expected(row), reader.judge, item, reader.dataset)
    if scoring_workarounds.a_mark_is_no_answer(text):
        right, parsed = picked(row, text, reader)
        mend = scoring_workarounds.a_mark_is_no_answer.__name__
        return Verdict(float(right), parsed, float(theirs), mend)
    first = text.lower().strip().split(" ")[0].strip("().,:")
    named = len(first) == 1 and first in _letters(row)
    return Verdict(float(theirs), bool(theirs) or named or picked(row, text, reader)[1])


def _letters(row: Row) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[: len(ast.literal_eval(row["candidates"]))]


def options_complaint(row: Row) -> str | None:
    """Complain of options of which none is the answer."""
    options = texts(row["candidates"])
    if not options:
        return "its candidates are no list of options"
    if not row["answer"].strip():
        return "its answer is blank"
    if row["answer"] not in options:
        return f"its answer '{row['answer']}' is not one of its candidates: {', '.join(options)}"
    return None


def _mvbench_headline(result: Any, _: Sequence[Row]) -> float:
    right, n, _percent = result["overall"]
    return 100 * float(right) / int(n)


MVBENCH = Metric(
    rule=_mvbench,
    headline=_mvbench_headline,
    complaint=options_complaint,
    uses_judge=True,
    from_zero=True,
    tasks="task_type",
)
