"""One Chromium for all tests of the page, and pages to open in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.chromium import chromium, dark


@dataclass
class Browser:
    """What a user sees and does."""

    driver: WebDriver

    def open(self, page: Path, hash_: str = "") -> None:
        # From a blank page, so that another hash is another loading.
        self.driver.get("about:blank")
        self.driver.get(page.as_uri() + hash_)
        # On a busy machine the driver may return before the page has a body.
        ready = "return location.href !== 'about:blank' && document.readyState === 'complete'"
        self.until(lambda: self.js(ready))

    def browse(self, page: Path, slug: str, hash_: str = "") -> None:
        """Open the samples, and wait until they are shown."""
        self.open(page / "samples" / f"{slug}.html", hash_)
        self.until(
            lambda: self.js("return performance.getEntriesByName('evalsuite:first-view').length")
        )

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def until(self, condition: Any, seconds: float = 10) -> Any:
        return WebDriverWait(self.driver, seconds, 0.02).until(lambda _: condition())

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        # As they are in the document, seen or not.
        code = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        return list(self.js(code, selector))

    def shown_ids(self) -> list[str]:
        """Ids of the rows in the document, from the top."""
        code = """return [...document.querySelectorAll(".row")]
          .sort((a, b) => a.dataset.position - b.dataset.position)
          .map((row) => row.querySelector(".id").textContent)"""
        return list(self.js(code))

    def press(self, *keys: str) -> None:
        """Press keys wherever the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def search(self, text: str) -> None:
        field = self.one("#search")
        field.clear()
        field.send_keys(text, Keys.NULL)

    def watch_scripts(self) -> None:
        """Note from now on which scripts are loaded; a page from disk keeps no record."""
        self.js("""window.scripts = [];
          new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(
            (node) => node.src && scripts.push(node.src.split("/").pop()))))
            .observe(document.head, { childList: true })""")

    def scripts(self) -> list[str]:
        return list(self.js("return scripts"))

    @property
    def status(self) -> str:
        return self.one("#status").text

    @property
    def hash(self) -> str:
        return str(self.js("return location.hash"))

    @property
    def selected(self) -> str | None:
        found = self.texts('.row[aria-selected="true"] .id')
        return found[0] if found else None

    @property
    def detail(self) -> str | None:
        """The text of the open sample."""
        found = self.all("#detail:not([hidden])")
        return found[0].text if found else None

    def complaints(self) -> list[str]:
        """What the browser logged since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def driver() -> Iterator[WebDriver]:
    with chromium() as found:
        yield found


@pytest.fixture
def browser(driver: WebDriver) -> Iterator[Browser]:
    found = Browser(driver)
    driver.set_window_size(1280, 800)
    dark(driver, False)
    found.complaints()
    yield found
    driver.get("about:blank")
