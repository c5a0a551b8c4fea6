"""Write predictions to disk after each batch, so that a killed process loses none.

``predictions.jsonl`` is a header line, which identifies the questions, then one line per
prediction. Lines are appended and synced per batch. Only the last line can be incomplete; it is
removed when the journal is opened again.

A shard has its own journal, ``predictions.shard-1-of-4.jsonl``. Opening the journal of the whole
run merges the journals of its shards.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from evalsuite.errors import DiskError, UsageError
from evalsuite.runs.layout import PREDICTIONS, journal_path, set_aside, shard_journals
from evalsuite.runs.records import SCHEMA, Prediction
from evalsuite.sample import Ended
from evalsuite.system.files import (
    MAX_JSON_BYTES,
    disk_errors,
    open_for_append,
    open_regular,
    read_bytes,
    to_json_line,
    write_atomically,
)


class Journal:
    """The predictions of one benchmark of one run."""

    def __init__(
        self, directory: Path, header: Mapping[str, Any], part: str = "", name: str = PREDICTIONS
    ) -> None:
        """Open the journal in `directory` for predictions under `header`.

        Predictions under another header (other data, frames or token limit) are moved to a file of
        their own, and used again when that header returns. `part` names a shard, which also reads
        the journal of the run, and never writes to it. `name` is that of the file.
        Raises `UsageError` for a journal of a newer evalsuite, `DiskError` if it cannot be written.
        """
        self._name = name
        self.path = journal_path(directory, name, part)
        self._header = {"schema": SCHEMA, **header}
        self._elsewhere: Mapping[str, Prediction] = {}
        with disk_errors(self.path):
            directory.mkdir(parents=True, exist_ok=True)
            self._bring_to_front()
            self._file = os.fdopen(open_for_append(self.path), "ab", buffering=0)
            self.predictions = self._recover()
            if part:
                self._elsewhere = peek(directory, header, name)
                self.predictions = _merged([self._elsewhere, self.predictions])
            else:
                self._take_in_shards(directory)

    @functools.cached_property
    def earlier(self) -> Mapping[str, Prediction]:
        """Answers under other data, by the digest of their prompt; see `answers_to_prompts`."""
        return answers_to_prompts(self.path.parent, self._header, self._name)

    def _take_in_shards(self, directory: Path) -> None:
        beside = shard_journals(directory, self._name)
        shards = [path for path in beside if read_header(path) == self._header]
        if shards:
            self.predictions = _merged([self.predictions, *map(read_predictions, shards)])
            self.finish(self.predictions)
            for shard in shards:
                shard.unlink()

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
            # Also replaces a file with an incomplete header: nothing follows it.
            write_atomically(self.path, to_json_line(self._header))

    def _recover(self) -> dict[str, Prediction]:
        """Remove an incomplete last line; the last prediction of an id counts."""
        raw = read_bytes(self.path)
        whole = raw.rfind(b"\n") + 1
        if whole < len(raw):
            os.truncate(self.path, whole)
        return _parsed(raw[:whole], self.path)

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Append `predictions` and sync them to disk. Raises `DiskError`."""
        data = b"".join(to_json_line(dataclasses.asdict(p)).encode() for p in predictions)
        start = self._file.seek(0, os.SEEK_END)
        try:
            with disk_errors(self.path):
                view = memoryview(data)
                while view:
                    view = view[self._file.write(view) :]
                os.fsync(self._file.fileno())
        except DiskError:
            # Keep complete lines only: remove the part of this batch that was written.
            self._file.truncate(start)
            raise
        self.predictions.update((p.id, p) for p in predictions)

    def forget(self, ids: Iterable[str]) -> None:
        """Delete the predictions of samples `ids`, and use no `earlier` ones."""
        self.earlier = {}
        unwanted = set(ids)
        kept = {i: p for i, p in self.predictions.items() if i not in unwanted}
        if len(kept) < len(self.predictions):
            self.predictions = kept
            self.finish(kept)

    def finish(self, order: Iterable[str]) -> None:
        """Rewrite the journal in `order`, one line per prediction, then the other predictions.

        The file is then independent of the order and number of sessions that wrote it.
        """
        rank = {id_: i for i, id_ in enumerate(order)}
        own = [p for p in self.predictions.values() if self._elsewhere.get(p.id) is not p]
        ordered = sorted(own, key=lambda p: (rank.get(p.id, len(rank)), p.id))
        lines = [
            to_json_line(self._header),
            *(to_json_line(dataclasses.asdict(p)) for p in ordered),
        ]
        text = "".join(lines)
        if read_bytes(self.path) == text.encode():
            return
        self.close()
        write_atomically(self.path, text)
        with disk_errors(self.path):
            self._file = os.fdopen(open_for_append(self.path), "ab", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def peek(
    directory: Path, header: Mapping[str, Any], name: str = PREDICTIONS
) -> dict[str, Prediction]:
    """Read the predictions under `header`, including those of shards, without any write."""
    wanted = {"schema": SCHEMA, **header}
    path = journal_path(directory, name)
    candidates = [path, _aside(path, wanted), *shard_journals(directory, name)]
    found = [candidate for candidate in candidates if read_header(candidate) == wanted]
    return _merged(map(read_predictions, found))


def answers_to_prompts(
    directory: Path, header: Mapping[str, Any], name: str = PREDICTIONS
) -> dict[str, Prediction]:
    """Read the answers under headers that differ from `header` only in the data.

    Keys are prompt digests: data that changes changes only some prompts, or moves them to other
    ids.
    """
    wanted = {"schema": SCHEMA, **header}
    found: dict[str, Prediction] = {}
    for path in sorted(directory.glob(f"{name}*.jsonl")):
        present = read_header(path)
        if present not in (None, wanted) and {**present, **_data(wanted)} == wanted:
            answers = read_predictions(path).values()
            found.update((p.prompt_digest, p) for p in answers if p.ended != "error")
    return found


def _data(header: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in header.items() if key == "data_digest"}


def _merged(several: Iterable[Mapping[str, Prediction]]) -> dict[str, Prediction]:
    """Merge predictions: of two for one sample the later, unless only the earlier is an answer."""
    merged: dict[str, Prediction] = {}
    for predictions in several:
        merged.update(
            (id_, prediction)
            for id_, prediction in predictions.items()
            if prediction.ended != "error" or not answered(merged, id_)
        )
    return merged


def answered(predictions: Mapping[str, Prediction], id_: str) -> bool:
    """Whether sample `id_` has a prediction without error."""
    return id_ in predictions and predictions[id_].ended != "error"


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Read all predictions of a journal with any header; raises `UsageError` if damaged."""
    try:
        raw = read_bytes(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    return _parsed(raw.rpartition(b"\n")[0], path)


def _parsed(whole_lines: bytes, path: Path) -> dict[str, Prediction]:
    predictions: dict[str, Prediction] = {}
    for number, line in enumerate(whole_lines.splitlines()[1:], start=2):
        try:
            prediction = _checked(Prediction(**_object(line, path, number)))
        except TypeError:
            raise _damaged(path, number) from None
        predictions[prediction.id] = prediction
    return predictions


def _checked(prediction: Prediction) -> Prediction:
    """Raise `TypeError` for a field of a wrong type."""
    texts = (prediction.id, prediction.prompt_digest, prediction.text)
    if not (
        all(type(text) is str for text in texts)
        and type(prediction.tokens) is int
        and prediction.ended in get_args(Ended)
        and (prediction.error is None or type(prediction.error) is str)
    ):
        raise TypeError
    return prediction


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _damaged(path, number)
    return value


def _damaged(path: Path, number: int) -> UsageError:
    return UsageError(
        f"{path}: line {number} is damaged; repair it, or move the file away to predict again"
    )


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: cannot be read: {error.strerror}; move it away and run again")


def read_header(path: Path) -> dict[str, Any] | None:
    """The header of a journal; None if missing or incomplete. Refuses newer schemas."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            line = file.readline(MAX_JSON_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    if not line.endswith(b"\n"):
        return None
    header = _object(line, path, 1)
    if type(header.get("schema")) is not int:
        raise UsageError(f"{path}: is not a journal of evalsuite; move it away and run again")
    if header["schema"] > SCHEMA:
        raise UsageError(
            f"{path}: written by a newer evalsuite (schema {header['schema']}, this one reads "
            f"{SCHEMA}); update evalsuite or choose another --output-dir"
        )
    return header


def _aside(path: Path, header: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    return set_aside(path, digest)
