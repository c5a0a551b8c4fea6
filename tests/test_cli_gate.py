"""`evalsuite gate` on runs of the demo: verdicts, exit codes and output."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from evalsuite.checkpoint import checkpoint
from evalsuite.cli import main
from evalsuite.comparison.power import sizes_of
from evalsuite.runs.storage import read_run
from tests.builders.commands import evalsuite
from tests.builders.gates import DEMO
from tests.conftest import Bench, Reference, demo


@dataclass(frozen=True)
class Demos:
    """Runs of both bundled checkpoints in one results directory."""

    output: Path
    whole: Path
    limited: Path
    early: Path
    native: Path

    def gate(self, *arguments: str | Path) -> int:
        return main(["gate", "--output-dir", str(self.output), *map(str, arguments)])

    def against_whole(self, candidate: Path, *more: str | Path) -> int:
        return self.gate("--baseline", self.whole, "--candidate", candidate, *more)


@pytest.fixture(scope="module")
def demos(bench: Bench, reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Demos:
    output = tmp_path_factory.mktemp("gate") / "results"
    shutil.copytree(reference.output, output)
    whole = output / reference.directory.relative_to(reference.output)
    bench.run(output, demo(), limit="20")
    early = bench.of(checkpoint.read("demo:early"))
    early.run(output, demo())
    asked = ["--ckpt", "demo", "-b", "DemoDigits", "--prompts", "native", "--device", "cpu"]
    result = evalsuite("run", *asked, "--output-dir", str(output))
    assert result.returncode == 0, result.stderr
    (native,) = set(whole.parent.iterdir()) - {whole}
    return Demos(
        output=output,
        whole=whole / "run.json",
        limited=whole / "run@20.json",
        early=early.directory(output) / "run.json",
        native=native / "run.json",
    )


def test_a_run_passes_against_itself(demos: Demos, capsys: pytest.CaptureFixture[str]) -> None:
    assert demos.against_whole(demos.whole) == 0
    shown = capsys.readouterr().out
    assert "verdict: pass" in shown
    assert "all runs have the same weights" in shown
    assert f"next: evalsuite promote {demos.whole}" in shown


def test_the_early_checkpoint_is_a_regression(
    demos: Demos, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demos.against_whole(demos.early) == 1
    shown = capsys.readouterr().out
    assert "verdict: regression" in shown
    assert re.search(r"^DemoDigits dropped by [\d.]+ points \(p <0.001\); its max drop is 10",
                     shown, re.MULTILINE)  # fmt: skip
    assert re.search(r"^the mean dropped by [\d.]+ points", shown, re.MULTILINE)
    assert f"evalsuite compare {demos.whole} {demos.early}" in shown


def test_a_better_checkpoint_passes(demos: Demos) -> None:
    assert demos.gate("--baseline", demos.early, "--candidate", demos.whole) == 0


def test_twenty_samples_are_inconclusive(demos: Demos, capsys: pytest.CaptureFixture[str]) -> None:
    assert demos.against_whole(demos.limited) == 4
    assert "--partial" in capsys.readouterr().out
    assert demos.against_whole(demos.limited, "--partial") == 3
    shown = capsys.readouterr().out
    assert "verdict: inconclusive" in shown
    assert "at least 30 are required" in shown
    assert "rerun demo without --limit" in shown
    assert demos.gate("--baseline", demos.limited, "--candidate", demos.limited) == 3


def test_different_prompts_are_incomplete(demos: Demos, capsys: pytest.CaptureFixture[str]) -> None:
    assert demos.against_whole(demos.native) == 4
    shown = capsys.readouterr().out
    assert "DemoDigits cannot be compared: prompts: vlmevalkit, native" in shown
    assert demos.against_whole(demos.native, "-b", "DemoDigits") == 4


def test_a_missing_run_is_a_wrong_argument(
    demos: Demos, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demos.against_whole(demos.output / "nowhere") == 2
    error = capsys.readouterr().err
    assert "no such run" in error
    assert len(error.splitlines()) == 1


def test_names_under_the_results(demos: Demos) -> None:
    names = [path.parent.relative_to(demos.output) for path in (demos.whole, demos.early)]
    assert demos.gate("--baseline", names[0], "--candidate", names[1]) == 1


def test_the_early_checkpoint_passes_a_wide_margin(demos: Demos, tmp_path: Path) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text("margin: 90\ncliff: 90\n")
    assert demos.against_whole(demos.early, "--policy", policy) == 0
    assert demos.against_whole(demos.early, "--policy", policy, "--cliff", "10") == 1


def test_files_for_ci(
    demos: Demos,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    files = ["--junit", tmp_path / "gate.xml", "--summary", tmp_path / "own.md"]
    assert demos.against_whole(demos.early, *files) == 1
    assert "::error title=evalsuite gate::DemoDigits dropped by" in capsys.readouterr().out
    assert (
        '<testcase name="DemoDigits" classname="demo-early">' in (tmp_path / "gate.xml").read_text()
    )
    assert (tmp_path / "step.md").read_text() == (tmp_path / "own.md").read_text()


def test_a_checkpoint_is_evaluated_with_the_settings_of_the_baseline(
    demos: Demos, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty samples, as the baseline has; existing predictions are reused."""
    asked = ["-b", "DemoDigits,DemoYesNo", "--device", "cpu", "--margin", "3"]
    code = demos.gate("--baseline", demos.limited, "--ckpt", "demo:early", *asked)
    assert code == 3
    assert "demo-early (--limit 20) against the baseline demo (--limit 20)" in (
        capsys.readouterr().out
    )
    made = read_run(demos.early.with_name("run@20.json"))
    assert [score.benchmark for score in made.scores] == ["DemoDigits", "DemoYesNo"]
    assert [score.n for score in made.scores] == [20, 20]


