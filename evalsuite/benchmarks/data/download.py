"""One file from a web server: resumed where it was cut off, checked before it gets its name."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from evalsuite.benchmarks.data.errors import NO_NETWORK, DataError
from evalsuite.benchmarks.data.progress import Say, Step
from evalsuite.benchmarks.data.sizes import written
from evalsuite.errors import DiskError
from evalsuite.system.environment import VERSION
from evalsuite.system.files import disk_errors, sync_directory
from evalsuite.system.hashing import file_digest
from evalsuite.system.locks import exclusive
from evalsuite.system.text import one_line

_CHUNK = 1 << 18
_FURTHER_BYTES = 1 << 16
"""A try that brings less counts as failed: a server must not keep us with a byte a try."""
_LATER = {408, 425, 429, 500, 502, 503, 504}
"""Answers worth another try."""
_NOT_SO = {403, 405, 501}
"""What servers say that give a file but do not tell its size."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is borne with."""

    timeout_seconds: float = 30.0
    """Without a single byte."""
    tries: int = 5
    """In a row that bring next to nothing."""
    pause_seconds: float = 1.0
    """Before the second try; twice as long before each further one."""


def remote_size(url: str, timeout_seconds: float) -> int | None:
    """How large the file at `url` is; None if the server does not say.

    Raises `OSError` or `http.client.HTTPException` where it cannot be asked or has no such file.
    """
    try:
        with _open(url, {}, timeout_seconds, "HEAD") as response:
            length = response.headers.get("Content-Length", "")
    except urllib.error.HTTPError as error:
        if error.code in _NOT_SO:
            return None
        raise
    return int(length) if length.isdecimal() else None


def part_path(path: Path, md5: str) -> Path:
    """Where the beginning of a file is kept; another digest is another file's beginning."""
    return path.with_name(f"{path.name}.part-{md5[:8]}")


def download(
    url: str, path: Path, md5: str, benchmark: str, say: Say, patience: Patience | None = None
) -> None:
    """Put what `url` serves at `path`, if its MD5 is `md5`. What is at `path` is never touched.

    Another process at the same file is waited for. Raises `DataError` or `DiskError`; what was
    loaded until then, or until Ctrl-C, is kept and continued.
    """
    part = part_path(path, md5)
    with exclusive(path.with_name(f".{path.name}.lock")):
        if path.exists():  # put there while we waited
            return
        resumed = part.exists()
        for again in (False, True):
            _load(url, part, benchmark, say, patience or Patience())
            say(Step(benchmark, "checking", part.stat().st_size, part.stat().st_size))
            found = file_digest(part, algorithm="md5", fresh=True)
            if found == md5.lower():
                _name(part, path)
                return
            with disk_errors(part):
                part.unlink()
            if again or not resumed:  # a beginning that is out of date gets a second chance
                break
        raise DataError(
            f"{url}: has MD5 {found}, published is {md5}; nothing of it was kept",
            f"the file was changed on the server: put the right one at {path}",
        )


def _name(part: Path, path: Path) -> None:
    """Give `part` its name, unless that is taken: a link, unlike a rename, replaces nothing."""
    with disk_errors(path):
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not path.exists():
                part.rename(path)
        part.unlink(missing_ok=True)
        sync_directory(path.parent)


def _load(url: str, part: Path, benchmark: str, say: Say, patience: Patience) -> None:
    """Bring `part` to its full length, in as many tries as bring it further."""
    failed = 0
    while True:
        before = _length(part)
        try:
            _continue(url, part, benchmark, say, patience.timeout_seconds)
            return
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} ({error.reason})"
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)  # longer than the file: begun with another one
            elif error.code not in _LATER:
                raise DataError(f"{url}: {reason}", _REMEDY) from None
        except (OSError, http.client.HTTPException) as error:
            reason = why(error)
        failed = 0 if _length(part) - before >= _FURTHER_BYTES else failed + 1
        if failed >= patience.tries:
            raise DataError(f"{url}: cannot be loaded: {reason}", _REMEDY)
        time.sleep(patience.pause_seconds * 2 ** max(failed - 1, 0))


_REMEDY = f"run the same command again to continue, {NO_NETWORK}"


def _continue(url: str, part: Path, benchmark: str, say: Say, timeout: float) -> None:
    """Load what `part` still lacks; raises if the connection ends before that."""
    offset = _length(part)
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    with _open(url, headers, timeout) as response:
        if offset and not _continues(response, offset):
            offset = 0  # no ranges here: from the beginning
        total = _total(response, offset)
        _check_room(part, total, offset)
        with disk_errors(part):
            file = part.open("ab" if offset else "wb")
        with file:
            done = offset
            say(Step(benchmark, "downloading", done, total))
            while chunk := response.read1(_CHUNK):
                with disk_errors(part):
                    file.write(chunk)
                done += len(chunk)
                say(Step(benchmark, "downloading", done, total))
            with disk_errors(part):
                file.flush()
                os.fsync(file.fileno())
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {written(done)} of {written(total)}")


def _continues(response: http.client.HTTPResponse, offset: int) -> bool:
    served = response.headers.get("Content-Range", "")
    return response.status == http.HTTPStatus.PARTIAL_CONTENT and served.startswith(
        f"bytes {offset}-"
    )


def _total(response: http.client.HTTPResponse, offset: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdecimal() else None


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _check_room(part: Path, total: int | None, offset: int) -> None:
    with disk_errors(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - offset > free:
        raise DiskError(
            f"{part.parent}: {written(total - offset)} to download, and {written(free)} free on "
            "that disk; free some space, or name another place with $LMUData"
        )


def _open(
    url: str, headers: dict[str, str], timeout: float, method: str = "GET"
) -> http.client.HTTPResponse:
    if not url.lower().startswith(("http://", "https://")):
        raise DataError(
            f"{url}: not a web address", "write 'url' in the benchmarks file with https://"
        )
    request = urllib.request.Request(
        url,
        headers={"User-Agent": f"evalsuite/{VERSION}", "Accept-Encoding": "identity", **headers},
        method=method,
    )
    # Proxies come from HTTPS_PROXY and its like. The context is our own because there are packages
    # that make the default one trust anybody.
    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        # Where Python was built elsewhere it may know none of the system's authorities.
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    return response


def why(error: BaseException) -> str:
    """What went wrong with a connection, in a few words."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return why(reason)
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} ({error.reason})"
    return getattr(error, "strerror", None) or one_line(error)
