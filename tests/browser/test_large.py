"""50,000 samples of two runs: time to first view, filter and search, and memory.

The least of some times is what counts: whatever else the machine does only adds to the others.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.filesize import decimal as size

from tests.browser.conftest import Browser
from tests.builders.pages import large, written

pytestmark = pytest.mark.browser

COUNT = 50_000
FIRST_VIEW_MS = 1000
FILTER_MS = 200
MEMORY_BYTES = 150_000_000
"""Of scripts, with everything searched once."""

STEP = """
  const done = arguments[arguments.length - 1];
  const before = performance.now();
  const end = () => done(performance.now() - before);
  %s
  // After the frame that draws it.
  const ready = () => requestAnimationFrame(%s ? () => setTimeout(end) : ready);
  ready();
"""
NO_TEXT_MISSING = (
    "[...document.querySelectorAll('.row .question')].every((q) => q.textContent !== '…')"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    made = written(large(root, COUNT), root / "page")
    print(f"\n{COUNT} samples × 2 runs: a page of {size(made.bytes)}")
    return made.index.parent


def took(browser: Browser, act: str, until: str) -> float:
    browser.driver.set_script_timeout(20)
    return float(browser.driver.execute_async_script(STEP % (act, until)))


def memory(browser: Browser) -> int:
    browser.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    return int(browser.js("return performance.memory.usedJSHeapSize"))


def test_first_view(browser: Browser, page: Path) -> None:
    times = []
    for _ in range(5):
        browser.browse(page, "Large")
        entries = "return performance.getEntriesByName('evalsuite:first-view')"
        times.append(browser.js(entries)[0]["startTime"])
    assert browser.status == "50,000 samples"
    assert len(browser.all(".row")) < 40, "only what is in view is in the document"
    assert "number 0" in browser.one("#row-0 .question").text
    each = ", ".join(f"{ms:.0f}" for ms in times)
    print(f"first view with its texts: {min(times):.0f} ms (the least of {each})")
    print(f"memory of scripts then: {size(memory(browser))}")
    assert min(times) < FIRST_VIEW_MS


def test_filters_and_search(browser: Browser, page: Path) -> None:
    browser.browse(page, "Large")
    status = "document.getElementById('status').textContent"

    def click(kind: str) -> str:
        return f"document.getElementById('show-{kind}').click();"

    def pressed(kind: str) -> str:
        return f"document.getElementById('show-{kind}').getAttribute('aria-pressed') === 'true'"

    choose = "const c = document.getElementById('category'); c.value = '%s';"
    choose += "c.dispatchEvent(new Event('change'));"

    def typed(text: str, said: str) -> float:
        act = "const s = document.getElementById('search'); s.value = '%s';"
        act += "s.dispatchEvent(new Event('input', { bubbles: true }));"
        return took(browser, act % text, f"{status}.startsWith('{said}')")

    kinds = ("wrong", "failed", "unparsed", "flipped", "worse", "better", "all")
    with_texts = {
        # Now with no texts loaded except the first.
        kind: took(browser, click(kind), f"{pressed(kind)} && {NO_TEXT_MISSING}")
        for kind in kinds
    }
    first = typed("number 4999", "11 of")
    typed("", "50,000 samples")
    rounds: list[dict[str, float]] = []
    for _ in range(3):
        each = {}
        for kind in kinds:
            each[kind] = took(browser, click(kind), pressed(kind))
            browser.until(lambda: browser.js(f"return {NO_TEXT_MISSING}"))
        each["category"] = took(browser, choose % "colour", f"{status}.startsWith('6,250 of')")
        each["all again"] = took(browser, choose % "", f"{status} === '50,000 samples'")
        each["search"] = typed("answer 77 of", "100 of")
        each["search again"] = typed("no such words", "0 of")
        typed("", "50,000 samples")
        rounds.append(each)
    filters = {name: min(each[name] for each in rounds) for name in rounds[0]}
    for what, times in (("filter", filters), ("until its texts are shown", with_texts)):
        print(f"{what}: " + ", ".join(f"{name} {ms:.0f}" for name, ms in times.items()) + " ms")
    print(f"first search, its index loaded: {first:.0f} ms; then {size(memory(browser))} of memory")
    assert max(filters.values()) < FILTER_MS, filters
    assert memory(browser) < MEMORY_BYTES


def test_scrolling_loads_only_rows_in_view(browser: Browser, page: Path) -> None:
    browser.browse(page, "Large")
    browser.watch_scripts()
    scroll = "document.getElementById('list').scrollTop = %s;"
    there = "document.getElementById('row-%s')?.textContent.includes('number %s')"
    middle = took(browser, scroll % (25_000 * 56), there % (25_000, 25_000))
    last = took(browser, scroll % 10**9, there % (49_999, 49_999))
    print(f"to the middle {middle:.0f} ms, to the end {last:.0f} ms, with their texts")
    assert 2 <= len(browser.scripts()) <= 4
    assert len(browser.all(".row")) < 40
