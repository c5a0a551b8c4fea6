r"""MathVista, whose authors have a language model find the answer in a prediction.

Without a judge `find` does, by these rules:

* the words after the last "answer is" or "answer:" count, or what a ``\boxed{…}`` holds;
  ``$``, ``\text{…}``, ``**`` and full stops at the end go;
* a choice: what VLMEvalKit finds without a judge; else a letter alone, of either case; else the
  option whose text is said, by itself or up to the first comma or full stop; else a letter in
  brackets; else the one option that is the number said, whatever the unit;
* an integer or a float: the number that the rules of `numerals` find, rounded to the places asked
  for; 14.5 is no integer;
* a list: the last one in square brackets, else all numbers, if there are as many as asked for;
* a text: the words.

`right` then compares as MathVista's authors do: numbers by value, words in any case.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlmeval.dataset.utils import mathvista
from vlmeval.utils import can_infer

from evalsuite.vlmevalkit import scoring_workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.rules import number_parsing
from evalsuite.vlmevalkit.rules.base import Metric, Reader, Verdict, hole, texts


def find(row: Any, text: str) -> str:
    """Return the answer that `text` gives to the question of `row`, or nothing."""
    if row["question_type"] == "multi_choice":
        return _choice(row, text)
    match row["answer_type"]:
        case "integer" | "float":
            number = number_parsing.number_of(text)
            return "" if number is None else _written(row, number)
        case "list":
            return _listed(row, text)
        case _:
            return _kept(text)


def right(row: Row, found: str) -> bool:
    """Whether `found` is the answer."""
    if not found:
        return False
    if row["question_type"] == "multi_choice":
        return bool(found == row["answer_option"])
    answer = row["answer"]
    match row["answer_type"]:
        case "integer" | "float":
            return _number(found) is not None and _number(found) == _number(answer)
        case "list":
            return _same(_items(found), _items(answer))
        case _:
            return _plain(found) in (_plain(answer), _plain(_kept(answer)))


def _choice(row: Any, text: str) -> str:
    listed = mathvista.list_to_dict(ast.literal_eval(row["choices"]))
    options: dict[str, str] = {letter: str(option) for letter, option in listed.items()}
    letter: str | bool = can_infer(text, dict(options))
    if isinstance(letter, str):
        return letter if letter in options else ""
    found = _kept(text)
    named = re.fullmatch(r"\W{0,9}(?:option|choice)?\W{0,9}([A-Za-z])\W{0,9}", found, re.I)
    if named and named[1].upper() in options:
        return named[1].upper()
    for words in (found, number_parsing.CLAUSE.split(found)[0]):
        same = [letter for letter, option in options.items() if _plain(option) == _plain(words)]
        if len(same) == 1:
            return same[0]
    bracketed = [letter.upper() for letter in re.findall(r"\(([A-Za-z])\)", text)]
    known = [letter for letter in bracketed if letter in options]
    return known[-1] if known else _of_value(options, text)


def _of_value(options: Mapping[str, str], text: str) -> str:
    number = number_parsing.number_of(text)
    if number is None:
        return ""
    same = [
        letter for letter, words in options.items() if number_parsing.only_number(words) == number
    ]
    return same[0] if len(same) == 1 else ""


def _kept(text: str) -> str:
    """Return the part of `text` that is the answer."""
    boxed = number_parsing.BOXED.findall(text)
    words = boxed[-1] if boxed else text
    after = number_parsing.LEAD.split(words)[-1]
    words = after if after.strip(" .:*$\n\t") else words
    words = number_parsing.TEXT.sub(r"\1", words)
    return re.sub(r"\*\*|\\?\$|\\[()\[\]]", "", words).strip(" :\n\t").rstrip(". \n\t")


def _number(text: str) -> float | None:
    """Return the number that `text` is, as Python reads one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _written(row: Any, number: float) -> str:
    """Write a number as the answer to `row` is."""
    if row["answer_type"] == "integer":
        return str(int(number)) if number == int(number) else repr(number)
    return repr(round(number, _places(row)))


