"""The files of lm-eval: keys, numbers, and lm-eval's own readers."""

import dataclasses
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from evalsuite.errors import UsageError
from evalsuite.report.export import lm_eval
from evalsuite.runs.records import FoundRun, Score
from evalsuite.runs.storage import write_run
from tests.builders.commands import evalsuite
from tests.builders.hostile import HOSTILE
from tests.builders.runs import failure, run, score
from tests.builders.stored_runs import failed, sample, samples, stored

# lm-eval 0.4.13, result_schema.py: what it calls optional is optional here.


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Sample(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    doc_id: int
    doc: dict[str, Any]
    target: str
    arguments: dict[str, dict[str, Any]]
    resps: list[list[str]]
    filtered_resps: list[str]
    filter: str
    metrics: list[str]
    doc_hash: str
    prompt_hash: str
    target_hash: str


class Count(Strict):
    original: int | None
    effective: int


class Config(Strict):
    model: str
    model_args: str | dict[str, str | int | float] | None
    model_num_parameters: int
    model_dtype: str
    model_sha: str
    batch_size: str | None
    device: str | None
    use_cache: str | None
    limit: int | float | None
    bootstrap_iters: int
    gen_kwargs: str | dict[str, Any] | None


class Results(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    results: dict[str, dict[str, str | int | float]]
    group_subtasks: dict[str, list[str]]
    configs: dict[str, dict[str, Any]]
    versions: dict[str, str | float | None]
    n_shot: dict[str, int]
    higher_is_better: dict[str, dict[str, bool | None]]
    n_samples: dict[str, Count]
    config: Config
    git_hash: str | None
    date: float
    pretty_env_info: str
    transformers_version: str | None
    evalsuite_version: str  # ours
    task_hashes: dict[str, str]
    model_source: str
    model_name: str
    model_name_sanitized: str
    system_instruction: str | None
    system_instruction_sha: str | None
    fewshot_as_multiturn: bool | None
    chat_template: str | None
    chat_template_sha: str | None
    total_evaluation_time_seconds: str | None


DATE = "2026-11-22T19-30-00.000000"


def made(directory: Path) -> FoundRun:
    """A run with a benchmark of which a sample failed and one does not count, and one of words."""
    choices = samples([1.0, 0.0, 1.0, 1.0], question="What is it?", media=("/cache/57/5728.png",))
    choices += [failed(sample(9, 0.0)), sample(4, 0.0, counts=False)]
    words = samples([0.5, 0.0, 0.25], target="a", labels=(("split", "val"),))
    found = stored(
        directory, "sft", {"Choice": choices, "Words": words},
        environment={"device": "cpu", "transformers": "5.23.0"},
    )  # fmt: skip
    outcomes = (
        score("Choice", 60.0, n=5, clusters=5, stderr=24.5),
        score("Words", 25.0, n=3, clusters=3, stderr=None, metric="anls"),
    )
    known = dataclasses.replace(found.run, outcomes=outcomes)
    write_run(found.path, known)
    return FoundRun(found.path, known)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def quiet(_: str) -> None:
    pass


def test_names_and_places(tmp_path: Path) -> None:
    files = lm_eval.write([made(tmp_path)], tmp_path / "out", quiet)
    assert [str(path.relative_to(tmp_path / "out")) for path in files] == [
        f"sft/results_{DATE}.json", f"sft/samples_Choice_{DATE}.jsonl",
        f"sft/samples_Words_{DATE}.jsonl",
    ]  # fmt: skip
    before = [path.read_bytes() for path in files]
    again = lm_eval.write([made(tmp_path)], tmp_path / "out", quiet)
    assert [path.read_bytes() for path in again] == before


def test_keys_and_shapes_are_lm_evals(tmp_path: Path) -> None:
    results, choice, words = lm_eval.write([made(tmp_path)], tmp_path / "out", quiet)
    plain = read(results)
    Results(**{key.replace("-", "_"): value for key, value in plain.items()})
    for path in (choice, words):
        for row in lines(path):
            Sample(**row)


def test_the_numbers(tmp_path: Path) -> None:
    results, choice, words = lm_eval.write([made(tmp_path)], tmp_path / "out", quiet)
    plain = read(results)
    assert plain["results"]["Choice"] == {
        "name": "Choice", "alias": "Choice", "sample_len": 5, "acc,none": 0.6,
        "acc_stderr,none": 0.245,
    }  # fmt: skip
    assert plain["results"]["Words"]["anls,none"] == 0.25
    assert plain["results"]["Words"]["anls_stderr,none"] == "N/A"
    assert plain["n-samples"] == {
        "Choice": {"original": 5, "effective": 5}, "Words": {"original": 3, "effective": 3},
    }  # fmt: skip
    assert plain["higher_is_better"] == {"Choice": {"acc": True}, "Words": {"anls": True}}
    assert plain["total_evaluation_time_seconds"] == "1800.0"
    assert plain["date"] == 1795374000.0  # 2026-11-22T19:00:00Z
    for path, name in ((choice, "acc"), (words, "anls")):
        values = [row[name] for row in lines(path)]
        task = "Choice" if name == "acc" else "Words"
        assert sum(values) / len(values) == plain["results"][task][f"{name},none"]


def test_a_sample(tmp_path: Path) -> None:
    _, choice, words = lm_eval.write([made(tmp_path)], tmp_path / "out", quiet)
    rows = lines(choice)
    assert len(rows) == 5  # the one that does not count is not there
    first, last = rows[0], rows[-1]
    assert first["doc_id"] == 0
    assert (first["target"], first["resps"], first["filtered_resps"]) == ("A", [["A"]], ["A"])
    assert first["arguments"]["gen_args_0"]["arg_0"] == "What is it?"
    assert first["doc"]["media"] == ["57/5728.png"]  # and no path of this machine
    assert first["prompt_hash"] == "asked-0"
    assert first["target_hash"] == hashlib.sha256(b"A").hexdigest()
    assert (last["acc"], last["doc"]["error"], last["resps"]) == (0.0, "out of memory", [[""]])
    assert lines(words)[0]["doc"]["labels"] == {"split": "val"}


def test_partial_blind_and_limited_runs_are_marked(tmp_path: Path) -> None:
    told: list[str] = []
    known = run(
        "sft", score("P", 50.0, partial=True, unscored=7), failure("F"), limit="50", finished=None,
        settings={"dtype": "float32", "blind": True},
    )  # fmt: skip
    (path,) = lm_eval.write([FoundRun(tmp_path / "run.json", known)], tmp_path, told.append)
    plain = read(path)
    assert plain["results"]["P"]["alias"] == "P (partial)"
    assert plain["configs"]["P"]["metadata"]["partial"] is True
    assert plain["configs"]["P"]["metadata"]["blind"] is True
    assert plain["n-samples"]["P"] == {"original": None, "effective": 300}
    assert plain["config"]["limit"] == 50.0
    # The name shows that it is not the checkpoint's own score.
    assert (plain["model_name"], path.parent.name) == ("sft-blind", "sft-blind")
    assert plain["total_evaluation_time_seconds"] is None
    assert told == [
        "left out: sft F: no module named foo",
        f"{tmp_path / 'P' / 'samples@50.jsonl'}: missing; P is exported without samples",
    ]


def test_different_weights_of_one_name_have_different_folders(tmp_path: Path) -> None:
    def made(name: str, digest: str, second: int, *scores: Score) -> FoundRun:
        known = run(name, *scores, digest=digest * 64, finished=f"2026-11-22T19:30:0{second}Z")
        return FoundRun(tmp_path / "run.json", known)

    a = score("P", 50.0)
    found = [made("sft", "a", 1, a), made("sft", "b", 1, a), made("sft", "b", 2, a),
             made("base", "c", 1, a), made("base", "d", 1)]  # fmt: skip
    paths = lm_eval.write(found, tmp_path, quiet)
    names = ["sft-aaaaaaaa", "sft-bbbbbbbb", "sft-bbbbbbbb", "base"]
    assert [path.parent.name for path in paths] == names
    assert [read(path)["model_name"] for path in paths] == names


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    none = FoundRun(tmp_path / "run.json", run("none"))
    with pytest.raises(UsageError, match="none: no score to export"):
        lm_eval.write([none], tmp_path, quiet)
    one = FoundRun(tmp_path / "run.json", run("a", score("P", 50.0)))
    told: list[str] = []
    assert len(lm_eval.write([none, one], tmp_path, told.append)) == 1
    assert told[0] == "left out: none: no score yet"
    with pytest.raises(UsageError, match="two runs of a"):
        lm_eval.write([one, one], tmp_path, quiet)
    odd = FoundRun(tmp_path / "run.json", run("a", score("P", 50.0), started="yesterday"))
    with pytest.raises(UsageError, match=r"'yesterday' in run\.json is not a time"):
        lm_eval.write([odd], tmp_path, quiet)


@pytest.mark.parametrize("name", [*HOSTILE, "../../up", "a/b"])
def test_hostile_names_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    rows = {name.replace("/", "_").replace("\x00", ""): [sample(0, 1.0, prediction=name)]}
    found = stored(tmp_path / "in", "sft", rows)
    record = dataclasses.replace(found.run.checkpoint, name=f"a{name}")
    found = FoundRun(found.path, dataclasses.replace(found.run, checkpoint=record))
    for path in lm_eval.write([found], tmp_path / "out", quiet):
        assert path.resolve().parent.parent == (tmp_path / "out").resolve()
        assert path.read_bytes().isascii()
    assert lines(path)[0]["resps"] == [[name]]


def test_the_command(tmp_path: Path) -> None:
    made(tmp_path / "results")
    result = evalsuite("export", "--format", "lm-eval", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"results/lm-eval/sft/results_{DATE}.json"
    again = evalsuite("export", cwd=tmp_path)  # what it wrote is no run
    assert (again.returncode, again.stdout) == (0, result.stdout)
    wrong = evalsuite("export", "--format", "inspect", cwd=tmp_path)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    (tmp_path / "file").touch()
    assert evalsuite("export", "-o", "file", cwd=tmp_path).returncode == 2


# lm-eval itself

LM_EVAL = os.environ.get("EVALSUITE_LM_EVAL") or (
    sys.executable if importlib.util.find_spec("lm_eval") else ""
)
"""A Python that has lm-eval: $EVALSUITE_LM_EVAL, or this one."""


@pytest.mark.skipif(
    not LM_EVAL, reason="lm-eval is not installed; $EVALSUITE_LM_EVAL names a Python"
)
def test_lm_eval_can_read_the_files(tmp_path: Path) -> None:
    files = lm_eval.write([made(tmp_path)], tmp_path / "out", quiet)
    script = Path(__file__).with_name("lm_eval_readers.py")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    read_back = subprocess.run(
        [LM_EVAL, str(script), str(tmp_path / "out" / "sft")],
        capture_output=True, text=True, check=False,
        env={**environment, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
    )  # fmt: skip
    assert read_back.returncode == 0, read_back.stderr
    found = json.loads(read_back.stdout.splitlines()[-1])
    rows = [line.split("|")[1:-1] for line in found["table"].splitlines()[2:]]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells == [
        ["Choice", "N/A", "none", "0", "acc", "↑", "0.60", "±", "0.245"],
        ["Words", "N/A", "none", "0", "anls", "↑", "0.25", "±", "N/A"],
    ]
    assert found["latest"] == f"sft/results_{DATE}.json"
    assert found["dates"] == [DATE]
    assert {task: count for task, (count, _) in found["loaded"].items()} == {
        "Choice": 5,
        "Words": 3,
    }
    assert found["sanitized"] == "sft"
    assert found["wandb"]["flat"]["Choice/acc"] == 0.6
    assert found["wandb"]["summary"]["Words/anls_stderr"] == "N/A"
    assert found["wandb"]["frames"]["Choice"][0] == 5
    assert "raw_predictions" in found["wandb"]["frames"]["Choice"][1]
    theirs = found["theirs"]
    assert [name.partition("_20")[0] for name in theirs] == [
        "sft/results", "sft/samples_Choice", "sft/samples_Words",
    ]  # fmt: skip
    ours = [read(files[0]), lines(files[1])[0], lines(files[2])[0]]
    for mine, written in zip(ours, theirs.values(), strict=True):
        assert set(mine) == set(written)
    assert ours[1] == list(theirs.values())[1]
    assert ours[0]["task_hashes"] == next(iter(theirs.values()))["task_hashes"]
