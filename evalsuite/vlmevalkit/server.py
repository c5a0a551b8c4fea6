"""The child's side of the kit process: take requests, answer them with VLMEvalKit."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any

from evalsuite.errors import EvalsuiteError
from evalsuite.system import process
from evalsuite.system.hashing import cache_directory
from evalsuite.vlmevalkit.client import KitStartError, Refusal, Settings
from evalsuite.vlmevalkit.judge import KEY_VARIABLES, Judge


def main() -> None:
    """Serve until the parent goes away."""
    connection = process.serve()
    settings: Settings = connection.recv()
    process.write_to(settings.log)
    good, answer = _reply("", check_packages)
    connection.send((good, answer))
    if good:
        good, answer = _reply("", _answers, settings)
        connection.send((good, None if good else answer))
    while good:
        try:
            request = connection.recv()
        except EOFError:
            return
        verb, benchmark, *arguments = request
        connection.send(_reply(benchmark.name, answer, verb, benchmark, *arguments))


def _reply(what: str, work: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
    """Do the work: whether it was done, and its result or the reason in one line."""
    try:
        return True, work(*arguments)
    except EvalsuiteError as error:
        return False, Refusal(str(error), logged=False)
    except Exception as error:  # noqa: BLE001 - a process boundary: any defect becomes a message
        traceback.print_exc()
        where = f"{what}: VLMEvalKit raised " if what else ""
        return False, Refusal(f"{where}{_one_line(error)}", logged=True)


def check_packages() -> None:
    """Import the package of VLMEvalKit's that most often does not load; raises `KitStartError`."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise KitStartError(
            f"OpenCV cannot be imported ({_one_line(error)}): "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        ) from error


def _answers(settings: Settings) -> Callable[..., Any]:
    keys = {name: os.environ.get(name) for name in KEY_VARIABLES}
    # VLMEvalKit's import: it takes seconds and writes to the terminal.
    from evalsuite.vlmevalkit import datasets, scoring, workarounds

    # It may have read others from an .env file of its own.
    for name, key in keys.items():
        os.environ.pop(name, None)
        if key is not None:
            os.environ[name] = key
    workarounds.apply()
    shelf = datasets.Shelf(settings.work, settings.media, lossless=settings.lossless)

    def answer(verb: str, benchmark: Any, *arguments: Any) -> Any:
        loaded = shelf.take(benchmark)
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
                    # One a score: it tells who answered for this one.
                    judge = Judge(settings.judge, cache_directory())
                return scoring.score(loaded, *arguments, judge=judge)
            case _:
                raise ValueError(f"unknown request {verb}")

    return answer


def _one_line(error: BaseException) -> str:
    """Say which error it was, the first line of its message, and where it came up."""
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return " in ".join([what, *getattr(error, "__notes__", [])])


if __name__ == "__main__":
    main()
