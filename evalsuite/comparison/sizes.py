"""Sizes of benchmarks for a power analysis, from a run or from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalsuite.errors import UsageError, nearest
from evalsuite.runs.records import Run
from evalsuite.stats.power import Variability


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a benchmark."""

    questions: int
    clusters: int
    """Images or videos."""

    def expected(self, discordance: float, icc: float) -> Variability:
        """Return the variability for this discordance and ICC, with clusters of equal size."""
        per_cluster = self.questions / self.clusters
        return Variability(
            n=self.questions,
            clusters=self.clusters,
            discordance=discordance,
            design_effect=1 + (per_cluster - 1) * icc,
        )


def sizes_of(run: Run, only: Sequence[str] = ()) -> dict[str, Size]:
    """Return the sizes of a run's benchmarks, or of those in `only`; raises `UsageError`."""
    known = {score.benchmark: Size(score.n, score.clusters) for score in run.scores}
    if not known and not only:
        raise UsageError("the run has no scores yet; finish it or use --sizes")
    return select_sizes(known, only, "the run has no score")


def select_sizes(known: Mapping[str, Size], only: Sequence[str], lacking: str) -> dict[str, Size]:
    """Return the sizes of the benchmarks `only`, all if it is empty; raises `UsageError`."""
    for name in only:
        if name not in known:
            raise UsageError(f"{lacking} of '{name}'{nearest(name, known)}")
    return {name: size for name, size in known.items() if not only or name in only}


def read_sizes(text: str, known: Sequence[str]) -> dict[str, Size]:
    """Read ``MMStar=1500,Video-MME=2700:900``: questions, and images if fewer.

    Raises `UsageError`.
    """
    sizes: dict[str, Size] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"([^=]+)=([0-9]{1,9})(?::([0-9]{1,9}))?", part)
        questions = int(match[2]) if match else 0
        clusters = int(match[3] or questions) if match else 0
        if match is None or not 1 <= clusters <= questions:
            raise UsageError(
                f"--sizes {part}: expected BENCH=QUESTIONS or BENCH=QUESTIONS:IMAGES, for example "
                "Video-MME=2700:900"
            )
        if match[1] not in known:
            raise UsageError(
                f"--sizes {part}: unknown benchmark{nearest(match[1], known)}; name its file with "
                "--benchmarks-file"
            )
        if match[1] in sizes:
            raise UsageError(f"--sizes {part}: duplicate size of {match[1]}")
        sizes[match[1]] = Size(questions, clusters)
    if not sizes:
        raise UsageError("--sizes: expected BENCH=QUESTIONS,…")
    return sizes


def read_shares(text: str, flag: str) -> list[float]:
    """Read ``0.05,0.15``: numbers between 0 and 1; raises `UsageError` that names `flag`."""
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
