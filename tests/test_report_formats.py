"""All formats of a report: golden files, equal marks, hostile names and CPU time.

`make golden` writes tests/golden anew; read the diff.
"""

import csv
import dataclasses
import functools
import io
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from rich.console import Console

from evalsuite.benchmarks.catalogue import load
from evalsuite.cli import report
from evalsuite.cli.options import FORMATS
from evalsuite.report import format as words
from evalsuite.report.model.notes import Footnote
from evalsuite.report.model.select import tables
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line
from evalsuite.report.tables.runs import report_grid
from evalsuite.report.writers.markdown import grid_markdown
from evalsuite.report.writers.terminal import print_grids
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import run_to_text
from evalsuite.system.files import to_json_line
from tests.builders.cpu_time import cpu_units
from tests.builders.golden import golden, parsed
from tests.builders.hostile import HOSTILE
from tests.builders.runs import failure, found, run, score, settings
from tests.builders.stored_runs import sample, samples, stored

MORE_HOSTILE = [
    "<script>alert(1)</script>", "</style><script>", "$\\alpha$ \\textbf{x}", "&amp;",
    "[x](javascript:alert(1))", "<!-- x", "-->", "`` ` ``", "\u2067\u05d0", "a\u0301\u0327" * 9,
    "http://example.org/x", "www.example.org", "x" * 3000, "1. one", "    four", "+ plus", "***",
    "\\", "|", "\r\n", "\u2028", "\x00", "\ufeff",
]  # fmt: skip
REFERENCES = """
extends: packaged
benchmarks:
  Colours: {prompt: default, metric: choice, references: [
    {model: Theirs, score: 60.04, source: &p "Some paper, Table 1", verified: true}]}
  Words: {prompt: default, metric: choice, references: [
    {model: Theirs, score: 70, source: *p, verified: false}]}
"""


def everything(tmp_path: Path) -> tuple[list[FoundRun], dict[str, Any]]:
    """Runs with a bit of all there is to show, under two prompt profiles."""
    good, fair, poor = ([1.0] * n + [0.0] * (40 - n) for n in (36, 20, 6))
    facts = {"samples_per_second": 12.5, "peak_memory_bytes": 1_200_000_000, "clusters": 40}
    scores = {name: dict(facts) for name in ("Colours", "Words", "VideoA", "VideoB")}
    noted: dict[str, dict[str, Any]] = {
        **scores,
        "Words": {
            **facts,
            "failed": 2,
            "failure_reasons": ("3, 8: a.png: no image",),
            "unparsed": 4,
        },
        "VideoA": {**facts, "modified_data": True},
    }
    runs = [
        stored(tmp_path, "new", {"Colours": samples(good), "Words": samples(good),
                                 "VideoA": samples(fair), "VideoB": samples(fair)},
               scores=noted, step=500, environment={"device": "cuda"}),
        stored(tmp_path, "old", {"Colours": samples(fair), "Words": samples(good),
                                 "VideoA": samples(fair), "VideoB": samples(poor)},
               scores=scores, environment={"device": "cuda"}),
        stored(tmp_path, "new", {"Colours": samples(poor), "Words": samples(poor)},
               scores=scores, settings=settings(blind=True), environment={"device": "cuda"},
               digest="6e65" * 16),
        stored(tmp_path, "old", {"Colours": samples(good, prompt_digest="other")},
               scores=scores, settings=settings(prompts="native"), limit="40"),
    ]  # fmt: skip
    path = tmp_path / "benchmarks.yaml"
    path.write_text(REFERENCES)
    return runs, {"facts": ("memory", "speed", "parameters"), "published": load(path)}


SUFFIX = {"table": "txt", "markdown": "md"}


@pytest.mark.parametrize("form", FORMATS)
def test_golden(form: str, tmp_path: Path) -> None:
    runs, wanted = everything(tmp_path)
    report.write(runs, form, tmp_path / "report", **wanted)
    golden(f"everything.{SUFFIX.get(form, form)}", (tmp_path / "report").read_text())


def rendered(runs: list[FoundRun], form: str, tmp_path: Path, wanted: dict[str, Any]) -> str:
    report.write(runs, form, tmp_path / "report", **wanted)
    return (tmp_path / "report").read_text()


