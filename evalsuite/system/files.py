"""Writing files so that a reader, or a run that continues, never meets half of one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from evalsuite.errors import DiskError, PlaceError, UsageError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a `DiskError` that says how to go on.

    What cannot be written because of what stands there is a `PlaceError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskError(
                f"{path}: the disk is full; what was written before is whole. "
                "Free some space and run the same command again to continue"
            ) from error
        if error.errno == errno.EISDIR:
            raise PlaceError(f"{path}: cannot be written: is a directory; name a file") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise PlaceError(
                f"{path}: cannot be written: a file stands where a directory is to be; "
                "choose another place"
            ) from error
        raise DiskError(
            f"{path}: cannot be written: {error.strerror}; "
            "mend that and run the same command again to continue"
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: at every moment it holds the old text or the new one, whole.

    A link stays one, and what it leads to is replaced. What is no file, like ``/dev/stdout`` or
    ``/dev/null``, is written into: whoever may replace a device would take it from everybody.
    """
    with disk_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if _is_device(path):
            # Not opened anew where it is open already: two of us would overwrite each other.
            standard = _STANDARD.get(str(path))
            where = path if standard is None else os.dup(standard)
            with open(where, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - or a number
                file.write(text)
            return
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with scratch.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                scratch.chmod(stat.S_IMODE(path.stat().st_mode))
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        sync_directory(path.parent)


def _is_device(path: Path) -> bool:
    """Whether `path` is anything but a file or nothing; /dev/stdout even if it leads to a file."""
    return str(path) in _STANDARD or (path.exists() and not path.is_file())


def remove_scratch(directory: Path) -> None:
    """Delete what a killed `write_atomically` left in or below `directory`.

    Only for one who holds the directory's lock: to another the file may be at work.
    """
    with disk_errors(directory):
        for path in directory.rglob(".*"):
            if path.is_file() and path.suffix[1:].isdecimal():
                path.unlink()


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes_atomically(path: Path, raw: bytes) -> None:
    """Put `raw` at `path` whole, but not through a power cut: a picture, which can be made again.

    Several may do so at once, in one process or in many.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{secrets.token_hex(8)}")
        try:
            scratch.write_bytes(raw)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def read_yaml(path: Path, named: str) -> Any:
    """Read a YAML file; raises `UsageError`, which calls the file `named`.

    A key that stands twice is an error, as in YAML itself: PyYAML would take the last in silence.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                same = (key.tag, key.value)
                if same in lines:
                    raise yaml.MarkedYAMLError(
                        problem=f"'{key.value}' stands twice, first in line {lines[same]}; "
                        "take one out",
                        problem_mark=key.start_mark,
                    )
                lines[same] = key.start_mark.line + 1
            return node

    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader)
    except OSError as error:
        raise UsageError(f"{named}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{named}: is not UTF-8 text") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "cannot parse"
        raise UsageError(f"{named}:{where} is not valid YAML: {why}") from None


def read_mapping(path: Path, named: str, expected: str) -> dict[Any, Any]:
    """Read a YAML file of options; raises `UsageError`, which calls the file `named`."""
    found = read_yaml(path, named)
    if not isinstance(found, dict):
        raise UsageError(f"{named}: expected {expected}, one a line")
    return found


def to_json_text(value: Any, *, allow_nan: bool = True) -> str:
    """`value` as JSON that people can read, too. ASCII only, for any terminal and locale."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=allow_nan) + "\n"


def to_json_line(value: Any) -> str:
    """`value` as one line of JSON. ASCII only, so lone surrogates survive the way to disk."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"


class RunLock:
    """At most one process works in a run directory, or one on each of its shards.

    Freed by the system however a process ends.
    """

    def __init__(self, directory: Path, part: str = "") -> None:
        """Lock all of `directory`, or the shard `part` of the run there."""
        self.path = directory / "lock"
        self._part = part
        names = ["lock", f"lock.{part}"] if part else ["lock"]
        with disk_errors(self.path):
            directory.mkdir(parents=True, exist_ok=True)
            self._files = [(directory / name).open("a+", encoding="utf-8") for name in names]

    def __enter__(self) -> RunLock:
        with disk_errors(self.path):
            if self._part:
                # Shards share the directory with each other, not with who works on all of it.
                self._lock(self._files[0], fcntl.LOCK_SH)
            own = self._files[-1]
            self._lock(own, fcntl.LOCK_EX)
            own.truncate(0)
            own.write(f"pid {os.getpid()} on {socket.gethostname()}")
            own.flush()
        return self

    def __exit__(self, *_: object) -> None:
        # The files stay: removing one would let two processes hold two locks of one name.
        self._files[-1].truncate(0)
        self._close()

    def _lock(self, file: IO[str], how: int) -> None:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            holders = self._holders()
            self._close()
            raise UsageError(
                f"{self.path.parent}: {holders} running there; "
                "wait for it, stop it, or choose another --output-dir"
            ) from None

    def _holders(self) -> str:
        """Say who is at work, as the lock files tell."""
        said = [path.read_text("utf-8").strip() for path in sorted(self.path.parent.glob("lock*"))]
        holders = [words for words in said if words] or ["another process"]
        return " and ".join(holders) + (" are" if len(holders) > 1 else " is")

    def _close(self) -> None:
        for file in self._files:
            file.close()
