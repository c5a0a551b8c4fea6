"""A benchmark's page: scores, categories, errors and conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from evalsuite.report.format import ABSENT, FAILED, points, sentence, short
from evalsuite.report.model.column import Column
from evalsuite.report.model.join_samples import Row, change
from evalsuite.report.model.notes import MODIFIED, PARTIAL
from evalsuite.report.page.skeleton import Style, document
from evalsuite.report.page.subject import Part, Subject
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.runs.records import Failure, SampleScore, Score, by_group, group_name
from evalsuite.stats import clustered_standard_error

_COUNTS = ("failed", "empty", "truncated", "unparsed")
_NEAR = 0.005
"""In points: a breakdown this near the mean of its samples is that mean."""


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
        conditions=_conditions(subject),
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
        first, last = parts[before].label, parts[after].label
        changes = [change(row[before], row[after]) for row in rows]
        worse, better = sum(c < 0 for c in changes), sum(c > 0 for c in changes)
        for count, kind in ((worse, "worse"), (better, "better")):
            if count:
                text = f"{count:,} {kind} from {first} to {last}"
                yield text, browse(subject, show=kind, **{"from": first, "to": last})


def _scores(subject: Subject) -> Grid:
    counts = [
        name
        for name in _COUNTS
        if any(part.score and getattr(part.score.counts, name) for part in subject.parts)
    ]
    notes = any(map(_notes, subject.parts))
    return lay_out(
        [
            Column("checkpoint", "checkpoint", attrgetter("label"), numeric=False),
            Column("score", "score", _of("value"), text=_score_text),
            Column("stderr", "±", _of("stderr"), points),
            Column(
                "interval",
                "95 % interval",
                _of("value"),
                text=_interval_text,
                interval=_interval,
                numeric=False,
            ),
            Column("n", "samples", _of("n"), "{:,}".format),
            Column(
                "clusters", "videos" if subject.video else "images", _of("clusters"), "{:,}".format
            ),
            *(Column(name, name, _count(name)) for name in counts),
            *([Column("notes", "notes", _notes, numeric=False)] if notes else []),
        ],
        subject.parts,
        remarks=[
            "±: standard error, clustered by image or video; interval: Wilson’s, with Student’s t",
            "Failed, empty, truncated and unparsed predictions count as samples.",
        ],
    )


def _of(name: str) -> Callable[[Part], Any]:
    """Return the getter of a score's field; None where there is no score."""
    return lambda part: None if part.score is None else getattr(part.score, name)


def _count(name: str) -> Callable[[Part], int | None]:
    """Return the getter of one of a score's counts; None where there is no score."""
    return lambda part: None if part.score is None else getattr(part.score.counts, name)


def _score_text(part: Part) -> str:
    return FAILED if part.score is None else points(part.score.value)


def _interval(part: Part) -> tuple[float, float] | None:
    from evalsuite.stats.wilson import score_interval  # scipy, which other commands do not need

    score = part.score
    if score is None:
        return None
    error = None if score.stderr is None else score.stderr / 100
    found = score_interval(score.value / 100, error, score.clusters)
    return None if found is None else (100 * found[0], 100 * found[1])


def _interval_text(part: Part) -> str:
    found = _interval(part)
    return ABSENT if found is None else f"{points(found[0])} to {points(found[1])}"


def _notes(part: Part) -> str:
    return "; ".join(_each_note(part))


def _each_note(part: Part) -> Iterator[str]:
    run, score = part.found.run, part.score
    if run.limit is not None:
        yield f"only part of the samples: --limit {run.limit}"
    if score is None:
        return
    if score.partial:
        left = f" ({score.counts.unscored} samples)" if score.counts.unscored else ""
        yield f"{PARTIAL}{left}"
    if score.modified_data:
        yield MODIFIED
    if score.deviations:
        why = " + ".join(score.deviations)
        yield f"VLMEvalKit: {points(score.vlmevalkit_score)} ({why})"
    if score.macro_average is not None:
        yield f"mean over tasks {points(score.macro_average)}"
    for name, value in score.extra.items():
        yield f"{name} {value:g}"


def _errors(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield failures with their remedy, reasons of failed samples, and missing samples."""
    for part in subject.parts:
        if isinstance(part.outcome, Failure):
            why = f"{sentence(part.outcome.message)}. {sentence(part.outcome.remedy)}"
            yield f"{part.label}: no score", f"{part.outcome.stage}: {why}"
            continue
        for why in part.outcome.failure_reasons:
            yield f"{part.label}: failed", sentence(why)
        if part.trouble:
            yield f"{part.label}: no samples", sentence(part.trouble)


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
        return None if part.score is None else part.score.breakdown.get(name)

    def text(name: str, part: Part) -> str:
        index = indices.get(id(part))
        known = [row[index] for row in members.get(name, ())] if index is not None else []
        samples = [s for s in known if s is not None and s.counts]
        return _with_error(value(name, part), samples)

    return lay_out(
        [
            Column("category", "category", str, numeric=False, link=link),
            Column("n", "samples", count, "{:,}".format),
            *(Column(part.label, part.label, partial(value, part=part),
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


def _conditions(subject: Subject) -> list[tuple[str, str]]:
    """List the conditions of the scores; one that differs is listed by run."""
    names: dict[str, list[tuple[str, str]]] = {}
    for part in subject.parts:
        for name, value in _how(part.score) if part.score else ():
            names.setdefault(name, []).append((part.label, value))
    pairs = []
    for name, known in names.items():
        values = dict.fromkeys(value for _, value in known)
        if len(values) == 1:
            pairs.append((name, next(iter(values))))
        else:
            pairs.append((name, "; ".join(f"{label}: {value}" for label, value in known)))
    return pairs


def _how(score: Score) -> Iterator[tuple[str, str]]:
    asked = score.conditions
    yield "dataset", asked.dataset
    yield "data", short(asked.data_digest) if asked.data_digest else ABSENT
    yield "modality", score.modality
    yield "prompts", f"{asked.prompt_style}, format {asked.prompt_format}"
    if asked.frames is not None:
        yield "frames", asked.frames
    yield "token limit", str(asked.max_new_tokens)
    yield "metric", asked.metric
    yield "judge", asked.judge_name
    if asked.vlmevalkit:
        yield "VLMEvalKit", asked.vlmevalkit
