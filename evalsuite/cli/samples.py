"""Samples of one benchmark for `evalsuite show`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evalsuite.errors import IncompleteError, UsageError, nearest
from evalsuite.report.format import cut, sentence, visible
from evalsuite.report.model.join_samples import (
    KINDS,
    Row,
    change,
    is_empty,
    is_truncated,
    is_unparsed,
    join,
    known,
)
from evalsuite.report.model.notes import is_blind
from evalsuite.report.model.table import row_labels
from evalsuite.report.writers.terminal import broken
from evalsuite.runs.find import find_one
from evalsuite.runs.records import Failure, FoundRun, SampleScore
from evalsuite.runs.storage import read_samples
from evalsuite.system.text import counted

_LENGTH = 300
"""Most characters of a text, unless a single sample is shown."""
_NAME = 24
"""Width of names beside texts; longer names take several lines."""
_SAID = {"wrong": "wrong", "failed": "without a prediction", "unparsed": "unparsed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The selected samples."""

    benchmark: str | None
    kind: str | None = None
    """One of `evalsuite.report.model.join_samples.KINDS`."""
    flipped: str | None = None
    """Another run; selects samples whose value differs."""
    search: str = ""
    count: int = 10
    id: str | None = None


def show(name: str, asked: Asked, results: Path, console: Console | None = None) -> None:
    """Print samples of the run `name`.

    Raises `UsageError` for what cannot be found, `IncompleteError` for a benchmark that failed.
    """
    console = console or Console()
    found = [find_one(name, results)]
    if asked.flipped is not None:
        # OTHER is the older run.
        other = find_one(asked.flipped, results)
        if other.path.resolve() == found[0].path.resolve():
            raise UsageError(f"--flipped {asked.flipped}: is the same run; name another")
        found = [other, *found]
    benchmark = _benchmark(found, asked.benchmark)
    rows = join(
        [read_samples(item.samples(benchmark)) for item in found],
        [is_blind(item.run) for item in found],
    )
    labels = row_labels([item.run for item in found])
    if asked.id is not None:
        chosen = [row for row in rows if known(row).id == asked.id]
        if not chosen:
            ids = nearest(asked.id, [known(row).id for row in rows])
            raise UsageError(f"--id {asked.id}: {benchmark} has no such sample{ids}")
        for number, row in enumerate(chosen):
            if number:
                console.print()
            _draw(_lines(row, labels, whole=True), console)
        return
    chosen = [row for row in rows if _wanted(row, asked)]
    _say(f"{benchmark} of {labels[-1]}: {_summary(chosen, rows, asked, labels)}", console)
    for row in chosen[: asked.count]:
        console.print()
        _draw(_lines(row, labels, whole=False), console)
    left = len(chosen) - asked.count
    if left > 0:
        console.print()
        _say(f"and {left} more; -n {len(chosen)} shows all, --id ID shows one in full", console)


def _benchmark(found: Sequence[FoundRun], name: str | None) -> str:
    """Check that every run has scored the benchmark `name`."""
    for item in found:
        outcomes = {outcome.benchmark: outcome for outcome in item.run.outcomes}
        label = item.run.checkpoint.name
        if name is None:
            raise UsageError(
                f"no benchmark given; name one with -b: {label} has {', '.join(outcomes)}"
            )
        if name not in outcomes:
            raise UsageError(
                f"-b {name}: {label} has no such benchmark{nearest(name, outcomes)}; it has "
                f"{', '.join(outcomes) or 'none'}"
            )
        outcome = outcomes[name]
        if isinstance(outcome, Failure):
            why = f"{sentence(outcome.message)}; {sentence(outcome.remedy)}"
            raise IncompleteError(f"{name}: {label} has no score: {why}")
    assert name is not None
    return name


