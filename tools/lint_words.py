"""Report words that make the project's prose hard to read, with plain replacements.

    python tools/lint_words.py [PATH...]          # all texts of the repository by default
    python tools/lint_words.py --count [PATH...]  # findings per directory

Checks documents, help, messages, docstrings, comments and names. Prints ``file:line: word →
suggestion`` for each finding and exits with 1 if there is one. CONTRIBUTING.md explains the style.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".js", ".css", ".html", ".j2", ".toml", ".sh", ".cff"}
NAMES = {"Makefile"}
SKIPPED = ("tools/lint_words.py", "tests/golden/", "tests/test_lint_words.py", "LICENSE", "NOTICE")
"""The ban list itself, and files that are generated or legal texts."""

BANNED: dict[str, str] = {
    r"stands?|stood": "is, is in, is at, applies, remains",
    r"lies?|lying|lay(?! ?out)": "is, is in, is stored",
    r"minds?|minded": "accounts for, uses, considers",
    r"is had|to be had|be had": "available",
    r"(?:held|holds?|holding) (?:\w+ ){0,3}against": "compared with",
    r"roads?": "implementation, path",
    r"nobody|somebody|whoever": "name the actor, or use the passive",
    r"if nobody says?|nobody says?|if not said|not said": "[default: …], by default",
    r"so (?:many|much|few)": "a number, N, this number of",
    r"mend(?:s|ed|ing)?|unmended": "fix, repair, workaround",
    r"ask(?:s|ed|ing)? again|again asked": "repeat, rerun, retry",
    r"(?:asked|scored|worded|said|spelled|spelt) otherwise": "with different settings",
    r"\w+ times in (?:100|a hundred)|hardly ever|nearly always": "a percentage",
    r"luck|lucky": "chance, random variation, selection bias",
    r"sa(?:y|ys|id) (?:so|otherwise)": "state, report, declare",
    r"in silence": "silently",
    r"all the same": "nevertheless, still",
    r"(?:at|to) hand": "available",
    r"(?:is|are|was) done without|do without|will not do": "dropped, skipped, unsuitable",
    r"heed(?:s|ed)?|shun(?:s|ned)?|epitaphs?|bury|buried": "handle, excluded, exit reason, stop",
    r"hir(?:e|es|ed|ing)|dismiss(?:ed|es)?|employment": "start, stop, worker",
    r"goes? by|went by": "follows, uses",
    r"no excuse|knows? nothing|knows? no|wants? to": "state the fact",
    r"borne|whereof|therein|thereof|lest|besides|hither|thus": "use a common word",
    r"is its (?:own )?right|has its (?:last )?words?|whole story": "state the fact",
    r"taken? to be": "assumed to be",
    r"behind (?:it|them|its name)": "after",
    r"parted": "split",
    r"told apart": "distinguished",
    r"what (?:it|they) is worth|worth (?:more|less)": "value, score",
    r"to be told|cannot tell|can tell|could not tell": "determine, detect",
    r"as it lies|as they lie": "in place",
    r"never obeyed|obeys?": "interpreted",
    r"by (?:some|many|few) points": "by a number of points",
}
"""Pattern (whole words, any case) → what to write instead."""

ALLOWED: tuple[str, ...] = (
    r"stands? for",
    r"(?:non|re)?understood|understands?",
    r"stand-ins?",
)
"""Phrases that are plain although they contain a banned word."""

DATA = "# words: data"
"""The end of a line whose texts are data, such as a question of a test."""

_SPACES = r"[\s#]+"
_PATTERNS = [
    (re.compile(rf"\b(?:{words.replace(' ', _SPACES)})\b", re.IGNORECASE), plain)
    for words, plain in BANNED.items()
]
_ANY = re.compile("|".join(pattern.pattern for pattern, _ in _PATTERNS), re.IGNORECASE)
_ALLOWED = re.compile("|".join(rf"\b(?:{phrase})\b" for phrase in ALLOWED), re.IGNORECASE)


class Finding(NamedTuple):
    """One banned word: the file, its line, the word as written, what to write instead."""

    path: Path
    line: int
    word: str
    plain: str


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each text of a file with the number of its first line."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield 1, source
        return
    comments: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            # Consecutive comment lines are one text: a phrase may continue on the next line.
            if comments and line != last + 1:
                yield first, "\n".join(comments)
                comments = []
            if not comments:
                first = line
            comments.append(token.string)
            last = line
        elif token.type == tokenize.NAME:
            yield line, re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", token.string)
        elif token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            yield line, token.string.replace("_", " ")
    if comments:
        yield first, "\n".join(comments)


def check(path: Path) -> Iterator[Finding]:
    """Find the banned words of one file; a name that repeats on a line counts once."""
    lines = path.read_text(encoding="utf-8").splitlines()
    seen = {(line, "") for line, text in enumerate(lines, 1) if text.endswith(DATA)}
    for first, text in texts(path):
        if _ANY.search(text) is None:
            continue
        allowed = [match.span() for match in _ALLOWED.finditer(text)]
        for pattern, plain in _PATTERNS:
            for match in pattern.finditer(text):
                if any(start <= match.start() < end for start, end in allowed):
                    continue
                line = first + text.count("\n", 0, match.start())
                word = " ".join(match[0].replace("#", " ").split())
                if (line, word) not in seen and (line, "") not in seen:
                    seen.add((line, word))
                    yield Finding(path, line, word, plain)


def files(names: list[str]) -> list[Path]:
    """All tracked or new text files under the given paths, or of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *names],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    chosen = [name for name in listed if Path(name).suffix in SUFFIXES or Path(name).name in NAMES]
    paths = [ROOT / name for name in chosen if not name.startswith(SKIPPED)]
    return sorted(path for path in paths if path.exists())


def room(path: Path) -> str:
    """The directory that a finding is counted under."""
    parts = path.relative_to(ROOT).parts
    depth = 2 if parts[0] == "evalsuite" and len(parts) > 2 else 1
    return "/".join(parts[:depth])


def main(arguments: list[str] | None = None) -> int:
    """Print all findings, or their counts; returns 1 if there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("paths", nargs="*", help="files or directories [default: all]")
    parser.add_argument("--count", action="store_true", help="print counts per directory only")
    given = parser.parse_args(arguments)
    findings = [found for path in files(given.paths) for found in check(path)]
    if given.count:
        for name, count in sorted(Counter(room(found.path) for found in findings).items()):
            print(f"{count:6}  {name}")
        print(f"{len(findings):6}  in all")
    else:
        for path, line, word, plain in findings:
            print(f"{path.relative_to(ROOT)}:{line}: {word} → {plain}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
