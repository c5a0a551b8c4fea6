"""Short texts for messages and names for files."""

from __future__ import annotations

import doctest
import re

import pytest

from evalsuite.system import text


def test_examples() -> None:
    assert doctest.testmod(text).failed == 0


@pytest.mark.parametrize(
    ("error", "plain", "typed"),
    [
        (ValueError("a  b\n\nc"), "a b", "ValueError: a b"),
        (ValueError("\n  a"), "a", "ValueError: a"),
        (ValueError(" \n "), "ValueError", "ValueError"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (KeyError("a"), "'a'", "KeyError: 'a'"),
    ],
)
def test_one_line_of_an_error(error: Exception, plain: str, typed: str) -> None:
    assert text.one_line(error) == plain
    assert text.one_line(error, with_type=True) == typed


def test_first_few_names() -> None:
    assert text.first_few([], 2) == ""
    assert text.first_few(["a", "b"], 2) == "a, b"
    assert text.first_few(["a", "b", "c"], 2) == "a, b and 1 more"


def test_numbers_are_sorted_by_value() -> None:
    names = ["run@9.json", "run@10.json", "a-2-x", "a-10", "a"]
    assert sorted(names, key=text.natural_key) == [
        "a",
        "a-2-x",
        "a-10",
        "run@9.json",
        "run@10.json",
    ]


def test_file_names_from_any_name() -> None:
    assert text.unique_slug("Video-MME") == "Video-MME"
    odd = ["../up", "a/b", "a b", "漢字", ".", "..", "", "x" * 300, "\ud800", "-o"]
    made = [text.unique_slug(name) for name in odd]
    assert len(set(made)) == len(odd)
    for name in made:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,108}", name)
    assert text.slug("../漢字") == ""
