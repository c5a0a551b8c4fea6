"""What made a verdict so: a line for each benchmark that had a part in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from evalsuite.comparison.comparison import MEAN
from evalsuite.comparison.gate import Gated, Judged, Word
from evalsuite.comparison.power import widening
from evalsuite.report.format import at_least, counted, listed, sentence, signed, written_p
from evalsuite.stats.decision import Finding
from evalsuite.stats.paired_difference import FEW_CLUSTERS

Kind = Literal["regression", "incomparable", "unfinished", "failed samples", "open"]

_TELLING: dict[Word, tuple[Kind, ...]] = {
    "pass": (),
    "inconclusive": ("open",),
    "incomplete": ("regression", "incomparable", "unfinished", "failed samples", "open"),
    "regression": ("regression", "incomparable", "unfinished"),
}
"""Which reasons a verdict is explained by."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a benchmark, or the mean, keeps a candidate from passing."""

    subject: str
    kind: Kind
    text: str


def reasons(judged: Judged) -> tuple[Reason, ...]:
    """Everything that speaks against a pass, the gravest first."""
    order: list[Kind] = ["regression", "incomparable", "unfinished", "failed samples", "open"]
    if judged.failures_decide:  # then a regression is only one of two ways to see it
        order.remove("failed samples")
        order.insert(0, "failed samples")
    return tuple(sorted(_reasons(judged), key=lambda reason: order.index(reason.kind)))


def _reasons(judged: Judged) -> Iterator[Reason]:
    for name, finding in findings(judged).items():
        if name in judged.unanswered:
            yield Reason(name, "failed samples", f"{name} has no sample that both runs answered")
        elif finding.regressed:
            yield Reason(name, "regression", _regressed(name, finding))
        elif finding.open:
            yield Reason(name, "open", _open(name, finding))
    for item in judged.comparison.incomparable:
        why = sentence("; ".join(item.why))
        yield Reason(item.benchmark, "incomparable", f"{item.benchmark} cannot be compared: {why}")
    for paired in judged.asked_otherwise:
        some, name = paired.asked_otherwise, paired.benchmark
        of = f"{some} of {counted(some + len(paired.samples), 'sample')}"
        text = f"{name} cannot be compared whole: {of} that both have were asked otherwise"
        yield Reason(name, "incomparable", text)
    for found in judged.unfinished:
        name = found.run.checkpoint.name
        yield Reason(MEAN, "unfinished", f"{name} is unfinished, so benchmarks may be missing")
    if judged.failures_decide and judged.decision is not None:
        without = judged.without_failed
        yield Reason(
            MEAN,
            "failed samples",
            f"{counted(judged.failed, 'sample')} without a prediction would decide: with them "
            f"wrong it is {judged.decision.verdict}, without them "
            + ("nothing is left" if without is None else without.verdict),
        )
    if judged.decision is None:
        any_there = bool(judged.comparison.incomparable)
        text = "nothing can be compared" if any_there else "the runs hold no benchmark"
        yield Reason(MEAN, "incomparable", text)


def findings(judged: Judged) -> dict[str, Finding]:
    """Every drop that was judged, by name, the mean last."""
    if judged.decision is None:
        return {}
    return {**judged.decision.benchmarks, MEAN: judged.decision.mean}


def because(gated: Gated) -> Iterator[str]:
    """Say what made the verdict so, a line each."""
    for judged in gated.judged:
        if judged.verdict != gated.verdict:
            continue
        where = f"against the {judged.role}: " if len(gated.judged) > 1 else ""
        telling = [r for r in reasons(judged) if r.kind in _TELLING[judged.verdict]]
        for reason in telling:
            yield where + reason.text
        if judged.verdict == "pass" and judged.decision is not None:
            mean = judged.decision.mean
            yield (
                f"{where}the mean lost less than {points(mean.allowed)} and no benchmark as much "
                f"as its cliff, with {100 * (1 - judged.terms.alpha):g} % confidence"
            )


def advice(gated: Gated) -> Iterator[str]:
    """Say what to do next, a line each."""
    judged = next(each for each in gated.judged if each.verdict == gated.verdict)
    before, after = (
        shlex.quote(str(side[0].path))
        for side in (judged.comparison.baseline, judged.comparison.candidate)
    )
    kinds = {reason.kind for reason in reasons(judged)}
    if gated.verdict == "pass":
        yield f"next: evalsuite promote {after}"
    elif gated.verdict == "regression":
        command = f"evalsuite compare {before} {after} --by-category --samples 5"
        yield f"next: see what changed: {command}"
    elif gated.verdict == "incomplete":
        if "incomparable" in kinds:
            yield (
                "next: run both with the same prompts, data, metric and judge "
                f"(evalsuite gate --baseline {before} --ckpt P does), or name with -b what to gate"
            )
        for found in judged.unfinished:
            yield f"next: finish it: {found.run.command} (or name with -b what to gate)"
        if "failed samples" in kinds:
            yield "next: run again what has failed samples; they alone are asked once more"
    else:
        yield f"next: {_more(judged)}"


def _more(judged: Judged) -> str:
    """What would settle an inconclusive comparison."""
    runs = (*judged.comparison.baseline, *judged.comparison.candidate)
    limited = [found.run.checkpoint.name for found in runs if found.run.limit is not None]
    if limited:
        return f"run {listed(list(dict.fromkeys(limited)))} without --limit, or with a larger one"
    outlook = judged.outlook
    if outlook is None or not outlook.identical_pass:
        return (
            "more samples are needed: so few that not even equal answers would pass; "
            "'evalsuite power' says how many"
        )
    if outlook.pass_if_equal >= judged.terms.power:
        return (
            "the candidate may be a little worse: an equal one passes "
            f"{times(outlook.pass_if_equal)}; more samples would tell"
        )
    wider = widening(outlook, judged.terms)
    return (
        f"an equal candidate passes only {times(outlook.pass_if_equal)} if answers vary so; "
        f"{times(judged.terms.power)} takes {at_least(wider**2)} times the samples, or for other "
        f"candidates margin and cliffs {at_least(wider)} times as wide ('evalsuite power')"
    )


def _regressed(name: str, finding: Finding) -> str:
    what = "margin" if name == MEAN else "cliff"
    subject = "the mean" if name == MEAN else name
    return (
        f"{subject} dropped {points(finding.drop.estimate)} (p {written_p(finding.p)}), more than "
        f"its {what} of {100 * finding.allowed:g}"
    )


def _open(name: str, finding: Finding) -> str:
    subject = "the mean" if name == MEAN else name
    if finding.drop.too_few_clusters:
        return (
            f"{subject} has too few images or videos: as good as "
            f"{finding.drop.effective_clusters:.0f} of one size, and {FEW_CLUSTERS} are needed"
        )
    return (
        f"{subject} may have dropped up to {points(finding.upper)} (estimate "
        f"{signed(100 * finding.drop.estimate)}), and must be shown below "
        f"{100 * finding.allowed:g}"
    )


def points(share: float) -> str:
    """``1 point``, ``2.5 points``."""
    shown = f"{100 * share:.2f}".rstrip("0").rstrip(".")
    return f"{shown} point" + ("" if shown == "1" else "s")


def times(probability: float) -> str:
    """``80 times in 100``; never a promise of 100."""
    count = round(100 * probability)
    if count == 0:
        return "hardly ever" if probability else "never"
    return "nearly always" if count == 100 else f"{count} times in 100"
