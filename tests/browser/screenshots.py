"""Screenshots of the page for the documentation: ``make screenshots``."""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from evalsuite.report.page.write import write
from evalsuite.report.progress.steps import bar
from evalsuite.runs.find import find_all
from tests.browser.chromium import chromium, dark

SCALE = 2
"""Pixels of the picture a pixel of the page."""


@dataclass(frozen=True)
class Shot:
    """One picture."""

    name: str
    page: str
    height: int
    dark: bool = False
    width: int = 1120


SHOTS = (
    Shot("page-table", "index.html", 430),
    Shot("page-benchmark", "benchmarks/DemoVideo.html", 680),
    Shot(
        "page-samples", "samples/DemoYesNo.html#show=worse&from=demo&to=demo-early&sample=26", 640
    ),
    Shot("page-dark", "samples/DemoVideo.html#show=wrong&in=demo-early&sample=29", 700, dark=True),
)


def main(results: Path, pictures: Path) -> None:
    """Take all pictures of the demo's runs among `results`."""
    found = [item for item in find_all(results) if item.run.checkpoint.source.startswith("demo")]
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, chromium() as driver:
        page = Path(directory) / "page"
        with bar(Console(stderr=True)) as steps:
            write(found, page, "thumbnails", steps)
        for shot in SHOTS:
            path = pictures / f"{shot.name}.png"
            _write(_taken(driver, page, shot), path)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def _taken(driver: WebDriver, page: Path, shot: Shot) -> bytes:
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": shot.width, "height": shot.height, "deviceScaleFactor": SCALE, "mobile": False},
    )
    dark(driver, shot.dark)
    driver.get("about:blank")
    driver.get(page.as_uri() + "/" + shot.page)
    WebDriverWait(driver, 10).until(lambda _: driver.execute_script(READY, "#" in shot.page))
    return bytes(driver.get_screenshot_as_png())


READY = """
  const images = [...document.querySelectorAll("img")];
  return images.every((image) => image.complete)
    && (!arguments[0] || document.querySelector("#detail .card .text") !== null);
"""


def _write(png: bytes, path: Path) -> None:
    # Few colours are used, so a palette shows them as they are in a third of the bytes.
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
