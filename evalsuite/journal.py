"""Predictions on disk as they come, so that nothing is lost to a kill.

``predictions.jsonl`` is a header line, which says what the predictions are answers to, then a line
a prediction. Lines are appended and synced a batch at a time; only the last one can be torn, and a
torn line is cut off when the journal is opened again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsuite.errors import DiskError, UsageError
from evalsuite.files import disk_errors, sync_directory, to_json_line, write_atomically
from evalsuite.results import SCHEMA, Prediction

NAME = "predictions.jsonl"


class Journal:
    """The predictions of one benchmark of one run."""

    def __init__(self, directory: Path, header: Mapping[str, Any]) -> None:
        """Open the journal in `directory` for predictions under `header`.

        Predictions made under another header (other data, frames or token limit) are set aside
        under a name of their own, and found again when that header returns.
        Raises `UsageError` for a journal of a newer evalsuite, `DiskError` if it cannot be written.
        """
        self.path = directory / NAME
        self._header = {"schema": SCHEMA, **header}
        with disk_errors(self.path):
            directory.mkdir(parents=True, exist_ok=True)
            self._bring_to_front()
            self._file = self.path.open("ab", buffering=0)
            self.predictions = self._recover()

    def _bring_to_front(self) -> None:
        present = read_header(self.path)
        if present == self._header:
            return
        if present is not None:
            self.path.replace(_aside(self.path, present))
        wanted = _aside(self.path, self._header)
        if read_header(wanted) == self._header:
            wanted.replace(self.path)
        else:
            # Also replaces a file whose very header was torn: nothing follows a torn header.
            write_atomically(self.path, to_json_line(self._header))

    def _recover(self) -> dict[str, Prediction]:
        """Cut off a torn last line; the last prediction of an id wins."""
        raw = self.path.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if whole < len(raw):
            os.truncate(self.path, whole)
        return _parsed(raw[:whole])

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Add `predictions`; on return they have reached the disk. Raises `DiskError`."""
        data = b"".join(to_json_line(dataclasses.asdict(p)).encode() for p in predictions)
        start = self._file.seek(0, os.SEEK_END)
        try:
            with disk_errors(self.path):
                view = memoryview(data)
                while view:
                    view = view[self._file.write(view) :]
                os.fsync(self._file.fileno())
        except DiskError:
            # Whole lines only: take back the part of this batch that did fit.
            self._file.truncate(start)
            raise
        self.predictions.update((p.id, p) for p in predictions)

    def finish(self, order: Iterable[str]) -> None:
        """Rewrite the journal in `order`, one line a prediction, others behind.

        So the file does not tell in which order, or in how many attempts, it was filled.
        """
        rank = {id_: i for i, id_ in enumerate(order)}
        ordered = sorted(self.predictions.values(), key=lambda p: (rank.get(p.id, len(rank)), p.id))
        lines = [
            to_json_line(self._header),
            *(to_json_line(dataclasses.asdict(p)) for p in ordered),
        ]
        text = "".join(lines)
        if self.path.read_bytes() == text.encode():
            return
        self.close()
        write_atomically(self.path, text)
        with disk_errors(self.path):
            self._file = self.path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the file; a closed journal takes no more predictions."""
        self._file.close()


def peek(directory: Path, header: Mapping[str, Any]) -> dict[str, Prediction]:
    """The predictions on disk under `header`, touching nothing."""
    wanted = {"schema": SCHEMA, **header}
    path = directory / NAME
    for candidate in (path, _aside(path, wanted)):
        if read_header(candidate) == wanted:
            raw = candidate.read_bytes()
            return _parsed(raw[: raw.rfind(b"\n") + 1])
    return {}


def answered(predictions: Mapping[str, Prediction], id_: str) -> bool:
    """Whether sample `id_` has a prediction that need not be tried again."""
    return id_ in predictions and predictions[id_].ended != "error"


def _parsed(whole_lines: bytes) -> dict[str, Prediction]:
    predictions: dict[str, Prediction] = {}
    for line in whole_lines.splitlines()[1:]:
        prediction = Prediction(**json.loads(line))
        predictions[prediction.id] = prediction
    return predictions


def read_header(path: Path) -> dict[str, Any] | None:
    """The header of a journal, or None if there is none or it is torn; refuses newer schemas."""
    try:
        with path.open("rb") as file:
            line = file.readline()
    except FileNotFoundError:
        return None
    if not line.endswith(b"\n"):
        return None
    header: dict[str, Any] = json.loads(line)
    if header["schema"] > SCHEMA:
        raise UsageError(
            f"{path}: written by a newer evalsuite (schema {header['schema']}, this one reads "
            f"{SCHEMA}); update evalsuite or choose another --output-dir"
        )
    return header


def _aside(path: Path, header: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:8]
    return path.with_name(f"predictions-{digest}.jsonl")


def remove(directory: Path) -> None:
    """Forget the predictions in `directory` (``--fresh``)."""
    with disk_errors(directory):
        for path in directory.glob("predictions*.jsonl"):
            path.unlink()
        if directory.exists():
            sync_directory(directory)
