"""Reports: values, golden files and hostile names.

`make golden` writes tests/golden anew; read the diff.
"""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from evalsuite.benchmarks.catalogue import load
from evalsuite.cli import main, report
from evalsuite.cli.options import FORMATS
from evalsuite.errors import UsageError
from evalsuite.report import format as words
from evalsuite.report.model import notes, select, table
from evalsuite.report.tables import grid, listing
from evalsuite.report.tables import runs as detail
from evalsuite.report.tables.runs import across, down, report_grid, summary
from evalsuite.report.writers import terminal as text
from evalsuite.report.writers.json import to_json
from evalsuite.report.writers.markdown import escaped, grid_markdown
from evalsuite.runs import find
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import FoundRun, Run
from evalsuite.runs.storage import write_run
from tests.builders.golden import golden, parsed
from tests.builders.hostile import HOSTILE
from tests.builders.runs import failure, found, one, run, score, settings, several


def markdown(runs: list[Run]) -> str:
    return "\n".join(grid_markdown(report_grid(t)) for t in select.tables(found(runs)))


def terminal(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)


def pipe() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# The model


def test_a_table_holds_every_benchmark_of_every_run() -> None:
    built = table.build(several())
    assert [(c.benchmark, c.modality) for c in built.columns] == [
        ("DemoDigits", "image"), ("DemoYesNo", "image"), ("DemoVideo", "video"),
    ]  # fmt: skip
    scores = [[cell.score and cell.score.value for cell in row.cells] for row in built.rows]
    assert scores == [[40.0, 61.04, 25.0], [71.26, None, 30.0], [90.0, 88.8, None]]
    assert built.rows[1].cells[1].outcome == failure("DemoYesNo")
    assert built.rows[2].cells[2].outcome is None


def test_the_average_is_over_what_every_row_has() -> None:
    built = table.build(several())
    assert built.averaged == ("DemoDigits",)
    assert [row.average for row in built.rows] == [40.0, 71.26, 90.0]
    assert "1 benchmark " in built.about_average
    assert built.about_average.endswith("DemoYesNo, DemoVideo")
    both = table.build(several()[:1])
    assert both.rows[0].average == pytest.approx((40.0 + 61.04 + 25.0) / 3)


def test_a_run_without_scores_does_not_change_the_average() -> None:
    runs = [run("a", score("A", 1.0), score("B", 3.0)), run("broken", failure("A"), failure("B")),
            run("new", finished=None)]  # fmt: skip
    built = table.build(runs)
    assert built.averaged == ("A", "B")
    assert [row.average for row in built.rows] == [2.0, None, None]
    assert table.build(runs[1:]).averaged == ()


def test_without_a_common_benchmark_there_is_no_average() -> None:
    built = table.build([run("a", score("A", 1.0)), run("b", score("B", 2.0))])
    assert [row.average for row in built.rows] == [None, None]
    assert "average: none" in built.about_average
    assert parsed(markdown([row.run for row in built.rows]))[1] == ["a", "–", "1.0 ± 2.2", "–"]


def test_a_zero_is_a_score_and_a_missing_score_is_not() -> None:
    shown = parsed(markdown([run("a", score("A", 0.0)), run("b", score("B", 0.0))]))
    assert shown[1:] == [["a", "–", "0.0 ± 2.2", "–"], ["b", "–", "–", "0.0 ± 2.2"]]


def test_footnotes_are_collected_by_meaning() -> None:
    built = table.build([
        run("a", score("A", 1.0, unparsed=3, empty=1), limit="50"),
        run("b", score("A", 2.0, unparsed=4, truncated=2, failed=5), finished=None),
    ])  # fmt: skip
    assert [(note.mark, note.cases) for note in built.footnotes] == [
        ("a", ("a 50",)),
        ("b", ("a A 1 of 300",)),
        ("c", ("a A 3 of 300", "b A 4 of 300")),
        ("d", ("b",)),
        ("e", ("b A 5 of 300",)),
        ("f", ("b A 2 of 300",)),
    ]
    words = ("--limit", "empty", "no answer", "unfinished", "without a prediction", "truncated")
    for note, word in zip(built.footnotes, words, strict=True):
        assert word in note.meaning
    assert [row.marks for row in built.rows] == [("a",), ("d",)]
    assert [row.cells[0].marks for row in built.rows] == [("b", "c"), ("e", "f", "c")]


