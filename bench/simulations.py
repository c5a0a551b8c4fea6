"""Simulations: whether intervals and verdicts keep their stated error rates.

    python -m bench.simulations [--write] [--replicates 2000] [--suites 1000] [TABLE ...]

``--write`` updates the tables in docs/evidence/simulations.md. Everything uses the functions of
`evalsuite compare` and the gate, on simulated answers with a known truth; the seed is fixed. Takes
some minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from evalsuite.benchmarks import benchmark
from evalsuite.stats import power
from evalsuite.stats.cluster_robust import Array
from evalsuite.stats.decision import ALPHA, MARGIN, Decision, decide
from evalsuite.stats.paired_difference import Drop, drop_of_clusters
from evalsuite.stats.power import Level

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "simulations.md"
SEED = 20_260
CLIFF = benchmark.CLIFF / 100
"""The default margin of a benchmark, as a share."""
HIGHEST = 0.065
"""Highest rate of false passes and false regressions: alpha and two Monte Carlo errors of 1,000."""
REPLICATES, SUITES = 2_000, 1_000
_MAX_CLUSTERS = 2_000_000
"""Clusters in memory at the same time."""


# Intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A simulated benchmark and two checkpoints."""

    clusters: int
    questions: tuple[int, int]
    """Minimum and maximum per cluster, uniformly distributed."""
    baseline: float
    """Accuracy."""
    candidate: float
    icc: float
    """Intraclass correlation of a checkpoint's answers to one image."""
    shared: float
    """Share of questions that both checkpoints answer alike."""

    @property
    def size(self) -> str:
        """Questions per cluster, as text."""
        low, high = self.questions
        return str(low) if low == high else f"{low}-{high}"

    @property
    def truth(self) -> float:
        """True drop."""
        return (1 - self.shared) * (self.baseline - self.candidate)


def grid() -> Iterator[Setting]:
    """All settings with stated coverage: dense ones, then sparse, small and unbalanced ones."""
    sizes = ((1, 1), (5, 5), (20, 20), (1, 20))
    accuracies = ((0.3, 0.3), (0.5, 0.5), (0.7, 0.6))
    for shared, counts in ((0.0, (100, 500, 2000)), (0.7, (100, 500))):
        for clusters, questions, icc, (baseline, candidate) in itertools.product(
            counts, sizes, (0.0, 0.2, 0.5), accuracies
        ):
            if questions != (1, 1) or icc == 0:
                yield Setting(clusters=clusters, questions=questions, baseline=baseline,
                           candidate=candidate, icc=icc, shared=shared)  # fmt: skip


def outside_the_promise() -> Iterator[Setting]:
    """Settings without stated coverage: few clusters, rare differences, high accuracy."""
    usual = Setting(
        clusters=100, questions=(1, 1), baseline=0.5, candidate=0.5, icc=0.0, shared=0.0
    )
    for clusters, questions in itertools.product((20, 30, 50), ((1, 1), (20, 20), (1, 20))):
        icc = 0.0 if questions == (1, 1) else 0.5
        yield replace(usual, clusters=clusters, questions=questions, icc=icc)
    for clusters, questions in itertools.product((100, 500), ((1, 1), (20, 20))):
        icc = 0.0 if questions == (1, 1) else 0.5
        yield replace(usual, clusters=clusters, questions=questions, icc=icc, shared=0.95)
        yield replace(usual, clusters=clusters, questions=questions, icc=icc, baseline=0.97,
                      candidate=0.97)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """Replicates of a benchmark: answers counted by cluster."""

    worse: Array
    better: Array
    sizes: Array


