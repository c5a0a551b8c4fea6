"""Headless Chromium for the tests and the screenshots of the page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

FLAGS = (
    "--headless",
    "--no-sandbox",  # as root, which a container usually is
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--enable-precise-memory-info",
)
MISSING = "chromium and chromedriver are needed: 'make browser' installs them"


@contextmanager
def chromium(width: int = 1280, height: int = 800) -> Iterator[WebDriver]:
    """Start one with an empty profile; it ends with the context."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if None in found:
        raise RuntimeError(MISSING)
    options = Options()
    options.binary_location = str(found[0])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(str(found[1])))
        try:
            yield driver
        finally:
            driver.quit()


def dark(driver: WebDriver, on: bool) -> None:
    """Make the system's colours dark or light, as the page sees them."""
    features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
    command = {"features": features}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", command)
