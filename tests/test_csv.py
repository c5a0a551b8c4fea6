"""Reports as CSV and data frames: values that programs read back, and no formulas."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsuite.api import to_dataframe
from evalsuite.report import format as words
from evalsuite.report.model import select
from evalsuite.report.model.columns import RESULT, results
from evalsuite.report.writers.csv import field, to_csv
from evalsuite.runs.records import Run
from tests.builders.hostile import HOSTILE
from tests.builders.runs import found, one, run, score, settings, several
from tests.builders.stored_runs import samples, stored


def lines(runs: list[Run]) -> list[dict[str, Any]]:
    text = to_csv(list(RESULT.values()), results(select.tables(found(runs))))
    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows = list(reader)
    assert tuple(reader.fieldnames or ()) == tuple(RESULT)
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def test_one_line_for_each_run_and_benchmark() -> None:
    rows = lines(several())
    assert [(row["checkpoint"], row["benchmark"], row["kind"], row["score"]) for row in rows] == [
        ("checkpoint-500", "DemoDigits", "run", "40.0"),
        ("checkpoint-500", "DemoYesNo", "run", "61.04"),
        ("checkpoint-500", "DemoVideo", "run", "25.0"),
        ("checkpoint-1000", "DemoDigits", "run", "71.26"),
        ("checkpoint-1000", "DemoYesNo", "failure", ""),
        ("checkpoint-1000", "DemoVideo", "run", "30.0"),
        ("demo", "DemoDigits", "run", "90.0"),
        ("demo", "DemoYesNo", "run", "88.8"),
    ]
    assert rows[3]["notes"].endswith(": 2 of 300")
    assert rows[4]["notes"].startswith("no score: scoring failed: no module named foo")
    assert (rows[0]["digest"], rows[0]["step"], rows[6]["step"]) == ("aaaa1111bbbb", "500", "")
    assert (rows[0]["best"], lines([one()])[0]["best"]) == ("false", "")


def test_numbers_are_not_rounded() -> None:
    exact = score("A", 100 / 3, stderr=None, partial=True, unscored=7, modified_data=True)
    [row] = lines([run("a", exact, limit="50", finished=None)])
    assert float(row["score"]) == 100 / 3
    assert (row["stderr"], row["partial"], row["unscored"], row["modified_data"]) == (
        "", "true", "7", "true",
    )  # fmt: skip
    assert (row["limit"], row["date"]) == ("50", "")
    notes = row["notes"].split("; ")
    for note, word in zip(notes, ("unfinished", "--limit: 50", "7 samples", "data"), strict=True):
        assert word in note


def test_each_line_has_its_prompt_style() -> None:
    rows = lines([run("a", score("A", 1.0)),
                  run("a", score("A", 2.0), settings=settings(prompts="native")),
                  run("b", score("A", 3.0))])  # fmt: skip
    assert [(row["checkpoint"], row["prompts"]) for row in rows] == [
        ("a", "vlmevalkit"), ("b", "vlmevalkit"), ("a", "native"),
    ]  # fmt: skip


def test_a_blind_run_is_marked() -> None:
    rows = lines(
        [run("a", score("A", 9.0)), run("a", score("A", 1.0), settings=settings(blind=True))]
    )
    assert [row["kind"] for row in rows] == ["run", "blind"]
    assert rows[1]["notes"].startswith("blind: ")


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "＝1", '=HYPERLINK("http://x","y")', "a,b",
     'quo"te', *HOSTILE],
)  # fmt: skip
def test_a_name_is_a_text_in_every_spreadsheet(name: str) -> None:
    [row] = lines([run(name, score(name, 1.0))])
    for shown in (row["checkpoint"], row["benchmark"]):
        assert shown.removeprefix("'") == words.visible(name)
        assert shown.lstrip()[0] not in "=+-@＝＋－＠"
        assert shown.isprintable()


@given(st.text(min_size=1))
def test_any_text_is_read_back(name: str) -> None:
    [row] = lines([run(name, score("A", 1.0))])
    assert row["checkpoint"] == field(name)
    assert row["checkpoint"].removeprefix("'") in (words.visible(name), words.visible(name)[1:])


def test_a_data_frame_has_the_same_columns_and_numbers(tmp_path: Path) -> None:
    results = tmp_path / "results"
    stored(results, "new", {"A": samples([1, 1, 0]), "B": samples([1, 0])})
    stored(results, "old", {"A": samples([1, 0, 0])})
    frame = to_dataframe(output_dir=results)
    assert list(frame.columns) == list(RESULT)
    assert list(zip(frame["checkpoint"], frame["benchmark"], strict=True)) == [
        ("new", "A"), ("new", "B"), ("old", "A"),
    ]  # fmt: skip
    assert list(frame["score"]) == pytest.approx([200 / 3, 50.0, 100 / 3])
    assert list(frame["n"]) == [3, 2, 3]
