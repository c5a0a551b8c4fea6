"""A judge that caches its answers."""

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
from evalsuite.system.files import to_json_line, write_bytes_atomically
from evalsuite.vlmevalkit.judge.client import SAMPLING, Endpoint, JudgeAnswer, JudgeError


class Judge:
    """Asks a model and caches its answers. Threads may share it."""

    def __init__(
        self,
        settings: JudgeId,
        cache: Path,
        *,
        timeout_seconds: float = 120,
        tries: int = 6,
    ) -> None:
        """Cache answers under `cache`; read the key from the environment now."""
        self._endpoint = Endpoint(settings, timeout_seconds, tries)
        self._cache = cache
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._names: set[str] = set()

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the models that answered, as the endpoint reported them, sorted."""
        with self._lock:
            return tuple(sorted(self._names))

    def generate(self, prompt: str, system: str = "") -> str:
        """Return the answer to `prompt` with the system prompt `system`, cached if possible.

        Raises `JudgeError`.
        """
        request: dict[str, Any] = {
            "model": self._endpoint.settings.model,
            "base_url": self._endpoint.settings.base_url,
            "system": _encodable(system),
            "prompt": _encodable(prompt),
            "sampling": dict(SAMPLING),
        }
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        path = self._cache / "judge" / key[:2] / f"{key}.json"
        with self._lock_for(key):
            answer = _cached_answer(path, request)
            if answer is None:
                answer = self._endpoint.ask(request["prompt"], request["system"])
                if answer.problem:
                    raise JudgeError(f"judge {self._endpoint.settings}: {answer.problem}")
                line = to_json_line({"request": request, **asdict(answer)})
                write_bytes_atomically(path, line.encode())
        with self._lock:
            self._names.add(answer.answered_by)
        return answer.text

    @contextlib.contextmanager
    def _lock_for(self, key: str) -> Iterator[None]:
        """Lock a question, so that other threads with the same question wait for its answer."""
        with self._lock:
            turn = self._locks.setdefault(key, threading.Lock())
        with turn:
            yield


def _cached_answer(path: Path, request: Mapping[str, Any]) -> JudgeAnswer | None:
    """Return the answer in `path`; None if it is missing, invalid or no answer."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(known, dict) or known.pop("request", None) != request:
        return None
    with contextlib.suppress(TypeError):  # a field too many or too few
        answer = JudgeAnswer(**known)
        valid = isinstance(answer.text, str) and isinstance(answer.answered_by, str)
        return answer if valid and not answer.problem else None
    return None


def _encodable(text: str) -> str:
    """Return `text` for UTF-8: half of a surrogate pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
