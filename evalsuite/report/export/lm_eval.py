"""A run in the files of lm-evaluation-harness, for tools that read them.

Transcribed from lm-eval 0.4.13: ``loggers/evaluation_tracker.py`` for names and paths,
``result_schema.py`` for keys. docs/reference/export.md explains the numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.report.export.model_index import METRIC_NAMES
from evalsuite.report.format import listed, short
from evalsuite.report.model.notes import is_blind
from evalsuite.runs.records import FoundRun, Run, SampleScore, Score
from evalsuite.runs.storage import read_samples
from evalsuite.system.files import to_json_line, to_json_text, write_atomically
from evalsuite.system.text import unique_slug

FILTER = "none"
_NO_ERROR = "N/A"
"""lm-eval's value of a missing standard error."""


def write(runs: Sequence[FoundRun], directory: Path, say: Callable[[str], None]) -> list[Path]:
    """Write `runs` below `directory`, one folder a checkpoint; returns the files.

    `say` gets a line for each missing score or samples file. Raises `UsageError` if no run has a
    score or two runs would be the same file, `DiskError`.
    """
    if not any(found.run.scores for found in runs):
        names = listed([found.run.checkpoint.name for found in runs])
        raise UsageError(f"{names}: no score to export; finish it first, with 'evalsuite run'")
    made: list[Path] = []
    for found, name in zip(runs, _names([found.run for found in runs]), strict=True):
        run = found.run
        if not run.scores:
            say(f"left out: {run.checkpoint.name}: no score yet")
            continue
        folder, date = directory / unique_slug(name), _date(run)
        path = folder / f"results_{date}.json"
        if path in made:
            raise UsageError(
                f"{path}: two runs of {run.checkpoint.name} ended at the same time; export them "
                "into different directories with -o"
            )
        for failure in run.failures:
            say(f"left out: {run.checkpoint.name} {failure.benchmark}: {failure.message}")
        samples = {score.benchmark: _samples(found, score, say) for score in run.scores}
        write_atomically(path, to_json_text(results(run, samples, name)))
        made.append(path)
        for benchmark, rows in samples.items():
            if rows:
                made.append(folder / f"samples_{unique_slug(benchmark)}_{date}.jsonl")
                write_atomically(made[-1], "".join(map(to_json_line, rows)))
    return made


def results(
    run: Run, samples: Mapping[str, Sequence[dict[str, Any]]], called: str
) -> dict[str, Any]:
    """Return the contents of ``results_<date>.json``; scores are from 0 to 1."""
    by_name = {score.benchmark: score for score in run.scores}
    return {
        "results": {name: _metrics(score) for name, score in by_name.items()},
        "group_subtasks": {name: [] for name in by_name},
        "configs": {name: _config(score, run) for name, score in by_name.items()},
        "versions": {name: score.conditions.vlmevalkit or "N/A" for name, score in by_name.items()},
        "n-shot": dict.fromkeys(by_name, 0),
        "higher_is_better": {name: {metric(score): True} for name, score in by_name.items()},
        "n-samples": {  # the size of a benchmark is unknown with --limit
            name: {
                "original": score.n + score.counts.unscored if run.limit is None else None,
                "effective": score.n,
            }
            for name, score in by_name.items()
        },
        "config": _model(run),
        "git_hash": None,
        "date": _moment(run.started).timestamp(),
        "pretty_env_info": "\n".join(f"{key}: {value}" for key, value in run.environment.items()),
        "transformers_version": run.environment.get("transformers"),
        "evalsuite_version": run.evalsuite,
        "task_hashes": {
            name: _hash("".join(r["doc_hash"] + r["prompt_hash"] + r["target_hash"] for r in rows))
            for name, rows in samples.items()
            if rows
        },
        "model_source": "evalsuite",
        "model_name": called,
        "model_name_sanitized": unique_slug(called),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": None
        if run.finished is None
        else str((_moment(run.finished) - _moment(run.started)).total_seconds()),
    }


def metric(score: Score) -> str:
    """Return lm-eval's name of the metric of `score`."""
    return METRIC_NAMES.get(score.conditions.metric, ("acc", ""))[0]


def _metrics(score: Score) -> dict[str, Any]:
    name = metric(score)
    return {
        "name": score.benchmark,
        "alias": f"{score.benchmark} (partial)" if score.partial else score.benchmark,
        "sample_len": score.n,
        f"{name},{FILTER}": score.value / 100,
        f"{name}_stderr,{FILTER}": _NO_ERROR if score.stderr is None else score.stderr / 100,
    }


