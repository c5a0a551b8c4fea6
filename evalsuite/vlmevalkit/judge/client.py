"""Chat completions from an OpenAI-compatible endpoint; errors are one line."""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalsuite.errors import IncompleteError, UsageError, nearest
from evalsuite.runs.comparable import JudgeId
from evalsuite.vlmevalkit.judge.settings import KEY_VARIABLES, read_key

if TYPE_CHECKING:
    import openai

SAMPLING: Mapping[str, Any] = {"temperature": 0, "max_tokens": 1024, "seed": 0}
_MAX_QUOTE_LENGTH = 200


class JudgeError(IncompleteError):
    """The judge did not answer. Its earlier answers are kept."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status of the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAnswer:
    """Answer of an endpoint."""

    text: str
    """Without what a model thinks before it. Empty if it refused or returned nothing."""
    answered_by: str
    """Model name reported by the endpoint."""
    finish_reason: str | None
    """As reported: ``stop``, ``length`` for a truncated text, ``content_filter``, …"""
    sampling: Mapping[str, Any]
    """As sent: without a seed if the endpoint does not accept one."""

    @property
    def problem(self) -> str:
        """Why it is not an answer; empty if it is one."""
        if self.finish_reason == "length":
            return "its answer was cut off at the token limit; use a judge that answers briefly"
        if not self.text.strip():
            reason = f"finish_reason {self.finish_reason}"
            return f"it refused or gave an empty answer ({reason}); use another judge"
        return ""


class Endpoint:
    """The only network access. The openai package does timeouts, retries and TLS."""

    def __init__(self, settings: JudgeId, timeout_seconds: float, tries: int) -> None:
        self.settings = settings
        self._timeout_seconds = timeout_seconds
        self._tries = tries
        self._key_variable, self._key = read_key()
        self._sampling = SAMPLING
        self._lock = threading.Lock()
        self._openai_client: openai.OpenAI | None = None

    def ask(self, prompt: str, system: str = "") -> JudgeAnswer:
        """Return one chat completion; raises `JudgeError`, or `UsageError` before sending."""
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
                # Azure refuses with an error, others with status 200.
                if error.code == "content_filter":
                    return JudgeAnswer(
                        text="",
                        answered_by=self.settings.model,
                        finish_reason="content_filter",
                        sampling=sampling,
                    )
                accepted = _without_rejected_options(sampling, self._error_text(error))
                if error.status_code not in (400, 422) or accepted == sampling:
                    raise self._status_error(error) from None
                self._sampling = accepted
            except openai.APIConnectionError as error:
                raise self._connection_error(error) from None

    def models(self, seconds: float) -> list[str]:
        """Return the listed models; empty if there is no list or it takes over `seconds`."""
        import openai

        client = self._client().with_options(timeout=seconds, max_retries=0)
        try:
            listed = json.loads(client.models.with_raw_response.list().text)
            return [str(model["id"]) for model in listed["data"]]
        except openai.APIConnectionError as error:
            # A server may be reachable but busy with another answer.
            if type(error.__cause__).__name__ == "ReadTimeout":
                return []
            raise self._connection_error(error) from None
        except (openai.APIStatusError, ValueError, LookupError, TypeError):
            return []

    def _client(self) -> openai.OpenAI:
        import openai

        with self._lock:
            if self._openai_client is None:
                seconds = self._timeout_seconds
                try:
                    self._openai_client = openai.OpenAI(
                        # Local servers need no key, but the package requires one.
                        api_key=self._key or "-",
                        base_url=self.settings.base_url,
                        timeout=openai.Timeout(seconds, connect=min(seconds, 10)),
                        max_retries=self._tries - 1,
                    )
                except (OSError, ValueError, ImportError) as error:
                    problem = self._redacted(str(error))
                    raise UsageError(
                        f"judge {self.settings}: cannot prepare a connection: {problem}; "
                        "check SSL_CERT_FILE, SSL_CERT_DIR and the proxies in the environment"
                    ) from None
            return self._openai_client

    def _read(self, body: str, sampling: Mapping[str, Any]) -> JudgeAnswer:
        try:
            reply = json.loads(body)
            choice = reply["choices"][0]
            text = choice["message"].get("content") or ""
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError):
            raise JudgeError(
                f"judge {self.settings}: its answer is not a chat completion: "
                f"'{self._redacted(body)}'; check the end of --judge-base-url (/v1)"
            ) from None
        return JudgeAnswer(
            text=_without_thinking(text),
            answered_by=str(reply.get("model") or self.settings.model),
            finish_reason=choice.get("finish_reason"),
            sampling=sampling,
        )

    def _status_error(self, error: openai.APIStatusError) -> JudgeError:
        status, reason = error.status_code, self._error_text(error)
        key = f"the key in {self._key_variable}"
        match status:
            case 401 | 403 if not self._key:
                problem = f"requires a key ({status}: {reason}); set {KEY_VARIABLES[0]}"
            case 401 | 403:
                problem = f"rejects {key} ({status}: {reason}); set a valid {KEY_VARIABLES[0]}"
            case 404 | 405:
                problem = f"not found ({status}: {reason}); check --judge and --judge-base-url"
            case 429 if error.code == "insufficient_quota":
                problem = f"quota exceeded ({reason}); raise it, or set another {KEY_VARIABLES[0]}"
            case 400 | 422 if re.search(r"\btemperature\b", reason):
                problem = f"does not support temperature 0 ({reason}); choose another judge"
            case 429:
                wait = error.response.headers.get("retry-after")
                delay = f"; retry after {self._redacted(wait)} s" if wait else ""
                problem = f"too many requests (429: {reason}){delay}; rerun the same command later"
            case _ if status >= 500:
                problem = f"server error ({status}: {reason}); rerun the same command once it works"
            case _:
                problem = f"rejects the request ({status}: {reason}); check --judge and its limits"
        return JudgeError(f"judge {self.settings}: {problem}", status)

    def _connection_error(self, error: openai.APIConnectionError) -> JudgeError:
        import openai

        cause = error.__cause__
        if isinstance(error, openai.APITimeoutError):
            slow = type(cause).__name__ == "ReadTimeout"
            problem = "no answer in time" if slow else "cannot be reached in time"
        else:
            problem = f"cannot be reached: {self._redacted(str(cause or error))}"
        tries = f" (tried {self._tries} times)" if self._tries > 1 else ""
        return JudgeError(
            f"judge {self.settings}: {problem}{tries}; check that it runs and that "
            "--judge-base-url is correct"
        )

    def _error_text(self, error: openai.APIStatusError) -> str:
        """Return the endpoint's own message of an error."""
        body = error.body
        if isinstance(body, dict):
            body = body.get("message") or body.get("detail") or body.get("error") or body
        return self._redacted(str(body or error.response.reason_phrase or "no reason given"))

    def _redacted(self, text: str) -> str:
        """Return `text` as one short line without the key, which some servers repeat."""
        return short_quote(text.replace(self._key, "***") if self._key else text)


def _without_rejected_options(sampling: Mapping[str, Any], reason: str) -> Mapping[str, Any]:
    """Return `sampling` without options that the endpoint rejects and answers do not depend on."""
    accepted = dict(sampling)
    if re.search(r"\bseed\b", reason):
        accepted.pop("seed", None)
    if "max_completion_tokens" in reason and "max_tokens" in accepted:
        accepted["max_completion_tokens"] = accepted.pop("max_tokens")
    return accepted


def _without_thinking(text: str) -> str:
    """Return what follows the thinking of a model; empty if the thinking does not end."""
    closed = list(_THINKING_ENDS.finditer(text))
    if closed:
        return text[closed[-1].end() :].lstrip()
    return "" if _THINKING_BEGINS.match(text) else text


_THINKING_BEGINS = re.compile(r"\s*(<(think|thinking|thought|reasoning)>|\[THINK\])", re.I)
_THINKING_ENDS = re.compile(r"</(think|thinking|thought|reasoning)>|\[/THINK\]", re.I)
"""A chat template may begin the thinking, so that an answer has only its end."""


def short_quote(text: str) -> str:
    """Return `text` as one short line."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_QUOTE_LENGTH else f"{line[:_MAX_QUOTE_LENGTH]}…"


# Preflight check


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
