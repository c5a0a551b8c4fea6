"""A benchmark's page: scores, categories, what went wrong, and what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from evalsuite.report.format import ABSENT, FAILED, points, sentence, short
from evalsuite.report.model.join_samples import Row, change
from evalsuite.report.model.notes import MODIFIED, PARTIAL
from evalsuite.report.page.skeleton import Style, document
from evalsuite.report.page.subject import Part, Subject
from evalsuite.report.page.tables import Field, drawn, facts, number, table, words
from evalsuite.report.writers.html import escaped
from evalsuite.runs.records import Failure, SampleScore, Score, group_name
from evalsuite.stats import clustered_standard_error

_COUNTS = ("failed", "empty", "truncated", "unparsed")
_NEAR = 0.005
"""A breakdown this near the mean of its samples is that mean, in points."""


def benchmark(style: Style, subject: Subject, rows: Sequence[Row]) -> str:
    """Draw the page of `subject`, whose samples are `rows`."""
    body = [
        f"<main>\n<h1>{escaped(subject.name)}</h1>\n",
        _lead(subject, rows),
        _scores(subject),
        *_troubles(subject),
        _categories(subject, rows),
        f"<h2>What was asked</h2>\n{_asked(subject)}",
        "</main>\n",
    ]
    return document(
        style, subject.name, "".join(body), root="../", trail=[("../index.html", "All runs")]
    )


def browse(subject: Subject, **chosen: str) -> str:
    """The address of the samples of `subject`, seen from another folder of the page."""
    words = urlencode(chosen, errors="surrogatepass")  # halves of characters are no text
    return f"../samples/{subject.slug}.html" + (f"#{words}" if chosen else "")


def _lead(subject: Subject, rows: Sequence[Row]) -> str:
    if not rows:
        return '<p class="lead">There are no samples to browse.</p>\n'
    samples = f"{len(rows):,} sample{'' if len(rows) == 1 else 's'}"
    links = [(f"Browse {samples}", browse(subject), ' class="go"')]
    links.append(("wrong ones", browse(subject, show="wrong"), ""))
    parts = subject.browsed
    if len(parts) > 1:
        before, after = subject.flipped
        first, last = parts[before].label, parts[after].label
        changes = [change(row[before], row[after]) for row in rows]
        worse, better = sum(c < 0 for c in changes), sum(c > 0 for c in changes)
        for count, kind in ((worse, "worse"), (better, "better")):
            if not count:
                continue
            said = f"{count:,} {kind} from {first} to {last}"
            links.append((said, browse(subject, show=kind, **{"from": first, "to": last}), ""))
    shown = "\n".join(
        f'<a{kind} href="{escaped(address)}">{escaped(text)}</a>' for text, address, kind in links
    )
    return f'<p class="links">{shown}</p>\n'


def _scores(subject: Subject) -> str:
    kept = [name for name in _COUNTS if any(part.score and getattr(part.score, name)
                                            for part in subject.parts)]  # fmt: skip
    headings = [("checkpoint", False), ("score", True), ("±", True), ("95 % interval", False),
                ("samples", True), ("images" if not subject.video else "videos", True),
                *((name, True) for name in kept)]  # fmt: skip
    rows = [[words(part.label), *_score_fields(part, kept)] for part in subject.parts]
    notes = [words("; ".join(_notes(part))) for part in subject.parts]
    if any(note.markup for note in notes):
        headings.append(("notes", False))
        rows = [[*row, note] for row, note in zip(rows, notes, strict=True)]
    remarks = (
        "±: standard error, clustered by image or video; interval: Wilson’s, with Student’s t. "
    )
    remarks += "Failed, empty, truncated and unparsed answers are among the samples."
    return f'{table("Scores", headings, rows)}<p class="note">{remarks}</p>\n'


def _score_fields(part: Part, kept: Sequence[str]) -> Iterator[Field]:
    score = part.score
    if score is None:
        yield Field(f'<span class="bad">{FAILED}</span>')
        yield from [Field(ABSENT)] * (4 + len(kept))
    else:
        yield number(score.score)
        yield number(score.stderr)
        yield _interval(score)
        yield number(score.n, f"{score.n:,}")
        yield number(score.clusters, f"{score.clusters:,}")
        for name in kept:
            yield number(getattr(score, name), str(getattr(score, name)))


def _interval(score: Score) -> Field:
    from evalsuite.stats.wilson import score_interval  # scipy is for those who draw it

    error = None if score.stderr is None else score.stderr / 100
    found = score_interval(score.score / 100, error, score.clusters)
    if found is None:
        return Field(ABSENT, number=False)
    low, high = (100 * bound for bound in found)
    text = f'<span class="range">{points(low)} to {points(high)}</span>'
    return Field(drawn(score.score, low, high) + text, score.score, number=False)


def _notes(part: Part) -> Iterator[str]:
    run, score = part.found.run, part.score
    if run.limit is not None:
        yield f"only a part of the samples, by --limit {run.limit}"
    if score is None:
        return
    if score.partial:
        left = f" ({score.unscored} samples)" if score.unscored else ""
        yield f"{PARTIAL}{left}"
    if score.modified_data:
        yield MODIFIED
    if score.agreement != "agrees":
        yield f"VLMEvalKit says {points(score.vlmevalkit_score)} ({score.agreement})"
    if score.macro is not None:
        yield f"mean over tasks {points(score.macro)}"
    for name, value in score.extra.items():
        yield f"{name} {value:g}"


def _troubles(subject: Subject) -> Iterator[str]:
    """What failed, with the remedy; why samples failed; whose samples are missing."""
    lines = []
    for part in subject.parts:
        if isinstance(part.outcome, Failure):
            said = f"{sentence(part.outcome.message)}. {sentence(part.outcome.remedy)}"
            lines.append((f"{part.label}: no score", f"{part.outcome.stage}: {said}"))
        else:
            lines += [(f"{part.label}: failed", sentence(why)) for why in part.outcome.reasons]
            if part.trouble:
                lines.append((f"{part.label}: no samples", sentence(part.trouble)))
    if lines:
        items = "".join(
            f"<li><strong>{escaped(who)}</strong> {escaped(what)}</li>\n" for who, what in lines
        )
        yield f'<h2>What went wrong</h2>\n<ul class="troubles">\n{items}</ul>\n'


def _categories(subject: Subject, rows: Sequence[Row]) -> str:
    scored = [part for part in subject.parts if part.score]
    scores = [part.score for part in scored if part.score]
    names = dict.fromkeys(name for score in scores for name in score.breakdown)
    if not names:
        return ""
    headings = [("category", False), ("samples", True)]
    headings += [(part.label, True) for part in scored]
    columns = {id(part): index for index, part in enumerate(subject.browsed)}
    grouped = _grouped(rows)
    lines = []
    for name in names:
        members = grouped.get(name, [])
        label = escaped(name)
        if members:
            label = f'<a href="{escaped(browse(subject, cat=name))}">{label}</a>'
        fields = [Field(label, number=False), number(len(members) or None, f"{len(members):,}")]
        for part in scored:
            index = columns.get(id(part))
            known = [row[index] for row in members] if index is not None else []
            fields.append(_category(part, name, [s for s in known if s is not None and s.counts]))
        lines.append(fields)
    return f"<h2>By category</h2>\n{table('By category', headings, lines)}"


def _category(part: Part, name: str, samples: Sequence[SampleScore]) -> Field:
    value = None if part.score is None else part.score.breakdown.get(name)
    if value is None:
        return Field(ABSENT)
    values = [sample.value for sample in samples]
    error = clustered_standard_error(values, [s.cluster for s in samples]) if values else None
    # Of a score that is no mean of its samples this error would be another's.
    if error is None or abs(100 * sum(values) / len(values) - value) > _NEAR:
        return number(value)
    return number(value, f"{points(value)} ± {points(100 * error)}")


def _grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the names that a breakdown has for them."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        for group in next(s for s in row if s is not None).groups:
            groups.setdefault(group_name(*group), []).append(row)
    return groups


def _asked(subject: Subject) -> str:
    """What all scores share once, and what differs by run."""
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
    return facts(pairs) if pairs else "<p>No run has a score that would tell.</p>\n"


def _how(score: Score) -> Iterator[tuple[str, str]]:
    yield "dataset", score.dataset
    yield "data", short(score.data_digest) if score.data_digest else ABSENT
    yield "modality", score.modality
    yield "prompts", f"{score.profile}, format {score.prompt}"
    if score.frames is not None:
        yield "frames", score.frames
    yield "token limit", str(score.max_new_tokens)
    yield "metric", score.metric
    yield "judge", score.judge
    if score.vlmevalkit:
        yield "VLMEvalKit", score.vlmevalkit
