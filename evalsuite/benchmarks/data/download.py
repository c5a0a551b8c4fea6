"""Download of one file over HTTP: resumed after interruptions, renamed after an MD5 check."""

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

from rich.filesize import decimal

from evalsuite.benchmarks.data.errors import NO_NETWORK, DataError
from evalsuite.benchmarks.data.progress import OnStep, Step
from evalsuite.errors import DiskError
from evalsuite.system.environment import VERSION
from evalsuite.system.files import disk_errors, sync_directory
from evalsuite.system.hashing import file_digest
from evalsuite.system.locks import exclusive
from evalsuite.system.text import one_line

_CHUNK = 1 << 18
_LEAST_BYTES = 1 << 16
"""An attempt that receives fewer bytes counts as failed."""
_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
_NO_HEAD_STATUS = {403, 405, 501}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Timeout and retry settings."""

    timeout_seconds: float = 30.0
    """Time limit without a received byte."""
    tries: int = 5
    """Maximum number of consecutive failed attempts."""
    pause_seconds: float = 1.0
    """Pause before the second attempt; doubled before each further one."""


def remote_size(url: str, timeout_seconds: float) -> int | None:
    """Size of the file at `url` in bytes; None if the server does not report it.

    Raises `DataError` if the server is unreachable or has no such file.
    """
    try:
        with _open(url, {}, timeout_seconds, "HEAD") as response:
            length = response.headers.get("Content-Length", "")
    except urllib.error.HTTPError as error:
        if error.code in _NO_HEAD_STATUS:
            return None
        raise DataError(_connection_error(error), NO_NETWORK) from None
    except (OSError, http.client.HTTPException) as error:
        raise DataError(_connection_error(error), NO_NETWORK) from None
    return int(length) if length.isdecimal() else None


def partial_path(path: Path, md5: str) -> Path:
    """The path of a partly downloaded file; it depends on the expected digest."""
    return path.with_name(f"{path.name}.part-{md5[:8]}")


def download(
    url: str,
    path: Path,
    md5: str,
    benchmark: str,
    on_step: OnStep,
    retries: RetryPolicy | None = None,
) -> None:
    """Download `url` to `path` if its MD5 is `md5`. An existing file at `path` is kept.

    Waits for another process that downloads the same file. Raises `DataError` or `DiskError`; the
    received bytes are kept, also after Ctrl-C, and the next call continues.
    """
    part = partial_path(path, md5)
    with exclusive(path.with_name(f".{path.name}.lock")):
        if path.exists():  # downloaded by another process meanwhile
            return
        resumed = part.exists()
        for attempt in (1, 2):
            _load(url, part, benchmark, on_step, retries or RetryPolicy())
            on_step(Step(benchmark, "checking", part.stat().st_size, part.stat().st_size))
            found = file_digest(part, algorithm="md5", fresh=True)
            if found == md5.lower():
                _name(part, path)
                return
            with disk_errors(part):
                part.unlink()
            if attempt == 2 or not resumed:  # only an outdated partial file is downloaded again
                break
        raise DataError(
            f"{url}: MD5 {found} differs from the published {md5}; the file was deleted",
            f"the file on the server has changed; put the published one at {path}",
        )


def _name(part: Path, path: Path) -> None:
    """Rename `part` to `path`, unless that exists: a hard link never replaces a file."""
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


def _load(url: str, part: Path, benchmark: str, on_step: OnStep, retries: RetryPolicy) -> None:
    failed = 0
    while True:
        before = _length(part)
        try:
            _continue(url, part, benchmark, on_step, retries.timeout_seconds)
            return
        except urllib.error.HTTPError as error:
            reason = _connection_error(error)
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)  # longer than the file: it is a part of another one
            elif error.code not in _RETRY_STATUS:
                raise DataError(f"{url}: {reason}", _REMEDY) from None
        except (OSError, http.client.HTTPException) as error:
            reason = _connection_error(error)
        failed = 0 if _length(part) - before >= _LEAST_BYTES else failed + 1
        if failed >= retries.tries:
            raise DataError(f"{url}: download failed: {reason}", _REMEDY)
        time.sleep(retries.pause_seconds * 2 ** max(failed - 1, 0))


_REMEDY = f"rerun the same command to continue; {NO_NETWORK}"


def _continue(url: str, part: Path, benchmark: str, on_step: OnStep, timeout: float) -> None:
    """Download the rest of `part`; raises an `OSError` if the connection ends early."""
    offset = _length(part)
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    with _open(url, headers, timeout) as response:
        served = response.headers.get("Content-Range", "")
        if response.status != http.HTTPStatus.PARTIAL_CONTENT or not served.startswith(
            f"bytes {offset}-"
        ):
            offset = 0  # the server ignores ranges: start again
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else None
        _check_room(part, total, offset)
        with disk_errors(part):
            file = part.open("ab" if offset else "wb")
        with file:
            done = offset
            on_step(Step(benchmark, "downloading", done, total))
            while chunk := response.read1(_CHUNK):
                with disk_errors(part):
                    file.write(chunk)
                done += len(chunk)
                on_step(Step(benchmark, "downloading", done, total))
            with disk_errors(part):
                file.flush()
                os.fsync(file.fileno())
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {decimal(done)} of {decimal(total)}")


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
            f"{part.parent}: {decimal(total - offset)} to download, but only {decimal(free)} free "
            "on this disk; free some space, or choose another directory with $LMUData"
        )


def _open(
    url: str, headers: dict[str, str], timeout: float, method: str = "GET"
) -> http.client.HTTPResponse:
    if not url.lower().startswith(("http://", "https://")):
        raise DataError(
            f"{url}: not an HTTP address", "use https:// in 'url' in the benchmarks file"
        )
    request = urllib.request.Request(
        url,
        headers={"User-Agent": f"evalsuite/{VERSION}", "Accept-Encoding": "identity", **headers},
        method=method,
    )
    # Proxies are read from HTTPS_PROXY and similar variables. The context is created here because
    # some packages, VLMEvalKit among them, disable certificate checks in the default one.
    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        # Some builds of Python do not find the system's certificates.
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    return response


def _connection_error(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} ({error.reason})"
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _connection_error(reason)
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    return getattr(error, "strerror", None) or one_line(error)
