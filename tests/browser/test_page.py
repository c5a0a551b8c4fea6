"""The page in a browser: sorting, filters, search, detail, keyboard, colours and narrow windows."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from evalsuite.cli.report import write
from evalsuite.runs.records import SampleScore
from tests.browser.chromium import dark
from tests.browser.conftest import Browser
from tests.builders.pages import picture, written
from tests.builders.stored_runs import failed, sample, samples, stored

pytestmark = pytest.mark.browser


def row(index: int, value: float, **more: object) -> SampleScore:
    words = ("red", "green", "blue")[index % 3]
    facts = {"question": f"Which {words} thing is number {index}?", "media": ()}
    return sample(index, value, **{**facts, **more})


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of 40 samples: the second is worse on 4 and 6, better on 5; 7 failed in it."""
    root = tmp_path_factory.mktemp("page")
    image, other = picture(root / "a.png"), picture(root / "b.png", "blue", (400, 300))
    frames = tuple(picture(root / f"frame-{n}.png", f"#{n * 20:02x}0000") for n in range(9))
    first = [row(i, float(i != 5), media=(image,)) for i in range(40)]
    second = [row(i, float(i not in (4, 6)), media=(image,)) for i in range(40)]
    first[0] = row(0, 1, media=(image, other, str(root / "gone.png")))
    first[3] = row(3, 0.5, prediction="half of it")
    second[7] = failed(second[7])
    second[8] = row(8, 0, parsed=False, prediction="no idea")
    second[9] = row(9, 0, prediction=" ")
    video = [sample(i, 1, media=frames, category="clips") for i in range(3)]
    more = {"Other": samples([1, 0, 0]), "Video": video}
    return written([
        stored(root / "results", "first", {"Bench": first, **more}),
        stored(root / "results", "second", {"Bench": second[:39], **more}),
        stored(root / "results", "third", {"Other": samples([1, 1, 0])}),
    ], root / "page").index.parent  # fmt: skip


# Tables


def column(browser: Browser, index: int) -> list[str]:
    return browser.texts(f".grid:first-of-type tbody tr > :nth-child({index})")


def test_the_table_sorts_by_any_column(browser: Browser, page: Path) -> None:
    browser.open(page / "index.html")
    table = browser.one(".grid table")
    headings = table.find_elements(By.CSS_SELECTOR, "th[scope=col]")
    assert [h.text.split()[0] for h in headings] == [
        "checkpoint", "average", "Bench", "Other", "Video",
    ]  # fmt: skip

    def names() -> list[str]:
        return browser.js(
            "return [...arguments[0].tBodies[0].rows].map(r => r.cells[0].textContent)", table
        )

    def state(index: int) -> str | None:
        return headings[index].get_attribute("aria-sort")

    assert names() == ["first", "second", "third"]
    headings[3].find_element(By.TAG_NAME, "button").click()  # Other: 33.3, 33.3, 66.7
    assert (names(), state(3)) == (["third", "first", "second"], "descending")
    headings[3].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert (names(), state(3)) == (["first", "second", "third"], "ascending")
    # Bench: 98.75 and less; the third has none, and is last in both orders.
    headings[2].find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert (names(), state(2), state(3)) == (["first", "second", "third"], "descending", None)
    headings[2].find_element(By.TAG_NAME, "button").click()
    assert names() == ["second", "first", "third"]
    headings[0].find_element(By.TAG_NAME, "button").click()
    assert (names(), state(0)) == (["first", "second", "third"], "ascending")
    assert browser.complaints() == []


def test_headings_link_to_benchmarks_and_samples(browser: Browser, page: Path) -> None:
    browser.open(page / "index.html")
    browser.one("th a[href*=Bench]").click()
    assert browser.one("h1").text == "Bench"
    assert "Browse 40 samples" in browser.one(".links").text
    browser.driver.find_element(By.PARTIAL_LINK_TEXT, "worse from first to second").click()
    browser.until(lambda: browser.shown_ids() == ["4", "6", "7", "8", "9"])
    browser.driver.find_element(By.LINK_TEXT, "Bench").click()
    browser.until(lambda: browser.one("h1").text == "Bench")
    browser.driver.find_element(By.LINK_TEXT, "All runs").click()
    browser.until(lambda: browser.one("h1").text == "Evaluation")
    assert browser.complaints() == []


