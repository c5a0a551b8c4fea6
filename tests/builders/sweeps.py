"""A training run's checkpoints on disk, for the tests of curves and plots and for the pictures.

Answers are generated from the difficulty of a question and a small random effect, so that
checkpoints agree on most questions, like those of one training run.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsuite.runs.records import FoundRun, SampleScore
from evalsuite.stats import clustered_standard_error
from tests.builders.stored_runs import sample, stored

CATEGORIES = ("chart", "photo", "table")


def answers(name: str, skill: float, chance: str, count: int = 240) -> list[SampleScore]:
    """Answers to `count` questions, three about an image, of which about `skill` are right."""
    hard, noise = random.Random(name), random.Random(chance)
    rows = []
    for index in range(count):
        right = hard.random() + noise.gauss(0, 0.05) < skill
        rows.append(
            sample(index, float(right), cluster=f"i{index // 3}", category=CATEGORIES[index % 3])
        )
    return rows


def checkpoint(
    directory: Path, training: str, step: int, skills: Mapping[str, float], **more: Any
) -> FoundRun:
    """A run of ``training/checkpoint-<step>``; `more` goes to `stored`."""
    name = f"{Path(training).name}-checkpoint-{step}"
    rows = {
        benchmark: answers(benchmark, skill, f"{benchmark} {training} {step}")
        for benchmark, skill in skills.items()
    }
    facts = {
        benchmark: {"stderr": error(scored), "clusters": len({row.cluster for row in scored})}
        for benchmark, scored in rows.items()
    }
    for benchmark, changed in more.pop("scores", {}).items():
        facts[benchmark] |= changed
    more.setdefault("source", f"{training}/checkpoint-{step}")
    return stored(directory, name, rows, scores=facts, step=step, **more)


def sweep(
    directory: Path, skills: Mapping[str, Sequence[float]], steps: Sequence[int]
) -> list[FoundRun]:
    """Checkpoints of a training run ``runs/sft``: `skills` has one number a step."""
    return [
        checkpoint(directory, "runs/sft", step, {name: each[i] for name, each in skills.items()})
        for i, step in enumerate(steps)
    ]


def error(rows: Sequence[SampleScore]) -> float:
    """The standard error of the score of `rows`, in points."""
    found = clustered_standard_error([row.value for row in rows], [row.cluster for row in rows])
    assert found is not None
    return 100 * found
