"""Learning curves: the comparable checkpoints of a training run by step.

The training run of a checkpoint follows from its path. All points have the same benchmarks under
the same conditions; other runs are left out, with the reason.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evalsuite.checkpoint.locate import STEP
from evalsuite.comparison.comparison import Difference, compare_any, differing_settings
from evalsuite.errors import UsageError
from evalsuite.runs.comparable import DEFINITION, Conditions, Differing, differing
from evalsuite.runs.layout import settings_digest
from evalsuite.runs.records import FoundRun, Run, Score
from evalsuite.stats import mean, mean_standard_error
from evalsuite.stats.multiplicity import selection_bias

_PADDING = re.compile(r"(?:[-_.=]+|(?<=[A-Za-z]))0*$")
"""Separator and zeros before a step in a name: ``step_00500`` belongs to ``step``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One checkpoint of a training run."""

    step: int
    found: FoundRun
    scores: Mapping[str, Score]
    mean: float | None
    """Over `Curves.averaged`, 0 to 100; None if that is empty."""
    stderr: float | None
    """Of `mean`, in points."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A training run."""

    name: str
    points: tuple[Point, ...]
    """At least one, by step."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that is not on a curve."""

    run: FoundRun
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Training runs that can be compared."""

    curves: tuple[Curve, ...]
    benchmarks: tuple[str, ...]
    averaged: tuple[str, ...]
    """The benchmarks of the mean: every point has a complete score."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best checkpoint of a curve, compared with the last."""

    best: Point
    last: Point
    difference: Difference | None
    """Best minus last, paired; None if the last is the best, or for `why`."""
    why: str
    selection_bias: float | None
    """Expected lead of the best, in points, if all checkpoints are equally good."""
    error: float | None
    """The standard error of a difference that `selection_bias` uses, in points."""
    paired: bool
    """Whether `error` is that of a paired difference."""


def curves(runs: Sequence[FoundRun]) -> Curves:
    """Build learning curves of `runs`; raises `UsageError` if no run has a training step."""
    left_out: list[LeftOut] = []
    kept = _keep(runs, left_out, lambda run: _unfit(run.run))
    if not kept:
        raise UsageError(
            "no run has a score and a training step; the step is read from a directory name like "
            "checkpoint-500, or from its trainer_state.json"
        )
    kept = alike(kept, left_out)
    kept = _one_a_step(kept, left_out)
    benchmarks = tuple(dict.fromkeys(s.benchmark for found in kept for s in found.run.scores))
    whole = [{s.benchmark for s in found.run.scores if not s.partial} for found in kept]
    averaged = tuple(name for name in benchmarks if all(name in names for names in whole))
    homes = _homes(kept)
    labels = _labels(homes)
    grouped: dict[str, list[Point]] = {}
    for found, home in zip(kept, homes, strict=True):
        grouped.setdefault(labels[home], []).append(_point(found, averaged))
    return Curves(
        curves=tuple(
            Curve(name, tuple(sorted(points, key=lambda point: point.step)))
            for name, points in grouped.items()
        ),
        benchmarks=benchmarks,
        averaged=averaged,
        left_out=tuple(left_out),
        notes=tuple(_notes(kept)),
    )


def best_of(curve: Curve, averaged: Sequence[str]) -> Best | None:
    """Compare the best checkpoint of `curve` with the last; None with fewer than two means.

    The selection bias is the expected lead of the best if all checkpoints are equally good and any
    two differ by the standard error of best minus last (minus second best, if the last is the
    best). That error is paired, because all checkpoints answer the same questions. Without
    samples.jsonl it is unpaired, which is too large.
    """
    points = [(point.mean, point) for point in curve.points if point.mean is not None]
    if len(points) < 2:
        return None
    # Of equal means take the later step: the last needs no selection.
    ranked = [point for _, point in sorted(points, key=lambda p: (p[0], p[1].step), reverse=True)]
    best, last = ranked[0], curve.points[-1]
    other = last if best is not last else ranked[1]
    difference, why = _difference(other, best, averaged)
    if difference is not None:
        error = difference.standard_error
    else:
        parts = (best.stderr, other.stderr)
        error = None if None in parts else math.hypot(*(part or 0.0 for part in parts))
    return Best(
        best=best,
        last=last,
        difference=difference if other is last else None,
        why=why,
        selection_bias=None if error is None else selection_bias(len(points), error),
        error=error,
        paired=difference is not None,
    )


def _difference(
    other: Point, best: Point, averaged: Sequence[str]
) -> tuple[Difference | None, str]:
    """The paired difference of the means, best minus other, or why there is none."""
    try:
        comparison = compare_any([other.found], [best.found], averaged)
    except UsageError as error:
        return None, str(error)
    if comparison.incomparable:
        first = comparison.incomparable[0]
        return None, f"{first.benchmark}: {'; '.join(first.why)}"
    return comparison.mean or comparison.differences[0], ""


def _point(found: FoundRun, averaged: Sequence[str]) -> Point:
    scores = {score.benchmark: score for score in found.run.scores}
    over = [scores[name] for name in averaged]
    step = found.run.checkpoint.step
    assert step is not None
    return Point(
        step=step,
        found=found,
        scores=scores,
        mean=mean([score.value for score in over]) if over else None,
        stderr=mean_standard_error([score.stderr for score in over]),
    )


