"""The judge: it asks each question once and remembers the answer."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalsuite.runs.comparable import JudgeId
from evalsuite.system.files import to_json_line, write_atomically
from evalsuite.vlmevalkit.judge.client import SAMPLING, Answer, Endpoint

_WRITING = threading.Lock()
"""Scratch files are named after the process: two of its threads must not share one."""


class Judge:
    """Puts questions to a model and remembers its answers. Threads may share it."""

    def __init__(
        self,
        settings: JudgeId,
        cache: Path,
        *,
        timeout_seconds: float = 120,
        tries: int = 6,
    ) -> None:
        """Keep answers below `cache`; the key is read from the environment here and now."""
        self._endpoint = Endpoint(settings, timeout_seconds, tries)
        self._cache = cache
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._names: set[str] = set()

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the models that answered, as the endpoint reported them, sorted."""
        with self._lock:
            return tuple(sorted(self._names))

    def generate(self, prompt: str, system: str = "") -> str:
        """Answer `prompt`, told `system` first; from the cache if it was ever asked.

        Raises `JudgeError`.
        """
        request: dict[str, Any] = {
            "model": self._endpoint.settings.model,
            "base_url": self._endpoint.settings.base_url,
            "system": _sendable(system),
            "prompt": _sendable(prompt),
            "sampling": dict(SAMPLING),
        }
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        path = self._cache / "judge" / key[:2] / f"{key}.json"
        with self._turn(key):
            answer = _remembered(path, request)
            if answer is None:
                answer = self._endpoint.ask(request["prompt"], request["system"])
                with _WRITING:
                    write_atomically(path, to_json_line({"request": request, **asdict(answer)}))
        with self._lock:
            self._names.add(answer.answered_by)
        return answer.text

    @contextlib.contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """Let one thread ask; others with the same question wait and find its answer."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            yield


def _remembered(path: Path, request: Mapping[str, Any]) -> Answer | None:
    """The answer in `path`; None if there is none, or none that can be trusted."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(known, dict) or known.pop("request", None) != request:
        return None
    with contextlib.suppress(TypeError):  # a field too many or too few
        answer = Answer(**known)
        if isinstance(answer.text, str) and isinstance(answer.answered_by, str):
            return answer
    return None


def _sendable(text: str) -> str:
    """`text` as UTF-8 can carry it: half a surrogate pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
