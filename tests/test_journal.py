"""Nothing is lost to a kill or a full disk, and nothing is invented after one."""

import dataclasses
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.errors import UsageError
from evalsuite.runs.journal import Journal, answered, peek, read_header, read_predictions
from evalsuite.runs.records import SCHEMA, Prediction

HEADER = {"benchmark": "B", "data_digest": "d", "max_new_tokens": 8}
AWKWARD = [
    "", "None", "N/A", "nan", "=1+1", "a\tb", 'say "x"', "two\nlines", "cr\r\nlf", "\x00\x01\x1b",
    "🦆", "\ud800 alone", "x" * 100_000, "\u2028 separator \x85 next",
]  # fmt: skip


def prediction(id_: str, text: str = "yes", ended: str = "stop") -> Prediction:
    return Prediction(
        id=id_,
        prompt_digest="p",
        text=text,
        tokens=1,
        ended=ended,  # type: ignore[arg-type]
    )


def test_predictions_are_read_as_written(tmp_path: Path) -> None:
    wanted = [prediction(str(i), text) for i, text in enumerate(AWKWARD)]
    journal = Journal(tmp_path, HEADER)
    journal.append(wanted)
    journal.close()
    assert list(Journal(tmp_path, HEADER).predictions.values()) == wanted
    assert list(peek(tmp_path, HEADER).values()) == wanted


@settings(deadline=None)  # it waits for the disk
@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_text_survives(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(Path(directory), HEADER)
        journal.append([prediction("1", text)])
        assert Journal(Path(directory), HEADER).predictions["1"].text == text


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_truncated_journal_keeps_its_complete_lines(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        journal = Journal(directory, HEADER)
        journal.append([prediction("1", "a\nb"), prediction("2", "ü"), prediction("3")])
        journal.close()
        raw = (directory / "predictions.jsonl").read_bytes()
        cut = data.draw(st.integers(0, len(raw)))
        (directory / "predictions.jsonl").write_bytes(raw[:cut])
        whole = max(0, raw[:cut].count(b"\n") - 1)
        again = Journal(directory, HEADER)
        assert list(again.predictions) == ["1", "2", "3"][:whole]
        again.append([prediction("4")])
        again.close()
        lines = (directory / "predictions.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines[1:]] == [*["1", "2", "3"][:whole], "4"]


def test_the_last_answer_to_a_sample_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEADER)
    journal.append([prediction("1", "", "error")])
    assert not answered(journal.predictions, "1")
    journal.append([prediction("1", "better")])
    assert answered(journal.predictions, "1")
    journal.close()
    assert Journal(tmp_path, HEADER).predictions["1"].text == "better"


def test_a_finished_journal_does_not_depend_on_its_sessions(tmp_path: Path) -> None:
    contents = []
    for name, order in (("a", "132"), ("b", "213")):
        journal = Journal(tmp_path / name, HEADER)
        journal.append([prediction(order[0], "", "error")])
        for id_ in order:
            journal.append([prediction(id_)])
        journal.finish(["1", "2", "3"])
        journal.append([])
        journal.close()
        contents.append((tmp_path / name / "predictions.jsonl").read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].count(b"\n") == 4


def test_predictions_under_another_header_are_moved_and_reused(tmp_path: Path) -> None:
    first = Journal(tmp_path, HEADER)
    first.append([prediction("1", "eight tokens")])
    first.close()
    longer = {**HEADER, "max_new_tokens": 16}
    second = Journal(tmp_path, longer)
    assert second.predictions == {}
    second.append([prediction("1", "sixteen tokens")])
    second.close()
    assert peek(tmp_path, HEADER)["1"].text == "eight tokens"
    assert Journal(tmp_path, HEADER).predictions["1"].text == "eight tokens"
    assert Journal(tmp_path, longer).predictions["1"].text == "sixteen tokens"


def test_journals_of_shards_are_merged(tmp_path: Path) -> None:
    whole = Journal(tmp_path, HEADER)
    whole.append([prediction("1", "known"), prediction("2", "", "error")])
    whole.close()
    before = (tmp_path / "predictions.jsonl").read_bytes()
    first, second = (Journal(tmp_path, HEADER, f"shard-{i}-of-2") for i in (1, 2))
    assert answered(first.predictions, "1")
    assert not answered(first.predictions, "2")
    first.append([prediction("2", "better"), prediction("3", "", "error")])
    second.append([prediction("5"), prediction("4")])
    second.finish(["4", "5"])
    assert (tmp_path / "predictions.jsonl").read_bytes() == before
    lines = (tmp_path / "predictions.shard-2-of-2.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines[1:]] == ["4", "5"], "its own alone"
    with (tmp_path / "predictions.shard-2-of-2.jsonl").open("a") as file:
        file.write('{"id": "torn')
    assert set(peek(tmp_path, HEADER)) == set("12345")
    first.close()
    second.close()

    other = Journal(tmp_path, {**HEADER, "max_new_tokens": 16}, "shard-1-of-2")
    assert other.predictions == {}, "set aside, as a whole's would be"
    other.close()
    gathered = Journal(tmp_path, HEADER)
    assert {i: p.text for i, p in gathered.predictions.items()} == {
        "1": "known", "2": "better", "3": "", "4": "yes", "5": "yes",
    }  # fmt: skip
    gathered.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "predictions.jsonl", "predictions.shard-1-of-2.jsonl",
    ]  # fmt: skip
    assert (tmp_path / "predictions.jsonl").read_bytes().count(b"\n") == 6


def written(directory: Path) -> list[str]:
    """The ids in a closed journal, in order."""
    lines = (directory / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line)["id"] for line in lines[1:]]


def test_unlisted_predictions_follow_the_listed_ones_by_id(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEADER)
    journal.append([prediction(id_) for id_ in "51423"])
    journal.finish(["4", "2"])
    journal.append([prediction("0")])
    journal.close()
    assert written(tmp_path) == ["4", "2", "1", "3", "5", "0"]


def test_a_journal_in_order_is_not_written_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEADER)
    journal.append([prediction("2"), prediction("1")])
    before = journal.path.stat().st_ino
    journal.finish(["2", "1"])
    assert journal.path.stat().st_ino == before
    journal.finish(["1", "2"])
    assert journal.path.stat().st_ino != before
    journal.close()


