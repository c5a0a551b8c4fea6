"""What `evalsuite compare` shows: differences, as a table for people or whole for programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalsuite.comparison import Comparison, Difference
from evalsuite.errors import UsageError, nearest
from evalsuite.files import to_json_line, write_atomically
from evalsuite.pairs import Matched, Paired
from evalsuite.report.find import find_all
from evalsuite.report.grid import Entry, Grid, Heading, Line, entries
from evalsuite.report.table import Notes
from evalsuite.report.words import ABSENT, counted, listed, points, sentence, signed
from evalsuite.results import FoundRun
from evalsuite.stats.drop import FEW_CLUSTERS, Drop
from evalsuite.sweeps import Lead, lead, sweep_of

FORMATS = ("table", "markdown", "json", "csv")
_LENGTH = 40
"""An answer is cut there in a table."""
_INCOMPARABLE = "incomparable"


def write(
    comparison: Comparison,
    form: str,
    output: Path | None = None,
    *,
    leading: Lead | None = None,
    categories: bool = False,
    samples: int = 0,
) -> None:
    """Write `comparison` to `output`, or to standard output if it is None.

    Tables show categories and the first `samples` changed answers of each benchmark if asked to;
    json and csv always have the categories.
    """
    check_format(form)
    grids = [table(comparison, leading)]
    grids += [by_category(d) for d in comparison.differences if categories and d.categories]
    grids += [changed(each, samples) for each in comparison.paired if samples]
    if output is not None:
        write_atomically(output, _rendered(comparison, leading, grids, form))
    elif form == "table":
        _print(grids, None)
    else:
        sys.stdout.write(_rendered(comparison, leading, grids, form))


def find_lead(comparison: Comparison, results: Path) -> Lead | None:
    """Say whether the candidates lead a sweep of which `results` holds the other runs."""
    if all(sweep_of(found) is None for found in comparison.candidate):
        return None
    try:
        return lead(comparison, find_all(results, say=lambda _: None))
    except UsageError:  # no runs there: those compared lie elsewhere
        return None


def check_format(form: str) -> None:
    """Raise `UsageError` for an unknown form."""
    if form not in FORMATS:
        raise UsageError(
            f"--format {form}: unknown{nearest(form, FORMATS)}; expected {', '.join(FORMATS)}"
        )


def write_changed(comparison: Comparison, path: Path) -> None:
    """Write every changed answer, a line of JSON each. Raises `DiskError`."""
    lines = [
        to_json_line({
            "benchmark": paired.benchmark,
            "id": sample.known.id,
            "change": -sample.drop,
            "category": sample.known.category,
            "question": sample.known.question,
            "target": sample.known.target,
            **{
                f"{side}_{key}": getattr(row, key)
                for side, row in (("baseline", sample.baseline[0]),
                                  ("candidate", sample.candidate[0]))
                for key in ("value", "prediction", "ended", "error")
            },
        })
        for paired in comparison.paired
        for sample in _changed(paired)
    ]  # fmt: skip
    write_atomically(path, "".join(lines))


# For people


def table(comparison: Comparison, leading: Lead | None = None) -> Grid:
    """Lay out the comparison: a line a benchmark, the mean beneath."""
    notes = Notes()
    baseline, candidate = _names(comparison.baseline), _names(comparison.candidate)
    pairs = zip(comparison.differences, comparison.paired, strict=True)
    lines = [Line(_entries(d, (*_marks(d, notes), *_pair_marks(p, notes)))) for d, p in pairs]
    for item in comparison.incomparable:
        mark = notes.add(f"{item.benchmark} cannot be compared: {'; '.join(item.why)}")
        blank = [ABSENT] * 7
        shown = (*entries([item.benchmark, *blank[:3]]), Entry(_INCOMPARABLE, (mark,)))
        lines.append(Line((*shown, *entries([*blank[:5]]))))
    return Grid(
        title=f"{candidate} against {baseline}",
        headings=_headings("benchmark"),
        lines=tuple(lines),
        summary=_entries(comparison.mean, _marks(comparison.mean, notes))
        if comparison.mean
        else None,
        keys=2,
        remarks=(
            f"difference: {candidate} minus {baseline}, in points, on the samples both have",
            *_about(comparison),
            *comparison.notes,
            *_warning(leading),
        ),
        footnotes=notes.footnotes(),
    )


def by_category(difference: Difference) -> Grid:
    """Lay out one benchmark by category."""
    notes = Notes()
    return Grid(
        title=f"{difference.name} by category",
        headings=_headings("category"),
        lines=tuple(Line(_entries(c, _marks(c, notes))) for c in difference.categories),
        keys=2,
        remarks=(
            f"p: two-sided, Holm-adjusted over {len(difference.categories)} categories",
        ),
        footnotes=notes.footnotes(),
    )  # fmt: skip


def changed(paired: Paired, most: int) -> Grid:
    """Lay out the first `most` answers that are worth more or less than before."""
    samples = _changed(paired)
    return Grid(
        title=f"{paired.benchmark}: {min(most, len(samples))} of "
        f"{counted(len(samples), 'changed answer')}",
        headings=(
            Heading("sample", numeric=False),
            Heading("value"),
            *(Heading(name, numeric=False, wraps=True)
              for name in ("target", "baseline", "candidate")),
        ),
        lines=tuple(Line(entries(_sample(sample))) for sample in samples[:most]),
    )  # fmt: skip


def _sample(sample: Matched) -> tuple[str, ...]:
    before, after = sample.baseline[0], sample.candidate[0]
    shown = (row.prediction if row.ended != "error" else "no answer" for row in (before, after))
    return (
        sample.known.id,
        f"{before.value:g} → {after.value:g}",
        *map(_cut, (sample.known.target, *shown)),
    )


def _changed(paired: Paired) -> list[Matched]:
    """Losses first, each in the order of the data."""
    return sorted((s for s in paired.samples if s.drop), key=lambda sample: sample.drop < 0)


def _headings(first: str) -> tuple[Heading, ...]:
    return (
        Heading(first, numeric=False, wraps=True),
        *(Heading(name) for name in ("n", "baseline", "candidate", "difference", "95 % interval",
                                     "p", "worse", "better", "McNemar")),
    )  # fmt: skip


def _entries(difference: Difference, marks: Sequence[str] = ()) -> tuple[Entry, ...]:
    low, high = difference.interval()
    few = difference.drop.too_few_clusters
    return (
        *entries((
            difference.name,
            str(difference.drop.n),
            points(difference.baseline),
            points(difference.candidate),
        )),
        Entry(signed(difference.points), tuple(marks)),
        *entries((
            f"{signed(low)} to {signed(high)}",
            ABSENT if few else _p(difference.p),
            str(difference.worse),
            str(difference.better),
            ABSENT if difference.mcnemar is None else _p(difference.mcnemar.mid),
        )),
    )  # fmt: skip


def _about(comparison: Comparison) -> Iterator[str]:
    over = counted(len(comparison.differences), "benchmark")
    if comparison.mean:
        over += ", each counting the same, and their mean"
    yield f"p: two-sided, Holm-adjusted over {over}"
    yield "interval: 95 % each, clustered by image or video"
    if any(difference.mcnemar for difference in comparison.differences):
        yield "McNemar: mid-p, unadjusted, where each answer is right or wrong; shown, not decisive"
    if len(comparison.baseline) > 1:
        runs = f"{len(comparison.baseline)} and {len(comparison.candidate)}"
        yield f"means over {runs} training runs; intervals include how runs differ"


def _warning(leading: Lead | None) -> Iterator[str]:
    if leading is not None:
        yield (
            f"warning: the candidate leads {leading.count} checkpoints of its sweep on these very "
            f"benchmarks; if it was picked for that, expect {leading.luck:.1f} points of its lead "
            "to be luck, and confirm it on data that had no say"
        )


def _marks(difference: Difference, notes: Notes) -> tuple[str, ...]:
    marks = []
    if difference.drop.too_few_clusters:
        have = f"{difference.name} {difference.drop.effective_clusters:.0f}"
        marks.append(notes.add(f"too few clusters for a claim, fewer than {FEW_CLUSTERS}", have))
    if difference.drop.method == "bound":
        marks.append(notes.add("no cluster differs: bounded by how many there are",
                               difference.name))  # fmt: skip
    if difference.without_failed is not None:
        low, high = difference.without_failed.interval()
        shown = (
            f"{difference.name} {difference.failed[0]} and {difference.failed[1]}, without them "
            f"{signed(-100 * difference.without_failed.estimate)} "
            f"({signed(-100 * high)} to {signed(-100 * low)})"
        )
        marks.append(notes.add("samples without a prediction, which count as wrong", shown))
    return tuple(marks)


def _pair_marks(paired: Paired, notes: Notes) -> tuple[str, ...]:
    scores = (*paired.baseline, *paired.candidate)
    return tuple(
        notes.add(meaning, f"{paired.benchmark}{detail}")
        for applies, meaning, detail in (
            (paired.left_out, "samples not all runs have, left out", f" {paired.left_out}"),
            (
                paired.asked_otherwise,
                "samples asked otherwise, left out",
                f" {paired.asked_otherwise}",
            ),
            (any(s.partial for s in scores), "partial: without what only a judge can score", ""),
            (any(s.modified_data for s in scores), "on data that is not what was published", ""),
        )
        if applies
    )


def _names(runs: Sequence[FoundRun]) -> str:
    return listed([found.run.checkpoint.name for found in runs])


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _cut(text: str) -> str:
    line = sentence(text)
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]}…"


# For programs


def to_json(comparison: Comparison, leading: Lead | None = None) -> str:
    """Render everything, in points but for p; differences are candidate minus baseline."""
    plain = {
        "baseline": [_run(found) for found in comparison.baseline],
        "candidate": [_run(found) for found in comparison.candidate],
        "level": 0.95,
        "benchmarks": [
            {
                **_plain(difference),
                "left_out": paired.left_out,
                "asked_otherwise": paired.asked_otherwise,
                "breakdown": [_plain(category) for category in difference.categories],
            }
            for difference, paired in zip(comparison.differences, comparison.paired, strict=True)
        ],
        "mean": None if comparison.mean is None else _plain(comparison.mean),
        "incomparable": [dataclasses.asdict(item) for item in comparison.incomparable],
        "notes": [*comparison.notes, *_warning(leading)],
    }
    return json.dumps(plain, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def to_csv(comparison: Comparison) -> str:
    """Render a line a benchmark, category and mean; incomparable benchmarks say why."""
    columns = ["benchmark", "category", *_COLUMNS, "incomparable"]
    rows: list[dict[str, Any]] = []
    for difference in comparison.differences:
        rows.append({"benchmark": difference.name, **_plain(difference)})
        rows += [
            {"benchmark": difference.name, "category": each.name, **_plain(each)}
            for each in difference.categories
        ]
    if comparison.mean is not None:
        rows.append({"benchmark": comparison.mean.name, **_plain(comparison.mean)})
    for item in comparison.incomparable:
        rows.append({"benchmark": item.benchmark, "incomparable": "; ".join(item.why)})
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_COLUMNS = ("n", "clusters", "effective_clusters", "discordant_clusters", "too_few_clusters",
            "baseline", "candidate", "difference", "low", "high", "standard_error", "df", "method",
            "p", "p_adjusted", "worse", "better", "mcnemar_exact", "mcnemar_mid",
            "failed_baseline", "failed_candidate")  # fmt: skip


def _plain(difference: Difference) -> dict[str, Any]:
    low, high = difference.interval()
    without = difference.without_failed
    return {
        "name": difference.name,
        "n": difference.drop.n,
        "clusters": difference.drop.clusters,
        "effective_clusters": difference.drop.effective_clusters,
        "discordant_clusters": difference.drop.discordant,
        "too_few_clusters": difference.drop.too_few_clusters,
        "baseline": difference.baseline,
        "candidate": difference.candidate,
        "difference": difference.points,
        "low": low,
        "high": high,
        "standard_error": _error(difference.drop),
        "df": difference.drop.df,
        "method": difference.drop.method,
        "p": difference.drop.p,
        "p_adjusted": difference.p,
        "worse": difference.worse,
        "better": difference.better,
        "mcnemar_exact": None if difference.mcnemar is None else difference.mcnemar.exact,
        "mcnemar_mid": None if difference.mcnemar is None else difference.mcnemar.mid,
        "failed_baseline": difference.failed[0],
        "failed_candidate": difference.failed[1],
        "without_failed": None
        if without is None
        else {
            "n": without.n,
            "difference": -100 * without.estimate,
            "low": -100 * without.interval()[1],
            "high": -100 * without.interval()[0],
            "p": without.p,
        },
    }


def _error(drop: Drop) -> float | None:
    """In points; None where a benchmark of a single image leaves it unknown."""
    return 100 * drop.standard_error if math.isfinite(drop.variance) else None


def _run(found: FoundRun) -> dict[str, Any]:
    record = found.run.checkpoint
    return {
        "run": str(found.path),
        "name": record.name,
        "digest": record.digest,
        "step": record.step,
        "settings": dict(found.run.settings),
        "limit": found.run.limit,
    }


def _rendered(
    comparison: Comparison, leading: Lead | None, grids: Sequence[Grid], form: str
) -> str:
    if form == "json":
        return to_json(comparison, leading)
    if form == "csv":
        return to_csv(comparison)
    if form == "markdown":
        from evalsuite.report.markdown import grid_markdown

        return "\n".join(grid_markdown(grid) for grid in grids)
    text = io.StringIO()
    _print(grids, text)
    return text.getvalue()


def _print(grids: Sequence[Grid], file: io.StringIO | None) -> None:
    from rich.console import Console

    from evalsuite.report.text import print_grid

    console = Console() if file is None else Console(file=file, force_terminal=False, no_color=True)
    for grid in grids:
        print_grid(grid, console)
