"""The HTML pages: all runs, one benchmark, and the browser of its samples."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import urlencode

from evalsuite.report.format import ABSENT, points, sentence
from evalsuite.report.model.column import Column
from evalsuite.report.model.columns import RESULT, Result, RunRecord, run_columns
from evalsuite.report.model.join_samples import Row, change
from evalsuite.report.model.notes import outcome_notes, run_notes
from evalsuite.report.model.table import BenchmarkColumn
from evalsuite.report.page.skeleton import BROWSER, Style, document
from evalsuite.report.page.subject import Group, Part, Subject
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.report.tables.runs import across, slots
from evalsuite.runs.comparable import facts
from evalsuite.runs.records import COUNTS, Failure, SampleScore, by_group, group_name
from evalsuite.stats import clustered_standard_error
from evalsuite.system.text import counted

_RUN_COLUMNS = ("checkpoint", "parameters", "step", "digest", "dtype", "prompts", "limit", "date",
                "evalsuite")  # fmt: skip
_NEAR = 0.005
"""In points: a breakdown this near the mean of its samples is that mean."""


def overview(style: Style, groups: Sequence[Group], notes: Sequence[str]) -> str:
    """Render the first page; `notes` are sentences about what is missing."""
    records = [RunRecord(group.table, row) for group in groups for row in group.table.rows]
    benchmarks = {subject.name for group in groups for subject in group.subjects}
    return document(
        style,
        "overview.html.j2",
        "Evaluation",
        here="All runs",
        lead=f"{counted(len(records), 'run')}, {counted(len(benchmarks), 'benchmark')}. "
        "Select a benchmark to see its categories and samples.",
        scores=[(group.table.prompts, _linked(group)) for group in groups],
        runs=lay_out(run_columns(_RUN_COLUMNS), records, name="Runs"),
        notes=notes,
    )


def _linked(group: Group) -> Grid:
    """The runs side by side, each benchmark's heading leading to its page."""
    grid = across(group.table)
    slugs = {subject.name: subject.slug for subject in group.subjects}
    headings = list(grid.headings)
    for index, slot in enumerate(slots(group.table), start=grid.keys):
        if isinstance(slot, BenchmarkColumn):
            link = f"benchmarks/{slugs[slot.benchmark]}.html"
            headings[index] = dataclasses.replace(headings[index], link=link)
    return dataclasses.replace(grid, headings=tuple(headings))


def browser(style: Style, subject: Subject) -> str:
    """Render the frame for the samples of `subject`, which `samples.js` fills."""
    before, after = subject.flipped
    return document(
        style,
        "browser.html.j2",
        f"{subject.name}: samples",
        here="Samples",
        root="../",
        trail=[("../index.html", "All runs"),
               (f"../benchmarks/{subject.slug}.html", subject.name)],
        scripts=BROWSER,
        kind="browser",
        stem=f"data/{style.stamp}/{subject.slug}",
        labels=json.dumps([part.row.label for part in subject.browsed]),
        video=int(subject.video),
        before=before,
        after=after,
    )  # fmt: skip


def benchmark(style: Style, subject: Subject, rows: Sequence[Row]) -> str:
    """Render the page of `subject`, whose samples are `rows`."""
    return document(
        style,
        "benchmark.html.j2",
        subject.name,
        root="../",
        trail=[("../index.html", "All runs")],
        links=list(_links(subject, rows)),
        scores=_scores(subject),
        errors=list(_errors(subject)),
        categories=_categories(subject, rows),
        conditions=list(_conditions(subject)),
    )


def browse(subject: Subject, **chosen: str) -> str:
    """Return the address of the samples of `subject`, relative to another folder of the page."""
    words = urlencode(chosen, errors="surrogatepass")  # half a character cannot be encoded
    return f"../samples/{subject.slug}.html" + (f"#{words}" if chosen else "")


