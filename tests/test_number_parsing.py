"""Rules that find a number in a prediction, with examples written by hand."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.vlmevalkit.rules.number_parsing import number_of, numbers_in, only_number
from tests.builders.hostile import TEXTS


@pytest.mark.parametrize(
    "examples",
    [
        [
            ("14", 14), ("14.5", 14.5), (".5", 0.5), ("0.5.", 0.5), ("1,234.5", 1234.5),
            ("1 200", 1200), ("1 000 000", 1_000_000), ("1\u202f200 m", 1200), ("1\\,200", 1200),
            ("1{,}200", 1200), ("1e3", 1000), ("2.5e-1", 0.25), ("45%", 45), ("$5.00", 5),
            ("\\$14", 14), ("£14", 14), ("14€", 14), ("~14", 14), ("≈14", 14), ("14+", 14),
            ("(14)", 14), ("<14>", 14), ("#14", 14), ("x14", 14), ("4th", 4), ("1.2.3", 1.2),
            ("2 x 10^5", 2e5), ("2.5 \\times 10^{-3}", 2.5e-3), ("10^5", 1e5), ("10^999", None),
            ("1 million", 1), ("no number", None), ("", None), ("nan", None), ("∞", None),
        ],
        [
            ("-3", -3), ("−3", -3), ("–3", -3), ("- 3", -3), ("minus 3", -3), ("negative 3", -3),
            ("It is minus 3.", -3), ("x = - 3", -3), ("x=-3", -3), ("(-3)", -3), ("-.5", -0.5),
            ("The answer is: – 3", -3), ("negative twenty", -20), ("minus one", -1), ("A-3", 3),
            ("-1/2", -0.5), ("-\\frac{1}{2}", -0.5), ("\\frac{-1}{2}", -0.5), ("-1 1/2", -1.5),
            ("The answer is $-\\frac{1}{2}$.", -0.5), ("-5°C", -5),
        ],
        [
            ("3/4", 0.75), ("3 / 4", 0.75), ("\\frac{3}{4}", 0.75), ("\\dfrac{3}{4}", 0.75),
            ("\\frac34", 0.75), ("6/1", 6), ("1 1/2", 1.5), ("2 1/2", 2.5), ("1\\frac{1}{2}", 1.5),
            ("2 \\frac{1}{2} m", 2.5), ("½", 0.5), ("2½", 2.5), ("2 3/2", None), ("1/0", None),
            ("1.5/3", None), ("\\frac{x}{2}", None), ("\\frac{\\sqrt{3}}{2}", None),
            ("12/25/2020", None), ("5/min", 5),
        ],
        [
            ("14 cm^2", 14), ("14cm^2", 14), ("14 cm^{2}", 14), ("14 cm²", 14), ("14 m2", 14),
            ("14\\text{ cm}^2", 14), ("\\boxed{14 \\text{ cm}^2}", 14), ("It is 14 cm^2.", 14),
            ("9.8 m/s^2", 9.8), ("9.8 m/s2", 9.8), ("9.8 m s^{-2}", 9.8), ("60^\\circ", 60),
            ("60^{\\circ}", 60), ("14 square meters", 14), ("x^2", None), ("x_1 = 5", 5),
            ("∠1 = 60", 60),
        ],
        [
            ("\\sqrt{3}", None), ("2\\sqrt{3}", None), ("√3", None), ("sqrt(3)", None),
            ("sqrt(3) = 1.73", 1.73), ("2^3", None), ("2**3", None), ("2^3 = 8", 8),
            ("14^{2}", None), ("4\\pi", None), ("4π", None), ("5-3", None), ("5 + 3", None),
            ("5 minus 3", None), ("2 \\times 7", None), ("5x2", None), ("3 and 4", None),
            ("3 or 4", None), ("3 to 4", None), ("2012-2013", None), ("2012–2013", None),
            ("10:5", None), ("7:45", None), ("0,5", None), ("2,3", None), ("8 -3", None),
            ("I cannot answer question 5", None), ("The answer is 7 - 2.", None),
            ("There are 7. The answer is \\sqrt{3}.", None), ("There are 7: \\boxed{2^3}", None),
        ],
        [
            ("zero", 0), ("One", 1), ("twelve", 12), ("thirteen", 13), ("twenty", 20),
            ("twenty-five", 25), ("ninety nine", 99), ("I see two cats", 2), ("two or more", 2),
            ("There is one.", 1), ("only one dog", 1), ("Five out of ten", 5), ("eight = 8", 8),
            ("one hundred", None), ("two hundred and five", None), ("two thirds", None),
            ("one-half", None), ("two and a half", None), ("two point five", None),
            ("one, two, three", None), ("No one is visible in this image.", None),
            ("I am not sure which one is correct.", None), ("the red one", None),
            ("that one, this one, each one", None), ("It is one of them", None),
            ("One can see it.", None), ("someone", None), ("none", None), ("fourth", None),
        ],
        [
            ("The answer is 5 because there are 3 red and 2 blue ones.", 5),
            ("The answer is 5, because 2+3.", 5), ("Answer: 5 (since 8-3)", 5),
            ("Answer: 14\nExplanation: there are 20 bars minus 6.", 14),
            ("Answer: 14\nExplanation: 20 - 6 = 14", 14), ("**Answer:** 14\n\nOf 20.", 14),
            ("The answer is 14, not 15. 16 is wrong", 14), ("The answer is 3 + 4 = 7.", 7),
            ("The answer is 7 = 3 + 4 since 4 = 4", 7), ("answer = 5 of 10", 5),
            ("The answer is x = 10/3 ≈ 3.33 m in 2 s", 3.33), ("Answer:\n\n14 of 20", 14),
            ("The answer is, of the 3 bars, 2.", 3), ("The answer is 20 - 6, so 14.", 14),
            ("The answer is approx. 5 of 10", 5), ("The answer is five. There are 3 more.", 5),
            ("Answer: 5. Now that the answer is known, stop.", 5), ("The answer isn't in 3", 3),
            ("\\boxed{3} apples of 5", 3), ("\\boxed{2} or rather \\boxed{ 3 }", 3),
            ("\\boxed{x = 3}", 3), ("$\\boxed{\\frac{3}{4}}$", 0.75), ("\\boxed{}, 4", 4),
            ("14\nExplanation: there are 20 bars.", 14), ("14 bars\nThere are 20.", 20),
        ],
        [
            ("5 out of 10", 5), ("5 (out of 10)", 5), ("8-3=5", 5), ("8 - 3 = 5 apples of 9", 5),
            ("3 and 4 make 7", 7), ("3 are red. 2 are blue. So there are 5.", 5),
            ("1. There are 3 bars.\n2. With 2 more, there are 5.", 5), ("2 cats. No more.", 2),
            ("There are 3 of 14", 14), ("It costs $1.45", 1.45), ("In 2010, 5 people", 5),
        ],
    ],
    ids=["figures", "signs", "fractions", "units", "expressions", "words", "answer", "sentences"],
)  # fmt: skip
def test_number_of(examples: Sequence[tuple[str, float | None]]) -> None:
    assert [(text, number_of(text)) for text, _ in examples] == examples


def test_only_number() -> None:
    numbers = [("14 cm", 14), ("5°", 5), ("3/11", 3 / 11), ("two", 2), ("$1,200", 1200)]
    assert [(text, only_number(text)) for text, _ in numbers] == numbers
    for text in ("triangle 1", "5 to 10", "10 red, 5 blue", "\\sqrt{3}", "x", ""):
        assert only_number(text) is None, text


def test_numbers_in() -> None:
    lists = [
        ("2007 and 2008", [2007, 2008]), ("2007–2008", [2007, 2008]), ("(1, −2)", [1, -2]),
        ("[1 2]", [1, 2]), ("100 200", [100, 200]), ("1/2, 0.5", [0.5, 0.5]), ("2^3, 1", []),
        ("three", [3]), ("", []),
    ]  # fmt: skip
    assert [(text, numbers_in(text)) for text, _ in lists] == lists


PIECES = st.sampled_from(
    [
        *("-", "minus ", "one ", "twenty-", "\\frac", "{", "}", "^", "_", "\\sqrt", "√", "½", "="),
        *("\\boxed{", "answer is ", "\n", " ", ",", ".", "/", "x", "10", "3", "1 200", "e", "("),
        *("cm", "because ", "\\text{", "\\,", "٣", "²", "$", "**", "and ", "or ", ":", ")"),
    ]
)


@settings(deadline=None)
@given(st.one_of(TEXTS, st.lists(PIECES, max_size=15).map("".join)))
def test_random_texts(text: str) -> None:
    for number in (number_of(text), only_number(text), *numbers_in(text)):
        assert number is None or abs(number) < float("inf")


@given(st.floats(-1e9, 1e9).map(lambda number: round(number, 3)))
def test_numbers_are_found_in_sentences(number: float) -> None:
    for text in ("{}", "The answer is {}.", "It is {} m^2.", "$\\boxed{{{}}}$ of 7", "{} of 7"):
        assert number_of(text.format(f"{number:.3f}")) == number, text