def test_a_footnote_lists_the_first_cases() -> None:
    built = table.build([run(f"r{n}", score("A", 1.0, failed=n + 1)) for n in range(25)])
    [note] = built.footnotes
    assert note.text.startswith(f"{note.meaning}: r0 A 1 of 300; r1 A 2 of 300; ")
    assert note.text.endswith("; r19 A 20 of 300; and 5 more")
    assert all(row.cells[0].marks == ("a",) for row in built.rows)


def test_different_conditions_are_noted_at_the_benchmark() -> None:
    built = table.build([
        run("a", score("A", 1.0), score("Video", 1.0)),
        run("b", score("A", 1.0, data_digest="e" * 64), score("Video", 1.0, frames="16")),
    ])  # fmt: skip
    assert [(c.benchmark, c.marks) for c in built.columns] == [("A", ("a",)), ("Video", ("b",))]
    assert [note.text for note in built.footnotes] == [
        "not comparable: A was run with different data: dddddddd, eeeeeeee",
        "not comparable: Video was run with different frames: 1fps, 16",
    ]


def test_other_number_formats_share_a_table_with_a_footnote() -> None:
    half = run("b", score("A", 1.0), settings=settings(dtype="bfloat16"))
    built = table.build([run("a", score("A", 1.0)), half])
    assert [note.text for note in built.footnotes] == [
        "the rows differ in dtype: a float32; b bfloat16"
    ]


def test_other_prompts_never_share_a_table() -> None:
    runs = [run("first", score("A", 1.0)), run("third", score("A", 3.0)),
            run("second", score("A", 2.0), settings=settings(prompts="native"))]  # fmt: skip
    with pytest.raises(UsageError, match="first has 'vlmevalkit', second 'native'"):
        table.build(runs)
    shared, alone = markdown(runs).split("prompts native")
    assert "first" in shared
    assert "third" in shared
    assert "prompts: vlmevalkit" in shared
    assert "first" not in alone
    assert "2.0" in alone


def test_reasons_of_failed_samples_are_shown() -> None:
    reasons = ("3, 8: a.png: not an image in a known format",)
    failing = score("A", 40.0, failed=2, failure_reasons=reasons)
    text = markdown([run("a", failing), run("b", score("A", 1.0))])
    assert "a A 2 of 300 (3, 8: a.png: not an image in a known format)" in text
    assert "A 2 of 300 (3, 8: a.png: not an image in a known format)" in markdown(
        [run("a", failing)]
    )


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"vlmevalkit": "0.0.21"}, "VLMEvalKit: none, 0.0.21"),
        ({"definition": "other"}, "definition: "),
        ({"prompt_style": "native"}, "prompts: vlmevalkit, native"),
        ({"judge": JudgeId("m", "http://localhost/v1")}, "judge: exact, m"),
    ],
)
def test_the_average_excludes_what_compare_refuses(changed: dict[str, Any], named: str) -> None:
    first = run("a", score("A", 10.0), score("B", 50.0))
    built = table.build([first, run("b", score("A", 20.0), score("B", 60.0, **changed))])
    assert built.averaged == ("A",)
    assert [row.average for row in built.rows] == [10.0, 20.0]
    assert [column.benchmark for column in built.columns if column.marks] == ["B"]
    assert named in built.columns[1].notes[0].text.replace("different ", "")
    assert "not comparable: B" in built.about_average
    same = table.build([first, run("b", score("A", 20.0), score("B", 60.0))])
    assert [row.average for row in same.rows] == [30.0, 40.0]


def test_partial_scores_are_not_averaged() -> None:
    part = score("TempVideo", 90.0, partial=True)
    built = table.build([run("a", score("A", 10.0), part), run("b", score("A", 20.0), part)])
    assert [row.average for row in built.rows] == [10.0, 20.0]
    assert built.about_average.endswith(": A; left out as partial: TempVideo")
    assert "without TempVideo (partial)" in markdown([run("a", part)])


