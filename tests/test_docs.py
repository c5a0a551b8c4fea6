"""What the documents say of the code is what the code is."""

import re
from pathlib import Path

import pytest

from evalsuite.benchmarks.catalogue import METRICS, PROMPT_FORMATS, load

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def public_functions(*names: str) -> set[str]:
    source = "".join((ROOT / "evalsuite" / "vlmevalkit" / name).read_text() for name in names)
    return set(re.findall(r"^def ([a-z]\w*)", source, re.MULTILINE)) - {"apply"}


def test_every_mend_is_in_the_table_of_differences() -> None:
    page = (ROOT / "docs" / "evidence" / "differences.md").read_text()
    mends = public_functions("workarounds.py", "scoring_workarounds.py")
    assert mends, "the mends are functions"
    named = {name for name in re.findall(r"`([a-z_]+)`", page) if "_" in name}
    assert mends - named == set()
    known = mends | {"agreement", "mends", "max_new_tokens"}
    assert {name for name in named if not name.endswith("_py")} - known <= {"rule_mends"}


def test_the_packaged_file_explains_every_format_and_metric() -> None:
    text = (ROOT / "benchmarks.yaml").read_text()
    head = text[: text.index("\nbenchmarks:")]
    words = set(re.findall(r"[\w-]+", head))
    assert set(PROMPT_FORMATS) <= words
    assert set(METRICS) <= words


def test_every_benchmark_is_in_the_page_about_data() -> None:
    page = (ROOT / "docs" / "reference" / "data.md").read_text()
    for benchmark in load().benchmarks.values():
        if benchmark.published is not None:
            assert benchmark.dataset in page, benchmark.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
