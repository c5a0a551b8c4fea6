"""Run by a Python that has lm-eval: its own readers on an exported folder, and its own writer.

``python tests/lm_eval_readers.py FOLDER`` prints as JSON what they made of it.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from datasets import load_dataset
from lm_eval.loggers import EvaluationTracker
from lm_eval.loggers.wandb_logger import WandbLogger
from lm_eval.utils import (
    get_file_datetime,
    get_file_task_name,
    get_latest_filename,
    get_results_filenames,
    get_sample_results_filenames,
    make_table,
    sanitize_model_name,
)


def main(folder: Path) -> None:
    names = [f"{folder.name}/{path.name}" for path in sorted(folder.iterdir())]
    (found,) = get_results_filenames(names)
    results = json.loads((folder.parent / found).read_text())
    files = get_sample_results_filenames(names)
    samples = {
        get_file_task_name(Path(name).name): [
            json.loads(line) for line in (folder.parent / name).read_text().splitlines()
        ]
        for name in files
    }
    loaded = {}
    for name in files:
        table = load_dataset("json", data_files=str(folder.parent / name), split="train")
        loaded[get_file_task_name(Path(name).name)] = [len(table), table.column_names]
    # All of the W&B logger but what talks to W&B.
    logger = WandbLogger.__new__(WandbLogger)
    logger.post_init(results)
    configs = logger._get_config()["task_configs"]
    summary, flat = logger._sanitize_results_dict()
    # Its reader of samples expects what evaluate() hands it, where arguments are pairs.
    frames = {}
    for task, rows in samples.items():
        pairs = [
            {**r, "arguments": [list(a.values()) for a in r["arguments"].values()]} for r in rows
        ]
        frame = logger._generate_dataset(pairs, configs[task])
        frames[task] = [len(frame), sorted(frame.columns)]
    print(json.dumps({
        "table": make_table(results),
        "latest": get_latest_filename(get_results_filenames(names)),
        "dates": sorted({get_file_datetime(name) for name in files}),
        "loaded": loaded,
        "wandb": {"summary": summary, "flat": flat, "frames": frames},
        "sanitized": sanitize_model_name(results["model_name"]),
        "theirs": written_by_them(results, samples),
    }))  # fmt: skip


def written_by_them(results: dict, samples: dict) -> dict:  # type: ignore[type-arg]
    """The names and keys of the files that lm-eval's own writer makes of the same."""
    with tempfile.TemporaryDirectory() as scratch:
        tracker = EvaluationTracker(output_path=scratch)
        tracker.general_config_tracker.model_name = results["model_name"]
        tracker.general_config_tracker.model_name_sanitized = results["model_name_sanitized"]
        tracker.save_results_aggregated(results=dict(results), samples=samples)
        for task, rows in samples.items():
            pairs = [
                {**r, "arguments": [list(a.values()) for a in r["arguments"].values()]}
                for r in rows
            ]
            tracker.save_results_samples(task_name=task, samples=pairs)  # type: ignore[arg-type]
        made = {}
        for path in sorted(Path(scratch).rglob("*.json*")):
            first = path.read_text()
            first = first if path.suffix == ".json" else first.splitlines()[0]
            made[str(path.relative_to(scratch))] = json.loads(first)
    return made


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    shown, sys.stdout = sys.stdout, sys.stderr
    with contextlib.redirect_stdout(shown):
        main(Path(sys.argv[1]))