def _links(subject: Subject, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield text and address of links to samples; none without samples."""
    if not rows:
        return
    yield f"Browse {len(rows):,} sample{'' if len(rows) == 1 else 's'}", browse(subject)
    yield "wrong ones", browse(subject, show="wrong")
    parts = subject.browsed
    if len(parts) > 1:
        before, after = subject.flipped
        first, last = parts[before].row.label, parts[after].row.label
        changes = [change(row[before], row[after]) for row in rows]
        worse, better = sum(c < 0 for c in changes), sum(c > 0 for c in changes)
        for count, kind in ((worse, "worse"), (better, "better")):
            if count:
                text = f"{count:,} {kind} from {first} to {last}"
                yield text, browse(subject, show=kind, **{"from": first, "to": last})


def _scores(subject: Subject) -> Grid:
    scores = [part.score for part in subject.parts if part.score]
    counts = [name for name in COUNTS if any(getattr(each.counts, name) for each in scores)]
    numbers = {
        name: dataclasses.replace(RESULT[name], format="{:,}".format, heading=heading)
        for name, heading in (
            ("n", "samples"),
            ("clusters", "videos" if subject.video else "images"),
        )
    }
    notes = Column("notes", "notes", _notes, numeric=False)
    return lay_out(
        [
            Column("checkpoint", "checkpoint", lambda r: r.row.label, numeric=False),
            RESULT["score"],
            RESULT["stderr"],
            Column("interval", "95 % interval", RESULT["score"].value, text=_interval_text,
                   interval=_interval, numeric=False),
            *numbers.values(),
            *(RESULT[name] for name in counts),
            *([notes] if any(map(_notes, subject.parts)) else []),
        ],
        subject.parts,
        remarks=[
            "±: standard error, clustered by image or video; interval: Wilson’s, with Student’s t",
            "Failed, empty, truncated and unparsed predictions count as samples.",
        ],
    )  # fmt: skip


def _interval(result: Result) -> tuple[float, float] | None:
    from evalsuite.stats.wilson import score_interval  # scipy, which other commands do not need

    score = result.score
    if score is None:
        return None
    error = None if score.stderr is None else score.stderr / 100
    found = score_interval(score.value / 100, error, score.clusters)
    return None if found is None else (100 * found[0], 100 * found[1])


def _interval_text(result: Result) -> str:
    found = _interval(result)
    return ABSENT if found is None else f"{points(found[0])} to {points(found[1])}"


def _notes(result: Result) -> str:
    """Notes about the run and the score; a failure is below the table."""
    notes = [] if result.score is None else outcome_notes(result.score)
    return "; ".join(note.text for note in (*run_notes(result.run), *notes))


def _errors(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield failures with their remedy, reasons of failed samples, and missing samples."""
    for part in subject.parts:
        if isinstance(part.outcome, Failure):
            why = f"{sentence(part.outcome.message)}. {sentence(part.outcome.remedy)}"
            yield f"{part.row.label}: no score", f"{part.outcome.stage}: {why}"
            continue
        for why in part.outcome.failure_reasons:
            yield f"{part.row.label}: failed", sentence(why)
        if part.trouble:
            yield f"{part.row.label}: no samples", sentence(part.trouble)


def _categories(subject: Subject, rows: Sequence[Row]) -> Grid | None:
    """Lay out scores by category; None if no score has categories."""
    scored = [part for part in subject.parts if part.score]
    names = dict.fromkeys(name for part in scored if part.score for name in part.score.breakdown)
    if not names:
        return None
    groups = by_group(rows, lambda row: next(s for s in row if s is not None))
    members = {group_name(*group): found for group, found in groups.items()}
    indices = {id(part): index for index, part in enumerate(subject.browsed)}

    def link(name: str) -> str:
        return browse(subject, cat=name) if name in members else ""

    def count(name: str) -> int | None:
        return len(members[name]) if name in members else None

    def value(name: str, part: Part) -> float | None:
        return part.score.breakdown.get(name) if part.score else None

    def text(name: str, part: Part) -> str:
        index = indices.get(id(part))
        known = [row[index] for row in members.get(name, ())] if index is not None else []
        samples = [s for s in known if s is not None and s.counts]
        return _with_error(value(name, part), samples)

    return lay_out(
        [
            Column("category", "category", str, numeric=False, link=link),
            Column("n", "samples", count, "{:,}".format),
            *(Column(part.row.label, part.row.label, partial(value, part=part),
                     text=partial(text, part=part)) for part in scored),
        ],
        names,
        name="By category",
    )  # fmt: skip


def _with_error(value: float | None, samples: Sequence[SampleScore]) -> str:
    """Write the score of a category with its standard error, if it is the mean of `samples`."""
    values = [sample.value for sample in samples]
    error = clustered_standard_error(values, [s.cluster for s in samples]) if values else None
    if value is None or error is None or abs(100 * sum(values) / len(values) - value) > _NEAR:
        return points(value)
    return f"{points(value)} ± {points(100 * error)}"


def _conditions(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield the conditions of the scores; one that differs is listed by run."""
    scored = [part for part in subject.parts if part.score]
    labels = [part.row.label for part in scored]
    for name, values in facts([part.score.conditions for part in scored if part.score]):
        distinct = list(dict.fromkeys(values))
        if len(distinct) > 1 and len(values) == len(labels):
            distinct = [f"{label}: {value}" for label, value in zip(labels, values, strict=True)]
        if distinct not in ([], ["none"], ["False"]):
            yield name, "; ".join(distinct)