def test_forgotten_predictions_are_deleted(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEADER)
    journal.append([prediction(id_) for id_ in "132"])
    before = journal.path.stat().st_ino
    journal.forget(["9"])
    assert journal.path.stat().st_ino == before, "nothing to delete"
    journal.forget(["3", "9"])
    journal.append([prediction("4")])
    assert list(journal.predictions) == ["1", "2", "4"]
    journal.close()
    assert written(tmp_path) == ["1", "2", "4"]


def test_an_answer_of_a_shard_replaces_a_failure_and_never_the_reverse(tmp_path: Path) -> None:
    whole = Journal(tmp_path, HEADER)
    whole.append([prediction("1", "known"), prediction("2", "old"), prediction("3", "", "error")])
    whole.close()
    shard = Journal(tmp_path, HEADER, "shard-1-of-1")
    shard.append([prediction("1", "", "error"), prediction("2", "new"), prediction("3", "now")])
    shard.close()
    found = {id_: p.text for id_, p in peek(tmp_path, HEADER).items()}
    assert found == {"1": "known", "2": "new", "3": "now"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["not json"], "line 1 is damaged"),
        (["[]"], "line 1 is damaged"),
        (["{}"], "is not a journal"),
        (['{"schema": "1"}'], "is not a journal"),
        ([json.dumps({"schema": SCHEMA, **HEADER}), '{"id": "1"}'], "line 2 is damaged"),
    ],
)
def test_a_damaged_journal_is_an_error_and_not_changed(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    text = "".join(f"{line}\n" for line in lines)
    (tmp_path / "predictions.jsonl").write_text(text)
    with pytest.raises(UsageError, match=said):
        Journal(tmp_path, HEADER)
    assert (tmp_path / "predictions.jsonl").read_text() == text


def test_a_journal_that_cannot_be_read_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"predictions.jsonl: cannot be read: No such file"):
        read_predictions(tmp_path / "predictions.jsonl")
    (tmp_path / "predictions.jsonl").mkdir()
    for read in (read_header, read_predictions):
        with pytest.raises(UsageError, match=r"predictions.jsonl: cannot be read"):
            read(tmp_path / "predictions.jsonl")