def _config(score: Score, run: Run) -> dict[str, Any]:
    asked = score.conditions
    return {
        "task": score.benchmark,
        "dataset_path": asked.dataset,
        "output_type": "generate_until",
        "num_fewshot": 0,
        "repeats": 1,
        "should_decontaminate": False,
        "metric_list": [
            {"metric": metric(score), "aggregation": "mean", "higher_is_better": True}
        ],
        "generation_kwargs": {
            "do_sample": False, "max_gen_toks": asked.max_new_tokens, "until": [],
        },
        "metadata": {
            "version": asked.vlmevalkit or "N/A",
            "rule": asked.metric,
            "prompts": asked.prompt_style,
            "prompt_format": asked.prompt_format,
            "blind": is_blind(run),
            "frames": asked.frames,
            "judge": asked.judge_name,
            "partial": score.partial,
            "modified_data": score.modified_data,
            "clusters": score.clusters,
            "definition": asked.definition,
            "data_digest": asked.data_digest,
        },
    }  # fmt: skip


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the models' names; different weights of one name get their digest as suffix."""
    digests: dict[str, set[str]] = {}
    for run in filter(lambda run: run.scores, runs):
        digests.setdefault(unique_slug(_name(run)), set()).add(run.checkpoint.digest)
    return [
        f"{_name(run)}-{short(run.checkpoint.digest)}"
        if len(digests.get(unique_slug(_name(run)), ())) > 1
        else _name(run)
        for run in runs
    ]


def _name(run: Run) -> str:
    """Return the model's name; a blind run gets a suffix."""
    return f"{run.checkpoint.name}-blind" if is_blind(run) else run.checkpoint.name


def _model(run: Run) -> dict[str, Any]:
    checkpoint = run.checkpoint
    dtype = str(run.settings.get("dtype", ""))
    return {
        "model": checkpoint.family,
        "model_args": {"pretrained": checkpoint.source, "dtype": dtype},
        "model_num_parameters": checkpoint.parameters,
        "model_dtype": f"torch.{dtype}",
        "model_sha": checkpoint.digest,
        "batch_size": "auto",
        "device": run.environment.get("device"),
        "use_cache": None,
        "limit": None if run.limit is None else _limit(run.limit),
        "bootstrap_iters": 0,
        "gen_kwargs": {},
    }


def _limit(written: str) -> float | str:
    try:
        return float(written)
    except ValueError:
        return written


# Samples


def _samples(found: FoundRun, score: Score, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Yield the samples of a score; none if their file is missing."""
    path = found.samples(score.benchmark)
    if not path.is_file():
        say(f"{path}: missing; {score.benchmark} is exported without samples")
        return []
    rows = [row for row in read_samples(path) if row.counts]
    return [_sample(index, row, score) for index, row in enumerate(rows)]


def _sample(index: int, row: SampleScore, score: Score) -> dict[str, Any]:
    doc = {
        "id": row.id,
        "question": row.question,
        "target": row.target,
        "category": row.category,
        "part": row.part,
        "labels": dict(row.labels),
        "cluster": row.cluster,
        "media": ["/".join(PurePath(place).parts[-2:]) for place in row.media],
        "ended": row.ended,
        "parsed": row.parsed,
        "error": row.error,
    }
    limits = {"do_sample": False, "max_gen_toks": score.conditions.max_new_tokens, "until": []}
    return {
        "doc_id": index,
        "doc": doc,
        "target": row.target,
        "arguments": {"gen_args_0": {"arg_0": row.question, "arg_1": limits}},
        "resps": [[row.prediction]],
        "filtered_resps": [row.prediction],
        "filter": FILTER,
        "metrics": [metric(score)],
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=True)),
        "prompt_hash": row.prompt_digest,
        "target_hash": _hash(row.target),
        metric(score): row.value,
    }


def _hash(text: str) -> str:
    # Predictions can have lone surrogates.
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


# Times


def _date(run: Run) -> str:
    """Return the date in file names: the end of the run, the same at every export."""
    moment = _moment(run.finished or run.started).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds").replace(":", "-")


def _moment(written: str) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise UsageError(f"'{written}' in run.json is not a time; was the file edited?") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
