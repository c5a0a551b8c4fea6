"""The leaderboard: ranking, changes by a new run, and files with other content."""

import dataclasses
import difflib
import random
import re
from pathlib import Path

import pytest

from evalsuite.checkpoint.checkpoint import read
from evalsuite.errors import UsageError
from evalsuite.report.export import leaderboard
from evalsuite.report.export.leaderboard import BEGIN, END
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.layout import run_paths, settings_digest
from evalsuite.runs.records import Run
from tests.builders.golden import golden, parsed
from tests.builders.hostile import HOSTILE
from tests.builders.runs import failure, found, run, score, settings, several
from tests.builders.stored_runs import samples, stored


def write(runs: list[Run], path: Path) -> None:
    leaderboard.write(found(runs), path)


def test_the_leaderboard(tmp_path: Path) -> None:
    path = tmp_path / "LEADERBOARD.md"
    runs = [*several(), run("limited", score("A", 1.0), limit="50"),
            run("native", score("DemoDigits", 50.0), settings=settings(prompts="native")),
            run("cut", score("A", 1.0), finished=None)]  # fmt: skip
    write(runs, path)
    golden("LEADERBOARD.md", path.read_text())
    first = path.read_bytes()
    write(runs[::-1], path)
    assert path.read_bytes() == first, "the same runs make the same file, in any order"


def test_the_leaderboard_is_sorted_by_average_then_name() -> None:
    averages = {"b": 50.0, "c": 70.0, "a": 50.0}
    board = leaderboard.leaderboard(found([run(n, score("A", s)) for n, s in averages.items()]))
    assert [row[:2] for row in parsed(board)[1:]] == [["c", "70.0"], ["a", "50.0"], ["b", "50.0"]]


def test_only_the_part_between_the_markers_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "LEADERBOARD.md"
    before, after = b"\xef\xbb\xbf# Ours\r\n\r\n", b"\r\nThe end, without a newline"
    path.write_bytes(before + f"{BEGIN}\r\nold\r\n{END}".encode() + after)
    hostile = run(END, score("A", 1.0))
    for _ in range(2):
        write([hostile], path)
        content = path.read_bytes()
        assert content.startswith(before + BEGIN.encode())
        assert content.endswith(END.encode() + after)
        assert b"old" not in content
        assert parsed(content.decode())[1][0] == END


