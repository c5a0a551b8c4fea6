"""The kit process: handles requests with VLMEvalKit."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from evalsuite.errors import EvalsuiteError
from evalsuite.system import process
from evalsuite.system.hashing import cache_directory
from evalsuite.system.images import restrict_pillow
from evalsuite.system.text import one_line
from evalsuite.vlmevalkit import deferred_imports
from evalsuite.vlmevalkit.client import KitSettings, KitStartError
from evalsuite.vlmevalkit.judge import Judge


def main() -> None:
    """Serve requests until the parent exits."""
    connection = process.serve()
    settings: KitSettings = connection.recv()
    process.write_to(settings.log)
    good, answer, logged = _reply("", check_packages)
    connection.send((good, answer, logged))
    if good:
        good, answer, logged = _reply("", _request_handler, settings)
        connection.send((good, None if good else answer, logged))
    while good:
        try:
            request = connection.recv()
        except EOFError:
            return
        verb, benchmark, *arguments = request
        connection.send(_reply(benchmark.name, answer, verb, benchmark, *arguments))


def _reply(what: str, work: Callable[..., Any], *arguments: Any) -> tuple[bool, Any, bool]:
    """Call `work`; return whether it succeeded, its result or error, and whether that is logged."""
    try:
        return True, work(*arguments), False
    except EvalsuiteError as error:
        return False, str(error), False
    except Exception as error:  # noqa: BLE001 - at a process boundary every error becomes a message
        traceback.print_exc()
        reason = " in ".join([one_line(error, with_type=True), *getattr(error, "__notes__", [])])
        if what:
            reason = f"{what}: VLMEvalKit raised {reason}"
        return False, reason, True


def check_packages() -> None:
    """Import OpenCV, the package that most often fails to load; raises `KitStartError`."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise KitStartError(
            f"OpenCV cannot be imported ({one_line(error, with_type=True)}): "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        ) from error


def _request_handler(settings: KitSettings) -> Callable[..., Any]:
    import dotenv

    # VLMEvalKit sets variables from a file .env beside its package, among them keys.
    dotenv.dotenv_values = lambda *_, **__: {}
    # Imports VLMEvalKit, which takes seconds and writes to the terminal.
    with deferred_imports.deferred():
        from evalsuite.vlmevalkit import datasets, scoring, workarounds

    workarounds.apply()
    restrict_pillow()  # VLMEvalKit raises Pillow's limit
    cache = datasets.DatasetCache(settings.work, settings.media, lossless=settings.lossless)

    def answer(verb: str, benchmark: Any, *arguments: Any) -> Any:
        loaded = cache.get(benchmark)
        match verb:
            case "load":
                return None
            case "outline":
                scoring.check(loaded)
                return datasets.outline(loaded)
            case "describe":
                return datasets.describe(loaded, *arguments)
            case "samples":
                return datasets.samples(loaded, *arguments)
            case "score":
                judge = None
                if settings.judge is not None and benchmark.judge is not None:
                    # A new judge per score, to report the models that answered.
                    judge = Judge(settings.judge, cache_directory())
                return scoring.score(loaded, *arguments, judge=judge)
            case _:
                raise ValueError(f"unknown request {verb}")

    return answer


if __name__ == "__main__":
    main()
