"""The command line: quick where it must be, one clear line for what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import evalsuite as package
from evalsuite.checkpoint import checkpoint
from evalsuite.runner.config import RunConfig
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runs.layout import run_paths
from evalsuite.runs.records import SCHEMA
from evalsuite.system.devices import resampling
from evalsuite.system.locks import run_lock
from tests.builders.commands import evalsuite, evalsuite_process
from tests.builders.cpu_time import cpu_units


def demo_directory(output: Path) -> Path:
    """Where a run of the demo on the CPU lives under `output`."""
    options = ResolvedConfig(
        config=RunConfig(output_dir=output), devices=("cpu",), dtype="float32",
        resampling=resampling(),
    )  # fmt: skip
    return run_paths(output, checkpoint.read("demo"), options.settings, None).directory


@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=["help", "list"])
def test_quick(arguments: list[str]) -> None:
    def start() -> None:
        assert evalsuite_process(*arguments).returncode == 0

    units = cpu_units(start)
    print(f"{units:.2f} units")
    assert units < 3


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "--help"]])
def test_imports_no_heavy_package(arguments: list[str]) -> None:
    code = (
        f"import sys; from evalsuite.cli import main; main({arguments!r})\n"
        "heavy = {'torch', 'transformers', 'vlmeval', 'pandas', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_help_names_the_options() -> None:
    text = evalsuite("run", "--help").stdout
    for word in ("--ckpt", "demo:early", "--limit", "--batch-size", "--dry-run", "--set"):
        assert word in text
    assert "Exit codes" in evalsuite("--help").stdout


def bad_inputs(tmp: Path) -> dict[str, tuple[list[str], str]]:
    text = tmp / "notes.txt"
    text.write_text("hello")
    wrong = tmp / "wrong.yaml"
    wrong.write_text("extends: packaged\nbenchmarks: {DemoOCR: {metrics: a}}")
    config = tmp / "config.yaml"
    config.write_text("ckpt: demo\nlimits: 5\n")
    twice = tmp / "twice.yaml"
    twice.write_text("ckpt: demo\nckpt: demo:early\n")
    spelled = tmp / "spelled.yaml"
    spelled.write_text("batch_size: 5\nbatch-size: 6\n")
    (tmp / "empty").mkdir()
    few = tmp / "few.yaml"
    few.write_text("benchmarks: {Mine: {data: mine.tsv, metric: choice}}\nsuites: {mine: [Mine]}")
    return {
        "missing path": (["--ckpt", str(tmp / "nowhere")], "nowhere"),
        "a text file": (["--ckpt", str(text)], "a checkpoint is a directory"),
        "an empty directory": (["--ckpt", str(tmp / "empty")], "empty"),
        "unknown benchmark": (["--ckpt", "demo", "-b", "DemoDigit"], "did you mean 'DemoDigits'?"),
        "unknown suite": (["--ckpt", "demo", "--suite", "demos"], "did you mean 'demo'?"),
        "unknown key": (["--ckpt", "demo", "--benchmarks-file", str(wrong)], "key 'metrics'"),
        "unknown option": (["--ckpt", "demo", "--batchsize", "3"], "--batch"),
        "limit 0": (["--ckpt", "demo", "--limit", "0"], "--limit 0"),
        "limit abc": (["--ckpt", "demo", "--limit", "abc"], "--limit abc"),
        "batch size": (["--ckpt", "demo", "--batch-size", "many"], "--batch-size many"),
        "dtype": (["--ckpt", "demo", "--dtype", "int8"], "--dtype int8"),
        "device": (["--ckpt", "demo", "--device", "tpu"], "--device tpu"),
        "mode": (["--ckpt", "demo", "--mode", "both"], "--mode both"),
        "set": (["--ckpt", "demo", "--set", "DemoOCR.metric=x"], "'metric' cannot be set"),
        "suite and benchmarks": (
            ["--ckpt", "demo", "--suite", "demo", "-b", "DemoOCR"], "--benchmarks"),
        "data dir": (["--ckpt", "demo", "--data-dir", str(tmp / "none")], "--data-dir"),
        "frames of images": (["--ckpt", "demo", "--set", "DemoOCR.frames=4"], "DemoOCR.frames=4"),
        "config": (["--config", str(config)], "unknown key 'limits' (did you mean 'limit'?)"),
        "config twice": (["--config", str(twice)], "line 2 is not valid YAML: duplicate key"),
        "config in two spellings": (["--config", str(spelled)], "duplicate option 'batch-size'"),
        "no checkpoint": ([], "--ckpt"),
        "one name for two": (["--ckpt", "demo", "--ckpt", "demo:early", "--name", "x"], "--name"),
        "a base for a whole checkpoint": (
            ["--ckpt", "demo", "--base", "demo:early"], "--base demo:early"),
        "no suite for it": (
            ["--ckpt", str(checkpoint.read("demo").path), "--benchmarks-file", str(few)],
            "--suite"),
        "prompts": (["--ckpt", "demo", "--prompts", "nativ"], "did you mean 'native'?"),
        "an address without a judge": (
            ["--ckpt", "demo", "--judge-base-url", "http://localhost:1/v1"], "--judge MODEL"),
        "half an address": (
            ["--ckpt", "demo", "--judge", "m", "--judge-base-url", "localhost"], "localhost"),
        "a key in the address": (
            ["--ckpt", "demo", "--judge", "m", "--judge-base-url", "http://k:s@host/v1"],
            "EVALSUITE_JUDGE_KEY"),
        "a cache limit that is no size": (["--ckpt", "demo"], "$EVALSUITE_CACHE_LIMIT"),
    }  # fmt: skip


CASES = [
    "missing path", "a text file", "an empty directory", "unknown benchmark", "unknown suite",
    "unknown key", "unknown option", "limit 0", "limit abc", "batch size", "dtype", "device",
    "mode", "set", "suite and benchmarks", "data dir", "frames of images", "config",
    "config twice", "config in two spellings",
    "no checkpoint", "one name for two", "a base for a whole checkpoint", "no suite for it",
    "prompts",
    "an address without a judge", "half an address", "a key in the address",
    "a cache limit that is no size",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_writes_nothing(case: str, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    arguments, words = bad_inputs(inputs)[case]
    here = tmp_path / "here"
    here.mkdir()
    more = {"EVALSUITE_CACHE_LIMIT": "much"} if case.startswith("a cache limit") else {}
    result = evalsuite("run", *arguments, cwd=here, environment=more)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("evalsuite: ")
    assert words in line
    assert list(here.iterdir()) == []


def test_every_bad_input_is_tested(tmp_path: Path) -> None:
    assert list(bad_inputs(tmp_path)) == CASES


NO_NETWORK = {
    "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1",
}  # fmt: skip


def test_missing_data_without_a_network(tmp_path: Path) -> None:
    elsewhere = {**NO_NETWORK, "LMUData": str(tmp_path), "HF_HOME": str(tmp_path / "hub")}
    output = ["--output-dir", str(tmp_path / "results")]
    two = ["run", "--ckpt", "demo", "-b", "OCRBench,MVBench", *output]
    result = evalsuite_process(*two, environment=elsewhere)
    assert result.returncode == 4
    *notes, last = result.stderr.splitlines()
    assert "the data of 2 of 2 benchmarks" in last
    assert any("OCRBench" in note and "evalsuite fetch -b OCRBench" in note for note in notes)
    assert any("MVBench" in note and "17.0 GB" in note for note in notes)
    one = ["run", "--ckpt", "demo", "-b", "OCRBench", "--data-dir", str(tmp_path), *output]
    result = evalsuite_process(*one, environment=elsewhere)
    assert result.returncode == 4
    (line,) = result.stderr.splitlines()
    assert f"no data at {tmp_path / 'OCRBench.tsv'}" in line
    assert "https://" in line


def test_available_skips_missing_data(tmp_path: Path) -> None:
    elsewhere = {**NO_NETWORK, "LMUData": str(tmp_path)}
    result = evalsuite_process(
        "run", "--ckpt", "demo", "-b", "OCRBench,DemoOCR", "--available", "--limit", "2",
        "--output-dir", str(tmp_path / "results"), environment=elsewhere,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "omitted: OCRBench" in result.stderr
    assert "DemoOCR" in result.stdout


def test_an_output_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = evalsuite("run", "--ckpt", "demo", "--output-dir", str(tmp_path / "file" / "results"))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "--output-dir" in line
    assert "cannot be written" in line


def test_results_of_a_newer_version_are_not_changed(tmp_path: Path) -> None:
    record = demo_directory(tmp_path) / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"schema": 99, "from": "the future"}')
    before = record.read_bytes()
    arguments = ["--device", "cpu", "--output-dir", str(tmp_path)]
    result = evalsuite("run", "--ckpt", "demo", *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "newer evalsuite" in line
    assert "schema 99" in line
    assert record.read_bytes() == before
    assert [p.name for p in record.parent.iterdir()] == ["run.json"]


def test_a_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    directory = demo_directory(tmp_path)
    arguments = ["--ckpt", "demo", "--device", "cpu", "--output-dir", str(tmp_path)]
    with run_lock(directory):
        result = evalsuite("run", *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"pid {os.getpid()} on " in line
    assert not [p.name for p in tmp_path.rglob("*") if p.is_file()]


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    result = evalsuite("run", "--ckpt", "demo", "-b", "DemoOCR", "--dry-run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (row,) = [line.split() for line in result.stderr.splitlines() if "DemoOCR" in line]
    assert row == ["DemoOCR", "360", "0", "360"]
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_that_fails_is_a_row_with_its_reason_and_exit_4(tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("index\tquestion\n1\tWhat?\n")
    (tmp_path / "mine.yaml").write_text(
        "extends: packaged\nbenchmarks:\n  Bad: {dataset: Bad, dataset_class: ImageMCQDataset, "
        "data: bad.tsv, modality: image, prompt: default, metric: choice, max_new_tokens: 4}\n"
    )
    arguments = ["--ckpt", "demo", "--benchmarks-file", "mine.yaml", "-b", "Bad,DemoOCR"]
    result = evalsuite("run", *arguments, "--limit", "3", cwd=tmp_path)
    assert result.returncode == 4, result.stderr
    assert "no column 'answer'" in result.stdout
    assert "DemoOCR" in result.stdout
    assert "Traceback" not in result.stderr
    shown = evalsuite("report", "--format", "json", cwd=tmp_path)
    assert shown.returncode == 0
    (run,) = json.loads(shown.stdout)
    assert [set(o) >= {"failure"} for o in run["outcomes"]] == [True, False]


@pytest.mark.parametrize(
    "outcomes", ["7", "null", "[3]", '[{"benchmark": "X", "failure": 1}]', "{}"]
)
def test_a_damaged_record_is_named(outcomes: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(f'{{"schema": {SCHEMA}, "outcomes": {outcomes}}}')
    result = evalsuite("report", str(path))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"evalsuite: {path}: ")
    assert "schema" not in line
    assert "delete the file and run again" in line


def test_flags_with_underscores(tmp_path: Path) -> None:
    for flag in ("--batch_size", "--batch-size"):
        result = evalsuite("run", "--ckpt", "demo", flag, "none", cwd=tmp_path)
        assert "--batch-size none" in result.stderr
        result = evalsuite("run", "--ckpt", "demo", f"{flag}=no_ne", cwd=tmp_path)
        assert "--batch-size no_ne" in result.stderr


def test_the_command_line_takes_precedence_over_a_config_file(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("ckpt: [demo]\nbenchmarks: [DemoOCR, DemoVideo]\nlimit: 7\nbatch_size: x\n")
    result = evalsuite("run", "--config", str(config), cwd=tmp_path)
    assert "--batch-size x" in result.stderr
    result = evalsuite("run", "--config", str(config), "--batch-size", "y", cwd=tmp_path)
    assert "--batch-size y" in result.stderr


def test_list_suites_and_version() -> None:
    assert "demo" in evalsuite("list", "suites").stdout
    assert evalsuite("--version").stdout.startswith("evalsuite 0.")


def test_the_package_has_a_version() -> None:
    shown = evalsuite("--version").stdout
    assert shown == f"evalsuite {package.__version__}\n"


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m evalsuite list | head -1"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, "the exit code 1 would say regression"
    assert result.stderr == ""
    assert result.stdout.startswith("benchmark")


@pytest.mark.parametrize(
    "arguments", [["list"], ["power", "--sizes", "MMStar=1500"]], ids=lambda words: words[0]
)
def test_a_full_disk_at_standard_output_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "evalsuite", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )  # fmt: skip
    assert result.returncode == 4
    (line,) = result.stderr.splitlines()
    assert "standard output cannot be written" in line


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_dry_run_into_a_file_is_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = evalsuite("run", "--ckpt", "demo", "--dry-run", "--output-dir", place, cwd=tmp_path)
    assert result.returncode == 2
    assert (
        result.stderr
        == f"evalsuite: --output-dir {place}: is a file or in a file; choose another\n"
    )


EARLY = """
import os, signal, sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupted())
from evalsuite.__main__ import main
main()
"""


@pytest.mark.parametrize("at", ["evalsuite.cli", "typer", "evalsuite.cli.show"])
def test_an_early_interrupt_is_one_line(at: str) -> None:
    done = subprocess.run([sys.executable, "-c", EARLY, at], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "evalsuite: interrupted\n")
