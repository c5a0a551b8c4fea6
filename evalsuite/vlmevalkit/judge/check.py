"""Preflight check: whether a judge answers."""

from __future__ import annotations

import queue
import threading

from evalsuite.errors import UsageError, nearest
from evalsuite.runs.comparable import JudgeId
from evalsuite.vlmevalkit.judge.client import Endpoint, JudgeError, short_quote


def check(settings: JudgeId, *, reach_seconds: float = 15, answer_seconds: float = 60) -> str:
    """Ask for one word; return the model name reported by the endpoint.

    The endpoint must be reachable within `reach_seconds`; the model may still need loading. Raises
    `UsageError` if options or key are wrong, otherwise `JudgeError`.
    """
    endpoint = Endpoint(settings, answer_seconds, tries=1)
    known = _list_models(endpoint, reach_seconds)
    try:
        answer = endpoint.ask("Reply with the word yes and nothing else.")
    except JudgeError as error:
        if error.status in (400, 404, 422) and known and settings.model not in known:
            hint = nearest(settings.model, known) or f" (it has {short_quote(', '.join(known))})"
            raise UsageError(
                f"judge at {settings.base_url}: no model '{settings.model}'{hint}; "
                "set --judge to one of its models"
            ) from None
        if error.status in (400, 401, 403, 404, 405, 422):
            raise UsageError(str(error)) from None
        raise
    if not answer.text.strip():
        raise UsageError(
            f"judge {settings}: empty answer to a simple question (finish_reason "
            f"{answer.finish_reason}); choose a model without long reasoning"
        )
    return answer.answered_by


def _list_models(endpoint: Endpoint, seconds: float) -> list[str]:
    """Return the models that the endpoint lists; raises `JudgeError` if it cannot be reached.

    Runs in its own thread, because a host name lookup can exceed any connection timeout.
    """
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def list_models() -> None:
        try:
            found.put(endpoint.models(seconds / 3))  # a host may have several addresses
        except Exception as error:  # noqa: BLE001 - raised again in the waiting thread
            found.put(error)

    threading.Thread(target=list_models, daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except queue.Empty:
        raise JudgeError(
            f"judge {endpoint.settings}: cannot be reached within {seconds:g} s; "
            "check --judge-base-url and the network"
        ) from None
    if isinstance(result, Exception):
        raise result
    return result