# Samples


def chip(browser: Browser, kind: str) -> None:
    browser.one(f"#show-{kind}").click()


def test_filters_show_matches_and_counts(browser: Browser, page: Path) -> None:
    browser.browse(page, "Bench")
    assert browser.status == "40 samples"
    assert {kind: browser.one(f"#show-{kind} .count").text for kind in (
        "all", "wrong", "failed", "unparsed", "flipped", "worse", "better")} == {
        "all": "40", "wrong": "7", "failed": "1", "unparsed": "1", "flipped": "7", "worse": "5",
        "better": "2"}  # fmt: skip
    chip(browser, "wrong")
    assert browser.shown_ids() == ["3", "4", "5", "6", "7", "8", "9"]
    assert browser.status.startswith("7 of 40 samples")
    Select(browser.one("#in")).select_by_visible_text("first")
    assert browser.shown_ids() == ["3", "5"]
    chip(browser, "failed")
    assert browser.shown_ids() == []
    assert "no match" in browser.status
    Select(browser.one("#in")).select_by_visible_text("any checkpoint")
    assert browser.shown_ids() == ["7"]
    chip(browser, "unparsed")
    assert browser.shown_ids() == ["8"]
    chip(browser, "better")
    assert browser.shown_ids() == ["3", "5"]
    Select(browser.one("#from")).select_by_visible_text("second")
    Select(browser.one("#to")).select_by_visible_text("first")
    assert browser.shown_ids() == ["4", "6", "7", "8", "9"]
    chip(browser, "flipped")
    Select(browser.one("#category")).select_by_value("odd")
    assert browser.shown_ids() == ["3", "5", "7", "9"]
    assert browser.one("#show-all .count").text == "20"
    assert browser.one("#show-flipped").get_attribute("aria-pressed") == "true"


def test_search_finds_questions_answers_and_ids(browser: Browser, page: Path) -> None:
    browser.browse(page, "Bench")
    browser.watch_scripts()
    browser.press("jjj")
    assert browser.scripts() == [], "the index is loaded when it is needed"
    for text, ids in (
        ("GREEN   thing is number 1?", ["1"]),
        ("no idea", ["8"]),
        ("half of", ["3"]),
        ("out of memory", ["7"]),
        ("nowhere", []),
    ):
        browser.search(text)
        browser.until(lambda ids=ids: browser.shown_ids() == ids)
    assert browser.scripts() == ["search-0001.js"]
    browser.search("blue")
    browser.until(lambda: browser.status.startswith("13 of 40"))
    browser.one("#search").send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    browser.until(lambda: browser.status == "40 samples")


def test_a_sample_opens_with_everything_about_it(browser: Browser, page: Path) -> None:
    browser.browse(page, "Bench")
    browser.one("#row-0").click()
    browser.until(lambda: browser.detail and "Which red thing" in browser.detail)
    text = browser.detail or ""
    assert "Sample 0" in text
    assert "1 of 40" in text
    assert "the image was removed" in text
    assert [h.text.split("\n")[0] for h in browser.all(".card h3")] == ["first", "second"]
    browser.until(lambda: browser.js(
        "return [...document.querySelectorAll('.pictures img')].map(i => i.naturalWidth)")
        == [40, 256])  # fmt: skip
    browser.one("#row-7").click()
    browser.until(lambda: "no prediction: out of memory" in (browser.detail or ""))
    browser.one("#row-3").click()
    browser.until(lambda: "partly right" in (browser.detail or ""))
    browser.press(Keys.END)
    browser.until(lambda: "not in this run" in (browser.detail or ""))
    assert "Sample 39" in (browser.detail or "")
    assert browser.complaints() == []


