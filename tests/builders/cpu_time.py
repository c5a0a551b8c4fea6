"""Limits on CPU time that hold on slow and busy machines."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable

UNIT = """
import argparse, asyncio, decimal, email.message, http.client, json, unittest.mock, xml.dom.minidom
rows = [{"id": str(n), "value": n / 7, "text": "What is it? " * 9} for n in range(20_000)]
assert len(json.loads(json.dumps(rows))) == len({row["id"] for row in rows})
sum(n * n for n in range(1_000_000))
"""
"""A Python program of fixed work: imports, JSON and a loop; 0.4 CPU-seconds on a fast core."""


def cpu_units(start: Callable[[], object], times: int = 3) -> float:
    """Return the CPU time of the processes that `start` runs, in units of the program `UNIT`.

    Both run `times` times in turn; the fastest of each count.
    """
    used = [(_seconds(start), _seconds(_unit)) for _ in range(times)]
    return min(own for own, _ in used) / min(unit for _, unit in used)


def _unit() -> None:
    subprocess.run([sys.executable, "-c", UNIT], check=True)


def _seconds(start: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