def test_notes_of_unusual_scores_are_shown() -> None:
    outcome = score(
        "TempVideo", 40.0, partial=True, unscored=7, modified_data=True, macro_average=38.25,
        extra={"G-Avg": 4.2},
    )  # fmt: skip
    for runs in ([run("a", outcome)], [run("a", outcome), run("b", outcome)]):
        text = markdown(runs)
        assert "40.0 partial" in text or "40.0 ± 2.2 partial" in text
        for note in (
            "partial: without what only a judge can score", "7 samples",
            "on data that is not what was published", "G-Avg of VLMEvalKit", "4.2",
            "mean over its tasks", "38.2",
        ):  # fmt: skip
            assert note in text, note


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ([run("a"), run("b")], ["a", "b"]),
        ([run("a", digest="1" * 16), run("a", digest="2" * 16)], ["a 11111111", "a 22222222"]),
        ([run("a"), run("a", settings=settings(dtype="float16"))], ["a float32", "a float16"]),
        ([run("a"), run("a", limit="50"), run("b")], ["a", "a @50", "b"]),
    ],
)
def test_rows_have_different_labels(runs: list[Run], labels: list[str]) -> None:
    assert [row.label for row in table.build(runs).rows] == labels


def test_a_footnote_lists_each_row_once() -> None:
    met = notes.Notes()
    for row, benchmark, count in (("a", "X", 1), ("a", "Y", 2), ("b", "X", 1), ("b", "Y", 2),
                                  ("c", "X", 3)):  # fmt: skip
        met.mark(notes.Note("cut", f"{count} of 10", count / 10), row, benchmark)
        met.mark(notes.Note("modified"), row, benchmark)
    met.mark(notes.Note("blind"), "a")
    met.mark(notes.Note("blind"), "c")
    assert [note.text for note in met.footnotes()] == [
        "cut: a, b: X 1 of 10, Y 2 of 10; c X 3 of 10",
        "modified: a, b: X, Y; c X",
        "blind: a; c",
    ]


def test_a_footnote_of_many_cases_has_the_largest_share() -> None:
    met = notes.Notes()
    for number in range(21):
        met.mark(notes.Note("cut", f"{number} of 1000", number / 1000), f"run {number % 3}", "X")
        met.mark(notes.Note("modified"), f"run {number}", "X")
    cut, modified = met.footnotes()
    assert cut.text == "cut: in 21 scores, of at most 2.0 % of the samples"
    assert modified.text.startswith("modified: run 0, run 1, run 2,")
    assert "run 20: X" in modified.text


def test_marks_continue_after_z() -> None:
    met = notes.Notes()
    marks = [met.add(str(index)) for index in range(26 * 27 + 1)]
    assert marks[:2] == ["a", "b"]
    assert marks[25:28] == ["z", "aa", "ab"]
    assert marks[-1] == "aaa"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(7, "7"), (999, "999"), (2_012_345, "2.0M"), (999_960, "1.0M"), (256_484_928, "256.5M"),
     (2_246_784_880, "2.2B"), (1_500_000_000_000, "1500.0B")],
)  # fmt: skip
def test_parameter_counts(count: int, shown: str) -> None:
    assert words.parameter_count(count) == shown


def test_rates_and_durations() -> None:
    assert [words.rate(r) for r in (None, 0.5, 9.996, 99.96)] == ["–", "0.50", "10.0", "100"]
    assert [words.duration(s) for s in (0.4, 65, 7384)] == ["0:00", "1:05", "2:03:04"]


# Text


def test_the_closing_table() -> None:
    console = terminal(80)
    text.print_grids(summary(found([one()])), console)
    golden("one.txt", written(console))


def test_several_runs() -> None:
    console = terminal(100)
    text.print_grids([report_grid(table.build(several()))], console)
    golden("several.txt", written(console))


def test_names_that_are_too_long_are_broken_between_words() -> None:
    names = [f"smolvlm2-2.2b-docmix-lr2e-5-checkpoint-{step}" for step in (1000, 1500)]
    rows = [run(each, *(score(f"Bench{n}", 50.0) for n in range(9))) for each in (*names, "short")]
    console = terminal(80)
    text.print_grids([report_grid(table.build(rows))], console)
    lines = [line.split("  ")[0].rstrip() for line in written(console).splitlines()]
    at = next(at for at, line in enumerate(lines) if line.startswith("smolvlm2"))
    broken = lines[at : lines.index("short")]
    assert "".join(broken) == "".join(names)
    assert len(broken) > 2
    assert all(line.endswith(("-", "1000", "1500")) for line in broken)


def test_each_band_shows_the_modality_of_its_averages() -> None:
    names = [*(f"Bench{n}" for n in range(9)), "Video1", "Video2"]
    rows = [run(each, *(score(name, 50.0) for name in names)) for each in ("a" * 30, "b" * 30)]
    console = terminal(60)
    text.print_grids([report_grid(table.build(rows))], console)
    shown = written(console).splitlines()
    heads = [shown[at - 1].split() for at, line in enumerate(shown) if line.startswith("──")]
    assert heads[0][:3] == ["checkpoint", "average", "image"]
    assert [word for head in heads for word in head[2:]] == ["image"] * 10 + ["video"] * 3


