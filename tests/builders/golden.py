"""Golden files, and tables parsed back from markdown."""

from __future__ import annotations

import os
from pathlib import Path

from markdown_it import MarkdownIt

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str, shown: str) -> None:
    path = GOLDEN / name
    shown = "".join(f"{line.rstrip()}\n" for line in shown.splitlines())
    if os.environ.get("EVALSUITE_GOLDEN") == "write":
        path.write_text(shown)
    assert shown == path.read_text(), f"{path} differs; see the docstring of {__file__}"


def parsed(source: str) -> list[list[str]]:
    """The cells of the tables in a markdown text, as a reader sees them."""
    rows: list[list[str]] = []
    cell = False
    bold = {"strong_open", "strong_close"}
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("th_open", "td_open", "paragraph_open"):
            cell = token.type != "paragraph_open"
        if token.type == "inline" and cell:
            kinds = {child.type for child in token.children or []}
            assert kinds <= {"text", "text_special", "html_inline", *bold}, token.content
            tags = {c.content for c in token.children or [] if c.type == "html_inline"}
            assert tags <= {"<sup>", "</sup>"}, token.content
            rows[-1].append(
                "".join(c.content for c in token.children or [] if c.type != "html_inline")
            )
    return rows