def test_sizes_of_the_demo(demos: Demos) -> None:
    assert sizes_of(read_run(demos.whole)) == DEMO


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--candidate RUN or --ckpt"),
        (["--candidate", "X", "--ckpt", "demo"], "--candidate RUN or --ckpt"),
        (["--candidate", "WHOLE"], "--baseline"),
        (["--candidate", "WHOLE", "--baseline", "WHOLE", "--limit", "20"], "--limit: needs --ckpt"),
        (["--candidate", "WHOLE", "--baseline", "WHOLE", "--margin", "0"], "--margin: expected"),
        (["--candidate", "WHOLE", "--baseline", "WHOLE", "--alpha", "5"], "--alpha: expected"),
        (["--candidate", "WHOLE", "--baseline", "WHOLE", "-b", "DemoOCD"], "did you mean"),
        (["--candidate", "WHOLE", "--baseline", "WHOLE", "--policy", "no"], "--policy no: cannot"),
        (["--candidate", "WHOLE", "--baseline", "WHOLE", "--anchor", "no"], "no: no such run"),
        (["--ckpt", "demo", "--baseline", "WHOLE", "-b", "DemoOCD"], "did you mean 'DemoOCR'"),
        (["--ckpt", "nowhere", "--baseline", "WHOLE"], "nowhere"),
        (["--ckpt", "demo", "--baseline", "WHOLE", "--limit", "0"], "--limit 0"),
        (["--candidate", "WHOLE", "--baseline", "WHOLE", "--margins", "1"], "--margin"),
    ],
)
def test_wrong_inputs(
    demos: Demos, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    given = [str(demos.whole) if word == "WHOLE" else word for word in arguments]
    assert demos.gate(*given) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_config_file(demos: Demos, tmp_path: Path) -> None:
    config = tmp_path / "gate.yaml"
    sides = {"baseline": str(demos.whole), "candidate": str(demos.early)}
    config.write_text(json.dumps({**sides, "output-dir": str(demos.output)}))
    assert main(["gate", "--config", str(config)]) == 1


def test_neither_torch_nor_vlmeval_is_loaded(demos: Demos) -> None:
    arguments = ["gate", "--baseline", str(demos.whole), "--candidate", str(demos.early)]
    code = (
        f"import sys; from evalsuite.cli import main; code = main({arguments!r})\n"
        "heavy = {'torch', 'transformers', 'vlmeval', 'pandas', 'scipy.stats'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert result.stderr == ""
    assert result.returncode == 1


def test_a_closed_pipe_does_not_change_the_exit_code(demos: Demos) -> None:
    sides = ["--baseline", str(demos.whole), "--candidate", str(demos.early)]
    command = [sys.executable, "-m", "evalsuite", "gate", *sides]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_an_unwritable_file_does_not_hide_a_regression(
    demos: Demos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "file" / "gate.xml"
    wrong.parent.write_text("in the way")
    assert demos.against_whole(demos.early, "--junit", wrong) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert demos.against_whole(demos.whole, "--junit", wrong) == 2


def test_help_has_the_options() -> None:
    text = " ".join(evalsuite("gate", "--help").stdout.split())
    for word in ("--baseline", "--ckpt", "--anchor", "--junit", "--github", "Exit codes: 0 pass"):
        assert word in text
    assert "Power analysis" in " ".join(evalsuite("power", "--help").stdout.split())
    assert "--anchor" in evalsuite("promote", "--help").stdout
