"""The steps of action.yml, run like a composite action of GitHub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders.gates import correct
from tests.builders.stored_runs import stored

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())


@dataclass(frozen=True)
class Ran:
    """The result of a job with this action as its step."""

    code: int
    outputs: dict[str, str]
    shown: str
    summary: str


def substituted(text: str, values: dict[str, str], outputs: dict[str, str]) -> str:
    """The expressions in it, replaced; an unknown one is a mistake in the file."""

    def value(match: re.Match[str]) -> str:
        scope, _, rest = match[1].partition(".")
        if scope == "inputs":
            return values[rest]
        assert match[1].startswith("steps.gate.outputs.")
        return outputs.get(match[1].removeprefix("steps.gate.outputs."), "")

    return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", value, text)


def run(directory: Path, *, path: Path = Path(sys.executable).parent, **given: str) -> Ran:
    """Run every step in bash as GitHub does; stops at the first that fails."""
    unknown = {name.replace("_", "-") for name in given} - set(ACTION["inputs"])
    assert not unknown
    values = {name: str(known["default"]) for name, known in ACTION["inputs"].items()}
    values |= {"install": "", **{name.replace("_", "-"): text for name, text in given.items()}}
    output, summary = directory / "output", directory / "summary.md"
    output.write_text("")
    code, shown = 0, ""
    for step in ACTION["runs"]["steps"]:
        script = directory / "script.sh"
        script.write_text(step["run"])
        environment = {
            **os.environ,
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_ACTION_PATH": str(ROOT),
            **{name: substituted(text, values, {}) for name, text in step.get("env", {}).items()},
        }
        assert step["shell"] == "bash"
        result = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
        )
        code, shown = result.returncode, shown + result.stdout + result.stderr
        if code:
            break
    written = dict(line.split("=", 1) for line in output.read_text().splitlines())
    outputs = {
        name: substituted(known["value"], values, written)
        for name, known in ACTION["outputs"].items()
    }
    return Ran(code, outputs, shown, summary.read_text() if summary.exists() else "")


def sides(directory: Path) -> None:
    for name, count in (("base", 300), ("same", 300), ("worse", 200)):
        stored(directory / "results", name, {"A": correct(count)}, digest=name[0] * 64)


def name(checkpoint: str) -> str:
    return f"{checkpoint}-{checkpoint[0] * 8}"


def test_no_input_becomes_part_of_a_script() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_every_input_is_used_and_none_is_unknown() -> None:
    text = str([step.get("env") for step in ACTION["runs"]["steps"]])
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])


@pytest.mark.parametrize(
    ("given", "installed"),
    [
        ({"candidate": "c"}, [[f"{ROOT}"]]),
        ({"ckpt": "p"}, [[f"{ROOT}[run]"], ["--no-deps", "ms-vlmeval==0.0.20"]]),
        ({"ckpt": "p", "install": "evalsuite==0.1.0"}, [["evalsuite==0.1.0"]]),
        ({"ckpt": "p", "install": ""}, []),
    ],
)
def test_torch_and_vlmevalkit_are_installed_for_a_ckpt_alone(
    tmp_path: Path,
    given: dict[str, str],
    installed: list[list[str]],
) -> None:
    """With a `python` that only writes down what it is given."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$*" >>calls\n')
    python.chmod(0o755)
    run(tmp_path, **{"install": "this", **given}, path=tmp_path / "bin")
    calls = (tmp_path / "calls").read_text().splitlines()
    expected = [" ".join(["-m pip install --quiet", *words]) for words in installed]
    assert calls[:-1] == expected
    assert calls[-1].startswith("-m evalsuite gate")


def test_a_pass(tmp_path: Path) -> None:
    sides(tmp_path)
    ran = run(tmp_path, baseline=name("base"), candidate=name("same"))
    assert ran.code == 0, ran.shown
    assert ran.outputs == {"verdict": "pass", "exit-code": "0"}
    assert ran.summary.startswith("## evalsuite gate: pass")
    assert (tmp_path / "evalsuite-gate.xml").exists()
    assert "::error" not in ran.shown


def test_a_regression_fails_the_step(tmp_path: Path) -> None:
    sides(tmp_path)
    ran = run(tmp_path, baseline=name("base"), candidate=name("worse"), junit="here/gate.xml")
    assert ran.code == 1
    assert ran.outputs == {"verdict": "regression", "exit-code": "1"}
    assert "::error title=evalsuite gate::A dropped by 25 points" in ran.shown
    assert "<failure" in (tmp_path / "here" / "gate.xml").read_text()


def test_policy_anchor_and_further_arguments_are_passed_on(tmp_path: Path) -> None:
    sides(tmp_path)
    (tmp_path / "gate.yaml").write_text("margin: 40\n")
    lenient = run(tmp_path, baseline=name("base"), candidate=name("worse"), policy="gate.yaml",
                  arguments="--cliff=40\n\n--alpha\n0.1\n")  # fmt: skip
    assert lenient.code == 0, lenient.shown
    assert "80 % interval" in lenient.shown
    ran = run(tmp_path, baseline=name("same"), candidate=name("worse"), anchor=name("base"))
    assert "against the anchor" in ran.shown


def test_the_promoted_baseline_and_no_junit(tmp_path: Path) -> None:
    sides(tmp_path)
    promote = [sys.executable, "-m", "evalsuite", "promote", name("base")]
    subprocess.run(promote, cwd=tmp_path, check=True, capture_output=True)
    ran = run(tmp_path, candidate=name("same"), junit="")
    assert ran.code == 0, ran.shown
    assert not list(tmp_path.glob("*.xml"))


def test_a_missing_run_is_an_error(tmp_path: Path) -> None:
    sides(tmp_path)
    ran = run(tmp_path, baseline=name("base"), candidate="nowhere")
    assert ran.code == 2
    assert ran.outputs == {"verdict": "error", "exit-code": "2"}


@pytest.mark.parametrize("text", ['"; touch hacked; "', "$(touch hacked)", "`touch hacked`",
                                  "x\ntouch hacked"])  # fmt: skip
def test_inputs_are_never_run(tmp_path: Path, text: str) -> None:
    sides(tmp_path)
    for given in ({"candidate": text}, {"candidate": name("same"), "arguments": text}):
        ran = run(tmp_path, baseline=name("base"), **given)
        assert ran.code == 2
        assert not (tmp_path / "hacked").exists()


def test_arguments_of_pip(tmp_path: Path) -> None:
    """The package is installed already; a wrong name fails before the gate."""
    sides(tmp_path)
    ran = run(tmp_path, baseline=name("base"), candidate=name("same"), install="PyYAML")
    assert ran.code == 0, ran.shown
    ran = run(tmp_path, baseline=name("base"), candidate=name("same"), install="./none.whl")
    assert ran.code != 0
    assert "verdict" not in ran.shown
