"""VLMEvalKit in this process: the kit process without the process, for `make mutants`."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from evalsuite.vlmevalkit import client, server
from tests.builders import kit_data


class KitHere(client.Kit):
    """Answers requests with the modules of this process."""

    @functools.cached_property
    def answer(self) -> Any:
        """The function that answers requests in a kit process."""
        os.environ.update(client._ENVIRONMENT)
        for folder in (self._settings.work, self._settings.media):
            folder.mkdir(parents=True)
        return server._request_handler(self._settings)

    def _ask(self, stage: Any, seconds: float, *request: Any) -> Any:
        verb, benchmark, *rest = request
        good, result = server._reply(benchmark.name, self.answer, verb, benchmark, *rest)
        if not good:
            raise client.KitError(stage, result.text, logged=result.logged)
        return result


def install() -> None:
    """Give this kit to all tests that use one."""
    root = Path(tempfile.mkdtemp(prefix="evalsuite-tests-"))
    atexit.register(shutil.rmtree, root)
    os.environ["LMUData"] = str(root)
    kit = KitHere(work=root / "work", media=root / "media", log=root / "kit.log")
    kit_data.kit = lambda: kit