def _wanted(row: Row, asked: Asked) -> bool:
    mine = row[-1]
    if mine is None or (asked.kind is not None and not KINDS[asked.kind](mine)):
        return False
    if asked.flipped is not None and change(row[0], mine) == 0:
        return False
    # The same texts are searched in the page.
    sample = known(row)
    texts = [sample.id, sample.question, sample.target]
    texts += [text for s in row if s is not None for text in (s.prediction, s.error or "")]
    return sentence(asked.search).lower() in "\n".join(sentence(text).lower() for text in texts)


def _summary(
    chosen: Sequence[Row], rows: Sequence[Row], asked: Asked, labels: Sequence[str]
) -> str:
    mine = sum(row[-1] is not None for row in rows)
    parts = []
    if asked.kind is not None:
        parts.append(_SAID[asked.kind])
    if asked.flipped is not None:
        changes = [change(row[0], row[-1]) for row in chosen]
        worse, better = sum(by < 0 for by in changes), sum(by > 0 for by in changes)
        parts.append(f"{worse} worse and {better} better than in {labels[0]}")
    if asked.search:
        parts.append(f"with '{asked.search}'")
    said = f": {', '.join(parts)}" if parts else ""
    return f"{len(chosen)} of {counted(mine, 'sample')}{said}"


def _lines(row: Row, labels: Sequence[str], *, whole: bool) -> Iterator[tuple[str, Text]]:
    """Yield names and texts of one sample."""
    sample = known(row)
    where = f"{sample.id} ({sample.category})" if sample.category else sample.id
    yield "sample", Text(visible(where), style="bold")
    yield "question", _text(sample.question, whole=whole)
    yield "target", _text(sample.target, whole=whole)
    for label, answer in zip(labels, row, strict=True):
        text, style = _verdict(answer)
        line = Text.assemble((text, style))
        if answer is not None and answer.ended != "error":
            line.append(": ").append_text(_text(answer.prediction, whole=whole))
        yield label, line
    if whole:
        for path in sample.media:
            gone = "" if Path(path).is_file() else " (missing)"
            yield "media", Text(visible(path) + gone)
        yield "prompt", Text(visible(sample.prompt_digest))


def _verdict(answer: SampleScore | None) -> tuple[str, str]:
    """Return the verdict on a prediction, and its colour."""
    if answer is None:
        return "not in this run", "dim"
    if answer.ended == "error":
        return f"failed: {visible(sentence(answer.error or 'no reason given'))}", "red"
    if not answer.counts:
        notes = ["not scored"]
    elif answer.value in (0, 1):
        notes = ["right" if answer.value else "wrong"]
    else:
        notes = [f"partly right, {answer.value:.2f}"]
    notes += ["empty"] * is_empty(answer) + ["unparsed"] * is_unparsed(answer)
    notes += ["truncated at the token limit"] * is_truncated(answer)
    style = "dim" if not answer.counts else "green" if answer.value == 1 else "red"
    return ", ".join(notes), style


def _text(text: str, *, whole: bool) -> Text:
    r"""Return `text` without control characters; in full, or truncated on one line."""
    if whole:
        return Text("\n".join(visible(line) for line in text.split("\n")))
    return Text(visible(cut(sentence(text), _LENGTH)))


def _draw(lines: Iterator[tuple[str, Text]], console: Console) -> None:
    known_lines = [(visible(name), text) for name, text in lines]
    width = max(len(name) for name, _ in known_lines)
    if console.is_terminal:
        table = RichTable.grid(padding=(0, 2))
        table.add_column(overflow="fold", style="dim", max_width=_NAME)
        table.add_column(overflow="fold")
        for name, text in known_lines:
            table.add_row(Text(broken(name, _NAME)), text)
        console.print(table)
        return
    for name, text in known_lines:  # in a pipe, for grep, lines are not wrapped
        first, *rest = text.plain.split("\n")
        for head, line in [(name, first), *(("", line) for line in rest)]:
            console.print(Text(f"{head:<{width}}  {line}".rstrip()), soft_wrap=True)


def _say(line: str, console: Console) -> None:
    console.print(Text(visible(line)), soft_wrap=not console.is_terminal)