def test_a_limited_unfinished_run_is_marked() -> None:
    console = pipe()
    text.print_grids(
        summary(found([run("demo", score("A", 1.0), limit="50", finished=None)])), console
    )
    lines = written(console).splitlines()
    assert "unfinished, so benchmarks may be missing" in lines
    assert any(line.endswith("--limit 50") for line in lines)


def test_counts_of_zero_have_no_columns() -> None:
    headings = [heading.text for heading in detail.detail(run("demo", score("A", 1.0))).headings]
    assert headings == ["benchmark", "score", "±", "n", "samples/s"]


def test_a_run_without_scores() -> None:
    console = pipe()
    text.print_grids(summary(found([run("demo")])), console)
    title, remark = written(console).split("\n", 1)
    assert title.startswith("demo (01234567")
    assert "--mode all" in remark
    text.print_grids(summary([]), console)


def many(runs: int, benchmarks: int) -> list[Run]:
    return [
        run(f"checkpoint-{n}00", *(score(f"Benchmark{b}", 10.0 + n + b) for b in range(benchmarks)))
        for n in range(1, runs + 1)
    ]


def numbers(shown: str) -> set[str]:
    return {word for word in shown.replace("±", " ").split() if word.replace(".", "").isdigit()}


@pytest.mark.parametrize(("runs", "benchmarks"), [(2, 3), (2, 20), (20, 3), (12, 16)])
def test_no_number_is_truncated(runs: int, benchmarks: int) -> None:
    built = table.build(many(runs, benchmarks))
    piped = pipe()
    text.print_grids([report_grid(built)], piped)
    for width in (80, 120):
        console = terminal(width)
        text.print_grids([report_grid(built)], console)
        assert numbers(written(console)) == numbers(written(piped))
        assert "…" not in written(console)
        assert max(map(len, written(console).splitlines())) <= width


def test_a_benchmark_with_a_long_name_leaves_room_for_its_numbers() -> None:
    runs = [run("x" * 250, score("y" * 120, 12.5), score("A", 1.0)), run("b", score("A", 3.5))]
    for drawn in (across(table.build(runs)), down(table.build(runs))):
        console = terminal(80)
        text.print_grid(drawn, console)
        assert {"12.5", "1.0", "3.5", "2.2"} <= numbers(written(console))
        assert max(map(len, written(console).splitlines())) <= 80


def test_a_table_is_transposed_if_only_that_fits() -> None:
    built = table.build(many(2, 20))
    console = terminal(80)
    text.print_grids([report_grid(built)], console)
    assert written(console).splitlines()[0].split() == ["benchmark", "checkpoint-100",
                                                        "checkpoint-200"]  # fmt: skip
    piped = pipe()
    text.print_grids([report_grid(built)], piped)
    assert written(piped).splitlines()[0].split()[:2] == ["checkpoint", "average"]


@pytest.mark.parametrize("name", HOSTILE)
def test_text_shows_hostile_names_as_they_are(name: str) -> None:
    console = pipe()
    runs = [run(name, score(name, 12.5), failure("x", name)), run("b", score(name, 12.5))]
    text.print_grids(summary(found(runs)), console)
    shown = written(console)
    assert words.visible(name) in shown
    assert shown.isascii() or "\x1b" not in shown
    assert all(c.isprintable() or c == "\n" for c in shown)
    rows = [line for line in shown.splitlines() if line.startswith(words.visible(name))]
    assert any("12.5 ± 2.2" in row for row in rows)


# Markdown


def test_markdown_of_one_run() -> None:
    golden("one.md", markdown([one()]))


def test_markdown_of_several_runs() -> None:
    golden("several.md", markdown(several()))