def test_frames_of_a_video(browser: Browser, page: Path) -> None:
    browser.browse(page, "Video", "#sample=1")
    browser.until(lambda: len(browser.all(".pictures img")) == 6)
    assert "6 of 9 frames" in (browser.detail or "")
    assert browser.one(".pictures img").get_attribute("alt") == "frame 1 of 6"


def test_everything_by_keyboard(browser: Browser, page: Path) -> None:
    browser.browse(page, "Bench")
    body = browser.one("body")
    body.send_keys("j")
    assert browser.selected == "0"
    body.send_keys("jj")
    body.send_keys(Keys.ARROW_DOWN, Keys.ARROW_UP, "k")
    assert (browser.selected, browser.detail) == ("1", None)
    body.send_keys(Keys.ENTER)
    browser.until(lambda: "Sample 1" in (browser.detail or ""))
    browser.press("j")
    browser.until(lambda: "Sample 2" in (browser.detail or ""))
    browser.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, "k")
    browser.until(lambda: "Sample 2" in (browser.detail or ""))
    browser.press(Keys.ENTER)  # on to its text
    assert browser.js("return document.activeElement.id") == "detail"
    browser.press("j")
    browser.until(lambda: "Sample 3" in (browser.detail or ""))
    browser.press(Keys.ESCAPE)
    assert browser.detail is None
    assert browser.js("return document.activeElement.id") == "list"
    assert browser.one("#list").get_attribute("aria-activedescendant") == "row-3"
    browser.press("/")
    assert browser.js("return document.activeElement.id") == "search"
    browser.press("number 3")
    browser.until(lambda: browser.shown_ids()[:2] == ["3", "30"])
    browser.press(Keys.ENTER)
    assert (browser.js("return document.activeElement.id"), browser.selected) == ("list", "3")
    browser.press("?")
    assert browser.one("#keys").is_displayed()
    browser.press(Keys.ESCAPE)
    assert not browser.one("#keys").is_displayed()
    browser.press(Keys.END)
    assert browser.selected == "39"
    browser.press(Keys.HOME, Keys.PAGE_DOWN)
    assert browser.selected not in ("3", "39")


def test_the_address_has_the_filter_and_the_sample(browser: Browser, page: Path) -> None:
    browser.browse(page, "Bench")
    chip(browser, "worse")
    Select(browser.one("#category")).select_by_value("even")
    browser.search("number")
    browser.until(lambda: "q=number" in browser.hash)
    browser.one("#row-1").click()
    browser.until(lambda: "Sample 6" in (browser.detail or ""))
    address = "#show=worse&from=first&to=second&cat=even&q=number&sample=6"
    browser.until(lambda: browser.hash == address)
    browser.browse(page, "Bench", address)
    browser.until(lambda: "Sample 6" in (browser.detail or ""))
    assert browser.shown_ids() == ["4", "6", "8"]
    assert browser.selected == "6"
    assert browser.one("#search").get_attribute("value") == "number"
    browser.js("location.hash = '#show=failed'")
    browser.until(lambda: browser.shown_ids() == ["7"])
    assert browser.detail is None
    # Any text in the address.
    browser.browse(page, "Bench", "#show=constructor&in=x&cat=__proto__&sample=none&nth=-3")
    assert browser.shown_ids() == []
    browser.browse(page, "Bench", "#%E0%A4%A&&=&show=toString")
    assert browser.status == "40 samples"
    assert browser.complaints() == []


def test_many_runs_share_a_column(browser: Browser, tmp_path: Path) -> None:
    runs = [stored(tmp_path / "results", f"run-{i}", {"Bench": [row(0, i % 2), row(1, 1)]})
            for i in range(9)]  # fmt: skip
    written(runs, tmp_path / "page")
    browser.browse(tmp_path / "page", "Bench", "#sample=0")
    assert browser.texts(".row .answer") == ["4 of 9 right", "9 of 9 right"]
    browser.until(lambda: len(browser.all(".card")) == 9)
    assert browser.one("#show-worse .count").text == "0"  # from the first to the last
    browser.browse(tmp_path / "page", "Bench", "#show=wrong&in=run-3")
    assert browser.shown_ids() == []
    browser.browse(tmp_path / "page", "Bench", "#show=better&from=run-2&to=run-3")
    assert browser.shown_ids() == ["0"]


