"""The reasons of a verdict, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from evalsuite.comparison.comparison import MEAN
from evalsuite.comparison.gate import Assessment, Finding, GateResult, Verdict
from evalsuite.comparison.power import required_scale
from evalsuite.report.format import (
    at_least,
    listed,
    percent,
    sentence,
    signed,
    size,
    written_p,
)
from evalsuite.stats.paired_difference import FEW_CLUSTERS
from evalsuite.system.text import counted

Kind = Literal[
    "regression", "incomparable", "unfinished", "partial", "failed samples", "open"
]  # fmt: skip

_SHOWN: dict[Verdict, tuple[Kind, ...]] = {
    "pass": (),
    "inconclusive": ("open",),
    "incomplete": ("regression", "incomparable", "unfinished", "partial", "failed samples", "open"),
    "regression": ("regression", "incomparable", "unfinished", "partial"),
}
"""The kinds of reasons that explain a verdict."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a benchmark, or the mean, prevents a pass."""

    subject: str
    kind: Kind
    text: str


def reasons(assessment: Assessment) -> tuple[Reason, ...]:
    """Return everything that prevents a pass, the most serious first."""
    order: list[Kind] = list(get_args(Kind))
    if assessment.failures_decide:  # then a regression is only one of two possible verdicts
        order.remove("failed samples")
        order.insert(0, "failed samples")
    return tuple(sorted(_reasons(assessment), key=lambda reason: order.index(reason.kind)))


def _reasons(assessment: Assessment) -> Iterator[Reason]:
    for name, finding in _findings(assessment).items():
        if name in assessment.unanswered:
            yield Reason(name, "failed samples", f"{name} has no sample that both runs answered")
        elif finding.status == "regression":
            yield Reason(name, "regression", _regression(name, finding))
        elif finding.status != "within":
            yield Reason(name, "open", _open(name, finding))
    yield from _incomparable(assessment)
    for found in assessment.unfinished:
        name = found.run.checkpoint.name
        yield Reason(MEAN, "unfinished", f"{name} is unfinished: benchmarks may be missing")
    for paired in () if assessment.partial else assessment.unpaired:
        name, compared = paired.benchmark, len(paired.samples)
        of = compared + paired.left_out + paired.different_prompts
        text = f"{name} was compared on {compared} of {of} samples: only one run has the others"
        yield Reason(name, "partial", text)
    if assessment.failures_decide and assessment.findings is not None:
        without = assessment.without_failed
        worst = assessment.worst_case
        text = (
            f"{counted(assessment.failed, 'failed sample')} would decide: the verdict is "
            f"{assessment.findings.verdict} if they count as wrong, "
            + ("no sample remains" if without is None else f"{without.verdict}")
            + " if they are left out"
            + (f", {worst.verdict} if the baseline's count as right" if worst else "")
        )
        yield Reason(MEAN, "failed samples", text)


def _incomparable(assessment: Assessment) -> Iterator[Reason]:
    for item in assessment.comparison.incomparable:
        why = sentence("; ".join(item.why))
        yield Reason(item.benchmark, "incomparable", f"{item.benchmark} cannot be compared: {why}")
    for paired in assessment.differently_asked:
        some, name = paired.different_prompts, paired.benchmark
        of = f"{some} of {counted(some + len(paired.samples), 'shared sample')}"
        text = f"{name} cannot be compared completely: the prompts of {of} differ"
        yield Reason(name, "incomparable", text)
    if assessment.findings is None:
        any_there = bool(assessment.comparison.incomparable)
        text = "no benchmark can be compared" if any_there else "the runs have no scores"
        yield Reason(MEAN, "incomparable", text)


def _findings(assessment: Assessment) -> dict[str, Finding]:
    """Return all findings by name, the mean last."""
    if assessment.findings is None:
        return {}
    return {**assessment.findings.benchmarks, MEAN: assessment.findings.mean}


def _regression(name: str, finding: Finding) -> str:
    return (
        f"{_subject(name)} dropped by {size(-finding.difference.points)} "
        f"(p {written_p(finding.p)}); {_limit(name)} is {finding.margin:g}"
    )


