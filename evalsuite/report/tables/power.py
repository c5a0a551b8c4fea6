"""What `evalsuite power` shows: what a policy can find, before any GPU is spent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalsuite.comparison.comparison import MEAN
from evalsuite.comparison.policy import Terms
from evalsuite.comparison.power import (
    Outlook,
    Prospect,
    alike_needed,
    look_ahead,
    samples_needed,
    widening,
)
from evalsuite.errors import UsageError, nearest
from evalsuite.report.format import ABSENT, at_least, counted
from evalsuite.report.tables.gate_reasons import times
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line, entries
from evalsuite.runs.records import Run
from evalsuite.stats.paired_difference import FEW_CLUSTERS
from evalsuite.stats.power import Expected, Level


@dataclass(frozen=True, slots=True)
class Size:
    """How large a benchmark is."""

    questions: int
    clusters: int
    """Images or videos."""

    def expected(self, discordance: float, icc: float) -> Expected:
        """What to expect if so many answers differ; clusters are taken to be of one size."""
        each = self.questions / self.clusters
        return Expected(
            n=self.questions,
            clusters=self.clusters,
            discordance=discordance,
            design_effect=1 + (each - 1) * icc,
        )


def sizes_of(run: Run, only: Sequence[str] = ()) -> dict[str, Size]:
    """The sizes of a run's benchmarks, or of those in `only`; raises `UsageError` without any."""
    known = {score.benchmark: Size(score.n, score.clusters) for score in run.scores}
    if not known and not only:
        raise UsageError("the run has no score yet; finish it, or give --sizes instead")
    return only_of(known, only, "the run has no score")


def only_of(known: Mapping[str, Size], only: Sequence[str], lacking: str) -> dict[str, Size]:
    """Those of `known` that a policy is about, all if it names none; raises `UsageError`."""
    for name in only:
        if name not in known:
            raise UsageError(f"{lacking} of '{name}'{nearest(name, known)}")
    return {name: size for name, size in known.items() if not only or name in only}


def read_sizes(text: str, known: Sequence[str]) -> dict[str, Size]:
    """``MMStar=1500,Video-MME=2700:900``: questions, and images if fewer. Raises `UsageError`."""
    sizes = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"([^=]+)=([0-9]{1,9})(?::([0-9]{1,9}))?", part)
        questions = int(match[2]) if match else 0
        clusters = int(match[3] or questions) if match else 0
        if match is None or not 1 <= clusters <= questions:
            raise UsageError(
                f"--sizes {part}: expected BENCH=QUESTIONS or BENCH=QUESTIONS:IMAGES, as in "
                "Video-MME=2700:900"
            )
        if match[1] not in known:
            raise UsageError(f"--sizes {part}: unknown benchmark{nearest(match[1], known)}; "
                             "name its file with --benchmarks-file")  # fmt: skip
        if match[1] in sizes:
            raise UsageError(f"--sizes {part}: {match[1]} has a size already; give it once")
        sizes[match[1]] = Size(questions, clusters)
    if not sizes:
        raise UsageError("--sizes: names no benchmark; expected BENCH=QUESTIONS, …")
    return sizes


def read_shares(text: str, flag: str) -> list[float]:
    """``0.05,0.15`` as shares between 0 and 1; raises `UsageError` that names `flag`."""
    shares = []
    for part in text.split(","):
        try:
            share = float(part)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:  # also refuses NaN
            raise UsageError(f"{flag} {part}: expected a share between 0 and 1, like 0.15")
        shares.append(share)
    return shares


def show(
    sizes: Mapping[str, Size], terms: Terms, discordances: Sequence[float], icc: float
) -> None:
    """Print a table for each share of answers that differ, and what speaks against the policy."""
    from rich.console import Console

    from evalsuite.report.writers.terminal import print_grid

    console = Console()
    for discordance in discordances:
        expected = {name: size.expected(discordance, icc) for name, size in sizes.items()}
        outlook = look_ahead(expected, terms)
        print_grid(table(expected, outlook, terms, discordance), console)
        for line in verdicts(expected, outlook, terms):
            print(line)
        print()


def table(
    expected: Mapping[str, Expected], outlook: Outlook, terms: Terms, discordance: float
) -> Grid:
    """Lay out what can be found if that share of answers differs."""
    level = terms.level(len(expected))
    return Grid(
        title=f"if {100 * discordance:g} % of the answers differ",
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(text) for text in ("n", "images", "±", "allowed", "detectable",
                                         "equal passes from", "n to pass")),
        ),
        lines=tuple(
            Line((*entries((name, str(each.n), str(each.clusters))),
                  *_entries(outlook.benchmarks[name]),
                  Entry(_needed(each, outlook.benchmarks[name], level))))
            for name, each in expected.items()
        ),
        summary=(
            *entries((MEAN, str(sum(e.n for e in expected.values())),
                      str(sum(e.clusters for e in expected.values())))),
            *_entries(outlook.mean),
            Entry(ABSENT),
        ),
        remarks=tuple(_remarks(terms, len(expected))),
    )  # fmt: skip


def _entries(prospect: Prospect) -> tuple[Entry, ...]:
    found = prospect.detectable
    return entries((
        f"{prospect.error:.2f}",
        f"{prospect.allowed:g}",
        ABSENT if found is None else f"{found:.2f}",
        f"{prospect.passing:.2f}",
    ))  # fmt: skip


def _needed(expected: Expected, prospect: Prospect, level: Level) -> str:
    """How many samples the benchmark needs for an equal checkpoint to stay below its cliff."""
    return str(samples_needed(expected, prospect.allowed / 100, level))


def _remarks(terms: Terms, count: int) -> Iterator[str]:
    yield "±: standard error of a difference between equal checkpoints, in points"
    yield (
        f"detectable: the smallest true drop found {times(terms.power)} (Holm over "
        f"{counted(count, 'benchmark')} and the mean, α {terms.alpha:g})"
    )
    yield (
        "equal passes from: the smallest margin or cliff that an equal checkpoint passes "
        f"{times(terms.power)}; n to pass: samples with which it does so at what is allowed"
    )


def verdicts(expected: Mapping[str, Expected], outlook: Outlook, terms: Terms) -> Iterator[str]:
    """Say how often an equal checkpoint passes, and warn if that is too rarely."""
    if not outlook.identical_pass:
        yield from _hopeless(expected, outlook, terms)
        return
    yield f"an equal checkpoint passes {times(outlook.pass_if_equal)}"
    if outlook.pass_if_equal < terms.power:
        wider = widening(outlook, terms)
        yield (
            f"warning: {times(terms.power)} takes margin and cliffs {at_least(wider)} times as "
            f"wide, or {at_least(wider**2)} times the samples"
        )


def _hopeless(expected: Mapping[str, Expected], outlook: Outlook, terms: Terms) -> Iterator[str]:
    """Say what keeps even equal answers from passing."""
    chance = times(outlook.pass_if_equal)
    yield f"warning: answers that are all equal do not pass; an equal checkpoint passes {chance}"
    needed = {name: alike_needed(terms.cliffs[name] / 100, terms.alpha) for name in expected}
    short = [name for name, each in expected.items() if each.clusters < needed[name]]
    for name in short:
        what = "any claim" if needed[name] == FEW_CLUSTERS else f"a cliff of {terms.cliffs[name]:g}"
        images = counted(expected[name].clusters, "image")
        yield f"  {name} has {images}; {what} needs {needed[name]}"
    if not short:
        yield f"  the mean has too few images for a margin of {terms.margin:g}"
