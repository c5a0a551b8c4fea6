"""`evalsuite report` and `leaderboard` from the command line."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import html

from evalsuite.cli import main
from evalsuite.cli.options import FORMATS
from tests.builders.golden import parsed
from tests.builders.stored_runs import samples, stored
from tests.builders.sweeps import checkpoint


@pytest.fixture
def results(tmp_path: Path) -> Path:
    good, poor = ([1.0] * n + [0.0] * (60 - n) for n in (50, 20))
    stored(tmp_path / "results", "new", {"OCRBench": samples(good), "Mine": samples(poor)})
    stored(tmp_path / "results", "old", {"OCRBench": samples(poor), "Mine": samples(poor)})
    return tmp_path / "results"


def shown(results: Path, capfd: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["report", "--output-dir", str(results), *more]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def test_every_format_by_its_name(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "83.3 ± 2.2 *" in shown(results, capfd)
    assert "**83.3 ± 2.2**" in shown(results, capfd, "--format", "markdown")
    page = html.document_fromstring(shown(results, capfd, "--format", "html"))
    assert [e.text for e in page.iter("strong")] == ["58.3", "83.3 ± 2.2", "bold"]
    rows = list(csv.DictReader(io.StringIO(shown(results, capfd, "--format", "csv"))))
    assert [row["best"] for row in rows] == ["true", "false", "false", "false"]
    [new, _] = json.loads(shown(results, capfd, "--format", "json"))
    assert [lead["best"] for lead in new["report"]["leads"]] == [True, True, False]


@pytest.mark.parametrize("form", FORMATS)
def test_into_a_file(results: Path, capfd: pytest.CaptureFixture[str], form: str) -> None:
    printed = shown(results, capfd, "--format", form)
    path = results / "deep" / "report"
    assert shown(results, capfd, "--format", form, "-o", str(path)) == ""
    assert path.read_text() == printed


def test_additional_columns_and_published_scores(
    results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wide = ("--format", "markdown", "--columns", "speed,digest", "--reference")
    rows = parsed(shown(results, capfd, *wide))
    assert rows[0][-2:] == ["samples/s", "digest"]
    assert rows[1][-2:] == ["12.3", "6e65776e"]
    named = {row[0].split(" (")[0]: row[2] for row in rows[3:]}
    assert named["SmolVLM 256M"] == "52.6"
    assert named["SmolVLM 500M"].startswith("61.0 "), "marked: recalled"


def test_one_run_alone(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    [directory] = results.glob("new-*")
    alone = parsed(shown(results, capfd, str(directory), "--format", "markdown"))
    assert alone[0] == ["benchmark", "score", "±", "n", "samples/s"]
    beside = parsed(shown(results, capfd, str(directory), "--format", "markdown", "--reference"))
    assert beside[0] == ["checkpoint", "average", "OCRBench", "Mine"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--format", "htm"], "--format htm: unknown (did you mean 'html'?)"),
        (["--columns", "memroy"], "--columns memroy: unknown (did you mean 'memory'?)"),
        (
            ["--benchmarks-file", "x.yaml"],
            "--benchmarks-file ",
        ),
        (["--reference", "--benchmarks-file", "x.yaml"], "x.yaml: cannot be read"),
        (["nowhere"], "nowhere: no such run"),
    ],
)
def test_wrong_arguments_give_one_line(
    results: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["report", "--output-dir", str(results), *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"evalsuite: {complaint}")
    assert err.count("\n") == 1


def test_the_leaderboard_command_prints_the_path(
    results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", "--output-dir", str(results)]) == 0
    path = results / "LEADERBOARD.md"
    assert capfd.readouterr().out == f"{path}\n"
    assert [row[0] for row in parsed(path.read_text())[1:]] == ["new", "old"]
    before = path.read_bytes()
    assert main(["leaderboard", "--output-dir", str(results)]) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("form", FORMATS)
def test_a_terminal_with_a_small_character_set(results: Path, form: str) -> None:
    command = [sys.executable, "-m", "evalsuite", "report", "--output-dir", str(results)]
    done = subprocess.run(
        [*command, "--format", form],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True,
    )  # fmt: skip
    assert done.stderr == b""
    assert done.stdout.isascii()
    assert b"83.3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("report",), "directory"),
        (("report", "run"), "file/x"),
        (("curve",), "directory"),
        (("curve", "--plot"), "file"),
        (("plot", "--only", "intervals"), "file"),
        (("export",), "file"),
        (("leaderboard",), "directory"),
        (("leaderboard",), "file/x"),
        (("card", "run"), "directory"),
        (("card", "run"), "file/x"),
        (("page",), "file"),
    ],
    ids=" ".join,
)
def test_an_unusable_output_path_is_a_usage_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], place: str
) -> None:
    """A file where a directory is to be, or a directory where a file is."""
    found = checkpoint(tmp_path / "results", "runs/sft", 100, {"A": 0.5})
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("in the way")
    words = [str(found.path) if word == "run" else word for word in arguments]
    words += [] if words[-1] == "--plot" else ["-o"]
    code = main([*words, str(tmp_path / place), "--output-dir", str(tmp_path / "results")])
    said = capfd.readouterr().err
    assert (code, said.count("\n")) == (2, 1), said
    assert str(tmp_path / place) in said
    assert (tmp_path / "file").read_text() == "in the way"
