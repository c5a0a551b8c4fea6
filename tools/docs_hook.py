"""MkDocs hook: add pages that are generated from the code, and adapt links for the site.

Generated pages are not committed, so they cannot be out of date. `PAGES` lists them;
tests/test_docs.py builds each one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from posixpath import dirname, normpath, relpath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def _cell(text: str) -> str:
    """A text in a cell of a markdown table."""
    return text.replace("|", r"\|").replace("\n", " ")


def _table(headings: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"
    yield ""


def _plain(text: str) -> str:
    """Help without rich's markup, the pages that it names as links."""
    text = re.sub(r"(?<!\\)\[/?(?:bold|italic|dim)\]", "", text).replace("\\[", "[")
    return re.sub(r"docs/([\w/-]+\.md)", lambda page: f"[{page[1]}](../{page[1]})", text)


def command_line() -> str:
    """The page of all commands with their arguments, options and defaults."""
    import typer

    from evalsuite.cli import app

    root: Any = typer.main.get_command(app)
    lines = ["# Command line", "", _plain(root.help or ""), ""]
    lines += ["`evalsuite COMMAND --help` prints the text of one command.", ""]
    for name, command in root.commands.items():
        context = typer.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## evalsuite {name}", "", f"`evalsuite {name} {usage}`", ""]
        lines += [_plain(command.help or ""), ""]
        rows: dict[str, list[list[str]]] = {"argument": [], "option": []}
        for parameter in command.params:
            record = parameter.get_help_record(context)
            if record is not None:
                rows[parameter.param_type_name].append([f"`{record[0]}`", _plain(record[1])])
        for kind, found in rows.items():
            if found:
                lines += _table([kind, "meaning"], found)
    return "\n".join(lines)


def run_options() -> str:
    """The page of the options that the command line, YAML files and Python share."""
    from evalsuite.runner.config import OPTIONS

    lines = [
        "# Options of a run", "",
        "The same names and values on the command line of `evalsuite run` (`--batch-size 16`), in "
        "a `--config` file (`batch_size: 16`) and in Python (`evalsuite.run(\"demo\", "
        "batch_size=16)`). The command line takes precedence over the file.", "",
    ]  # fmt: skip
    for panel in dict.fromkeys(option.panel for option in OPTIONS.values()):
        lines += [f"## {panel}", ""]
        rows = []
        for option in OPTIONS.values():
            if option.panel == panel:
                default = "" if option.default in (None, (), False) else f"`{option.default}`"
                kind = f"`{option.metavar}`" if option.metavar else ""
                rows.append([f"`{option.name}`", kind, _plain(option.help), default])
        lines += _table(["option", "value", "meaning", "default"], rows)
    return "\n".join(lines)


def catalogue() -> str:
    """The page of all packaged benchmarks and suites, from benchmarks.yaml."""
    from evalsuite.benchmarks.catalogue import load

    known = load()
    lines = [
        "# Benchmark catalogue", "",
        "The benchmarks and suites of `benchmarks.yaml`. `evalsuite list benchmarks` and "
        "`evalsuite list suites` print them. Sizes and licences are stated as recalled: check the "
        "licence of a dataset before you use it.", "",
        "## Suites", "",
    ]  # fmt: skip
    lines += _table(
        ["suite", "benchmarks"],
        [
            [f"`{name}`", ", ".join(found.name for found in known.suite(name))]
            for name in known.suites
        ],
    )
    lines += ["## Benchmarks", ""]
    lines += _table(
        [
            *("benchmark", "content", "modality", "prompt format", "metric", "frames"),
            *("token limit", "margin", "max drop"),
        ],
        [
            [
                f"`{name}`", benchmark.description, benchmark.modality, f"`{benchmark.prompt}`",
                f"`{benchmark.metric}`", str(benchmark.frames or ""), str(benchmark.max_new_tokens),
                f"{benchmark.margin:g}", f"{benchmark.cliff:g}",
            ]
            for name, benchmark in known.benchmarks.items()
        ],
    )  # fmt: skip
    lines += ["## Data", ""]
    rows = []
    for name, benchmark in known.benchmarks.items():
        source = benchmark.published
        if source is None:
            rows.append([f"`{name}`", "bundled", "", ""])
            continue
        where = source.url or f"Hub: `{source.repository}`" + (
            f", revision `{source.revision}`" if source.revision else ""
        )
        size = f"{source.about_bytes / 1e9:.3g} GB" if source.about_bytes else ""
        rows.append([f"`{name}`", where, size, source.licence or ""])
    lines += _table(["benchmark", "source", "size, about", "licence, as recalled"], rows)
    lines += [
        "## Reference scores", "",
        "Scores published by the models' authors. They were made with other prompts or data than "
        "yours, so compare with care. *To check* marks a figure that was recalled and not read "
        "from its source.", "",
    ]  # fmt: skip
    lines += _table(
        ["benchmark", "model", "score", "source", ""],
        [
            [
                f"`{name}`", found.model, f"{found.score:g}", found.source,
                "" if found.verified else "to check",
            ]
            for name, benchmark in known.benchmarks.items()
            for found in benchmark.references
        ],
    )  # fmt: skip
    return "\n".join(lines)


def _copy(path: str) -> Callable[[], str]:
    return lambda: (ROOT / path).read_text(encoding="utf-8")


PAGES: dict[str, tuple[Callable[[], str], str]] = {
    "reference/cli.md": (command_line, "docs/reference/cli.md"),
    "reference/run-options.md": (run_options, "docs/reference/run-options.md"),
    "reference/benchmarks.md": (catalogue, "docs/reference/benchmarks.md"),
    "evidence/benchmarks.md": (_copy("bench/RESULTS.md"), "bench/RESULTS.md"),
    "changelog.md": (_copy("CHANGELOG.md"), "CHANGELOG.md"),
    "contributing.md": (_copy("CONTRIBUTING.md"), "CONTRIBUTING.md"),
}
"""Page of the site → what makes its text, and the file that its links are relative to."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    from mkdocs.structure.files import File

    for uri, (make, _) in PAGES.items():
        files.append(File.generated(config, uri, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links of copied pages into the site; show files outside docs/ as text."""
    uri = page.file.src_uri
    source = PAGES[uri][1] if uri in PAGES else f"docs/{uri}"
    return site_links(markdown, source, uri)


def site_links(markdown: str, source: str, uri: str) -> str:
    """The text with its links as the page `uri` of the site needs them.

    `source` is the file of the repository that the links are relative to.
    """
    copied = {origin: page for page, (_, origin) in PAGES.items()}

    def replaced(match: re.Match[str]) -> str:
        image, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        path = normpath(f"{dirname(source)}/{target}" if dirname(source) else target)
        if path in copied:
            inside = copied[path]
        elif path.startswith("docs/"):
            inside = path.removeprefix("docs/")
        else:
            return text if path in text else f"{text} (`{path}`)"
        return f"{image}[{text}]({relpath(inside, dirname(uri) or '.')}{anchor})"

    return _LINK.sub(replaced, markdown)