def test_every_format_marks_the_same_as_best(tmp_path: Path) -> None:
    runs, wanted = everything(tmp_path)
    shown = {form: rendered(runs, form, tmp_path, wanted) for form in FORMATS}
    expected = ["70.0", "90.0", "90.0 ± 2.2", "50.0", "50.0 ± 2.2"]
    page = html.document_fromstring(shown["html"])
    strong = [element.text_content() for element in page.iter("strong")]
    assert [text for text in strong if text != "bold"] == expected
    assert [text for text in shown["markdown"].split("**")[1::2] if text != "bold"] == expected
    [row] = [line for line in shown["table"].splitlines() if line.startswith("new  ")]
    starred = [text.strip() for text in re.split(r"\s{2,}", row) if text.strip().endswith(" *")]
    assert starred == [f"{text} *" for text in expected]
    won = [(each["report"]["label"], lead["of"]) for each in json.loads(shown["json"])
           for lead in each["report"]["leads"] if lead["best"]]  # fmt: skip
    slots = ["average", "image average", "video average", "Colours", "VideoB"]
    assert won == [("new", slot) for slot in slots]
    lines = csv.DictReader(io.StringIO(shown["csv"]))
    best = [(line["checkpoint"], line["benchmark"]) for line in lines if line["best"] == "true"]
    assert best == [("new", "Colours"), ("new", "VideoB")]


def test_a_terminal_has_them_in_bold(tmp_path: Path) -> None:
    runs, wanted = everything(tmp_path)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=200)
    print_grids([report_grid(table) for table in tables(runs, **wanted)], console)
    assert isinstance(console.file, io.StringIO)
    bold = re.findall(r"\x1b\[1;32m([^\x1b]*)\x1b", console.file.getvalue())
    assert bold == ["70.0", "90.0", "90.0 ± 2.2", "50.0", "50.0 ± 2.2"]


