"""The leaderboard: what is ranked, what a new run changes, and whose file it is."""

from pathlib import Path

import pytest

from evalsuite.errors import UsageError
from evalsuite.report import leaderboard
from evalsuite.results import Run
from tests.reported import found, run, score, settings, several
from tests.test_report import golden, parsed


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
    path.write_bytes(before + f"{leaderboard.BEGIN}\r\nold\r\n{leaderboard.END}".encode() + after)
    hostile = run(leaderboard.END, score("A", 1.0))
    for _ in range(2):
        write([hostile], path)
        content = path.read_bytes()
        assert content.startswith(before + leaderboard.BEGIN.encode())
        assert content.endswith(leaderboard.END.encode() + after)
        assert b"old" not in content
        assert parsed(content.decode())[1][0] == leaderboard.END


@pytest.mark.parametrize(
    "foreign",
    ["# My notes\n", f"{leaderboard.BEGIN}\n", f"{leaderboard.END}\n{leaderboard.BEGIN}\n",
     f"inline {leaderboard.BEGIN} {leaderboard.END}\n"],
)  # fmt: skip
def test_a_foreign_file_is_never_overwritten(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "LEADERBOARD.md"
    path.write_text(foreign)
    with pytest.raises(UsageError, match="has no single pair of lines"):
        write(several(), path)
    assert path.read_text() == foreign


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "LEADERBOARD.md"
    path.write_text("\n")
    write(several(), path)
    assert path.read_text().startswith(f"# Leaderboard\n\n{leaderboard.BEGIN}\n")


def test_nothing_to_rank(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no complete run among 1 run:"):
        write([run("a", score("A", 1.0), limit="9")], tmp_path / "LEADERBOARD.md")
    assert not list(tmp_path.iterdir())
