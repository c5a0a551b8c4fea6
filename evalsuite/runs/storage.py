"""Write and read run.json and samples.jsonl."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from evalsuite.errors import UsageError
from evalsuite.runs.records import SCHEMA, Failure, Outcome, Run, SampleScore
from evalsuite.sample import Ended
from evalsuite.system.files import (
    read_bytes,
    read_json,
    to_json_line,
    to_json_text,
    write_atomically,
)
from evalsuite.system.text import one_line

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_ENDINGS = get_args(Ended)


def write_run(path: Path, run: Run) -> None:
    """Write `run` to `path` atomically. Raises `DiskError`."""
    write_atomically(path, run_to_text(run))


def run_to_text(run: Run) -> str:
    """Convert `run` to the content of run.json, with a digest of it."""
    plain = run_to_plain(run)
    return to_json_text({**plain, "digest": _digest(plain)})


def read_run(path: Path) -> Run:
    """Read a run.json; raises `UsageError` if it is not one, of another schema, or edited."""
    # Imported here, because commands that read no run do not need it.
    from pydantic import ValidationError

    plain = read_json(path, "name a run directory")
    if not isinstance(plain, dict) or type(plain.get("schema")) is not int:
        raise UsageError(f"{path}: is not a run.json (no 'schema'); name a run directory")
    if plain["schema"] > SCHEMA:
        raise UsageError(
            f"{path}: written by a newer evalsuite (schema {plain['schema']}, this one reads "
            f"{SCHEMA}); update evalsuite or choose another --output-dir"
        )
    if plain["schema"] < SCHEMA:
        raise UsageError(
            f"{path}: schema {plain['schema']} is not supported (this evalsuite reads schema "
            f"{SCHEMA}); delete the file and run again"
        )
    if plain.pop("digest", None) != _digest(plain):
        raise UsageError(
            f"{path}: was changed after evalsuite wrote it; restore it, or delete the file and run "
            "again (predictions are kept)"
        )
    outcomes = plain.get("outcomes")
    for outcome in outcomes if isinstance(outcomes, list) else []:
        if isinstance(outcome, dict) and isinstance(outcome.get("failure"), dict):
            outcome.update(outcome.pop("failure"))
    try:
        return _validator().validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path}: {where}: {first['msg']}; delete the file and run again"
        ) from None


def _digest(plain: Mapping[str, Any]) -> str:
    """SHA-256 of the JSON of a run, in hex."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def _validator() -> TypeAdapter[Run]:
    """The validator of runs, built once because building it takes longer than a validation."""
    from pydantic import TypeAdapter

    return TypeAdapter(Run)


def run_to_plain(run: Run) -> dict[str, Any]:
    """Convert `run` to the JSON values of run.json."""
    plain = dataclasses.asdict(run)
    plain["outcomes"] = [_outcome_to_plain(outcome) for outcome in run.outcomes]
    return plain


def _outcome_to_plain(outcome: Outcome) -> dict[str, Any]:
    plain = dataclasses.asdict(outcome)
    if isinstance(outcome, Failure):
        return {"benchmark": plain.pop("benchmark"), "failure": plain}
    return plain


def write_samples(path: Path, scores: Sequence[SampleScore]) -> None:
    """Write samples.jsonl, one line per sample in data order. Raises `DiskError`."""
    write_atomically(path, "".join(to_json_line(dataclasses.asdict(score)) for score in scores))


def read_samples(path: Path) -> list[SampleScore]:
    """Read a samples.jsonl; raises `UsageError` if it is missing or damaged."""
    try:
        # Not splitlines(), which also splits at U+2028: other writers may leave it unescaped.
        lines = read_bytes(path).decode().split("\n")
        return [_sample_score(json.loads(line)) for line in lines if line]
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = one_line(error)
        raise UsageError(f"{path}: is damaged: {why}; score again with --mode eval") from None


_TEXTS = ("id", "cluster", "prediction", "target", "part", "category", "question",
          "prompt_digest")  # fmt: skip


def _sample_score(plain: Any) -> SampleScore:
    if not isinstance(plain, dict):
        raise TypeError("a line is not an object")
    labels = tuple((column, value) for column, value in plain.get("labels", ()))
    made = SampleScore(**{**plain, "media": tuple(plain["media"]), "labels": labels})
    texts = [getattr(made, name) for name in _TEXTS]
    if not all(type(text) is str for text in (*texts, *made.media, *itertools.chain(*labels))):
        raise TypeError(f"sample {made.id}: a value is not a string")
    if made.ended not in _ENDINGS or type(made.counts) is not bool:
        raise ValueError(f"sample {made.id}: ended '{made.ended}', counts {made.counts!r}")
    return made