# Which runs are on a curve


def _keep(
    runs: Sequence[FoundRun], left_out: list[LeftOut], why: Callable[[FoundRun], str]
) -> list[FoundRun]:
    """The runs without a reason from `why`; the others are added to `left_out`."""
    kept = []
    for found in runs:
        if reason := why(found):
            left_out.append(LeftOut(found, reason))
        else:
            kept.append(found)
    return kept


def _unfit(run: Run) -> str:
    if run.checkpoint.step is None:
        return "no training step"
    return "" if run.scores else "no score yet"


def alike(runs: Sequence[FoundRun], left_out: list[LeftOut]) -> list[FoundRun]:
    """The largest subset of `runs` under the same conditions; the others go to `left_out`.

    Of equally large subsets: complete runs before limited ones, then the first.
    """
    settings = [_run_settings(found) for found in runs]
    usual = max(settings, key=lambda each: (settings.count(each), each["limit"] == "none"))

    def unusual(found: FoundRun) -> str:
        mine = _run_settings(found).items()
        other = [
            f"{key} {value}, the others {usual[key]}" for key, value in mine if value != usual[key]
        ]
        return "; ".join(other)

    kept = _keep(runs, left_out, unusual)
    names = dict.fromkeys(score.benchmark for found in kept for score in found.run.scores)
    common = {name: _commonest(name, kept) for name in names}

    def unlike(found: FoundRun) -> str:
        for score in found.run.scores:
            if others := differing([score.conditions, common[score.benchmark]]):
                return f"{score.benchmark}: {'; '.join(map(_otherwise, others))}"
        return ""

    return _keep(kept, left_out, unlike)


def _run_settings(found: FoundRun) -> dict[str, str]:
    settings = found.run.settings
    return {
        "limit": found.run.limit or "none",
        "prompts": str(settings.get("prompts", False)),
        "blind": str(settings.get("blind", False)),
    }


def _commonest(name: str, runs: Sequence[FoundRun]) -> Conditions:
    """The most frequent conditions of benchmark `name` in `runs`; of equals the first."""
    known = [s.conditions for found in runs for s in found.run.scores if s.benchmark == name]
    return max(known, key=lambda one: sum(not differing([one, other]) for other in known))


def _otherwise(found: Differing) -> str:
    """Describe a difference, as ``frames 8, the others 1fps``."""
    if found.name == DEFINITION:
        return "another definition in the benchmarks file"
    ours, usual = found.values
    return f"{found.name} {ours}, the others {usual}"


def _one_a_step(runs: Sequence[FoundRun], left_out: list[LeftOut]) -> list[FoundRun]:
    """One run per step: the most frequent settings first, then the most benchmarks."""
    settings = Counter(settings_digest(found.run.settings) for found in runs)

    def rank(found: FoundRun) -> tuple[int, int, str]:
        run = found.run
        return settings[settings_digest(run.settings)], len(run.scores), run.started

    together: dict[tuple[str, int | None], list[FoundRun]] = {}
    for found, home in zip(runs, _homes(runs), strict=True):
        together.setdefault((home, found.run.checkpoint.step), []).append(found)
    chosen = {id(max(group, key=rank)) for group in together.values()}
    return _keep(
        runs,
        left_out,
        lambda f: "" if id(f) in chosen else f"step {f.run.checkpoint.step} has another run",
    )


def _notes(runs: Sequence[FoundRun]) -> list[str]:
    notes = list(differing_settings(runs, "the checkpoints"))
    if names := [found.run.checkpoint.name for found in runs if found.run.finished is None]:
        notes.append(f"unfinished, so benchmarks may be missing: {', '.join(names)}")
    return notes


# The training run of a checkpoint


def _homes(runs: Sequence[FoundRun]) -> list[str]:
    """The directory of the training run of each run, as typed.

    ``sft/checkpoint-500`` belongs to ``sft``; so do ``sft`` and ``sft/final``, where a Trainer
    saves its last state, if such steps exist. Otherwise a checkpoint with a trainer_state.json
    belongs to its name without the step (``sft/step_500``), or to a training run of its own.
    """
    sources = [os.path.normpath(found.run.checkpoint.source) for found in runs]
    known = {os.path.dirname(s) for s in sources if STEP.fullmatch(os.path.basename(s))}  # noqa: PTH119, PTH120 - as typed
    return [_home(source, found.run, known) for source, found in zip(sources, runs, strict=True)]


def _home(source: str, run: Run, known: set[str]) -> str:
    directory, name = os.path.split(source)
    if STEP.fullmatch(name):
        return directory or run.checkpoint.name.removesuffix(f"-{name}")
    if source in known:
        return source
    if directory in known:
        return directory
    repository, at, _ = source.partition("@")
    if at:  # a revision on the Hub
        return repository
    stem = name.removesuffix(str(run.checkpoint.step))
    if stem != name:
        return os.path.join(directory, _PADDING.sub("", stem))  # noqa: PTH118 - as typed
    return source


def _labels(homes: Sequence[str]) -> dict[str, str]:
    """The name of each: its last part, or the whole path if the last part is not unique."""
    short = {home: os.path.basename(os.path.normpath(home)) or home for home in homes}  # noqa: PTH119
    shared = Counter(short.values())
    return {home: name if shared[name] == 1 else home for home, name in short.items()}