def coverage_of(setting: Setting, replicates: int, rng: np.random.Generator) -> float:
    """Return how often the 95 % interval contains the true drop."""
    most = max(1, _MAX_CLUSTERS // setting.clusters)
    hits, left = 0, replicates
    while left:
        now = min(left, most)
        hits += _covering_intervals(_answers(setting, now, rng), setting.truth)
        left -= now
    return hits / replicates


def _answers(setting: Setting, replicates: int, rng: np.random.Generator) -> Counts:
    """Draw answers; a checkpoint's accuracy per image is beta-distributed."""
    low, high = setting.questions
    shape = (replicates, setting.clusters)
    sizes = rng.integers(low, high + 1, shape)
    own = rng.binomial(sizes, 1 - setting.shared) if setting.shared else sizes
    before, after = (
        _skill(rate, setting.icc, shape, rng) for rate in (setting.baseline, setting.candidate)
    )
    worse_rate, better_rate = before * (1 - after), (1 - before) * after
    worse = rng.binomial(own, worse_rate)
    rest = np.minimum(better_rate / np.maximum(1 - worse_rate, 1e-300), 1.0)
    better = rng.binomial(own - worse, rest)
    return Counts(worse.astype(float), better.astype(float), sizes.astype(float))


def _skill(rate: float, icc: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    if not icc:
        return np.full(shape, rate)
    weight = (1 - icc) / icc
    return rng.beta(rate * weight, (1 - rate) * weight, shape)


def _covering_intervals(counts: Counts, truth: float) -> int:
    """Count intervals that contain `truth`."""
    each = (_drop(counts, row) for row in range(len(counts.worse)))
    return sum(min(drop.p_above(truth), drop.p_below(truth)) >= 0.025 for drop in each)


def _drop(counts: Counts, row: int) -> Drop:
    """Return the drop of one replicate."""
    sizes = counts.sizes[row] if counts.sizes.ndim > 1 else counts.sizes
    return drop_of_clusters(counts.worse[row] - counts.better[row], sizes)


# Verdicts


@dataclass(frozen=True, slots=True)
class Size:
    """Questions and clusters (images or videos) of a benchmark."""

    questions: int
    clusters: int


PAPER: Mapping[str, Size] = {
    "OCRBench": Size(1000, 1000),
    "AI2D": Size(3088, 1000),
    "ChartQA": Size(2500, 1500),
    "TextVQA": Size(5000, 3166),
    "DocVQA": Size(5349, 1286),
    "ScienceQA": Size(2017, 2017),
    "MMMU": Size(900, 900),
    "MathVista": Size(1000, 1000),
    "MMStar": Size(1500, 1500),
    "Video-MME": Size(2700, 900),
    "MLVU": Size(2174, 1100),
    "MVBench": Size(4000, 3600),
    "WorldSense": Size(3172, 1662),
    "TempCompass": Size(5536, 410),
}
"""The paper's benchmarks, from memory: numbers of questions, approximate numbers of images and
videos. The data were not available when this was written."""
ICC = 0.1
"""Intraclass correlation of differences about one image in the simulated suites."""
DISCORDANCE = (0.05, 0.15, 0.25)


def design_effect(size: Size) -> float:
    """Return 1 + (m - 1) icc for m questions per cluster."""
    return 1 + (size.questions / size.clusters - 1) * ICC


def _sizes(size: Size) -> Array:
    """Return questions by cluster, as equal as possible."""
    each, more = divmod(size.questions, size.clusters)
    return each + (np.arange(size.clusters) < more).astype(float)


def drops(
    size: Size, discordance: float, drop: float, count: int, rng: np.random.Generator
) -> list[Drop]:
    """Return `count` estimates of a true `drop` if `discordance` of the answers differ."""
    discordance = max(discordance, abs(drop))
    sizes = _sizes(size)
    worse_rate, better_rate = (discordance + drop) / 2, (discordance - drop) / 2
    shape = (count, size.clusters)
    if size.questions == size.clusters:
        chance = rng.random(shape)
        worse = (chance < worse_rate).astype(float)
        better = (chance >= 1 - better_rate).astype(float)
    else:
        # Dirichlet by cluster, so that differences correlate by ICC; drawn as two betas.
        weight = (1 - ICC) / ICC
        differ = rng.beta(discordance * weight, (1 - discordance) * weight, shape)
        leaning = _worse_share(worse_rate * weight, better_rate * weight, shape, rng)
        flips = rng.binomial(sizes.astype(int), differ)
        lost = rng.binomial(flips, leaning)
        worse, better = lost.astype(float), (flips - lost).astype(float)
    counts = Counts(worse, better, sizes)
    return [_drop(counts, row) for row in range(count)]


def _worse_share(
    worse: float, better: float, shape: tuple[int, int], rng: np.random.Generator
) -> Array:
    if min(worse, better) <= 0:
        return np.full(shape, float(worse > better))
    return rng.beta(worse, better, shape)


@dataclass(frozen=True, slots=True)
class Scenario:
    """True drops of a suite."""

    name: str
    discordance: float
    drops: Mapping[str, float]


def decisions(scenario: Scenario, suites: int, rng: np.random.Generator) -> list[Decision]:
    """Apply the default policy to `suites` simulated suites of the paper's benchmarks."""
    made = {
        name: drops(size, scenario.discordance, scenario.drops[name], suites, rng)
        for name, size in PAPER.items()
    }
    cliffs = dict.fromkeys(PAPER, CLIFF)
    return [
        decide({name: each[index] for name, each in made.items()}, cliffs)
        for index in range(suites)
    ]


def equal(discordance: float) -> Scenario:
    """Two checkpoints with equal accuracy on every benchmark."""
    return Scenario("equal", discordance, dict.fromkeys(PAPER, 0.0))


def at_cliff(discordance: float, name: str) -> Scenario:
    """One benchmark exactly at its limit, all others two points better."""
    return Scenario(
        f"{name} at its cliff", discordance, {**dict.fromkeys(PAPER, -0.02), name: CLIFF}
    )


def at_margin(discordance: float) -> Scenario:
    """The mean exactly at its margin, with the same drop on every benchmark."""
    return Scenario("the mean at its margin", discordance, dict.fromkeys(PAPER, MARGIN))


LEVEL = Level(tests=len(PAPER) + 1)


def planned(discordance: float, name: str) -> float:
    """Return the planned standard error of a benchmark."""
    size = PAPER[name]
    return power.planned_error(discordance, size.questions, design_effect(size))


def planned_mean(discordance: float) -> float:
    """Return the planned standard error of the mean over the benchmarks."""
    return power.mean_error([planned(discordance, name) for name in PAPER])


def planned_drop(discordance: float, name: str) -> float:
    """Return the stated minimum detectable drop."""
    size = PAPER[name]
    return power.planned_detectable_drop(
        discordance, size.questions, CLIFF, LEVEL, design_effect(size)
    )


def detectable(discordance: float, name: str) -> Scenario:
    """One benchmark with its stated minimum detectable drop, the others equal."""
    drop = planned_drop(discordance, name)
    return Scenario(f"{name} down", discordance, {**dict.fromkeys(PAPER, 0.0), name: drop})


def detectable_mean(discordance: float) -> Scenario:
    """All benchmarks with the stated minimum detectable drop of the mean."""
    drop = power.detectable_drop(planned_mean(discordance), MARGIN, LEVEL)
    return Scenario("all down", discordance, dict.fromkeys(PAPER, drop))


# Whole images lost


def lost_images(
    clusters: int, questions: tuple[int, int], flips: float, count: int, rng: np.random.Generator
) -> float:
    """Return how often a drop at the limit passes if whole images are lost at random.

    Of the answers about other images, a share of `flips` differs randomly in both directions.
    """
    low, high = questions
    sizes = rng.integers(low, high + 1, (count, clusters))
    lost = rng.random(sizes.shape) < CLIFF
    worse = rng.binomial(sizes, flips / 2)
    better = rng.binomial(sizes - worse, flips / 2 / (1 - flips / 2))
    made = Counts(np.where(lost, sizes, worse).astype(float),
                  np.where(lost, 0, better).astype(float), sizes.astype(float))  # fmt: skip
    each = (_drop(made, row) for row in range(count))
    return sum(drop.p_below(CLIFF) < ALPHA and not drop.too_few_clusters for drop in each) / count


@dataclass(frozen=True, slots=True)
class Skewed:
    """Benchmarks of images with 20 questions each: whole images change, and single answers."""

    benchmarks: int
    images: int
    whole: float
    """Probability that all answers about an image change."""
    gained: bool
    """Whether these images are gained and single answers lost elsewhere, with a true drop of 0.

    Otherwise single answers are lost, each with this probability, and no image changes as a whole.
    """

    def drop(self, rng: np.random.Generator) -> Drop:
        """Draw one benchmark."""
        sizes = np.full(self.images, 20.0)
        if not self.gained:
            return drop_of_clusters(rng.binomial(20, self.whole, self.images).astype(float), sizes)
        single = rng.binomial(20, self.whole / (1 - self.whole), self.images)
        gained = rng.random(self.images) < self.whole
        return drop_of_clusters(np.where(gained, -sizes, single), sizes)


def skewed_table(count: int) -> tuple[str, bool]:
    """A row for each setting with the rate of wrong verdicts, and whether all are low enough."""
    rng, rows, holds = np.random.default_rng(SEED), [], True
    for whole, benchmarks in itertools.product((0.01, 0.02, 0.05, 0.1), (1, 5)):
        setting = Skewed(benchmarks, 60, whole, gained=True)
        rate = _verdicts(setting, MARGIN, count, rng, "regression")
        rows.append([benchmarks, 60, f"{whole:.0%} of images gained, answers lost, drop 0",
                     "regression", f"{rate:.1%}"])  # fmt: skip
        holds &= rate <= HIGHEST
    for images, benchmarks in itertools.product((60, 100, 300), (1, 5)):
        setting = Skewed(benchmarks, images, CLIFF, gained=False)
        rate = _verdicts(setting, CLIFF, count, rng, "pass")
        rows.append([benchmarks, images, "5% of answers lost, margin and max drop 5", "pass",
                     f"{rate:.1%}"])  # fmt: skip
        holds &= rate <= HIGHEST
    headers = ["benchmarks", "images", "what changes", "wrong verdict", "rate"]
    table = tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True,
                     colalign=("right", "right", "left", "left", "right"))  # fmt: skip
    return table, holds


def _verdicts(
    setting: Skewed, margin: float, count: int, rng: np.random.Generator, verdict: str
) -> float:
    names = [str(index) for index in range(setting.benchmarks)]
    cliffs = dict.fromkeys(names, CLIFF)
    made = (decide({name: setting.drop(rng) for name in names}, cliffs, margin)
            for _ in range(count))  # fmt: skip
    return sum(decision.verdict == verdict for decision in made) / count


# What came out


@dataclass(frozen=True, slots=True)
class Row:
    """A simulated share and its stated range."""

    what: str
    discordance: float
    share: float
    least: float
    most: float
    wanted: str

    @property
    def holds(self) -> bool:
        """Whether the share is within the range."""
        return self.least <= self.share <= self.most


def verdict_rows(suites: int) -> list[Row]:
    """Return all stated rates of verdicts with the simulated shares."""
    rows = []
    for number, discordance in enumerate(DISCORDANCE):
        rng = np.random.default_rng((SEED, number))

        def share(scenario: Scenario, verdict: str, rng: np.random.Generator = rng) -> float:
            found = decisions(scenario, suites, rng)
            return sum(decision.verdict == verdict for decision in found) / suites

        same = decisions(equal(discordance), suites, rng)
        real = sum(min(f.p for f in (d.mean, *d.benchmarks.values())) < ALPHA for d in same)
        passed = sum(decision.verdict == "pass" for decision in same) / suites
        regressed = sum(decision.verdict == "regression" for decision in same) / suites
        limit = f"at most {HIGHEST:.1%}"
        rows += [
            Row("equal: regression", discordance, regressed, 0, HIGHEST, limit),
            Row("equal: some Holm-adjusted p below alpha", discordance, real / suites, 0, HIGHEST,
                limit),
            Row("equal: pass", discordance, passed, 0.8 if discordance == 0.15 else 0, 1,
                "at least 80 %" if discordance == 0.15 else "stated"),
        ]  # fmt: skip
        for scenario in (at_margin(discordance), at_cliff(discordance, "MMMU"),
                         at_cliff(discordance, "TempCompass")):  # fmt: skip
            rows.append(
                Row(
                    f"{scenario.name}: pass",
                    discordance,
                    share(scenario, "pass"),
                    0,
                    HIGHEST,
                    limit,
                )
            )
        for scenario in (detectable_mean(discordance), detectable(discordance, "MMMU"),
                         detectable(discordance, "TempCompass")):  # fmt: skip
            what = f"{scenario.name} {100 * max(scenario.drops.values()):.2f} points: regression"
            found = share(scenario, "regression")
            rows.append(Row(what, discordance, found, 0.775, 1, "at least 77.5 %"))
    return rows


def coverage(settings: Sequence[Setting], replicates: int) -> list[tuple[Setting, float]]:
    """Return the coverage of each setting."""
    return [
        (setting, coverage_of(setting, replicates, np.random.default_rng((SEED, index))))
        for index, setting in enumerate(settings)
    ]


LEAST = 0.935


def coverage_table(found: Sequence[tuple[Setting, float]]) -> str:
    """A row for each kind of setting, a column for each accuracy."""
    rates = list(dict.fromkeys((setting.baseline, setting.candidate) for setting, _ in found))
    rows: dict[tuple[object, ...], dict[tuple[float, float], float]] = {}
    for setting, share in found:
        key = (setting.shared, setting.clusters, setting.size, setting.icc)
        rows.setdefault(key, {})[setting.baseline, setting.candidate] = share
    return tabulate(
        [
            [f"{shared:.0%}", clusters, size, icc,
             *(_share(by_rate[rate]) if rate in by_rate else "" for rate in rates)]
            for (shared, clusters, size, icc), by_rate in rows.items()
        ],
        headers=["answered alike", "clusters", "questions each", "icc",
                 *(f"{before:g} / {after:g}" for before, after in rates)],
        tablefmt="pipe", disable_numparse=True, colalign=("right",) * (4 + len(rates)),
    )  # fmt: skip


def _share(share: float) -> str:
    text = f"{100 * share:.1f}"
    return text if share >= LEAST else f"**{text}**"


def lost_table(count: int) -> str:
    """A row for each benchmark size, a column for each share of differing answers."""
    shares = (0.0, *DISCORDANCE)
    rng = np.random.default_rng(SEED)
    return tabulate(
        [
            [clusters, str(low) if low == high else f"{low}-{high}",
             *(f"{lost_images(clusters, (low, high), flips, count, rng):.1%}" for flips in shares)]
            for (low, high), clusters in itertools.product(
                ((1, 1), (5, 5), (20, 20), (1, 20)), (60, 100, 300, 1000))
        ],
        headers=["clusters", "questions each", *(f"{flips:.0%} flip" for flips in shares)],
        tablefmt="pipe", disable_numparse=True, colalign=("right",) * (2 + len(shares)),
    )  # fmt: skip


def verdict_table(rows: Sequence[Row]) -> str:
    """A row for each stated rate."""
    return tabulate(
        [
            [row.what, f"{row.discordance:.0%}", f"{row.share:.1%}", row.wanted,
             "yes" if row.holds else "**no**"]
            for row in rows
        ],
        headers=["what", "answers that differ", "share of suites", "promised", "holds"],
        tablefmt="pipe", disable_numparse=True,
        colalign=("left", "right", "right", "left", "left"),
    )  # fmt: skip


def policy_table() -> str:
    """Minimum detectable drops and pass probabilities of the default policy, by discordance."""
    rows = []
    for discordance in DISCORDANCE:
        errors = [planned(discordance, name) for name in PAPER]
        chance = power.chance_of_pass(errors, [CLIFF] * len(PAPER))
        mean_error = planned_mean(discordance)
        worst = planned(discordance, "MMMU")
        rows.append([
            f"{discordance:.0%}",
            f"{100 * mean_error:.2f}",
            f"{100 * power.detectable_drop(mean_error, MARGIN, LEVEL):.2f}",
            f"{100 * power.passing_margin(mean_error, LEVEL):.2f}",
            f"{100 * planned_drop(discordance, 'MMMU'):.2f}",
            f"{100 * power.passing_margin(worst, LEVEL):.2f}",
            f"{chance:.1%}",
        ])  # fmt: skip
    return tabulate(
        rows,
        headers=["answers that differ", "standard error of the mean", "mean: detectable drop",
                 "mean: margin that equals pass", "MMMU: detectable drop",
                 "MMMU: cliff that equals pass", "P(pass if equal)"],
        tablefmt="pipe", disable_numparse=True, colalign=("right",) * 7,
    )  # fmt: skip


def write(parts: Mapping[str, str], page: Path = PAGE) -> None:
    """Replace the tables between their markers in the page."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        text, count = re.subn(
            f"{re.escape(begin)}.*?{re.escape(end)}",
            lambda _, made=f"{begin}\n{part}\n{end}": made,
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{page}: needs the lines '{begin}' and '{end}' once")
    page.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all simulations; return 1 if a stated rate is not met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"write the tables to {PAGE.name}")
    parser.add_argument(
        "--replicates", type=int, default=REPLICATES, help="replicates per interval"
    )
    parser.add_argument("--suites", type=int, default=SUITES, help="simulated suites per scenario")
    parser.add_argument("parts", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - set(TABLES):
        parser.error(f"unknown table: {', '.join(sorted(unknown))}")
    holds = True
    for name in given.parts or TABLES:
        started = time.monotonic()
        table, held = TABLES[name](given)
        holds &= held
        minutes = (time.monotonic() - started) / 60
        print(f"\n{name}: {minutes:.1f} minutes\n\n{table}", flush=True)
        if given.write:
            write({name: table})
    return int(not holds)


def _coverage(settings: Iterator[Setting], given: argparse.Namespace) -> tuple[str, bool]:
    found = coverage(list(settings), given.replicates)
    return coverage_table(found), all(share >= LEAST for _, share in found)


def _verdict_table(given: argparse.Namespace) -> tuple[str, bool]:
    rows = verdict_rows(given.suites)
    return verdict_table(rows), all(row.holds for row in rows)


TABLES: Mapping[str, Callable[[argparse.Namespace], tuple[str, bool]]] = {
    "lost": lambda given: (lost_table(given.suites), True),
    "skewed": lambda given: skewed_table(given.suites),
    "policy": lambda _: (policy_table(), True),
    "coverage": lambda given: _coverage(grid(), given),
    "beyond": lambda given: (_coverage(outside_the_promise(), given)[0], True),
    "verdicts": _verdict_table,
}
"""The tables by name, each with whether its stated rates hold."""


if __name__ == "__main__":
    sys.exit(main())