def _open(name: str, finding: Finding) -> str:
    if finding.status == "too few clusters":
        clusters = finding.difference.drop.effective_clusters
        return (
            f"{_subject(name)} has {clusters:.0f} effective clusters (images or videos); at least "
            f"{FEW_CLUSTERS} are required"
        )
    return (
        f"{_subject(name)} may have dropped by up to {size(-finding.lower)} (difference "
        f"{signed(finding.difference.points)}); {_limit(name)} is {finding.margin:g}"
    )


def _subject(name: str) -> str:
    return "the mean" if name == MEAN else name


def _limit(name: str) -> str:
    return "the margin" if name == MEAN else "its max drop"


def because(result: GateResult, found: Sequence[tuple[Reason, ...]]) -> Iterator[str]:
    """Return the reasons of the verdict, one per line; `found` has those of each assessment."""
    for assessment, own in zip(result.assessments, found, strict=True):
        if assessment.verdict != result.verdict:
            continue
        where = f"against the {assessment.role}: " if len(result.assessments) > 1 else ""
        for reason in own:
            if reason.kind in _SHOWN[assessment.verdict]:
                yield where + reason.text
        if assessment.verdict == "pass" and assessment.findings is not None:
            mean = assessment.findings.mean
            yield (
                f"{where}the mean changed by {signed(mean.difference.points)} points (lower bound "
                f"{signed(mean.lower)}), within the margin of {mean.margin:g}; each benchmark is "
                "within its max drop"
            )


def next_steps(result: GateResult, found: Sequence[tuple[Reason, ...]]) -> Iterator[str]:
    """Return what to do next, one step per line; `found` has the reasons of each assessment."""
    assessment, own = next(
        (assessment, own)
        for assessment, own in zip(result.assessments, found, strict=True)
        if assessment.verdict == result.verdict
    )
    baseline, candidate = (
        shlex.quote(str(side[0].path))
        for side in (assessment.comparison.baseline, assessment.comparison.candidate)
    )
    kinds = {reason.kind for reason in own}
    if result.verdict == "pass":
        if any(each.unpaired for each in result.assessments):
            yield "evaluate both runs on the same samples before you promote the candidate"
        else:
            yield f"evalsuite promote {candidate}"
    elif result.verdict == "regression":
        command = f"evalsuite compare {baseline} {candidate} --by-category --samples 5"
        yield f"inspect the changes: {command}"
    elif result.verdict == "incomplete":
        if "incomparable" in kinds:
            yield (
                "evaluate both with the same prompts, data, metric and judge "
                f"(evalsuite gate --baseline {baseline} --ckpt P does this), or select benchmarks "
                "with -b"
            )
        for unfinished in assessment.unfinished:
            yield f"finish the run: {unfinished.run.command} (or select benchmarks with -b)"
        if "failed samples" in kinds:
            yield (
                f"rerun the runs with failed samples; only these {assessment.failed} are predicted "
                "again"
            )
        if "partial" in kinds:
            yield "evaluate both runs on the same samples, or accept the common part with --partial"
    else:
        yield _more_samples(assessment)


def _more_samples(assessment: Assessment) -> str:
    """Return what would resolve an inconclusive verdict."""
    runs = (*assessment.comparison.baseline, *assessment.comparison.candidate)
    limited = [found.run.checkpoint.name for found in runs if found.run.limit is not None]
    if limited:
        return f"rerun {listed(list(dict.fromkeys(limited)))} without --limit or with a larger one"
    analysis, target = assessment.power, assessment.terms.power
    if analysis is None or not analysis.identical_pass:
        return (
            "use more samples: even identical predictions would be inconclusive ('evalsuite power' "
            "shows how many are needed)"
        )
    chance = percent(analysis.pass_if_equal)
    if analysis.pass_if_equal >= target:
        return (
            f"use more samples: the candidate may be slightly worse; an equal one passes with "
            f"probability {chance}"
        )
    scale = required_scale(analysis, assessment.terms)
    return (
        f"use more samples: an equal candidate passes only with probability {chance}; "
        f"{percent(target)} needs {at_least(scale**2)} times the samples, or, for other "
        f"candidates, margins {at_least(scale)} times as wide ('evalsuite power')"
    )
