"""GitHub Actions: the size of the summary, and escaping of annotations."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from evalsuite.cli import main
from evalsuite.comparison.gate import gate
from evalsuite.report.export import github
from evalsuite.report.export.github import annotation, annotation_lines, append, fit, to_markdown
from evalsuite.report.tables.gate import explain
from evalsuite.runs.records import FoundRun
from tests.builders.gates import STRICT, correct, report_of
from tests.builders.stored_runs import stored

MEBIBYTE = 1024 * 1024


def test_a_summary_has_verdict_reasons_and_table(tmp_path: Path) -> None:
    text = to_markdown(report_of(tmp_path, {"A": correct(300)}, {"A": correct(200)}))
    assert text.startswith("## evalsuite gate: regression\n\n- A ")
    assert "25 points" in text
    assert "| benchmark" in text
    assert "next: " in text


def test_a_short_text_is_unchanged() -> None:
    assert fit("a\nb\n", 4) == "a\nb\n"


@pytest.mark.parametrize("line", ["| 数据 | 1 |\n", "| plain | 1 |\n"])
def test_a_long_text_is_cut_between_lines(line: str) -> None:
    cut = fit(line * 200_000, 900_000)
    assert len(cut.encode()) <= 900_000
    assert len(cut.encode()) > 890_000
    kept, _, word = cut.rpartition("\n\n")
    assert "cut here" in word
    assert set(kept.split("\n")) == {line.rstrip("\n")}


def test_without_room_the_text_is_empty() -> None:
    assert fit("a\n" * 100, 10) == ""
    assert fit("a\n" * 100, -5) == ""


def test_the_limit_includes_existing_text(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("x\n" * 400_000)
    append(path, "y\n" * 400_000, github.LIMIT_BYTES)
    text = path.read_bytes()
    assert text.startswith(b"x\n" * 400_000)
    assert b"y\n" in text
    assert len(text) <= github.LIMIT_BYTES < MEBIBYTE
    append(path, "z\n" * 400_000, github.LIMIT_BYTES)
    assert len(path.read_bytes()) < MEBIBYTE
    append(path, "z\n" * 400_000)
    assert path.read_bytes().endswith(b"z\n" * 400_000 + b"\n")


def test_annotations_are_escaped() -> None:
    """The rules of GitHub's toolkit: the percent sign and line ends."""
    assert annotation("error", "50 % worse\n::set-env name=x::y") == (
        "::error title=evalsuite gate::50 %25 worse ::set-env name=x::y"
    )


def test_names_cannot_start_a_command(tmp_path: Path) -> None:
    found = stored(tmp_path, "old", {"A": correct(300)})
    run = dataclasses.replace(found.run, outcomes=())
    record = dataclasses.replace(run.checkpoint, name="x\n::warning::y\r\n::add-mask::z")
    other = FoundRun(found.path, dataclasses.replace(run, checkpoint=record))
    lines = list(annotation_lines(explain(gate(found, other, STRICT, {}))))
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("::error title=evalsuite gate::")
        assert "\n" not in line
        assert "\r" not in line


def test_a_pass_has_no_annotation_and_inconclusive_is_a_warning(tmp_path: Path) -> None:
    rows = {"A": correct(300)}
    assert list(annotation_lines(report_of(tmp_path, rows, rows))) == []
    few = {"A": correct(80, 100)}
    lines = list(annotation_lines(report_of(tmp_path, few, few)))
    assert all(line.startswith("::warning ") for line in lines)
    assert "verdict: inconclusive" in lines[0]


def test_the_number_of_annotations_is_limited(tmp_path: Path) -> None:
    before = {f"B{i}": correct(300) for i in range(15)}
    after = {name: correct(200) for name in before}
    lines = list(annotation_lines(report_of(tmp_path, before, after)))
    assert len(lines) == 10
    assert "and 8 more, in the log" in lines[-1]


@pytest.mark.parametrize(
    ("environment", "flags", "expected"),
    [
        ("true", [], True),
        ("true", ["--no-github"], False),
        ("", [], False),
        ("", ["--github"], True),
    ],
)
def test_github_is_detected(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    flags: list[str],
    expected: bool,
) -> None:
    summary = tmp_path / "step.md"
    monkeypatch.setenv("GITHUB_ACTIONS", environment)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    before, after = (stored(tmp_path, name, {"A": correct(count)})
                     for name, count in (("old", 300), ("new", 200)))  # fmt: skip
    sides = ["--baseline", str(before.path), "--candidate", str(after.path)]
    assert main(["gate", *sides, *flags]) == 1
    assert ("::error title=" in capsys.readouterr().out) == expected
    assert summary.exists() == expected


def test_annotations_need_no_summary_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    before, after = (stored(tmp_path, name, {"A": correct(count)})
                     for name, count in (("old", 300), ("new", 200)))  # fmt: skip
    sides = ["--baseline", str(before.path), "--candidate", str(after.path)]
    assert main(["gate", *sides, "--github"]) == 1
    assert "\n::error title=evalsuite gate::verdict: regression\n" in capsys.readouterr().out


def test_names_in_the_log_are_not_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While commands are enabled, every line is an annotation of the gate."""
    name = "::error::x"
    before, after = (stored(tmp_path, run, {name: correct(count)})
                     for run, count in (("old", 300), ("new", 200)))  # fmt: skip
    sides = ["--baseline", str(before.path), "--candidate", str(after.path)]
    assert main(["gate", *sides, "--github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert len(token) == 32
    end = lines.index(f"::{token}::")
    assert any(line.startswith(name) for line in lines[1:end])
    assert all(line.startswith("::error title=evalsuite gate::") for line in lines[end + 1 :])
    assert main(["gate", *sides, "--github"]) == 1
    assert token not in capsys.readouterr().out


@pytest.mark.parametrize(("count", "full", "closed"), [(300, 4, 0), (200, 1, 1)])
def test_a_full_or_closed_output_does_not_hide_a_regression(
    tmp_path: Path, count: int, full: int, closed: int
) -> None:
    before, after = (stored(tmp_path, run, {"A": correct(number)})
                     for run, number in (("old", 300), ("new", count)))  # fmt: skip
    written = tmp_path / "gate.xml"
    sides = f"--baseline {before.path} --candidate {after.path} --junit {written}"
    command = f"'{sys.executable}' -m evalsuite gate {sides}"
    for target, expected in (("/dev/full", full), ("&-", closed)):
        result = subprocess.run(
            ["bash", "-c", f"{command} >{target}"], capture_output=True, text=True
        )
        assert result.returncode == expected, result.stderr
        assert len(result.stderr.splitlines()) == (target == "/dev/full")
        assert written.read_text().startswith("<?xml")
        written.unlink()
