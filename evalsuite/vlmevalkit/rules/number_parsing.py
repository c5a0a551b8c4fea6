r"""Find the number that a text gives as its answer, without a language model.

What is a number:

* Digits: ``1,234``, ``1 200``, ``-3``, ``– 3``, ``minus 3``, ``45%``, ``3/4``, ``-\frac{3}{4}``,
  ``1 1/2``, ``2 x 10^5``. In texts without digits, number words up to ninety-nine.
* A unit after it is ignored: ``14 cm^2`` and ``14 m2`` are 14, ``1 million`` is 1.
* An index or a power of a letter is not a number: ``x^2``, ``a_1``.
* A number word next to another one is not a number (``one hundred``, ``two thirds``). Neither is
  ``one``, unless it begins the answer or follows a word like "is" or "only" (``no one``, ``which
  one``).
* An expression is not a number, and its parts are not either: ``\sqrt{3}``, ``2^3``, ``2\pi``, ``5
  - 3``, ``2 and 3``, ``2012-2013``, ``7:45``, ``0,5``.

Which number is used, the first that applies:

* In ``\boxed{…}``, in the first sentence with a number after the last "answer is" or "answer:", or
  in a first line without letters: the first number of the first clause with one, or the first after
  the clause's last ``=``.
* In the last sentence with a number: the same, if the sentence begins with a number.
* Otherwise, or if that is an expression: the last number of the sentence.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator

LEAD = re.compile(r"answer\s{0,9}(?:is\b|:|=)", re.I)
BOXED = re.compile(r"\\boxed\s?\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\{([^{}]*)\}")
CLAUSE = re.compile(
    r"(?<=[.;!?])\s+|\n|;|,\s|(?<=\w)\s\(|\s(?:because|since|as|so)\b|\\implies|\\Rightarrow", re.I
)
_SENTENCE = re.compile(r"(?<=[.;!?])\s+|\n")
_EQUALS = re.compile(r"=|≈|\\approx")
_BEGINS = re.compile(r"(?:\\[a-z]{1,9}|[\W_]){0,9}\d")

_GAP = "[ \u00a0\u2009\u202f]"
_WRITTEN_PLAINLY = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"[‐‑‒–−]", "-"),
        (r"(?<=\d)\*\*(?=-?\d)", "^"),
        (r"\*\*|\\?\$|\\[()\[\]]|\\(?:left|right)\b", ""),
        (r"\\[,!]|\{(,)\}", r"\1"),
        (r"\\[;: ]|~", " "),
        # Thousands apart: 1 200.
        (rf"(?<![\d.,])(\d{{1,3}}){_GAP}(?=\d{{3}}(?:{_GAP}\d{{3}}|(?![-\d])))", r"\1,"),
        # Units' exponents, letters' powers and indices: m/s^2, cm^{2}, m2, x_1.
        (r"(?<=[A-Za-z])\s?[\^_]\s?(?:\{[^{}]*\}|-?\w+)", ""),
        (r"(\d\s?(?![eExX]\d)[A-Za-z][A-Za-z/]{0,5})[23]\b", r"\1"),
        # Powers of ten: 2 x 10^5, 10^{-3}.
        (r"(?<=\d)\s?(?:×|\\times|x|\*|·|\\cdot)\s?10\s?\^\s?\{?(-?\d{1,3})\b\}?", r"e\1"),
        (r"(?<![\w.^])10\s?\^\s?\{?(-?\d{1,3})\b\}?", r"1e\1"),
    )
]  # fmt: skip
_HALVES = re.compile("[¼-¾⅐-⅞]")
_SIGN = re.compile(r"(^\W{0,5}|\b(?:is|are|was)\s|[=≈]\s?)(?:minus|-)\s{0,3}(?=[\d.\\])", re.I)
_NEGATIVE = re.compile(r"\bnegative\s{1,3}(?=[\d.\\])", re.I)

_NUMBER = re.compile(
    # No number: a root, a power, a part of pi, a fraction of such.
    r"(?P<none>\d{0,15}(?:\.\d{1,15})?\s?(?:\\sqrt|√|\bsqrt)\s?[{(]?[\d.]{0,15}[)}]?"
    r"|\d{1,15}(?:\.\d{1,15})?\s?(?:\^\s?[{(]?-?\w{1,15}|(?:\\pi|π|pi\b))"
    r"|\\[dt]?frac\s?(?!\{?-?\d{1,15}\}?\s?\{?\d)"
    r"\{(?:[^{}]|\{[^{}]*\}){0,60}\}\s?\{(?:[^{}]|\{[^{}]*\}){0,60}\}"
    r"|\b[Qq]uestion\s\d{1,9})"
    r"|(?P<sign>(?<![\w.)\]}])(?<!\d\s)-)?(?:"
    r"(?:(?P<whole>(?<![\d.,/])\d{1,3})(?:\s|(?=\\)))?"
    r"(?:\\[dt]?frac\s?(?:\{(?P<top>-?\d{1,15})\}\s?\{(?P<bottom>\d{1,15})\}|(?P<t>\d)\s?(?P<b>\d))"
    r"|(?P<over>(?<![\w.])\d{1,15})\s?/\s?(?P<under>\d{1,15})(?![\w/]))"
    r"|(?P<plain>(?<![\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,30})?(?:\.\d{1,30}|(?<=\d))"
    r"(?:[eE][-+]?\d{1,3}(?!\w))?))"
)
_NOT_WORKED_OUT = re.compile(
    r"[:/,]|\s?(?:[-+*×÷·x^]|\\(?:times|cdot|div|pm)"
    r"|\b(?:to|and|or|plus|minus|times|by|divided by)\b)\s?"
)

_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: number for number, word in enumerate(("zero", *_UNITS, *_TEENS))}
_WORDS |= {ten: 10 * tens for tens, ten in enumerate(_TENS, start=2)}
_WORDS |= {f"{ten} {unit}": _WORDS[ten] + _WORDS[unit] for ten in _TENS for unit in _UNITS}
_LARGER_OR_SMALLER = frozenset((
    "hundred", "hundreds", "thousand", "thousands", "million", "millions", "billion", "billions",
    "dozen", "dozens", "half", "halves", "third", "thirds", "quarter", "quarters", "fourths",
    "fifth", "fifths", "sixths", "eighths", "tenth", "tenths", "point",
))  # fmt: skip
_WORD = re.compile(rf"(?:{'|'.join(_TENS)})[-\s](?:{'|'.join(_UNITS)})\b|[^\W\d_]+|=", re.I)
_BEFORE_ONE = frozenset((
    "", "is", "are", "was", "only", "just", "exactly", "has", "have", "see", "shows", "equals", "=",
    "minus", "negative",
))  # fmt: skip
_AFTER_ONE = frozenset(("of", "can", "could", "would", "should", "must", "may", "might", "cannot"))


def number_of(text: str) -> float | None:
    """Return the number that `text` gives as the answer, or None."""
    for sentence, announced in _sentences(text):
        figures = _in_figures(sentence)
        if found := _numbers(figures):
            states = announced or _BEGINS.match(figures)
            return _stated(sentence, found[-1]) if states else found[-1]
    return None


def only_number(text: str) -> float | None:
    """Return the number that `text` is, possibly with a unit but without another number."""
    words = _in_figures(_plainly(text))
    found = _numbers(words)
    return found[0] if len(found) == 1 and _BEGINS.match(words) else None


def numbers_in(text: str) -> list[float]:
    """Return all numbers in `text` in order; none if one of them is an expression."""
    numbers = [_value(match) for match in _NUMBER.finditer(_in_figures(re.sub("[−–]", "-", text)))]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []


# In the functions below, None in a list of numbers represents an expression.


def _sentences(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the sentences to search in order, and whether they are announced as the answer."""
    boxed = [words for words in BOXED.findall(text) if words.strip()]
    if boxed:
        yield _plainly(boxed[-1]).strip(), True
        return
    words = _plainly(text).strip()
    for led in reversed(LEAD.split(words)[1:]):
        yield from ((sentence, True) for sentence in _SENTENCE.split(led))
    line, _, more = words.partition("\n")
    if more and not any(map(str.isalpha, line)):
        yield line, True
    yield from ((sentence, False) for sentence in reversed(_SENTENCE.split(words)))


