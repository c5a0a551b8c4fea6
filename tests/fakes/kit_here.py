"""VLMEvalKit in this process: the kit process without the process, for `make mutants`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from evalsuite.vlmevalkit import client, server


class Here:
    """Answers the messages to a kit process with the modules of this process."""

    def __init__(self, module: str, environment: Mapping[str, str], **_: Any) -> None:
        os.environ.update(environment)
        self._replies: list[Any] = []

    def send(self, message: Any) -> None:
        if isinstance(message, client.KitSettings):
            self._answer = server._request_handler(message)
            self._replies = [server._reply("", lambda: None)] * client.START_REPLIES
        else:
            verb, benchmark, *rest = message
            self._replies.append(
                server._reply(benchmark.name, self._answer, verb, benchmark, *rest)
            )

    def receive(self, seconds: float) -> Any:
        return self._replies.pop(0)

    def kill(self) -> None:
        self._replies = []


def install() -> None:
    """Let this process start no other kit process."""
    client.Child = Here  # type: ignore[assignment,misc]
    client.Kit.close = lambda _: None  # type: ignore[method-assign]
