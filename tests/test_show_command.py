"""`evalsuite show`: selection of samples, and escaping for terminals."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from evalsuite.cli.samples import Asked, show
from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import write_run
from tests.builders.pages import HOSTILE
from tests.builders.runs import failure
from tests.builders.stored_runs import failed, sample, samples, stored


@pytest.fixture
def results(tmp_path: Path) -> Path:
    first = samples([1, 1, 0, 1, 1, 1])
    second = [
        sample(0, 1, question="Is this\na dog?", prediction="Yes"),
        sample(1, 0, parsed=False, prediction="maybe"),
        sample(2, 1),
        failed(sample(3, 1)),
        sample(4, 0.25, prediction="quarter", ended="length"),
        sample(6, 0, prediction=" "),
    ]
    stored(tmp_path, "first", {"Bench": first})
    stored(tmp_path, "second", {"Bench": second, "Other": samples([1])})
    return tmp_path


def name(results: Path, checkpoint: str) -> str:
    (found,) = results.glob(f"{checkpoint}-*")
    return str(found)


def shown(results: Path, checkpoint: str = "second", *, width: int = 0, **asked: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width or 80, force_terminal=bool(width), color_system=None)
    facts = {"benchmark": "Bench", **asked}
    show(name(results, checkpoint), Asked(**facts), results, console)
    return out.getvalue()


def ids(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.startswith("sample ")]


def test_all_fields_of_a_sample_are_shown(results: Path) -> None:
    assert shown(results, count=2) == (
        "Bench of second: 6 of 6 samples\n"
        "\n"
        "sample    0 (even)\n"
        "question  Is this a dog?\n"
        "target    A\n"
        "second    right: Yes\n"
        "\n"
        "sample    1 (odd)\n"
        "question\n"
        "target    A\n"
        "second    wrong, unparsed: maybe\n"
        "\n"
        "and 4 more; -n 6 shows all, --id ID shows one in full\n"
    )


def test_kinds_and_search(results: Path) -> None:
    wrong = shown(results, kind="wrong")
    assert ids(wrong) == ["1", "3", "4", "6"]
    assert "Bench of second: 4 of 6 samples: wrong\n" in wrong
    assert "second    failed: out of memory\n" in wrong
    assert "second    partly right, 0.25, truncated at the token limit: quarter\n" in wrong
    assert "second    wrong, empty:\n" in wrong
    assert ids(shown(results, kind="failed")) == ["3"]
    assert ids(shown(results, kind="unparsed")) == ["1"]
    assert ids(shown(results, search="THIS  a")) == ["0"]
    assert ids(shown(results, kind="wrong", search="quart")) == ["4"]
    assert shown(results, search="nothing") == "Bench of second: 0 of 6 samples: with 'nothing'\n"


def test_samples_that_changed_against_another_run(results: Path) -> None:
    text = shown(results, flipped=name(results, "first"))
    assert ids(text) == ["1", "2", "3", "4"]
    assert "4 of 6 samples: 3 worse and 1 better than in first\n" in text
    assert "first     right: A\nsecond    wrong, unparsed: maybe\n" in text


def test_one_sample_in_full(results: Path, tmp_path: Path) -> None:
    long = "x" * 400
    there, gone = tmp_path / "a.png", tmp_path / "gone.png"
    there.write_bytes(b"")
    rows = [sample(0, 1, question=f"one\ntwo {long}", media=(str(there), str(gone)))]
    stored(results, "third", {"Bench": rows})
    assert long not in shown(results, "third")
    assert shown(results, "third", id="0") == (
        "sample    0 (even)\n"
        "question  one\n"
        f"          two {long}\n"
        "target    A\n"
        "third     right: A\n"
        f"media     {there}\n"
        f"media     {gone} (missing)\n"
        "prompt    asked-0\n"
    )


@pytest.mark.parametrize("width", [0, 40])
@pytest.mark.parametrize("whole", [False, True])
def test_no_text_has_control_characters(tmp_path: Path, whole: bool, width: int) -> None:
    rows = [
        sample(0, 0, id=f"{number}", question=text, prediction=text, target=text, category=text)
        for number, text in enumerate([*HOSTILE.values(), "[red]markup[/red]", "[/]"])
    ]
    stored(tmp_path, "a", {"Bench": rows})
    for row in rows:
        text = shown(tmp_path, "a", width=width, **({"id": row.id} if whole else {"count": 99}))
        assert not {c for c in text if not c.isprintable()} - {"\n"}
    assert "[red]markup[/red]" in shown(tmp_path, "a", count=99)


def test_errors_of_the_show_command(results: Path) -> None:
    for asked, said in (
        ({"benchmark": None}, "-b: second has Bench, Other"),
        ({"benchmark": "Bensh"}, "no such benchmark \\(did you mean 'Bench'\\?\\)"),
        ({"benchmark": "Other", "flipped": name(results, "first")}, "first has no such benchmark"),
        ({"id": "7"}, "Bench has no such sample"),
        ({"flipped": "nothing"}, "no such run"),
        ({"flipped": name(results, "second")}, "--flipped .*second"),
    ):
        with pytest.raises(UsageError, match=said):
            shown(results, **asked)
    (path,) = results.glob("second-*/*/Bench/samples.jsonl")
    path.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        shown(results)


def test_a_benchmark_that_failed(tmp_path: Path) -> None:
    found = stored(tmp_path, "a", {})
    facts = {key: getattr(found.run, key) for key in found.run.__dataclass_fields__}
    run = type(found.run)(**{**facts, "outcomes": (failure("Bench"),)})
    write_run(FoundRun(found.path, run).path, run)
    with pytest.raises(IncompleteError, match="a has no score: no module named foo"):
        shown(tmp_path, "a")


def test_two_runs_of_one_checkpoint_have_different_names(tmp_path: Path) -> None:
    for limit in (None, "2"):
        stored(tmp_path, "a", {"Bench": samples([1, 0])}, limit=limit)
    (directory,) = tmp_path.glob("a-*/*")
    out = io.StringIO()
    asked = Asked(benchmark="Bench", flipped=str(directory / "run@2.json"))
    show(str(directory / "run.json"), asked, tmp_path, Console(file=out, width=80))
    assert "0 worse and 0 better than in a @2" in out.getvalue()


def test_long_names_stay_whole_on_a_terminal(tmp_path: Path) -> None:
    names = [f"smolvlm2-2.2b-docmix-lr2e-5-checkpoint-{step}" for step in (500, 2000)]
    first, _ = [stored(tmp_path, each, {"Bench": samples([n, 0])}) for n, each in enumerate(names)]
    text = shown(tmp_path, names[1], width=80, flipped=str(first.path))
    table = text[text.index("sample") :].splitlines()
    assert [line[:24].rstrip() for line in table if line.startswith(("smol", "lr2e", "check"))] == [
        *("smolvlm2-2.2b-docmix-", "lr2e-5-checkpoint-500"),
        *("smolvlm2-2.2b-docmix-", "lr2e-5-checkpoint-2000"),
    ]


def test_the_command(results: Path) -> None:
    def evalsuite(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "evalsuite", "show", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    where = ("--output-dir", str(results))
    done = evalsuite(name(results, "second"), "-b", "Bench", "--wrong", "-n", "1", *where)
    assert (done.returncode, done.stderr, ids(done.stdout)) == (0, "", ["1"])
    for arguments, said in (
        (("--wrong", "--flipped", "x", "-b", "Bench"), "give one of them"),
        (("-n", "0", "-b", "Bench"), "-n"),
        ((), "name one with -b"),
    ):
        done = evalsuite(name(results, "second"), *arguments, *where)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
