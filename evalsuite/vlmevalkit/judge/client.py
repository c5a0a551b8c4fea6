"""One chat completion from an OpenAI-compatible endpoint, or the reason why not in one line."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runs.comparable import JudgeId
from evalsuite.vlmevalkit.judge.settings import KEY_VARIABLES, read_key

if TYPE_CHECKING:
    import openai

SAMPLING: Mapping[str, Any] = {"temperature": 0, "max_tokens": 1024, "seed": 0}
_LONGEST_QUOTE = 200


class JudgeError(IncompleteError):
    """The judge gave no answer. What it answered before is kept."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint said."""

    text: str
    """Empty if the model refused or said nothing."""
    answered_by: str
    """The model as the endpoint names it."""
    finish_reason: str | None
    """As reported: ``stop``, ``length`` for a text cut short, ``content_filter``, …"""
    sampling: Mapping[str, Any]
    """As sent: an endpoint that takes no seed is asked without one."""


class Endpoint:
    """The one way to the network. Waiting, trying again and TLS are the openai package's part."""

    def __init__(self, settings: JudgeId, timeout_seconds: float, tries: int) -> None:
        self.settings = settings
        self._timeout_seconds = timeout_seconds
        self._tries = tries
        self._key_variable, self._key = read_key()
        self._sampling = SAMPLING
        self._lock = threading.Lock()
        self._made: openai.OpenAI | None = None

    def ask(self, prompt: str, system: str = "") -> Answer:
        """One chat completion; raises `JudgeError`, or `UsageError` before anything is sent."""
        import openai

        messages: list[Any] = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": prompt})
        while True:
            sampling = self._sampling
            try:
                reply = self._client().chat.completions.with_raw_response.create(
                    model=self.settings.model, messages=messages, **dict(sampling)
                )
                return self._read(reply.text, sampling)
            except openai.APIStatusError as error:
                if error.code == "content_filter":  # Azure refuses so, where others say it in a 200
                    return Answer(
                        text="",
                        answered_by=self.settings.model,
                        finish_reason="content_filter",
                        sampling=sampling,
                    )
                milder = _milder(sampling, self._said(error))
                if error.status_code not in (400, 422) or milder == sampling:
                    raise self._refusal(error) from None
                self._sampling = milder
            except openai.APIConnectionError as error:
                raise self._unreached(error) from None

    def models(self, seconds: float) -> list[str]:
        """The models it lists; empty if it answers anything else, or not within `seconds`."""
        import openai

        client = self._client().with_options(timeout=seconds, max_retries=0)
        try:
            listed = json.loads(client.models.with_raw_response.list().text)
            return [str(model["id"]) for model in listed["data"]]
        except openai.APIConnectionError as error:
            # A server busy with another answer may take its time, and is there all the same.
            if type(error.__cause__).__name__ == "ReadTimeout":
                return []
            raise self._unreached(error) from None
        except (openai.APIStatusError, ValueError, LookupError, TypeError):
            return []

    def _client(self) -> openai.OpenAI:
        import openai

        with self._lock:
            if self._made is None:
                seconds = self._timeout_seconds
                try:
                    self._made = openai.OpenAI(
                        api_key=self._key or "-",  # local servers want none, the package wants one
                        base_url=self.settings.base_url,
                        timeout=openai.Timeout(seconds, connect=min(seconds, 10)),
                        max_retries=self._tries - 1,
                    )
                except (OSError, ValueError, ImportError) as error:
                    why = self._safe(str(error))
                    raise UsageError(
                        f"judge {self.settings}: no connection can be prepared: {why}; "
                        "check SSL_CERT_FILE, SSL_CERT_DIR and the proxies in the environment"
                    ) from None
            return self._made

    def _read(self, body: str, sampling: Mapping[str, Any]) -> Answer:
        try:
            reply = json.loads(body)
            choice = reply["choices"][0]
            text = choice["message"].get("content") or ""
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError):
            raise JudgeError(
                f"judge {self.settings}: what it answers is no chat completion: "
                f"'{self._safe(body)}'; check that --judge-base-url ends as its manual says (/v1)"
            ) from None
        return Answer(
            text=text,
            answered_by=str(reply.get("model") or self.settings.model),
            finish_reason=choice.get("finish_reason"),
            sampling=sampling,
        )

    def _refusal(self, error: openai.APIStatusError) -> JudgeError:
        status, said = error.status_code, self._said(error)
        key = f"the key in {self._key_variable}"
        match status:
            case 401 | 403 if not self._key:
                why = f"wants a key ({status}: {said}); set {KEY_VARIABLES[0]}"
            case 401 | 403:
                why = f"refuses {key} ({status}: {said}); set {KEY_VARIABLES[0]} to one it takes"
            case 404 | 405:
                why = f"not found there ({status}: {said}); check --judge and --judge-base-url"
            case 429 if error.code == "insufficient_quota":
                why = f"its quota is used up ({said}); raise it, or set another {KEY_VARIABLES[0]}"
            case 400 | 422 if re.search(r"\btemperature\b", said):
                why = f"does not answer at temperature 0 ({said}); choose a judge that does"
            case 429:
                wait = error.response.headers.get("retry-after")
                asks = f"; it asks to wait {self._safe(wait)} s" if wait else ""
                why = f"is asked too often (429: {said}){asks}; run the same command again later"
            case _ if status >= 500:
                why = f"fails ({status}: {said}); run the same command again once it works"
            case _:
                why = f"refuses the question ({status}: {said}); check --judge and what it can take"
        return JudgeError(f"judge {self.settings}: {why}", status)

    def _unreached(self, error: openai.APIConnectionError) -> JudgeError:
        import openai

        cause = error.__cause__
        if isinstance(error, openai.APITimeoutError):
            slow = type(cause).__name__ == "ReadTimeout"
            why = "gave no answer in time" if slow else "cannot be reached in time"
        else:
            why = f"cannot be reached: {self._safe(str(cause or error))}"
        tries = f" (tried {self._tries} times)" if self._tries > 1 else ""
        return JudgeError(
            f"judge {self.settings}: {why}{tries}; check that it runs and that "
            "--judge-base-url is right"
        )

    def _said(self, error: openai.APIStatusError) -> str:
        """The endpoint's own words about an error."""
        body = error.body
        if isinstance(body, dict):
            body = body.get("message") or body.get("detail") or body.get("error") or body
        return self._safe(str(body or error.response.reason_phrase or "no reason given"))

    def _safe(self, text: str) -> str:
        """`text` in one short line; there are servers that repeat the key they refuse."""
        return quoted(text.replace(self._key, "***") if self._key else text)


def _milder(sampling: Mapping[str, Any], said: str) -> Mapping[str, Any]:
    """`sampling` without what an endpoint complains of and answers do not depend on."""
    milder = dict(sampling)
    if re.search(r"\bseed\b", said):
        milder.pop("seed", None)
    if "max_completion_tokens" in said and "max_tokens" in milder:
        milder["max_completion_tokens"] = milder.pop("max_tokens")
    return milder


def quoted(text: str) -> str:
    """`text` in one line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}…"
