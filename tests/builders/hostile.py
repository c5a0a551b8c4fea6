"""Texts with markup, control characters and other scripts."""

from __future__ import annotations

from hypothesis import strategies as st

HOSTILE = [
    "a|b", "a\\|b", "ends in \\", "two\nlines", "`code`", "<b>bold</b>", "$x_1$ and $y$", "*star*",
    "_under_", "[red]markup[/red]", "[/]", "![i](u)", "&lt;", "~~struck~~", "# heading", "- item",
    "\x1b[31mred", "\u202eright to left", "not utf-8 \udce9", "<!-- evalsuite:leaderboard:end -->",
    "漢字", ":smile:", "<sup>a</sup>",
]  # fmt: skip


NASTY = [
    "", " ", "None", "N/A", "nan", "null", "NA", "-nan", "=1+1", "{=A1}", "+1", "-1", "@x", "\t",
    "\n", "\r", "\r\n", "a\rb", "A\tB", '"', '""', "'", "\\", "\\n", "\0", "A\0", "\x01", "\x1a",
    "\ufeff", "\ufeffA", "\ud800", "A\udfff", "\ud83d\ude00", "😀", "Yes\r", "no\n", "1", "01",
    "1.0", "1e5", "True", "TRUE", "∅", "\ufffd", "[1]", "['A']", "{", "{}", "%s", "\\frac{a}{b}",
    "<script>", "İ", "ﬁ", "\u2028", "A" * 100_000, "cat " * 25_000, "1," * 50_000, ". " * 50_000,
    "((((" * 25_000, "yes no " * 14_000, "Failed to obtain answer via API.",
]  # fmt: skip


TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.lists(
        st.sampled_from(
            ["A", "B", "C", "D", "E", "Z", "cat", "dog", "None", "007", "Yes", "no", "red", "Blue",
             "42", "Hello World", "the", "Answer:", "The answer is", "down", "-1.5", "1,000",
             "[1, 42]", "B. down", "Caption B", "(B)", "\\boxed{", "}", " ", ".", ",", "\n", "(",
             ")"]
        ),
        max_size=8,
    ).map("".join),
)  # fmt: skip