def test_light_and_dark(browser: Browser, page: Path) -> None:
    def paper() -> str:
        return str(browser.js("return getComputedStyle(document.body).backgroundColor"))

    light, black = "rgb(255, 255, 255)", "rgb(21, 24, 28)"
    browser.open(page / "index.html")
    browser.js("localStorage.clear()")
    assert paper() == light
    dark(browser.driver, True)
    assert paper() == black
    assert browser.one("#theme").text == "Light"
    browser.one("#theme").click()
    assert (paper(), browser.one("#theme").text) == (light, "Dark")
    browser.browse(page, "Bench")
    assert paper() == light, "remembered, on all pages"
    dark(browser.driver, False)
    browser.one("#theme").click()
    assert paper() == black
    browser.js("localStorage.clear()")


def test_a_browser_without_storage(browser: Browser, page: Path) -> None:
    code = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })"
    script = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": code}
    )
    try:
        browser.open(page / "index.html")
        browser.one("#theme").click()
        assert browser.js("return document.documentElement.dataset.theme") == "dark"
        assert browser.complaints() == []
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.mark.parametrize("width", [1280, 800, 360])
@pytest.mark.parametrize("form", ["page", "report"])
def test_names_of_a_wide_table_stay_in_view(
    browser: Browser, tmp_path: Path, form: str, width: int
) -> None:
    name = "smolvlm2-2.2b-lr2e-5-checkpoint-1000"
    benchmarks = {f"Benchmark-{n:02}": samples([1, 0, 1]) for n in range(16)}
    found = [stored(tmp_path, each, benchmarks) for each in (name, "SmolVLM-256M-Instruct")]
    if form == "page":
        browser.open(written(found, tmp_path / "page").index)
    else:
        write(found, "html", tmp_path / "report.html")
        browser.open(tmp_path / "report.html")
    browser.driver.set_window_size(width, 800)
    cell = next(e for e in browser.all("tbody th") if e.text.replace("\n", "") == name)
    before = cell.rect
    assert before["height"] < (45 if width == 1280 else 110)
    browser.js("document.querySelector('.scroll').scrollLeft = 500")
    assert browser.js("return document.querySelector('.scroll').scrollLeft") == 500
    assert browser.js("return arguments[0].getBoundingClientRect().x", cell) == before["x"]
    # Nothing shines through where columns pass below it.
    above = (
        "const r = arguments[0].getBoundingClientRect();"
        "return document.elementFromPoint(r.right - 5, r.top + 5) === arguments[0]"
    )
    assert browser.js(above, cell)


