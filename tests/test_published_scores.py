"""Published scores: sources, averages, and no tests."""

import json
from pathlib import Path

import pytest

from evalsuite.benchmarks.catalogue import Catalogue, load
from evalsuite.report.model import select
from evalsuite.report.model.columns import RESULT, results
from evalsuite.report.model.table import Table
from evalsuite.report.tables import runs as grid
from evalsuite.report.writers.csv import to_csv
from evalsuite.report.writers.json import to_json
from evalsuite.runs.records import Run
from tests.builders.runs import found, run, score

YAML = """
benchmarks:
  A: {prompt: default, metric: choice, references: [
    {model: Big, score: 60.04, source: &p "Some paper, Table 1", verified: true},
    {model: Small, score: 40, source: *p, verified: false}]}
  B: {prompt: default, metric: choice, references: [
    {model: Big, score: 70, source: *p, verified: false},
    {model: Small, score: 30, source: *p, verified: true},
    {model: Card, score: 1, source: model card, verified: true}]}
  C: {prompt: default, metric: choice}
"""


@pytest.fixture
def known(tmp_path: Path) -> Catalogue:
    path = tmp_path / "benchmarks.yaml"
    path.write_text(YAML)
    return load(path)


def table_of(runs: list[Run], known: Catalogue) -> Table:
    [table] = select.tables(found(runs), published=known)
    return table


def lines(table: Table) -> list[list[str]]:
    return [[entry.text for entry in line.entries] for line in grid.across(table).lines]


def test_rows_with_sources(known: Catalogue) -> None:
    table = table_of([run("ours", score("A", 50.0), score("B", 90.0))], known)
    assert lines(table) == [
        ["ours", "70.0", "50.0 ± 2.2", "90.0 ± 2.2"],
        ["Big (published)", "65.0", "60.0", "70.0"],
        ["Small (published)", "35.0", "40.0", "30.0"],
        ["Card (published)", "–", "–", "1.0"],
    ]
    published = table.published or ()
    assert [row.marks for row in published] == [("a",), ("a",), ("c",)]
    assert [tuple(c.marks for c in row.cells) for row in published] == [
        ((), ("b",)),
        (("b",), ()),
        ((), ()),
    ]
    assert [note.text for note in table.footnotes] == [
        "published in Some paper, Table 1, not run here: prompts, data and metrics may differ: "
        "Big; Small",
        "recalled, not read where it was published: check it before use: Big B; Small A",
        "published in model card, not run here: prompts, data and metrics may differ: Card",
    ]


def test_published_rows_do_not_change_averages_and_are_never_best(known: Catalogue) -> None:
    table = table_of([run("ours", score("A", 5.0), score("B", 9.0), score("C", 1.0))], known)
    assert table.averaged == ("A", "B", "C")
    assert [line[1] for line in lines(table)] == ["5.0", "–", "–", "–"]
    assert not any(entry.best for line in grid.across(table).lines for entry in line.entries)


def test_transposed_published_rows_are_columns(known: Catalogue) -> None:
    table = table_of([run("ours", score("A", 50.0), score("B", 90.0))], known)
    drawn = grid.down(table)
    assert [h.text for h in drawn.headings] == [
        "benchmark", "ours", "Big (published)", "Small (published)", "Card (published)",
    ]  # fmt: skip
    assert [[e.text for e in line.entries] for line in drawn.lines] == [
        ["A", "50.0 ± 2.2", "60.0", "40.0", "–"], ["B", "90.0 ± 2.2", "70.0", "30.0", "1.0"],
    ]  # fmt: skip
    assert [e.text for e in drawn.summary or ()] == ["average", "70.0", "65.0", "35.0", "–"]


def test_another_dataset_has_no_published_scores(known: Catalogue) -> None:
    table = table_of([run("ours", score("A", 50.0, dataset="Mine"))], known)
    assert table.published == ()
    assert "published: no score of these benchmarks is in the benchmarks file" in (
        grid.across(table).remarks
    )


def test_in_csv_and_json(known: Catalogue) -> None:
    table = table_of([run("ours", score("A", 50.0))], known)
    rows = to_csv(list(RESULT.values()), results([table])).splitlines()
    assert rows[2].startswith("published,Big,,,,,,,A,,image,,60.04,")
    assert rows[2].endswith('"Some paper, Table 1 (verified)"')
    assert rows[3].endswith('"Some paper, Table 1 (unverified)"')
    [plain] = json.loads(to_json([table]))
    assert plain["report"]["published"]["A"][1] == {
        "model": "Small", "score": 40.0, "source": "Some paper, Table 1", "verified": False,
    }  # fmt: skip


def test_the_papers_average() -> None:
    """The paper's scores in benchmarks.yaml have the average that the paper states."""
    # The paper has one score of ScienceQA, listed for the more likely split.
    asked = [b for b in load().suite("paper") if b.name != "ScienceQA_VAL"]
    ours = [score(b.name, 10.0, dataset=b.dataset, modality=b.modality) for b in asked]
    table = table_of([run("ours", *ours)], load())
    averages = {row.model: row.averages for row in table.published or ()}
    means = [averages[f"SmolVLM {size}"][0] or 0 for size in ("256M", "500M", "2.2B")]
    assert [round(mean, 1) for mean in means] == [44.0, 51.0, 59.8]
    assert averages["SmolVLM2-2.2B-Instruct"][0] is None, "its card has no WorldSense"
