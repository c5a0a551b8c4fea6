r"""MathVista, for which the authors use a language model to extract the answer from a prediction.

Without a judge, `extract_answer` uses these rules:

* Only the text after the last "answer is" or "answer:" is used, or the content of ``\boxed{…}``.
  ``$``, ``\text{…}``, ``**`` and final full stops are removed.
* Choice: VLMEvalKit's own extraction; else a single letter of either case; else the option with the
  same text, complete or up to the first comma or full stop; else a letter in parentheses; else the
  only option with the same number, whatever the unit.
* Integer or float: the number found by `number_parsing`, rounded to the requested places; 14.5 is
  not an integer.
* List: the last one in square brackets; else all numbers, if their count matches.
* Text: the text itself.

`is_correct` then compares as MathVista's authors do: numbers by value, texts without case.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlmeval.dataset.utils import mathvista
from vlmeval.utils import can_infer

from evalsuite.vlmevalkit import scoring_workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.judge_adapter import JudgeModel
from evalsuite.vlmevalkit.rules import number_parsing
from evalsuite.vlmevalkit.rules.base import (
    Metric,
    RuleResult,
    ScoringContext,
    parse_list,
    share,
    text_list,
)
from evalsuite.vlmevalkit.tsv import is_missing


def extract_answer(row: Any, text: str) -> str:
    """Return the answer that `text` gives to the question of `row`, or an empty string."""
    if row["question_type"] == "multi_choice":
        return _choice(row, text)
    match row["answer_type"]:
        case "integer" | "float":
            number = number_parsing.number_of(text)
            return "" if number is None else _format_number(row, number)
        case "list":
            return _extract_list(row, text)
        case _:
            return _answer_part(text)


def is_correct(row: Row, found: str) -> bool:
    """Return whether `found` is the correct answer."""
    if not found:
        return False
    if row["question_type"] == "multi_choice":
        return bool(found == row["answer_option"])
    answer = row["answer"]
    match row["answer_type"]:
        case "integer" | "float":
            number = _parse_number(found)
            return number is not None and number == _parse_number(answer)
        case "list":
            return _equal_lists(parse_list(found), parse_list(answer))
        case _:
            return _normalise(found) in (_normalise(answer), _normalise(_answer_part(answer)))


def _choice(row: Any, text: str) -> str:
    listed = mathvista.list_to_dict(ast.literal_eval(row["choices"]))
    options: dict[str, str] = {letter: str(option) for letter, option in listed.items()}
    letter: str | bool = can_infer(text, dict(options))
    if isinstance(letter, str):
        return letter if letter in options else ""
    found = _answer_part(text)
    named = re.fullmatch(r"\W{0,9}(?:option|choice)?\W{0,9}([A-Za-z])\W{0,9}", found, re.I)
    if named and named[1].upper() in options:
        return named[1].upper()
    for words in (found, number_parsing.CLAUSE.split(found)[0]):
        same = [key for key, option in options.items() if _normalise(option) == _normalise(words)]
        if len(same) == 1:
            return same[0]
    bracketed = [letter.upper() for letter in re.findall(r"\(([A-Za-z])\)", text)]
    known = [letter for letter in bracketed if letter in options]
    return known[-1] if known else _option_with_value(options, text)


def _option_with_value(options: Mapping[str, str], text: str) -> str:
    number = number_parsing.number_of(text)
    if number is None:
        return ""
    same = [key for key, words in options.items() if number_parsing.only_number(words) == number]
    return same[0] if len(same) == 1 else ""


def _answer_part(text: str) -> str:
    boxed = number_parsing.BOXED.findall(text)
    words = boxed[-1] if boxed else text
    after = number_parsing.LEAD.split(words)[-1]
    words = after if after.strip(" .:*$\n\t") else words
    words = number_parsing.TEXT.sub(r"\1", words)
    return re.sub(r"\*\*|\\?\$|\\[()\[\]]", "", words).strip(" :\n\t").rstrip(". \n\t")


def _parse_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _format_number(row: Any, number: float) -> str:
    if row["answer_type"] == "integer":
        return str(int(number)) if number == int(number) else repr(number)
    return repr(round(number, _decimal_places(row)))


def _decimal_places(row: Any) -> int:
    places = _parse_number(str(row.get("precision", "")))
    if places is not None and 0 <= places <= 15:
        return int(places)
    return len(str(row["answer"]).partition(".")[2].rstrip(" "))


def _extract_list(row: Any, text: str) -> str:
    bracketed: list[str] = re.findall(r"\[[^\[\]]*\]", text)
    lists = [cell for cell in bracketed if parse_list(cell) is not None]
    if lists:
        return lists[-1]
    expected, numbers = parse_list(row["answer"]) or [], number_parsing.numbers_in(text)
    return repr(numbers) if len(numbers) == len(expected) else ""


def _equal_lists(found: Sequence[Any] | None, expected: Sequence[Any] | None) -> bool:
    if found is None or expected is None or len(found) != len(expected):
        return False
    return all(
        a == b or _normalise(str(a)) == _normalise(str(b))
        for a, b in zip(found, expected, strict=True)
    )


def _normalise(words: str) -> str:
    return " ".join(words.casefold().split()).strip(" .")


# The rule


@dataclass(frozen=True)
class _RuleBasedJudge(JudgeModel):
    """Replacement for a judge: returns the answer that `extract_answer` finds for one row."""

    judge: None = None
    line: Any = None

    def generate(self, prompt: str, **_: object) -> str:
        found = extract_answer(self.line, str(self.line["prediction"]))
        return scoring_workarounds.normalise_judge_answer(found)


_auxeval = mathvista.MathVista_auxeval


@contextlib.contextmanager
def _use_rules() -> Iterator[None]:
    """Run without a judge, where VLMEvalKit asserts that there is one."""

    def auxeval(_: object, line: Any) -> Any:
        return _auxeval(_RuleBasedJudge(line=line), line)

    with (
        scoring_workarounds.replaced(mathvista, MathVista_auxeval=auxeval),
        scoring_workarounds.use_judge(_RuleBasedJudge()),
    ):
        yield


def _rule(row: Row, text: str, context: ScoringContext) -> RuleResult:
    line = row | {"prediction": text}
    response = str(_auxeval(context.judge or _RuleBasedJudge(line=line), line)["res"])
    vlmevalkit_value = float(mathvista.post_check(line | {"res": response}))
    none = context.judge is not None and response == scoring_workarounds.NO_OPTION
    found = "" if none else extract_answer(row, response if context.judge else text)
    correct = is_correct(row, found) or (vlmevalkit_value > 0 and not _is_text_or_list(row))
    return RuleResult(
        scoring_workarounds.open_answer_value(correct),
        bool(found),
        vlmevalkit_value,
        scoring_workarounds.OPEN_ANSWERS_COMPARED,
    )


def _is_text_or_list(row: Row) -> bool:
    return row["question_type"] != "multi_choice" and row["answer_type"] in ("list", "text")


def _read_score(result: Any, _: Sequence[Row]) -> float:
    return 100 * share(result, "Task&Skill", "Overall", ("hit", "tot"))


def _row_error(row: Row) -> str | None:
    if is_missing(row.get("skills")) or text_list(row["skills"]) is None:
        return "its skills are not a list of texts"
    if row["question_type"] == "multi_choice":
        options = None if is_missing(row["choices"]) else parse_list(row["choices"])
        letters = list(mathvista.list_to_dict(options or []))
        if not 1 <= len(letters) <= 26 or row["answer_option"] not in letters:
            option = row["answer_option"]
            return f"its answer_option '{option}' is not one of its {len(letters)} choices"
        return None
    if row["question_type"] != "free_form":
        return f"its question_type is '{row['question_type']}', not 'multi_choice' or 'free_form'"
    if row["answer_type"] not in ("integer", "float", "list", "text"):
        return (
            f"its answer_type is '{row['answer_type']}', not 'integer', 'float', 'list' or 'text'"
        )
    if not is_correct(row, extract_answer(row, row["answer"])):
        return f"its answer '{row['answer']}' is not of type {row['answer_type']}"
    return None


MATHVISTA = Metric(
    rule=_rule,
    read_score=_read_score,
    row_error=_row_error,
    uses_judge=True,
    without_judge=_use_rules,
)
