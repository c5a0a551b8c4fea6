"""Where a run keeps its files: the only module that knows their names.

``results/<checkpoint name>-<digest>/<settings digest>/run.json`` and the files beside it;
docs/reference/run-json.md describes them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsuite.errors import UsageError
from evalsuite.system.text import natural_key

if TYPE_CHECKING:
    from evalsuite.checkpoint.checkpoint import Checkpoint

PREDICTIONS, RERUN = "predictions", "rerun"
"""Journals of a benchmark: of all samples, and of those repeated at batch size 1."""
_DIGEST = 8


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of samples per benchmark, or a share of them."""

    count: int | None = None
    share: float = 0.0

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{self.share:g}"

    def of(self, total: int) -> int:
        """The number of samples out of `total`: at least one, at most all."""
        wanted = self.count if self.count is not None else round(self.share * total)
        return min(total, max(1, wanted))


def read_limit(text: str | None) -> Limit | None:
    """Parse ``--limit``: ``50`` samples, ``0.1`` of them, ``1.0`` for all. Raises `UsageError`."""
    if text is None:
        return None
    if re.fullmatch(r"\d+", text) and int(text):
        return Limit(count=int(text))
    if re.fullmatch(r"\d*\.\d+|1\.", text) and 0 < float(text) <= 1:
        return None if float(text) == 1 else Limit(share=float(text))
    raise UsageError(
        f"--limit {text}: expected a number of samples like 50 or a share of them like 0.1"
    )


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a run that one process predicts."""

    index: int
    """From 1."""
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """The part in file names."""
        return f"shard-{self.index}-of-{self.count}"


def read_shard(text: str | None) -> Shard | None:
    """Parse ``--shard``: ``2/8`` is the second of eight. Raises `UsageError`."""
    if text is None:
        return None
    if (match := re.fullmatch(r"(\d+)/(\d+)", text)) and 1 <= int(match[1]) <= int(match[2]):
        return Shard(int(match[1]), int(match[2]))
    raise UsageError(f"--shard {text}: expected an index and a count, from 1/8 to 8/8")


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run."""

    directory: Path
    limit: Limit | None
    shard: Shard | None = None

    @property
    def part(self) -> str:
        """The shard in the names of its own files; empty for a whole run."""
        return "" if self.shard is None else self.shard.name

    @property
    def record(self) -> Path:
        """The record this process writes: of the run, or of its shard."""
        return self.directory / f"{self.part}{self._suffix}.json" if self.part else self.run_json

    @property
    def shard_records(self) -> list[Path]:
        """The records that shards wrote."""
        found = self.directory.glob(f"shard-*-of-*{self._suffix}.json")
        return sorted(path for path in found if self._suffix or "@" not in path.name)

    @property
    def _suffix(self) -> str:
        return _suffix(None if self.limit is None else str(self.limit))

    @property
    def run_json(self) -> Path:
        """The record of the run."""
        return self.directory / f"run{self._suffix}.json"

    def journal(self, benchmark: str) -> Path:
        """The directory of the journals. Runs with and without a limit share them."""
        return self.directory / benchmark

    def samples(self, benchmark: str) -> Path:
        """The scored samples of `benchmark`."""
        return self.directory / benchmark / f"samples{self._suffix}.jsonl"

    def batch_sensitivity(self, benchmark: str) -> Path:
        """The samples of `benchmark` repeated at batch size 1, with both predictions."""
        return self.directory / benchmark / f"batch_sensitivity{self._suffix}.jsonl"

    def evidence(self, benchmark: str) -> Path:
        """What VLMEvalKit wrote while scoring `benchmark`."""
        return self.directory / benchmark / f"vlmevalkit{self._suffix}"


def run_paths(
    output: Path,
    checkpoint: Checkpoint,
    settings: Mapping[str, Any],
    limit: Limit | None,
    shard: Shard | None = None,
) -> RunPaths:
    """The files of a run of `checkpoint` under `settings`: named by content, not by time."""
    directory = checkpoint_directory(output, checkpoint.name, checkpoint.digest)
    return RunPaths(directory / settings_digest(settings)[:_DIGEST], limit, shard)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of the settings of a run, in hex; its first eight characters name the directory."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def checkpoint_directory(results: Path, name: str, digest: str) -> Path:
    """The directory of all runs and profiles of a checkpoint."""
    return results / f"{name}-{digest[:_DIGEST]}"


def checkpoint_directories(results: Path, name: str) -> list[Path]:
    """The directories of the checkpoints called `name`, whatever their digest."""
    found = results.glob("*-" + "[0-9a-f]" * _DIGEST)
    return sorted(path for path in found if path.name[: -_DIGEST - 1] == name)


def samples_path(run_json: Path, benchmark: str, limit: str | None) -> Path:
    """The scored samples of `benchmark` of the run that `run_json` records."""
    return run_json.parent / benchmark / f"samples{_suffix(limit)}.jsonl"


def run_records(directory: Path) -> list[Path]:
    """The records of the run in `directory`: its run.json, or else every run@N.json."""
    whole = directory / "run.json"
    limited = directory.glob("run@*.json")
    return [whole] if whole.is_file() else sorted(limited, key=natural_key)


def run_directories(root: Path, depth: int) -> list[Path]:
    """The directories with a run `depth` levels below `root`, checkpoint-500 before -1000."""
    found = root.glob("/".join("*" * depth))
    return sorted((path for path in found if path.is_dir() and run_records(path)), key=natural_key)


def profile_directory(results: Path, name: str, digest: str, device: str, dtype: str) -> Path:
    """Where `evalsuite profile` writes by default."""
    kind = device.replace(":", "")
    return checkpoint_directory(results, name, digest) / f"profile-{kind}-{dtype}"


def profiles_beside(run_json: Path) -> list[Path]:
    """The profile.json files of the checkpoint whose run `run_json` records."""
    return sorted(run_json.parent.parent.glob("profile-*/profile.json"))


def journal_path(directory: Path, name: str, part: str = "") -> Path:
    """The journal `name` in `directory`: of a whole run, or of the shard `part`."""
    return directory / (f"{name}.{part}.jsonl" if part else f"{name}.jsonl")


def shard_journals(directory: Path, name: str) -> list[Path]:
    """The journals `name` of all shards in `directory`."""
    return sorted(directory.glob(f"{name}.shard-*.jsonl"))


def set_aside(journal: Path, digest: str) -> Path:
    """Where a journal with another header is kept: `digest` is that of its header."""
    return journal.with_name(f"{journal.stem}-{digest[:_DIGEST]}.jsonl")


def _suffix(limit: str | None) -> str:
    return "" if limit is None else f"@{limit}"
