"""The documents agree with the code: links, commands, examples, keys and generated pages.

Every ``console``, ``sh`` and ``python`` block of a page runs here, unless the line before it is
``<!-- not run: REASON -->`` or ``<!-- run by FILE -->``. ``<!-- exits with N -->`` states
another exit code than 0. The options of all evalsuite commands are parsed, run or not.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

import pytest
import typer

import evalsuite
from evalsuite import cli
from evalsuite.benchmarks.benchmark import METRICS, PROMPT_FORMATS
from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.schema import (
    BenchmarkModel,
    FileModel,
    PublishedModel,
    ReferenceModel,
)
from evalsuite.runner.config import OPTIONS
from tests.builders.stored_runs import samples, stored
from tools import docs_hook

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
}
GENERATED = {f"docs/{uri}" for uri in docs_hook.PAGES}
pages = pytest.mark.parametrize("page", PAGES)

DEMO = [benchmark.name for benchmark in load().suite("demo")]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    mark: str
    """The HTML comment before it."""

    @property
    def runs(self) -> bool:
        return not self.mark.startswith(("not run: ", "run by "))

    @property
    def exit_code(self) -> int:
        match = re.fullmatch(r"exits with (\d+)", self.mark)
        return int(match[1]) if match else 0

    def commands(self) -> Iterator[list[str]]:
        """The command lines, split into words, without comments and variables set before them."""
        text = self.text.replace("\\\n", " ")
        for line in text.splitlines():
            if self.language == "console" and not line.startswith("$ "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words and words[0] == "&&":
                words = words[1:]
            if words:
                yield words


def blocks(text: str) -> Iterator[Block]:
    fence = re.compile(
        r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?"
        r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
        re.MULTILINE | re.DOTALL,
    )
    for match in fence.finditer(text):
        yield Block(match["language"], match["text"], match["mark"] or "")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pages
def test_links_lead_somewhere(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", PAGES[page]):
        path = normpath(f"{Path(page).parent}/{target}") if target else page
        if path in GENERATED:
            continue
        assert (ROOT / path).exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(PAGES[path]), f"{page}: {target}#{anchor}"


@pages
def test_files_that_a_page_names_exist(page: str) -> None:
    for path in re.findall(
        r"`((?:tests|bench|evalsuite|tools|docs|examples)/[\w./-]+)`", PAGES[page]
    ):
        assert (ROOT / path).exists() or path in GENERATED, f"{page}: {path}"


@pages
def test_blocks_that_run_elsewhere_name_the_test(page: str) -> None:
    for block in blocks(PAGES[page]):
        if block.mark.startswith("run by "):
            assert (ROOT / block.mark.removeprefix("run by ")).is_file(), block


@pages
def test_commands_exist_and_take_these_options(page: str) -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for block in blocks(PAGES[page]):
        if block.language not in ("console", "sh"):
            continue
        for name, *arguments in block.commands():
            if name != "evalsuite" or arguments[0].startswith("-") or "COMMAND" in arguments:
                assert name == "evalsuite" or not block.runs, f"{page}: mark '{name}' as not run"
                continue
            commands[arguments[0]].make_context(arguments[0], arguments[1:])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with two finished runs, of the names and benchmarks of the demo's two.

    The answers are made: what a run needs VLMEvalKit and torch for is not tested here.
    """
    root = tmp_path_factory.mktemp("docs")
    right, early = [1.0] * 340, [1.0] * 220 + [0.0] * 120
    for name, values in {"demo": right, "demo-early": early}.items():
        stored(root / "results", name, {name: samples(values) for name in DEMO})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALSUITE_CACHE", str(root / "cache"))
        patch.chdir(root)
        yield root


def with_blocks(*languages: str) -> list[str]:
    """The pages that have a block in one of these languages that runs."""
    return [
        page
        for page, text in PAGES.items()
        if any(block.runs and block.language in languages for block in blocks(text))
    ]


@pytest.mark.parametrize("page", with_blocks("console", "sh"))
@pytest.mark.usefixtures("workplace")
def test_commands_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(PAGES[page]):
        if block.language in ("console", "sh") and block.runs:
            for words in block.commands():
                code = cli.main(words[1:])
                shown = capsys.readouterr()
                assert code == block.exit_code, (words, shown.err)
                assert shown.out or shown.err or "-o" in words, words


@pytest.mark.parametrize("page", with_blocks("python"))
@pytest.mark.usefixtures("workplace")
def test_python_examples_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(PAGES[page]):
        if block.language == "python" and block.runs:
            exec(compile(block.text, page, "exec"), {})
            assert ("print(" not in block.text) or capsys.readouterr().out


