"""`evalsuite promote`: the baseline and anchor of the gate, and errors."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from evalsuite.cli import main
from evalsuite.errors import IncompleteError
from evalsuite.runs import baseline
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import write_run
from tests.builders.gates import correct
from tests.builders.runs import failure
from tests.builders.stored_runs import stored


def run(tmp: Path, name: str, count: int = 300) -> FoundRun:
    return stored(tmp / "results", name, {"A": correct(count)})


def promote(found: FoundRun, *more: str) -> int:
    results = found.path.parents[2]
    return main(["promote", str(found.path), "--output-dir", str(results), *more])


def gate(candidate: FoundRun, *more: str) -> int:
    results = candidate.path.parents[2]
    sides = ["--candidate", str(candidate.path), "--output-dir", str(results)]
    return main(["gate", *sides, "--margin", "2", *more])


def test_gate_uses_the_promoted_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, same, worse = run(tmp_path, "old"), run(tmp_path, "same"), run(tmp_path, "worse", 200)
    assert promote(old) == 0
    shown = capsys.readouterr().out
    assert "the baseline is old (" in shown
    assert "there was none before" in shown
    assert gate(same) == 0
    assert "same against the baseline old" in capsys.readouterr().out
    assert gate(worse) == 1


def test_the_replaced_baseline_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = run(tmp_path, "old"), run(tmp_path, "new")
    promote(old)
    promote(new)
    assert "it replaces old (" in capsys.readouterr().out
    promote(new)
    assert "unchanged since 2" in capsys.readouterr().out
    listed = [path.name for path in (tmp_path / "results").iterdir() if path.is_file()]
    assert listed == ["baseline.json"]


def test_the_contents_of_the_file(tmp_path: Path) -> None:
    found = run(tmp_path, "old")
    promote(found)
    plain = json.loads((tmp_path / "results" / "baseline.json").read_text())
    assert plain["schema"] == 1
    assert plain["anchor"] is None
    assert plain["baseline"]["run"] == found.path.relative_to(tmp_path / "results").as_posix()
    assert plain["baseline"]["digest"] == found.run.checkpoint.digest


def test_results_may_be_moved(tmp_path: Path) -> None:
    promote(run(tmp_path, "old"))
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "results", moved)
    pointers = baseline.read(moved)
    assert pointers is not None
    assert baseline.follow(pointers.baseline, moved).run.checkpoint.name == "old"


def test_a_run_elsewhere_can_be_promoted(tmp_path: Path) -> None:
    found = stored(tmp_path / "other", "old", {"A": correct(300)})
    results = tmp_path / "results"
    assert main(["promote", str(found.path), "--output-dir", str(results)]) == 0
    pointers = baseline.read(results)
    assert pointers is not None
    assert baseline.follow(pointers.baseline, results).run == found.run


def test_the_anchor_remains_if_the_baseline_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step loses half a point and passes; the third is five points below the anchor."""
    anchor, step, last = (
        run(tmp_path, "anchor", 380),
        run(tmp_path, "b", 362),
        run(tmp_path, "c", 360),
    )
    assert promote(anchor, "--anchor") == 0
    assert promote(step) == 0
    assert "the anchor remains anchor (" in capsys.readouterr().out
    assert gate(last) == 1
    assert "c against the anchor anchor" in capsys.readouterr().out
    # A named baseline is compared with what is named alone.
    assert gate(last, "--baseline", str(step.path)) == 0
    assert gate(last, "--baseline", str(step.path), "--anchor", str(anchor.path)) == 1


def test_an_anchor_that_is_the_baseline_is_compared_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tmp_path, "old")
    promote(found, "--anchor")
    capsys.readouterr()
    assert gate(run(tmp_path, "new")) == 0
    assert "against the anchor" not in capsys.readouterr().out


def rewritten(found: FoundRun, **changed: object) -> FoundRun:
    made = dataclasses.replace(found.run, **changed)  # type: ignore[arg-type]
    write_run(found.path, made)
    return FoundRun(found.path, made)


def test_an_unfinished_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run(tmp_path, "old")
    for changed, said in (
        (
            {"finished": None},
            "is unfinished; to make it a baseline, run its command again: evalsuite run",
        ),
        ({"outcomes": ()}, "is unfinished"),
        ({"outcomes": (*whole.run.outcomes, failure("B", "boom"))}, "B has no score: boom"),
    ):
        assert promote(rewritten(whole, **changed)) == 4
        error = capsys.readouterr().err
        assert said in error
        assert len(error.splitlines()) == 1
    rewritten(whole, outcomes=whole.run.outcomes)
    whole.samples("A").unlink()
    with pytest.raises(IncompleteError, match=r"samples.jsonl: is missing"):
        baseline.promote(whole, tmp_path / "results")
    assert baseline.read(tmp_path / "results") is None


def test_a_limited_run_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = stored(tmp_path / "results", "old", {"A": correct(60, 80)}, limit="80")
    assert promote(found) == 0
    assert "--limit 80" in capsys.readouterr().out


def test_a_missing_or_changed_run_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, other = run(tmp_path, "old"), run(tmp_path, "new")
    promote(found)
    record = dataclasses.replace(found.run.checkpoint, digest="f" * 64)
    rewritten(found, checkpoint=record)
    capsys.readouterr()
    assert gate(other) == 2
    assert "now has other weights (ffffffff" in capsys.readouterr().err
    found.path.unlink()
    assert gate(other) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        pytest.param("[" * 100_000, "JSON", id="deep"),
        ("[]", "schema is not 1"),
        ('{"schema": 2}', "schema is not 1"),
        ('{"schema": 1}', "wrong or missing keys"),
        ('{"schema": 1, "baseline": {"run": "x"}, "anchor": null}', "wrong or missing keys"),
        ('{"schema": 1, "baseline": "x", "anchor": null}', "wrong or missing keys"),
        ('{"schema": 1, "baseline": {"run": 1, "checkpoint": "", "digest": "", "promoted": ""},'
         ' "anchor": null}', "wrong or missing keys"),
    ],
)  # fmt: skip
def test_damaged_pointers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    candidate = run(tmp_path, "new")
    (tmp_path / "results" / "baseline.json").write_text(text)
    assert gate(candidate) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "delete it and promote a run again" in error
    assert len(error.splitlines()) == 1


def test_an_impossible_path_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candidate = run(tmp_path, "new")
    assert promote(candidate) == 0
    pointer = tmp_path / "results" / "baseline.json"
    plain = json.loads(pointer.read_text())
    for path in ("a" * 5000, "a\x00b", "."):
        pointer.write_text(json.dumps({**plain, "baseline": {**plain["baseline"], "run": path}}))
        assert gate(candidate) == 2
        assert "does not exist" in capsys.readouterr().err


def test_control_characters_in_the_file_are_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = run(tmp_path, "new")
    promote(candidate)
    pointer = tmp_path / "results" / "baseline.json"
    plain = json.loads(pointer.read_text())
    pointer.write_text(
        json.dumps({**plain, "baseline": {**plain["baseline"], "digest": "\x1b[2J"}})
    )
    capsys.readouterr()
    assert gate(candidate) == 2
    assert "promoted: \\x1b[2J" in capsys.readouterr().err


def test_without_a_baseline_the_gate_explains_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(run(tmp_path, "new")) == 2
    assert "--baseline" in capsys.readouterr().err
