"""As much of the Hub's API as downloads use."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Has `files` in every repository that is not refused."""

    files: Mapping[str, bytes]

    def refused(self) -> tuple[int, str | None] | None:
        """Status and error code of a request that gets no good answer."""
        raise NotImplementedError

    def do_GET(self) -> None:
        if (refused := self.refused()) is not None:
            self._reply(refused[0], b"", refused[1])
        elif "/tree/" in self.path:
            self._tell([
                {"type": "file", "path": name, "size": len(data), "oid": oid(data)}
                for name, data in self.files.items()
            ])  # fmt: skip
        elif "/resolve/" in self.path:
            self._reply(200, self.files[self.path.partition(f"{COMMIT}/")[2]])
        else:
            siblings = [{"rfilename": n, "size": len(d)} for n, d in self.files.items()]
            self._tell({"id": "org/made", "sha": COMMIT, "siblings": siblings})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _tell(self, plain: object) -> None:
        self._reply(200, json.dumps(plain).encode())

    def _reply(self, status: int, body: bytes, error: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{oid(body)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(BrokenPipeError):  # who asked did not wait
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