def test_a_newer_journal_is_refused_and_not_changed(tmp_path: Path) -> None:
    text = '{"schema": 99, "benchmark": "B"}\n{"id": "1"}\n'
    (tmp_path / "predictions.jsonl").write_text(text)
    with pytest.raises(UsageError, match=r"newer evalsuite.*schema 99"):
        Journal(tmp_path, HEADER)
    assert (tmp_path / "predictions.jsonl").read_text() == text


FILL = """
import resource, sys
from pathlib import Path
from evalsuite.errors import DiskError
from evalsuite.runs.journal import Journal
from evalsuite.runs.records import Prediction
journal = Journal(Path(sys.argv[1]), {"benchmark": "B", "data_digest": "d", "max_new_tokens": 8})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # the disk "fills up" at 20 kB
try:
    for i in range(1000):
        journal.append([Prediction(id=str(3 * i + k), prompt_digest="p", text="x" * 100, tokens=1,
                                   ended="stop") for k in range(3)])
except DiskError as error:
    print(i, error)
"""


def test_a_full_disk_leaves_complete_lines(tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    batches, _, message = out.partition(" ")
    assert "disk is full" in message
    raw = (tmp_path / "predictions.jsonl").read_bytes()
    assert raw.endswith(b"\n")
    assert len(raw) <= 20_000
    again = Journal(tmp_path, HEADER)
    assert list(again.predictions) == [str(i) for i in range(3 * int(batches))]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000
    again.append([prediction("more")])


GOOD = {"id": "0", "prompt_digest": "p", "text": "yes", "tokens": 1, "ended": "stop", "error": None}


@pytest.mark.parametrize(
    "line",
    [
        "garbage", "[1]", "null", "{}", "[" * 100_000, json.dumps(GOOD | {"text": 5}),
        json.dumps(GOOD | {"text": None}), json.dumps(GOOD | {"id": 3}),
        json.dumps(GOOD | {"tokens": "1"}), json.dumps(GOOD | {"tokens": True}),
        json.dumps(GOOD | {"ended": "stopped"}), json.dumps(GOOD | {"error": []}),
        json.dumps(GOOD | {"more": 1}), "\x00\x00",
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    journal = Journal(tmp_path, HEADER)
    journal.append([prediction(str(i)) for i in range(20)])
    journal.close()
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text("".join([*lines[:12], line + "\n", *lines[13:]]))
    for read in (Journal, peek):
        with pytest.raises(UsageError) as raised:
            read(tmp_path, HEADER)
        assert str(raised.value).startswith(f"{journal.path}: line 13 is damaged; ")


def test_answers_under_other_data_are_found_by_prompt(tmp_path: Path) -> None:
    for digest, text in (("a", "old"), ("b", "new")):
        journal = Journal(tmp_path, HEADER | {"data_digest": digest})
        answers = [prediction("0", text), prediction("1", "", "error")]
        journal.append([dataclasses.replace(p, prompt_digest=text) for p in answers])
        journal.close()
    other = Journal(tmp_path, HEADER | {"data_digest": "c"})
    assert other.predictions == {}
    assert {digest: p.text for digest, p in other.earlier.items()} == {"old": "old", "new": "new"}
    assert Journal(tmp_path, HEADER | {"max_new_tokens": 9}).earlier == {}
