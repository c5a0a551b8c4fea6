"""The word lint finds banned words in documents, strings, comments and names, and nothing else."""

import subprocess
from pathlib import Path

import pytest

from tools import lint_words


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lint_words, "ROOT", tmp_path)
    return tmp_path


def found(path: Path, text: str) -> list[tuple[int, str]]:
    path.write_text(text, encoding="utf-8")
    return sorted((finding.line, finding.word) for finding in lint_words.check(path))


def test_a_document(root: Path) -> None:
    text = "# Title\n\nThe file stands here. It is held\nagainst the other.\n"
    assert found(root / "page.md", text) == [(3, "held against"), (3, "stands")]


def test_python_strings_comments_and_names(root: Path) -> None:
    text = (
        '"""A docstring\n\nthat minds clusters."""\n'
        "# A phrase that is held\n# against the other.\n"
        'message = f"{count} so many"\n'
        "def two_roads(): ...\n"
    )
    assert found(root / "module.py", text) == [
        (3, "minds"), (4, "held against"), (6, "so many"), (7, "roads"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["LR stands for learning rate", "understand", "believe", "broad", "standard"]
)
def test_plain_words_pass(root: Path, text: str) -> None:
    assert found(root / "page.md", text) == []


def works(command: str) -> bool:
    """Whether `command` can be run: a name on the PATH may belong to another user."""
    try:
        return subprocess.run([command, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def test_lines_that_are_marked_as_data_pass(root: Path) -> None:
    assert found(root / "module.py", 'A = "Nobody"  # words: data\nB = "Nobody"\n') == [
        (2, "Nobody")
    ]


@pytest.mark.skipif(not works("git"), reason="the command asks git for the files")
def test_the_command_counts_and_fails(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q", root], check=True)
    (root / "bad.md").write_text("nobody\n", encoding="utf-8")
    (root / "good.md").write_text("everyone\n", encoding="utf-8")
    assert lint_words.main([]) == 1
    assert "bad.md:1: nobody" in capsys.readouterr().out
    assert lint_words.main(["good.md"]) == 0