def _stated(sentence: str, last: float | None) -> float | None:
    """Return the first number of the first clause with one; `last` if that is an expression."""
    for clause in CLAUSE.split(sentence):
        figures = _in_figures(clause)
        parts = (_EQUALS.split(figures)[-1], figures)
        first = [number for words in parts for number in _numbers(words)[:1]]
        if first:
            return next((number for number in first if number is not None), last)
    return last


def _plainly(text: str) -> str:
    """Return `text` without markup and without digits in units."""
    text = TEXT.sub(r"\1", text)
    for pattern, plain in _WRITTEN_PLAINLY:
        text = pattern.sub(plain, text)
    return _HALVES.sub(
        lambda match: " " + unicodedata.normalize("NFKC", match[0]).replace("⁄", "/"), text
    )


def _in_figures(text: str) -> str:
    """Write number words as digits in texts without digits, and signs before numbers."""
    if not re.search(r"\d", text):
        words = [" ".join(re.split(r"[-\s]", word.lower())) for word in _WORD.findall(text)]
        words = [word for word in words if word not in ("a", "and")]
        around = zip(["", *words], words, [*words[1:], ""], strict=False)
        text = " ".join(
            str(_WORDS[word]) if _counts(before, word, after) else word
            for before, word, after in around
        )
    return _NEGATIVE.sub("-", _SIGN.sub(r"\1-", text))


def _counts(before: str, word: str, after: str) -> bool:
    """Return whether a word between two others is a number."""
    if word not in _WORDS:
        return False
    if any(near in _WORDS or near in _LARGER_OR_SMALLER for near in (before, after)):
        return False
    return word != "one" or (before in _BEFORE_ONE and after not in _AFTER_ONE)


def _numbers(words: str) -> list[float | None]:
    """Return the numbers in `words`; an expression of several numbers is None."""
    matches = list(_NUMBER.finditer(words))
    numbers: list[float | None] = []
    joined = False
    for match, following in itertools.zip_longest(matches, matches[1:]):
        between = words[match.end() : following.start()] if following else ""
        goes_on = bool(_NOT_WORKED_OUT.fullmatch(between))
        if not joined:
            numbers.append(None if goes_on else _value(match))
        joined = goes_on
    return numbers


def _value(match: re.Match[str]) -> float | None:
    if match["none"] is not None:
        return None
    if match["plain"]:
        number = float(match["plain"].replace(",", ""))
    else:
        top = int(match["top"] or match["t"] or match["over"])
        bottom = int(match["bottom"] or match["b"] or match["under"])
        if not bottom or (match["whole"] and not 0 <= top < bottom):
            return None
        number = int(match["whole"] or 0) + top / bottom
    return (-number if match["sign"] else number) if math.isfinite(number) else None
