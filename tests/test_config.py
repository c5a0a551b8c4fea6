"""The options of a run: one list for the command line, --config files and Python."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import typer

import evalsuite
from evalsuite.cli import app
from evalsuite.errors import UsageError
from evalsuite.runner import session
from evalsuite.runner.config import OPTIONS, RunConfig
from evalsuite.runner.session import Evaluated
from evalsuite.runs.records import FoundRun
from tests.builders.runs import run, score

VALUES: dict[str, Any] = {
    "ckpt": ("a", "b"), "name": "n", "base": "b", "processor": "p", "suite": "s",
    "benchmarks": ("A", "B"), "limit": "0.5", "set": ("A.frames=8", "A.max_new_tokens=4"),
    "benchmarks_file": Path("f.yaml"), "prompts": "native", "blind": True, "max_new_tokens": 7,
    "longest_edge": 512, "mode": "infer", "device": "cpu", "dtype": "float16", "batch_size": "3",
    "workers": "2", "ray": "auto", "shard": "1/2", "noise": 5, "max_failed": "2%", "judge": "m",
    "judge_base_url": "http://localhost", "output_dir": Path("out"), "data_dir": Path("d"),
    "available": True, "allow_modified_data": True, "yes": True, "fresh": True, "dry_run": True,
}  # fmt: skip
"""A value other than the default for every option."""


def arguments(values: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in values.items():
        option = OPTIONS[name]
        if option.kind is bool:
            words.append(option.flag)
        elif option.kind is tuple and not option.separated:
            words += [word for part in value for word in (option.flag, part)]
        else:
            text = ",".join(value) if option.kind is tuple else str(value)
            words += [option.flag, text]
    return words


def yaml(values: dict[str, Any]) -> str:
    lines = [
        f"{name}: {list(value) if isinstance(value, tuple) else str(value)!r}"
        if not isinstance(value, bool | int)
        else f"{name}: {str(value).lower()}"
        for name, value in values.items()
    ]
    return "\n".join(lines)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configurations that would be run."""
    configs: list[RunConfig] = []

    def run_all(config: RunConfig, _: object) -> Evaluated:
        configs.append(config)
        return Evaluated([], frozenset())

    monkeypatch.setattr(session, "run_all", run_all)
    return configs


def command_line(*words: str) -> None:
    typer.main.get_command(app).main(["run", *words], standalone_mode=False)


def test_every_option_has_a_value_here() -> None:
    assert set(VALUES) == set(OPTIONS)
    assert all(VALUES[name] != option.default for name, option in OPTIONS.items())


def test_command_line_config_file_and_python_accept_the_same_options(
    seen: list[RunConfig], tmp_path: Path
) -> None:
    command_line(*arguments(VALUES))
    file = tmp_path / "run.yaml"
    file.write_text(yaml(VALUES))
    command_line("--config", str(file))
    from_python = RunConfig.read(VALUES, command="")
    for config in (*seen, from_python):
        assert {name: getattr(config, name) for name in OPTIONS} == VALUES


def test_defaults_are_the_same(seen: list[RunConfig]) -> None:
    command_line()
    for config in (*seen, RunConfig.read(dict.fromkeys(OPTIONS), command="")):
        for name, option in OPTIONS.items():
            assert getattr(config, name) == option.default


def test_python_values_are_read_as_on_the_command_line() -> None:
    config = RunConfig.read(
        {"ckpt": Path("a"), "limit": 50, "batch_size": 4, "benchmarks": ["A", "B"], "set": []}, ""
    )
    assert (config.ckpt, config.limit, config.batch_size) == (("a",), "50", "4")
    assert (config.benchmarks, config.set) == (("A", "B"), ())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batchsize": 4}, "did you mean 'batch_size'?"),
        ({"mode": "both"}, "--mode both"),
        ({"prompts": "nativ"}, "did you mean 'native'?"),
        ({"noise": -1}, "--noise -1"),
        ({"noise": True}, "--noise True"),
        ({"longest_edge": 0.5}, "--longest-edge 0.5"),
        ({"fresh": "yes"}, "--fresh yes"),
        ({"limit": [5]}, "--limit"),
        ({"dry_run": True}, "dry_run"),
    ],
)
def test_wrong_options_of_the_python_function(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refusal:
        evalsuite.run("demo", **given)
    assert said in str(refusal.value)


def test_the_python_function_shows_its_options() -> None:
    names = set(inspect.signature(evalsuite.run).parameters)
    assert names == {*OPTIONS, "on_event"} - {"dry_run"}


def test_defaults_are_visible_in_help() -> None:
    """Rich would hide an unescaped [default: …]."""
    group = typer.main.get_command(app)
    for command in group.commands.values():  # type: ignore[attr-defined]
        for parameter in command.params:
            text = getattr(parameter, "help", None) or ""
            assert "[default" not in text.replace("\\[default", ""), (command.name, text)


@pytest.mark.parametrize(
    ("given", "failed", "complete"),
    [("1%", 3, True), ("1%", 4, False), ("0", 1, False), ("0", 0, True), ("100%", 300, True),
     ("1.5%", 4, True), ("1.3", 4, False)],
)  # fmt: skip
def test_a_score_on_too_many_failed_samples_is_incomplete(
    given: str, failed: int, complete: bool
) -> None:
    found = FoundRun(Path("run.json"), run("a", score("A", 50.0, failed=failed)))
    evaluated = Evaluated([found], frozenset("A"), session.read_max_failed(given))
    assert evaluated.complete == complete
    assert Evaluated([found], frozenset("B"), 0).complete, "it was not requested"


@pytest.mark.parametrize("given", ["", "x", "-1", "101", "1%%", "nan"])
def test_an_invalid_percentage_of_failed_samples(given: str) -> None:
    with pytest.raises(UsageError, match="--max-failed"):
        session.read_max_failed(given)