def test_markdown_read_back_gives_the_same_cells() -> None:
    shown = across(table.build(several()))
    head, *rows = parsed(grid_markdown(shown))
    assert head == ["checkpoint", "average", "DemoDigits (image)", "DemoYesNo (image)",
                    "DemoVideo (video)"]  # fmt: skip
    assert rows == [
        [f"{entry.text} {','.join(entry.marks)}".strip() for entry in line.entries]
        for line in shown.lines
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_hostile_names_as_they_are(name: str) -> None:
    shown = parsed(markdown([run(name, score(name, 12.5)), run("b", score(name, 1.0))]))
    visible = words.visible(name)
    assert shown == [
        ["checkpoint", "average", visible],
        [visible, "12.5", "12.5 ± 2.2"],
        ["b", "1.0", "1.0 ± 2.2"],
    ]


@given(st.text(min_size=1))
def test_any_name_survives_markdown(name: str) -> None:
    drawn = grid.Grid(
        headings=(grid.Heading("checkpoint", numeric=False), grid.Heading("score")),
        lines=(grid.Line(grid.entries((name, "1.0"))),),
    )
    assert parsed(grid_markdown(drawn))[1] == [words.visible(name).strip(), "1.0"]


def test_footnotes_cannot_leave_their_line() -> None:
    source = markdown([run("a", failure("A", "first\n\n# second <b>|</b>"))])
    rendered = MarkdownIt("commonmark").enable("table").render(source)
    assert "first # second &lt;b&gt;|&lt;/b&gt;" in rendered
    assert "<h1>" not in rendered


# JSON, and the choice of form


def test_json_equals_run_json(tmp_path: Path) -> None:
    write_run(tmp_path / "run.json", one())
    [shown] = json.loads(to_json(select.tables(found([one()]))))
    assert shown.pop("report")["label"] == "demo"
    stored = json.loads((tmp_path / "run.json").read_text())
    stored.pop("digest")
    assert shown == stored


@pytest.mark.parametrize("form", FORMATS)
def test_a_report_in_a_file_is_the_one_that_is_printed(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for runs in ([one()], several()):
        report.write(found(runs), form, tmp_path / "report")
        report.write(found(runs), form, None)
        assert (tmp_path / "report").read_text() == capsys.readouterr().out


# Finding runs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    places = {
        "checkpoint-1000-aaaaaaaa/11111111/run.json": run("checkpoint-1000", score("A", 10.0)),
        "checkpoint-1000-aaaaaaaa/11111111/run@50.json": run("ignored", score("A", 11.0, n=50)),
        "checkpoint-500-bbbbbbbb/22222222/run@50.json": run("fifty", score("A", 1.0, n=50)),
        "checkpoint-500-bbbbbbbb/22222222/run@0.5.json": run("half", score("A", 1.0, n=150)),
        "demo-cccccccc/33333333/run.json": run("demo", score("A", 2.0)),
        "demo-cccccccc/44444444/run.json": run("demo", score("A", 3.0)),
    }
    for place, what in places.items():
        write_run(tmp_path / "results" / place, what)
    return tmp_path / "results"


def names(runs: list[FoundRun]) -> list[str]:
    return [item.run.checkpoint.name for item in runs]


def test_all_runs(results: Path) -> None:
    assert names(find.find([], results)) == ["half", "checkpoint-1000", "demo", "demo"]


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("{}/demo-cccccccc/33333333", "demo-cccccccc/33333333/run.json"),
        ("{}/demo-cccccccc/44444444/run.json", "demo-cccccccc/44444444/run.json"),
        ("{}/checkpoint-1000-aaaaaaaa", "checkpoint-1000-aaaaaaaa/11111111/run.json"),
        ("checkpoint-1000-aaaaaaaa", "checkpoint-1000-aaaaaaaa/11111111/run.json"),
        ("checkpoint-1000", "checkpoint-1000-aaaaaaaa/11111111/run.json"),
        ("{}/checkpoint-1000-aaaaaaaa/11111111/run@50.json",
         "checkpoint-1000-aaaaaaaa/11111111/run@50.json"),
    ],
)  # fmt: skip
def test_named_runs(results: Path, argument: str, path: str) -> None:
    [found] = find.find([argument.format(results)], results)
    assert found.path == results / path


def test_two_checkpoints_of_one_name_need_the_digest(results: Path) -> None:
    write_run(results / "demo-dddddddd" / "55555555" / "run.json", run("demo", score("A", 2.0)))
    with pytest.raises(UsageError, match=r"^demo: .*demo-cccccccc.*demo-dddddddd"):
        find.find(["demo"], results)


