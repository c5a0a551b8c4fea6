"""A judge's endpoint for tests: a real HTTP server in a thread, with the manners of OpenAI's."""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A received request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][-1]["content"])

    @property
    def system(self) -> str:
        return "".join(m["content"] for m in self.body["messages"] if m["role"] == "system")


@dataclass(frozen=True)
class Reply:
    """A response: JSON, or raw bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    """How long it takes."""
    cut: bool = False
    """Close the connection half way through the body."""


def completion(
    text: str | None, *, model: str = "judge-small-0725", finish: str = "stop", **message: Any
) -> dict[str, Any]:
    """Return a chat completion as in OpenAI's documentation."""
    content = {"role": "assistant", "content": text, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": content, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """Return an error as in OpenAI's documentation."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class JudgeServer:
    """Answers every prompt with `answer`, after the replies in `first`.

    `asked` contains the received chat completion requests in order.
    """

    def __init__(
        self,
        answer: Callable[[Asked], str | Reply] = lambda asked: f"re: {asked.prompt}",
        *,
        first: tuple[Reply, ...] = (),
        models: tuple[str, ...] | Reply = ("judge-small", "judge-large"),
        certificate: Path | None = None,
    ) -> None:
        self.answer = answer
        self.first = deque(first)
        self.models = models
        self.asked: list[Asked] = []
        self.stopped = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.block_on_close = False
        scheme = "http"
        if certificate is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handler does the handshake, so a client that aborts it does not block others.
            self._http.socket = context.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        self.base_url = f"{scheme}://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> JudgeServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        try:
            return self.first.popleft()
        except IndexError:
            answer = self.answer(asked)
        return answer if isinstance(answer, Reply) else Reply(body=completion(answer))

    def listed(self) -> Reply:
        if isinstance(self.models, Reply):
            return self.models
        models = [{"id": name, "object": "model"} for name in self.models]
        return Reply(body={"object": "list", "data": models})


def _handler(server: JudgeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            found = self.path == "/v1/models"
            self._send(server.listed() if found else refusal(404, "Not Found"))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                self._send(refusal(404, "Not Found"))
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(server.reply(Asked(self.path, headers, body)))

        def _send(self, reply: Reply) -> None:
            server.stopped.wait(reply.seconds)
            raw = isinstance(reply.body, bytes)
            data = reply.body if raw else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", "text/html" if raw else "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if reply.cut else data)
            except OSError:
                self.close_connection = True  # the client did not wait
            if reply.cut:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
