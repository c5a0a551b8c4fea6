"""A web server for downloads, with the faults real ones have."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Files:
    """What a server serves and how, and what it was asked."""

    data: bytes
    ranges: bool = True
    cut_after: int | None = None
    """Bytes of a body after which the connection is closed,"""
    cuts: int = 0
    """this number of times."""
    failures: int = 0
    """Requests for the body answered by 503, before one is answered well."""
    slow_seconds: float = 0.0
    """Between the halves of a body."""
    chunked: bool = False
    status: int = 200
    head_status: int = 200
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Method and Range of each request."""


@contextlib.contextmanager
def serving(files: Files) -> Iterator[Files]:
    """Serve `files` at `files.url`, whatever the path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            files.asked.append(("HEAD", None))
            self.send_response(files.head_status)
            self.send_header("Content-Length", str(len(files.data)))
            self.end_headers()

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            files.asked.append(("GET", wanted))
            if files.failures > 0 or files.status != 200:
                files.failures -= 1
                self.send_response(files.status if files.status != 200 else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            if wanted and files.ranges:
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                if start >= len(files.data):
                    self.send_response(416)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                last = len(files.data) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(files.data)}")
            else:
                self.send_response(200)
            self._send(files.data[start:])

        def _send(self, body: bytes) -> None:
            if files.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
                return
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if files.cuts > 0 and files.cut_after is not None:
                files.cuts -= 1
                body = body[: files.cut_after]
                self.close_connection = True
            with contextlib.suppress(OSError):
                half = len(body) // 2
                self.wfile.write(body[:half])
                self.wfile.flush()
                time.sleep(files.slow_seconds)
                self.wfile.write(body[half:])

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as address:
        files.url = f"{address}/MMStar.tsv"
        yield files


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer by `handler` in a thread; says at what address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
