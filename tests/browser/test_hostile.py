"""Hostile texts are shown as text, and injected scripts do not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.common.exceptions import NoAlertPresentException

from tests.browser.conftest import Browser
from tests.builders.pages import HOSTILE, hostile, written

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    return written(hostile(root), root / "page").index.parent


def assert_untouched(browser: Browser) -> None:
    with pytest.raises(NoAlertPresentException):
        _ = browser.driver.switch_to.alert.text
    assert browser.js("return [window.owned, ({}).owned, [].owned]") == [None, None, None]
    assert browser.js("return getComputedStyle(document.body).display") != "none"
    assert browser.complaints() == [], "nothing was even tried"


@pytest.mark.parametrize("name", ["index.html", "benchmarks/Bench.html"])
def test_pages_of_hostile_runs(browser: Browser, page: Path, name: str) -> None:
    browser.open(page / name)
    assert "<b>bold</b>" in browser.one("main").text
    assert_untouched(browser)


def shown(text: str) -> str:
    """`text` as the page writes it: what hides or turns text round is spelled out."""
    hidden = "\u2028\u2029\u202e\u202c\ud800\udc00\x1b\x00\x07\r"
    return "".join(f"\\u{ord(c):04x}" if c in hidden else c for c in text)


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=HOSTILE.keys())
def test_a_hostile_sample_is_shown_as_it_is(browser: Browser, page: Path, number: int) -> None:
    text = list(HOSTILE.values())[number]
    browser.browse(page, "Bench")
    browser.js("document.getElementById('list').scrollTop = arguments[0] * 56", number)
    browser.until(lambda: browser.all(f"#row-{number}"))
    browser.one(f"#row-{number}").click()
    browser.until(lambda: len(browser.all("#detail .card .text")) == 2)
    assert browser.texts("#detail .part .text") == [f"question {shown(text)}",
                                                    f"target {shown(text)}"]  # fmt: skip
    assert browser.texts("#detail .card .text") == [shown(text)] * 2
    assert_untouched(browser)
    # The address with this id and a reload lead to the same; a half of a character has no address.
    if "\ud800" not in text:
        browser.until(lambda: "sample=" in browser.hash)
        browser.browse(page, "Bench", browser.hash)
        browser.until(lambda: len(browser.all("#detail .card .text")) == 2)
        assert browser.texts("#detail .card .text") == [shown(text)] * 2
        assert_untouched(browser)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_words_in_address_and_search(browser: Browser, page: Path, text: str) -> None:
    code = """const text = arguments[0];
      location.hash = "#" + new URLSearchParams({ q: text, cat: text, in: text, sample: text })"""
    browser.browse(page, "Bench")
    browser.js(code, text.replace("\ud800", "").replace("\udc00", ""))
    browser.until(lambda: "Loading" not in browser.status)
    assert_untouched(browser)


INJECTED = {
    "script-src-elem inline": "const s = document.createElement('script');"
    "s.textContent = 'window.owned = 1'; document.body.append(s);",
    "script-src-elem data": "const s = document.createElement('script');"
    "s.setAttribute('src', p.createScriptURL('data:text/javascript,window.owned=1'));"
    "document.body.append(s);",
    "script-src-elem file": "const s = document.createElement('script');"
    "s.setAttribute('src', p.createScriptURL(arguments[0])); document.body.append(s);",
    "script-src-attr inline": "const b = document.createElement('button');"
    "b.setAttribute('onclick', 'window.owned = 1'); document.body.append(b); b.click();",
    "style-src-elem inline": "const s = document.createElement('style');"
    "s.textContent = 'body { display: none }'; document.body.append(s);",
    "style-src-attr inline": "const d = document.createElement('div');"
    "d.setAttribute('style', 'color: red'); document.body.append(d);",
    "connect-src file": "fetch(arguments[0]).catch(() => {});",
    "img-src https": "new Image().src = 'https://example.invalid/a.png';",
    "frame-src": "const f = document.createElement('iframe'); f.src = 'data:text/html,x';"
    "document.body.append(f);",
    "object-src": "const f = document.createElement('object'); f.data = arguments[0];"
    "document.body.append(f);",
    "base-uri": "const b = document.createElement('base'); b.href = 'https://example.invalid/';"
    "document.head.append(b);",
    "form-action": "const f = document.createElement('form'); f.method = 'post';"
    "f.action = 'https://example.invalid/'; document.body.append(f); f.submit();",
    "require-trusted-types-for": "try { document.body.innerHTML = '<b>x</b>'; } catch {}",
    "trusted-types": "try { trustedTypes.createPolicy('other', {}); } catch {}",
}
"""What an attacker would do, had a text become markup; by the directive that stops it."""


@pytest.fixture(scope="module")
def untyped(page: Path) -> None:
    """Pages as browsers without trusted types know them: the word alone protects them."""
    for name in ("index.html", "samples/Bench.html"):
        text = (page / name).read_text()
        start = text.index("; require-trusted-types-for")
        end = text.index('"', start)
        (page / name).with_suffix(".untyped.html").write_text(text[:start] + text[end:])


TYPED = ["index.html", "samples/Bench.html"]
UNTYPED = ["index.untyped.html", "samples/Bench.untyped.html"]


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("what", "name"),
    [(what, name) for what in INJECTED
     for name in (TYPED if "trusted-types" in what else TYPED + UNTYPED)],
)  # fmt: skip
def test_the_policy_stops_injected_scripts(
    browser: Browser, page: Path, tmp_path: Path, what: str, name: str
) -> None:
    other = tmp_path / "other.js"
    other.write_text("window.owned = 1")
    browser.open(page / name)
    reported = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1], seen = [];"
        "addEventListener('securitypolicyviolation', (e) =>"
        " seen.push(`${e.effectiveDirective} ${e.blockedURI}`));"
        f"const p = {{ createScriptURL: (x) => x }};"
        f"try {{ {INJECTED[what]} }}"
        " catch (error) { seen.push(`threw ${error.name}: ${error.message}`); }"
        # Until it is reported and has had time to run, or for three seconds.
        "const end = performance.now() + 3000; const wait = () =>"
        " seen.some((line) => !line.startsWith('threw')) || performance.now() > end"
        " ? setTimeout(() => done(seen), 100) : setTimeout(wait, 20); wait();",
        other.as_uri(),
    )
    if name in TYPED and what.startswith(
        ("script-src", "object-src")
    ):  # stopped before the word is asked for
        assert any(line.startswith("require-trusted-types-for") for line in reported), reported
        assert any(line.startswith("threw TypeError") for line in reported), reported
    else:
        assert any(line.startswith(what) for line in reported), reported
    assert browser.js("return window.owned") is None
    assert browser.js("return getComputedStyle(document.body).display") != "none"
    browser.complaints()


def test_only_data_of_the_page_is_loaded(browser: Browser, page: Path) -> None:
    browser.open(page / "samples/Bench.html")
    stem = "data/0123456789abcdef"
    for address in (
        "../../other.js",
        f"https://example.invalid/{stem}/a/index.js",
        f"{stem}/../../x/index.js",
        "data:text/javascript,1",
    ):
        said = browser.driver.execute_async_script(
            "const done = arguments[1]; evalsuite.load(arguments[0], 'x').then("
            "() => done('loaded'), (error) => done(error.message));",
            address,
        )
        assert "not data of this page" in said
    # A file that was not requested is ignored.
    assert browser.js("evalsuite.take('Bench/index', '[]'); return document.title")
    assert browser.js("return Object.isFrozen(evalsuite)")