@pytest.mark.parametrize("uri", docs_hook.PAGES)
def test_generated_pages(uri: str) -> None:
    make, source = docs_hook.PAGES[uri]
    text = make()
    assert text.startswith("# ")
    site = docs_hook.site_links(text, source, uri)
    for target in re.findall(r"\]\(([^)#:\s]+)", site):
        path = normpath(f"docs/{Path(uri).parent}/{target}")
        assert path in GENERATED or (ROOT / path).exists(), f"{uri}: {target}"


def test_the_python_page_has_all_that_is_public() -> None:
    named = set(re.findall(r"^::: ([\w.]+)$", PAGES["docs/reference/python.md"], re.M))
    public = {".".join(home) for name, home in evalsuite._HOME.items() if name != "__version__"}
    assert named - {"evalsuite.errors"} == public - {"evalsuite.errors.EvalsuiteError"}


def test_the_command_line_page_has_every_option() -> None:
    text = docs_hook.command_line()
    for name, command in typer.main.get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        section = re.split(r"^## ", text, flags=re.M)
        (own,) = [part for part in section if part.startswith(f"evalsuite {name}\n")]
        for parameter in command.params:
            for flag in parameter.opts:
                if flag.startswith("-"):
                    assert f"{flag}" in own, (name, flag)


def test_the_page_of_run_options_has_every_option() -> None:
    text = docs_hook.run_options()
    for name in OPTIONS:
        assert f"| `{name}` |" in text


def test_the_catalogue_page_has_every_benchmark_and_reference() -> None:
    text = docs_hook.catalogue()
    for name, benchmark in load().benchmarks.items():
        assert f"| `{name}` | {benchmark.description} |" in text
        for reference in benchmark.references:
            assert f"| `{name}` | {reference.model} | {reference.score:g} |" in text


def test_the_site_lists_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\s+- (?:[\w -]+: )?([\w/-]+\.md)$", text, re.M))
    assert listed == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} | set(
        docs_hook.PAGES
    )


def test_pages_that_the_code_names_exist() -> None:
    sources = [*(ROOT / "evalsuite").rglob("*.py"), *ROOT.glob("*.yaml"), *ROOT.glob("*.yml")]
    for source in [*sources, *(ROOT / "bench").glob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for page in re.findall(r"docs/[\w/-]+\.md", source.read_text(encoding="utf-8")):
            assert page in PAGES or page in GENERATED, f"{source.relative_to(ROOT)}: {page}"


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 90


def test_the_glossary_is_short_and_has_the_terms() -> None:
    terms = re.findall(r"^- \*\*(.+?)\*\*: ((?:.+\n(?:  .+\n)*))", PAGES["docs/glossary.md"], re.M)
    assert len(terms) >= 40
    for term, text in terms:
        assert len(re.findall(r"\.(?:\s|$)", text)) <= 2, term


def public_functions(*names: str) -> set[str]:
    source = "".join((ROOT / "evalsuite" / "vlmevalkit" / name).read_text() for name in names)
    return set(re.findall(r"^def ([a-z]\w*)", source, re.MULTILINE)) - {"apply", "replaced"}


def test_every_workaround_is_in_the_table_of_differences() -> None:
    page = PAGES["docs/evidence/differences.md"]
    workarounds = public_functions("workarounds.py", "scoring_workarounds.py")
    assert workarounds, "workarounds are functions"
    named = {name for name in re.findall(r"`([a-z_]+)`", page) if "_" in name}
    assert workarounds - named == set()
    assert {name for name in named if not name.endswith("_py")} - workarounds <= {"max_new_tokens"}


def test_the_page_of_keys_has_every_key_prompt_format_and_metric() -> None:
    page = PAGES["docs/reference/benchmarks-yaml.md"]
    named = set(re.findall(r"`([\w-]+)`", page))
    assert set(PROMPT_FORMATS) | set(METRICS) <= named
    models = (FileModel, BenchmarkModel, ReferenceModel, PublishedModel)
    keys = {key for model in models for key in model.model_fields}
    assert keys - {"judge"} <= named  # a judge is an option of a run


def test_every_downloaded_dataset_is_in_the_page_of_data() -> None:
    page = PAGES["docs/reference/data.md"]
    for benchmark in load().benchmarks.values():
        if benchmark.published is not None:
            assert benchmark.dataset in page, benchmark.name