@pytest.mark.parametrize(
    "foreign",
    ["# My notes\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n",
     f"inline {BEGIN} {END}\n"],
)  # fmt: skip
def test_a_foreign_file_is_never_overwritten(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "LEADERBOARD.md"
    path.write_text(foreign)
    with pytest.raises(UsageError, match=re.escape(BEGIN)):
        write(several(), path)
    assert path.read_text() == foreign


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "LEADERBOARD.md"
    path.write_text("\n")
    write(several(), path)
    assert path.read_text().startswith(f"# Leaderboard\n\n{BEGIN}\n")


def test_nothing_to_rank(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no complete run among 1 run:"):
        write([run("a", score("A", 1.0), limit="9")], tmp_path / "LEADERBOARD.md")
    assert not list(tmp_path.iterdir())


# Whose file it is


def test_windows_line_ends_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(f"# Ours\r\n{BEGIN}\r\n{END}\r\nThe end\r\n".encode())
    write(several(), path)
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 10
    assert b"\r\r" not in content
    write(several(), path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("opened", "closed"),
    [("```", "```"), ("~~~~ markdown", "~~~~~"), ("  ```markdown", "````"), ("~~~", "~~~  ")],
)
def test_markers_in_a_code_block_are_ignored(tmp_path: Path, opened: str, closed: str) -> None:
    path = tmp_path / "README.md"
    example = f"Write\n\n{opened}\n{BEGIN}\n{END}\n{closed}\n\nthen\n\n"
    path.write_text(f"{example}{BEGIN}\n{END}\nlast")
    for _ in range(2):
        write(several(), path)
        content = path.read_text()
        assert content.startswith(f"{example}{BEGIN}\nWritten by")
        assert content.endswith(f"{END}\nlast")


@pytest.mark.parametrize(
    "around",
    ["```\n{}\n", "~~~\n{}\n```\n", "```\n~~~\n{}\n```", "````\n```\n{}\n```\n````", "    {}",
     "> {}", "text {}"],
)  # fmt: skip
def test_a_file_with_markers_in_code_only_is_not_changed(tmp_path: Path, around: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(foreign := around.format(f"{BEGIN}\n{END}") + "\nlast\n")
    if around.startswith(("    ", ">", "text")):
        path.write_text(foreign := foreign.replace(END, f" {END}"))
    with pytest.raises(UsageError, match=re.escape(BEGIN)):
        write(several(), path)
    assert path.read_text() == foreign


def test_inline_code_does_not_open_a_block(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"```x``` is code\n{BEGIN}\n{END}\n")
    write(several(), path)
    assert "Written by" in path.read_text()


def test_file_mode_and_symbolic_links_are_kept(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    path, link = tmp_path / "docs" / "board.md", tmp_path / "LEADERBOARD.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    path.chmod(0o640)
    link.symlink_to("docs/board.md")
    write(several(), link)
    assert link.is_symlink()
    assert "Written by" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert [item.name for item in (tmp_path / "docs").iterdir()] == ["board.md"]


def test_a_symbolic_link_to_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "LEADERBOARD.md").symlink_to("docs/board.md")
    write(several(), tmp_path / "LEADERBOARD.md")
    assert (tmp_path / "docs" / "board.md").read_text().startswith("# Leaderboard")


@pytest.mark.parametrize("name", [*HOSTILE, BEGIN, f"x\n{END}\ny", "```", "www.a.example"])
def test_no_name_can_be_a_marker(tmp_path: Path, name: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    hostile = run(
        name, score(name, 1.0), failure("x", name), score("y", 2.0, judge=JudgeId(name, name))
    )
    for _ in range(2):
        write([hostile, run("b", score("y", 1.0)), run(name, limit="9")], path)
        lines = path.read_text().splitlines()
        assert (lines[0], lines[1], lines[-2], lines[-1]) == ("before", BEGIN, END, "after")
        assert lines.count(BEGIN) == lines.count(END) == 1


# What a new run changes


def made(number: int, **more: object) -> Run:
    names = ["DemoDigits", "DemoYesNo", "DemoShapes", "VideoA", "VideoB"]
    order = random.Random(number).sample(names, len(names))
    outcomes = [score(name, 10.0 + number + 3 * len(name), unparsed=number % 3) for name in order]
    return run(f"checkpoint-{number}", *outcomes, digest=f"{number:016x}", **more)


def changed(before: list[Run], after: list[Run]) -> list[str]:
    """The lines that one leaderboard has and the other has not."""
    boards = [leaderboard.leaderboard(found(runs)).splitlines() for runs in (before, after)]
    return [line for line in difflib.ndiff(*boards) if line[0] in "+-"]


def test_a_new_run_only_adds_lines() -> None:
    runs = [made(number) for number in (3, 4, 7)]
    lines = changed(runs, [*runs, made(5)])
    assert len(lines) == 2
    assert lines[0].startswith("+ | checkpoint-5 | ")
    assert lines[1].startswith("+ - † checkpoint-5 0000")
    long = dataclasses.replace(
        made(6), checkpoint=dataclasses.replace(made(6).checkpoint, name="a-very-long-name" * 9)
    )
    assert len(changed(runs, [*runs, long])) == 1, "made(6) has nothing to note"


def test_other_settings_add_a_line() -> None:
    runs = [made(number) for number in (3, 6)]
    other = settings(dtype="bfloat16", engine="evalsuite-9")
    lines = changed(runs, [*runs, made(9, settings=other)])
    digest = settings_digest(other)[:8]
    assert [line[:12] for line in lines] == ["+ | checkpoi", "+ - settings"]
    assert f"| bfloat16 | {digest} |" in lines[0]
    said = "dtype bfloat16, engine evalsuite-9, prompts vlmevalkit"
    assert lines[1] == f"+ - settings {digest}: {said}"


def test_the_settings_digest_is_the_name_of_the_runs_directory(tmp_path: Path) -> None:
    known = {"prompts": "vlmevalkit", "dtype": "float32", "blind": False}
    assert (
        run_paths(tmp_path, read("demo"), known, None).directory.name == settings_digest(known)[:8]
    )


def test_the_order_of_runs_does_not_matter() -> None:
    runs = [made(number) for number in range(8)]
    boards = {leaderboard.leaderboard(found(random.Random(n).sample(runs, 8))) for n in range(5)}
    assert len(boards) == 1


def test_a_checkpoint_has_one_row() -> None:
    once = run("a", score("A", 1.0), score("B", 2.0), finished="2026-11-22T19:30:00Z")
    less = run("a", score("A", 9.0), finished="2026-11-25T00:00:00Z")
    later = run("a", score("A", 3.0), score("B", 4.0), finished="2026-11-24T00:00:00Z")
    for order in ([once, less, later], [later, less, once]):
        rows = parsed(leaderboard.leaderboard(found(order)))[1:]
        assert [row[:4] for row in rows] == [["a", "3.5", "3.0 ± 2.2", "4.0 ± 2.2"]]
    both = [once, run("a", score("A", 1.0), score("B", 2.0), settings=settings(dtype="float16"))]
    assert len(parsed(leaderboard.leaderboard(found(both)))) == 3


def test_runs_that_are_not_ranked_are_listed() -> None:
    runs = [
        run("whole", score("A", 1.0)),
        run("guess", score("A", 99.0), settings=settings(blind=True)),
        run("cut", score("A", 1.0), finished=None),
        run("part", score("A", 1.0), limit="50"),
        run("broken", failure("A"), failure("B")),
    ]
    board = leaderboard.leaderboard(found(runs))
    assert [row[0] for row in parsed(board)[1:]] == ["whole"]
    assert board.endswith(
        "Not ranked: blind runs of guess.\n\nNot ranked: unfinished runs of cut.\n\n"
        "Not ranked: runs with --limit of part.\n\nNot ranked: runs without a score of broken.\n"
    )


def test_different_conditions_are_listed() -> None:
    board = leaderboard.leaderboard(
        found(
            [
                run("a", score("A", 1.0)),
                run("b", score("A", 1.0, judge=JudgeId("gpt-4o", "https://api.openai.com/v1"))),
            ]
        )
    )
    lines = [line for line in board.splitlines() if line.startswith(("- A:", "- not comparable"))]
    how = (
        "- A: dataset A, data dddddddd, prompts vlmevalkit, prompt format default, token limit 8, "
        "metric choice, judge"
    )
    assert lines == [
        f"{how} exact, 300 samples", f"{how} gpt-4o, 300 samples",
        "- not comparable: A was run with different judge: exact, gpt-4o",
    ]  # fmt: skip


def test_the_best_is_bold_in_the_leaderboard(tmp_path: Path) -> None:
    good = stored(tmp_path, "good", {"A": samples([1.0] * 60)})
    poor = stored(tmp_path, "poor", {"A": samples([0.0] * 30 + [1.0] * 30)})
    board = leaderboard.leaderboard([poor, good])
    rows = [line.split(" | ")[:3] for line in board.splitlines() if line.startswith("| ")]
    assert rows[2] == ["| good", "**100.0**", "**100.0 ± 2.2**"]
    assert rows[3] == ["| poor", "50.0", "50.0 ± 2.2"]
    assert "- **bold**: best of its column" in board