def test_a_run_named_twice_counts_once_and_order_is_kept(results: Path) -> None:
    arguments = ["demo-cccccccc/44444444", "checkpoint-1000-aaaaaaaa", "demo-cccccccc/44444444"]
    assert names(find.find(arguments, results)) == ["demo", "checkpoint-1000"]


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("demo-cccccccc", r"2 runs; name one of .*33333333, .*44444444"),
        ("checkpoint-500-bbbbbbbb", r"2 records; name one of .*run@0.5.json, .*run@50.json"),
        ("demo", r"2 runs; name one of .*33333333, .*44444444"),
        ("checkpoint", r"checkpoint: no such run"),
        ("nowhere", r"nowhere: no such run, here or in .*results; 'evalsuite list runs'"),
        ("{}", "is a results directory, not a run"),
        ("{}/../model", "is a checkpoint, not a run"),
        ("{}/../empty", "contains no run.json"),
    ],
)
def test_ambiguous_and_unknown_run_names(results: Path, argument: str, complaint: str) -> None:
    for directory in ("model", "empty"):
        (results.parent / directory).mkdir()
    (results.parent / "model" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=complaint) as error:
        find.find([argument.format(results)], results)
    assert "\n" not in str(error.value)


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains no runs; make one with 'evalsuite run'"):
        find.find([], tmp_path / "results")


def test_runs_of_a_newer_evalsuite_are_left_out_with_a_message(results: Path) -> None:
    newer = results / "demo-cccccccc/33333333/run.json"
    newer.write_text('{"schema": 99}')
    said: list[str] = []
    assert len(find.find_all(results, said.append)) == 3
    assert len(said) == 1
    assert said[0].startswith(f"left out: {newer}: written by a newer evalsuite")


# Lists


def shown_list(what: str, results: Path) -> str:
    console = terminal(80)
    text.print_grids([listing.listing(what, results, None).grid], console)
    return written(console)


def test_list_benchmarks_names_them_all(tmp_path: Path) -> None:
    shown = shown_list("benchmarks", tmp_path)
    assert max(map(len, shown.splitlines())) <= 80
    for benchmark in load().benchmarks.values():
        line = next(x.split() for x in shown.splitlines() if x.split()[:1] == [benchmark.name])
        assert {benchmark.metric, benchmark.prompt, str(benchmark.max_new_tokens)} <= set(line)


def test_list_suites(tmp_path: Path) -> None:
    shown = shown_list("suites", tmp_path)
    assert "DemoDigits, DemoYesNo" in shown


def test_a_list_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("benchmarks: {}\n")
    console = pipe()
    text.print_grids([listing.listing("suites", tmp_path, tmp_path / "none.yaml").grid], console)
    assert written(console).splitlines()[0].split() == ["suite", "benchmarks"]


def test_list_runs(results: Path) -> None:
    lines = shown_list("runs", results).splitlines()
    assert lines[3].split() == ["checkpoint-1000-aaaaaaaa/11111111", "1", "of", "1", "10.0", "–",
                                "float32", "2026-11-22"]  # fmt: skip


@pytest.mark.parametrize("what", listing.SUBJECTS)
def test_lists_as_csv_and_json(
    what: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["list", what, "--output-dir", str(results), "--format"]
    assert main([*command, "json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert main([*command, "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [list(row) for row in rows] == [list(record) for record in records]
    key = {"runs": "run"}.get(what, what.rstrip("s"))
    assert [row[key] for row in rows] == [record[key] for record in records]
    if what == "benchmarks":
        [video] = [record for record in records if record["benchmark"] == "DemoVideo"]
        assert (video["frames"], video["modality"]) == ("1fps", "video")
    if what == "runs":
        assert [record["average"] for record in records] == [1.0, 10.0, 2.0, 3.0]


def test_list_of_what(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'runs'"):
        listing.listing("run", tmp_path, None)


# What it costs


def test_reports_load_nothing_heavy() -> None:
    code = (
        "import sys, evalsuite.report.writers.terminal;"
        "import evalsuite.report.writers.output, evalsuite.runs.find;"
        "import evalsuite.report.progress.runs, evalsuite.report.export.leaderboard;"
        "import evalsuite.report.tables.listing, evalsuite.report.writers.json;"
        "heavy = {'torch', 'transformers', 'vlmeval', 'pandas', 'numpy', 'pydantic'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_github_makes_no_links_of_names() -> None:
    """It does so without being asked: GFM 6.9, extended autolinks."""
    assert escaped("http://a.b/c//d www.a.b WWW.x") == r"http:\//a.b/c//d www\.a.b WWW\.x"


def test_escaping_leaves_plain_names_alone() -> None:
    assert escaped("checkpoint-500 (v1.2)") == "checkpoint-500 (v1.2)"