@pytest.mark.parametrize(
    ("outcome", "words_of_it"),
    [
        (score("A", 1.0, partial=True, unscored=7), "partial: without what only a judge can score"),
        (score("A", 1.0, modified_data=True), "on data that is not what was published"),
        (score("A", 1.0, failed=3, failure_reasons=("9: broken",)), "3 of 300 (9: broken)"),
        (score("A", 1.0, empty=2), "empty predictions"),
        (score("A", 1.0, truncated=2), "truncated at the token limit"),
        (score("A", 1.0, unparsed=2), "no answer was found"),
        (failure("A"), "no score: scoring failed: no module named foo; see kit.log"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_the_notes_of_a_score(
    form: str, outcome: Any, words_of_it: str, tmp_path: Path
) -> None:
    runs = found([run("a", outcome), run("b", score("A", 2.0))])
    assert words_of_it in rendered(runs, form, tmp_path, {})


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_the_notes_of_a_run(form: str, tmp_path: Path) -> None:
    limited = run("a", score("A", 1.0), limit="50", finished=None)
    blind = run("b", score("A", 2.0), settings=settings(blind=True))
    for runs in (found([limited, blind]), found([limited]), found([blind])):
        shown = rendered(runs, form, tmp_path, {})
        if limited in [item.run for item in runs]:
            assert "unfinished, so benchmarks may be missing" in shown
            assert "--limit" in shown
        if blind in [item.run for item in runs]:
            assert "blind: text-only baseline" in shown


@pytest.mark.parametrize("form", ["table", "markdown", "html"])
def test_two_prompt_styles_are_two_tables(form: str, tmp_path: Path) -> None:
    runs = found([run(f"{name}{n}", score("A", 1.0), settings=settings(prompts=name))
                  for n in range(2) for name in ("vlmevalkit", "native")])  # fmt: skip
    shown = rendered(runs, form, tmp_path, {})
    first, second = shown.split("prompts: vlmevalkit")
    assert "vlmevalkit0" in first
    assert "vlmevalkit1" in first
    assert "native0" not in first
    assert "native1" in second
    assert "vlmevalkit" not in second


@pytest.mark.parametrize("name", [*HOSTILE, *MORE_HOSTILE])
def test_hostile_names_in_every_format(name: str, tmp_path: Path) -> None:
    runs = found([
        run(name, score(name, 12.5, judge=JudgeId(name, name), failed=1, failure_reasons=(name,)),
            failure("x", name),
            score("y", 1.0, deviations=(name,), extra={name: 1.0})),
        run("b", score(name, 1.0), settings={**settings(), "engine": name}),
    ])  # fmt: skip
    visible = words.visible(name)
    for form in FORMATS:
        shown = rendered(runs, form, tmp_path, {"facts": ("memory", "digest")})
        assert all(c.isprintable() or c == "\n" for c in shown), form
        if form == "html":
            page = html.document_fromstring(shown)
            assert not list(page.iter("script", "img", "b", "i", "a"))
            assert visible in [cell.text for cell in page.iter("th")]
        elif form == "markdown":
            assert [row[0] for row in parsed(shown)][1].startswith(visible.strip())
        elif form == "csv":
            assert len(list(csv.reader(io.StringIO(shown), strict=True))) == 5
        elif form == "json":
            assert json.loads(shown)[0]["checkpoint"]["name"] == name
        else:
            assert any(line.startswith(visible) for line in shown.splitlines())


texts = st.text(min_size=1, max_size=12)
marks = st.lists(st.sampled_from("abcz"), max_size=2).map(tuple)
entries = st.builds(Entry, texts, marks, st.none(), st.booleans())


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    width = draw(st.integers(1, 4))
    heading = st.builds(Heading, texts, st.booleans(), st.booleans(), texts, marks)
    row = st.lists(entries, min_size=width, max_size=width).map(tuple)
    return Grid(
        title=draw(texts),
        headings=tuple(draw(st.lists(heading, min_size=width, max_size=width))),
        lines=tuple(draw(st.lists(st.builds(Line, row), max_size=3))),
        summary=draw(st.none() | row),
        best=draw(texts),
        remarks=tuple(draw(st.lists(texts, max_size=2))),
        footnotes=(Footnote("a", draw(texts), (draw(texts),)),),
    )


def as_read(text: str, marks: tuple[str, ...]) -> str:
    return f"{words.visible(text).strip()} {','.join(marks)}".strip()


@given(grids(), st.booleans())
def test_markdown_read_back_gives_the_same_cells(grid: Grid, compact: bool) -> None:
    head, *rows = parsed(grid_markdown(grid, compact=compact))
    for shown, heading in zip(head, grid.headings, strict=True):
        group = f" ({words.visible(heading.group)})" if grid.grouped_columns else ""
        expected = words.visible(heading.text) + group + ",".join(heading.marks)
        assert shown.replace(" ", "") == expected.replace(" ", "")
    lines = [line.entries for line in grid.lines]
    lines += [] if grid.summary is None else [grid.summary]
    assert rows == [[as_read(entry.text, entry.marks) for entry in line] for line in lines]


# What it costs


BUDGET = """
import sys
sys.argv = ["evalsuite", "report", "--output-dir", "{results}", "--format", "{form}", "-o", "{out}"]
from evalsuite.__main__ import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
heavy = {{"torch", "transformers", "vlmeval", "pandas", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""


def stored_quickly(directory: Path, name: str, benchmarks: dict[str, list[bool]]) -> None:
    """What `stored` leaves, without waiting for the disk."""
    rows = [to_json_line(dataclasses.asdict(sample(0, value, question="What is it? " * 9)))
            for value in (0.0, 1.0)]  # fmt: skip
    parts = [row.replace("image-0", "image-{0}").replace("asked-0", "asked-{0}").replace(
        '"id":"0"', '"id":"{0}"').split("{0}") for row in rows]  # fmt: skip
    outcomes = []
    for benchmark, right in benchmarks.items():
        outcomes.append(score(benchmark, 100 * sum(right) / len(right), n=len(right)))
        path = directory / name / "0123abcd" / benchmark / "samples.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(str(n).join(parts[is_right]) for n, is_right in enumerate(right)))
    made = run(name, *outcomes, digest=name)
    (directory / name / "0123abcd" / "run.json").write_text(run_to_text(made))


def test_a_hundred_runs_of_25_benchmarks_are_reported_quickly(tmp_path: Path) -> None:
    """With the samples of all of them on disk; only those of the two best are read."""
    chance = random.Random(0)
    names = [f"{'Video' if index > 15 else 'Bench'}{index}" for index in range(25)]
    for number in range(100):
        right = {name: set(chance.sample(range(300), 100 + number)) for name in names}
        answers = {name: [n in right[name] for n in range(300)] for name in names}
        stored_quickly(tmp_path / "results", f"checkpoint-{number}", answers)
    for form in ("table", "json"):
        out = tmp_path / form
        code = BUDGET.format(results=tmp_path / "results", form=form, out=out)
        start = functools.partial(subprocess.run, [sys.executable, "-c", code], check=True)
        units = cpu_units(start, 2)
        print(f"{form}: {units:.2f} units")
        assert units < 12
    assert "Holm-adjusted over 28 columns" in (tmp_path / "table").read_text()
    assert json.loads((tmp_path / "json").read_text())[99]["report"]["leads"]