def _places(row: Any) -> int:
    """Return how many decimal places are asked for: the data say, or the answer shows it."""
    said = _number(str(row.get("precision", "")))
    if said is not None and 0 <= said <= 15:
        return int(said)
    return len(str(row["answer"]).partition(".")[2].rstrip(" "))


def _listed(row: Any, text: str) -> str:
    bracketed: list[str] = re.findall(r"\[[^\[\]]*\]", text)
    lists = [cell for cell in bracketed if _items(cell) is not None]
    if lists:
        return lists[-1]
    wanted, numbers = _items(row["answer"]) or [], number_parsing.numbers_in(text)
    return repr(numbers) if len(numbers) == len(wanted) else ""


def _items(cell: str) -> list[Any] | None:
    try:
        items = ast.literal_eval(cell)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def _same(found: Sequence[Any] | None, wanted: Sequence[Any] | None) -> bool:
    if found is None or wanted is None or len(found) != len(wanted):
        return False
    return all(
        a == b or _plain(str(a)) == _plain(str(b)) for a, b in zip(found, wanted, strict=True)
    )


def _plain(words: str) -> str:
    return " ".join(words.casefold().split()).strip(" .")


# --------------------------------------------------------------------------------------------------
# The rule
# --------------------------------------------------------------------------------------------------


class _Finder:
    """In place of a judge: says what `find` finds in one row's prediction."""

    def __init__(self, line: Any = None) -> None:
        self._line = line

    def under(self, system: str) -> _Finder:
        return self

    def working(self) -> bool:
        return True

    def generate(self, prompt: str, **settings: object) -> str:
        found = find(self._line, str(self._line["prediction"]))
        return scoring_workarounds.no_verdict_is_none(found)


_auxeval = mathvista.MathVista_auxeval


@contextlib.contextmanager
def _finder_stands_in() -> Iterator[None]:
    """Score without a judge, where VLMEvalKit asserts that there is one."""

    def auxeval(_: object, line: Any) -> Any:
        return _auxeval(_Finder(line), line)

    mathvista.MathVista_auxeval = auxeval
    try:
        with scoring_workarounds.our_judge_is_asked(_Finder()):
            yield
    finally:
        mathvista.MathVista_auxeval = _auxeval


def _rule(row: Row, text: str, reader: Reader) -> Verdict:
    line = row | {"prediction": text}
    said = str(_auxeval(reader.judge or _Finder(line), line)["res"])
    theirs = float(mathvista.post_check(line | {"res": said}))
    none = reader.judge is not None and said == scoring_workarounds.NONE
    found = "" if none else find(row, said if reader.judge else text)
    same = right(row, found) or (theirs > 0 and not _in_words(row))
    value = scoring_workarounds.words_can_be_right(same)
    return Verdict(value, bool(found), theirs, scoring_workarounds.words_can_be_right.__name__)


def _in_words(row: Row) -> bool:
    return row["question_type"] != "multi_choice" and row["answer_type"] in ("list", "text")


def _headline(result: Any, _: Sequence[Row]) -> float:
    row = result[result["Task&Skill"] == "Overall"]
    return 100 * float(row["hit"].item()) / float(row["tot"].item())


def _complaint(row: Row) -> str | None:
    if hole(row.get("skills")) or texts(row["skills"]) is None:
        return "its skills are no list of texts"
    if row["question_type"] == "multi_choice":
        options = None if hole(row["choices"]) else _items(row["choices"])
        letters = list(mathvista.list_to_dict(options or []))
        if not 1 <= len(letters) <= 26 or row["answer_option"] not in letters:
            return (
                f"its answer_option is '{row['answer_option']}', none of its {len(letters)} choices"
            )
        return None
    if row["question_type"] != "free_form":
        return f"its question_type is '{row['question_type']}', not 'multi_choice' or 'free_form'"
    if row["answer_type"] not in ("integer", "float", "list", "text"):
        return (
            f"its answer_type is '{row['answer_type']}', not 'integer', 'float', 'list' or 'text'"
        )
    if not right(row, find(row, row["answer"])):
        return f"its answer '{row['answer']}' is no {row['answer_type']}"
    return None


MATHVISTA = Metric(
    rule=_rule,
    headline=_headline,
    complaint=_complaint,
    uses_judge=True,
    without_judge=_finder_stands_in,
)
