"""Sections of RESULTS.md: where a measurement ran, and writing its table."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def rate(per_second: float) -> str:
    """Format `per_second` with three digits or one decimal place."""
    return f"{per_second:.1f}" if per_second >= 10 else f"{per_second:.3g}"


def setting(command: str, device: str) -> str:
    """Describe machine, software and `device` of a measurement."""
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("torch", "torchvision", "transformers", "ms-vlmeval", "evalsuite")
    )
    return (
        f"`{command}`\n\n{os.cpu_count()} CPU cores ({_cpu()}), {device}; "
        f"Python {platform.python_version()}, {versions}; {time.strftime('%Y-%m-%d')}."
    )


def _cpu() -> str:
    shown = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    names = [line.partition(":")[2].strip() for line in shown.splitlines() if "Model name" in line]
    return names[0] if names else platform.machine()


def write(section: str, report: str) -> None:
    """Replace `section` of RESULTS.md by `report`, or append it."""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    text = RESULTS.read_text()
    if begin not in text:
        text += f"\n## {section}\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    RESULTS.write_text(f"{before}{begin}\n{report}{end}{after}")
