"""VLMEvalKit in this process: the kit process without the process, for `make mutants`."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from evalsuite.vlmevalkit import client, server
from tests.builders import kit_data


class Here:
    """The connection to a kit process, without the process."""

    def __init__(self, settings: client.KitSettings) -> None:
        os.environ.update(client._ENVIRONMENT)
        for folder in (settings.work, settings.media):
            folder.mkdir(parents=True)
        self._answer = server._request_handler(settings)

    def send(self, request: Any) -> None:
        self._request = request

    def receive(self, seconds: float) -> Any:
        verb, benchmark, *rest = self._request
        return server._reply(benchmark.name, self._answer, verb, benchmark, *rest)


class KitHere(client.Kit):
    """Answers requests with the modules of this process."""

    def _start(self) -> Any:
        if self._child is None:
            self._child = Here(self._settings)  # type: ignore[assignment]
        return self._child


def install() -> None:
    """Give this kit to all tests that use one."""
    root = Path(tempfile.mkdtemp(prefix="evalsuite-tests-"))
    atexit.register(shutil.rmtree, root)
    os.environ["LMUData"] = str(root)
    kit = KitHere(work=root / "work", media=root / "media", log=root / "kit.log")
    kit_data.kit = lambda: kit