@pytest.mark.parametrize("width", [420, 800, 1280])
@pytest.mark.parametrize("name", ["index.html", "benchmarks/Bench.html", "samples/Bench.html"])
def test_no_window_is_too_narrow(browser: Browser, page: Path, name: str, width: int) -> None:
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        browser.open(page / name)
        code = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.js(code) == 0
        if name.startswith("samples"):
            browser.until(lambda: browser.all(".row"))
            browser.one("#row-2").click()
            browser.until(lambda: "Sample 2" in (browser.detail or ""))
            assert browser.one("#list").is_displayed() == (width > 1000)
            assert browser.js(code) == 0
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_rows_grow_with_the_size_of_text(browser: Browser, page: Path) -> None:
    code = """document.addEventListener("DOMContentLoaded",
      () => (document.documentElement.style.fontSize = "32px"))"""
    script = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": code}
    )
    try:
        browser.browse(page, "Bench")
        code = """return [...document.querySelectorAll(".row")]
          .map((row) => row.getBoundingClientRect()).map(({ top, height }) => [top, height])"""
        (first, height), (second, _) = browser.js(code)[:2]
        line = "return parseFloat(getComputedStyle(document.querySelector('.question')).lineHeight)"
        assert (height, second - first) == (112, 112)
        assert 2 * browser.js(line) < height, "two lines of a question"
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_the_selection_is_visible_with_forced_colours(browser: Browser, page: Path) -> None:
    features = [{"name": "forced-colors", "value": "active"}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        browser.browse(page, "Bench", "#sample=1")
        styles = """return arguments[0]
          .map((e) => getComputedStyle(document.querySelector(e)).outlineStyle)"""
        chosen = ["[aria-pressed=true]", "[aria-selected=true]"]
        others = ["[aria-pressed=false]", "[aria-selected=false]"]
        assert browser.js(styles, [*chosen, *others]) == ["solid", "solid", "none", "none"]
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("name", ["index.html", "benchmarks/Bench.html", "samples/Bench.html"])
def test_a_screen_reader_has_a_heading_and_names(browser: Browser, page: Path, name: str) -> None:
    browser.open(page / name)
    assert len(browser.all("h1")) == 1
    code = """return [...document.querySelectorAll("[tabindex='0']")]
      .map((e) => [e.getAttribute("role") !== null, e.getAttribute("aria-label") !== null])"""
    assert browser.js(code)
    assert all(each == [True, True] for each in browser.js(code))


def test_one_sample_is_one(browser: Browser, tmp_path: Path) -> None:
    written([stored(tmp_path, "run", {"Bench": [sample(1, 1.0)]})], tmp_path / "page")
    browser.open(tmp_path / "page" / "benchmarks" / "Bench.html")
    assert browser.one(".go").text == "Browse 1 sample"
    browser.browse(tmp_path / "page", "Bench")
    assert browser.one("#status").text == "1 sample"


def test_contrast_is_enough_in_both_colours(browser: Browser, page: Path) -> None:
    code = """
      const luminance = (c) => c.map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim().slice(1)
        .match(/../g).map((h) => parseInt(h, 16));
      return arguments[0].map(([front, back]) => {
        const [a, b] = [front, back].map((n) => luminance(colour(n))).sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
      });"""
    pairs = [[front, back] for front in ("ink", "faint", "accent", "good", "bad", "part")
             for back in ("paper", "shade")]  # fmt: skip
    pairs += [["good", "good-shade"], ["bad", "bad-shade"], ["part", "part-shade"],
              ["ink", "chosen"], ["faint", "chosen"]]  # fmt: skip
    for on in (False, True):
        dark(browser.driver, on)
        browser.open(page / "index.html")
        ratios = browser.js(code, pairs)
        assert min(ratios) >= 4.5, dict(zip(map(str, pairs), ratios, strict=True))


def test_removed_images_are_reported(browser: Browser, tmp_path: Path) -> None:
    there, gone = picture(tmp_path / "it is.png"), picture(tmp_path / "gone.png")
    run = stored(tmp_path / "results", "a", {"Bench": [sample(0, 1, media=(there, gone))]})
    written([run], tmp_path / "page", "reference")
    Path(gone).unlink()
    browser.browse(tmp_path / "page", "Bench", "#sample=0")
    browser.until(lambda: "the image was removed" in (browser.detail or ""))
    assert browser.js(
        "return [...document.querySelectorAll('.pictures img')].map(i => i.naturalWidth)"
    ) == [40]


def test_a_missing_data_file_is_reported(browser: Browser, tmp_path: Path) -> None:
    run = stored(tmp_path / "results", "a", {"Bench": samples([1, 0])})
    written([run], tmp_path / "page")
    for number, name in enumerate(("search-0001.js", "0001.js", "index.js")):
        for path in (tmp_path / "page" / "data").glob(f"*/Bench/{name}"):
            path.unlink()
        browser.open(tmp_path / "page/samples/Bench.html", "#q=a" if number == 0 else "")
        browser.until(lambda name=name: f"{name} is missing" in browser.status)
