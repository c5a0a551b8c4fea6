"""Whether a judge is there and answers, asked before anything is spent."""

from __future__ import annotations

import queue
import threading

from evalsuite.errors import UsageError, nearest
from evalsuite.runs.comparable import JudgeId
from evalsuite.vlmevalkit.judge.client import Endpoint, JudgeError, quoted


def check(settings: JudgeId, *, reach_seconds: float = 15, answer_seconds: float = 60) -> str:
    """Ask for one word, and return the model's name as the endpoint reports it.

    An endpoint has `reach_seconds` to show that it is there; the model may still have to be loaded.
    Raises `UsageError` for what the command line or the key has to mend, `JudgeError` for the rest.
    """
    endpoint = Endpoint(settings, answer_seconds, tries=1)
    known = _reach(endpoint, reach_seconds)
    try:
        answer = endpoint.ask("Reply with the word yes and nothing else.")
    except JudgeError as error:
        if error.status in (400, 404, 422) and known and settings.model not in known:
            hint = nearest(settings.model, known) or f" (it has {quoted(', '.join(known))})"
            raise UsageError(
                f"judge at {settings.base_url}: has no model '{settings.model}'{hint}; "
                "name one of its own with --judge"
            ) from None
        if error.status in (400, 401, 403, 404, 405, 422):
            raise UsageError(str(error)) from None
        raise
    if not answer.text.strip():
        raise UsageError(
            f"judge {settings}: answered a simple question with nothing (finish_reason "
            f"{answer.finish_reason}); choose a model that answers without long thinking"
        )
    return answer.answered_by


def _reach(endpoint: Endpoint, seconds: float) -> list[str]:
    """The models the endpoint lists, if it does; raises `JudgeError` where nobody is.

    In a thread of its own: looking up a host's name can hang longer than any connection may.
    """
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            found.put(endpoint.models(seconds / 3))  # a host may have several addresses
        except Exception as error:  # noqa: BLE001 - raised again below, by the thread that waits
            found.put(error)

    threading.Thread(target=look, daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except queue.Empty:
        raise JudgeError(
            f"{endpoint.settings}: cannot be reached within {seconds:g} s; "
            "check --judge-base-url and the network"
        ) from None
    if isinstance(result, Exception):
        raise result
    return result
