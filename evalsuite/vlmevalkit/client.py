"""The kit process: start it, ask it for samples, give it predictions, get scores.

VLMEvalKit is imported in a child process only (`evalsuite.vlmevalkit.server`). What crosses over is
plain: benchmarks, samples, texts, numbers. A child that crashes or hangs is killed and the next
request starts another; the reason stays with the request, or with the one sample that caused it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.errors import IncompleteError
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import Prediction
from evalsuite.sample import Sample
from evalsuite.system.files import disk_errors
from evalsuite.system.process import Child, ChildDied, ChildTimedOut
from evalsuite.vlmevalkit.judge import check

Stage = Literal["data", "score"]

START_REPLIES = 2
"""The child says first that `server.check_packages` is done, then that VLMEvalKit is imported."""


class KitError(IncompleteError):
    """VLMEvalKit cannot load or score a benchmark; `stage` says which of the two it was."""

    def __init__(self, stage: Stage, message: str, *, logged: bool = False) -> None:
        super().__init__(message)
        self.stage: Stage = stage
        self.logged = logged
        """Whether the kit's log says more."""


class KitStartError(IncompleteError):
    """VLMEvalKit does not start on this machine, so that no benchmark can be evaluated."""


class _GoneError(Exception):
    """The child crashed or hung while it worked on a request."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A sample before its prompt is built."""

    id: str
    cluster: str
    part: str = ""
    """As of `Sample`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenSample:
    """A sample that cannot be asked, because its image or video cannot be read."""

    id: str
    cluster: str
    part: str = ""
    category: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    question: str = ""
    target: str = ""
    reason: str


@dataclass(frozen=True, slots=True)
class SampleValue:
    """How right one prediction is."""

    id: str
    value: float
    """0 (wrong) to 1 (right)."""
    parsed: bool
    """Whether the benchmark's rule found an answer in the text."""
    counts: bool = True
    """Whether the benchmark's score is about it: MLVU's is not about its open questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A benchmark's predictions, scored."""

    values: tuple[SampleValue, ...]
    """In the order asked for."""
    score: float
    """The mean of those `values` that count, from 0 to 100."""
    vlmevalkit_score: float | None
    """VLMEvalKit's own number for the same predictions, on the same scale; None if it raises."""
    deviations: tuple[str, ...]
    """Names of the workarounds that explain why the two differ; empty if they agree."""
    macro_average: float | None = None
    """The unweighted mean over the benchmark's tasks, where that is reported too."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Further numbers VLMEvalKit gives, by its names and on its scales: MLVU's G-Avg."""
    judge_reported: tuple[str, ...] = ()
    """Names of the models that answered as judge; empty if no question was asked."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not done."""

    text: str
    """One line."""
    logged: bool
    """Whether the log says more: it came as a surprise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a child is told before its first request."""

    work: Path
    media: Path
    log: Path
    lossless: bool
    """Keep frames as they are decoded; VLMEvalKit's go through JPEG."""
    judge: JudgeId | None


class Kit:
    """One kit process, started when first needed. Threads may share it: requests take turns."""

    start_seconds: float = 300
    """How long importing VLMEvalKit may take."""
    load_seconds: float = 1800
    """How long loading a benchmark's data may take."""
    chunk_seconds: float = 300
    """How long building one call's samples may take, plus `sample_seconds` for each of them."""
    sample_seconds: float = 10
    score_seconds: float = 1800
    """How long scoring a benchmark may take, plus `judge_seconds` for each sample if judged."""
    judge_seconds: float = 60

    def __init__(
        self,
        *,
        work: Path,
        media: Path,
        log: Path,
        lossless: bool = False,
        judge: JudgeId | None = None,
    ) -> None:
        """Keep scratch in `work`, images and frames in `media`, VLMEvalKit's chatter in `log`.

        `lossless` keeps frames as they are decoded; `judge` is asked where a benchmark's ``judge``
        is not None.
        """
        self._settings = Settings(
            work.absolute(), media.absolute(), log.absolute(), lossless, judge
        )
        self.log = log
        self.media = self._settings.media
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._awaited = 0
        """Replies to the start that are still to come, of `START_REPLIES`."""
        self._closed = False
        self._judge_answered = False
        # Media that took a child down, by benchmark and cluster: not to be tried again.
        self._deadly: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Kit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Start the child, so that its import runs beside whatever comes next."""
        with self._lock, contextlib.suppress(ChildDied):
            self._start()

    def check_start(self) -> None:
        """Start the child and wait until it has found the packages that often do not load.

        That takes less than a second, where the whole start takes many. Raises `KitStartError`.
        """
        with self._lock:
            try:
                self._await_start(self._start(), START_REPLIES - 1)
            except BaseException:
                self._stop()
                raise

    def check_judge(self) -> None:
        """Make sure that the judge, if there is one, answers; raises `EvalsuiteError`. Once."""
        if self._settings.judge is not None and not self._judge_answered:
            check(self._settings.judge)
            self._judge_answered = True

    def close(self) -> None:
        """End the child at once; a request under way raises `KitError`."""
        self._closed = True
        if (child := self._child) is not None:
            # The request under way holds the lock, and gets to know by this.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        with self._lock:
            self._stop()

    def outline(self, benchmark: Benchmark) -> list[Outline]:
        """List the samples of `benchmark` in the dataset's order; raises `KitError`."""
        outlines: list[Outline] = self._loaded("outline", benchmark)
        return outlines

    def samples(self, benchmark: Benchmark, ids: Sequence[str]) -> list[Sample | BrokenSample]:
        """Build the prompts of the samples `ids`; raises `KitError`.

        A sample whose media crash or hang the child is found by asking one by one.
        """
        known = self._known_broken(benchmark, ids)
        good = [id for id in ids if id not in known]
        seconds = self.chunk_seconds + self.sample_seconds * len(good)
        self._loaded("load", benchmark)
        try:
            built = self._ask("data", seconds, "samples", benchmark, good) if good else []
        except _GoneError as error:
            if len(good) > 1:
                return [sample for id in ids for sample in self.samples(benchmark, [id])]
            (culprit,) = self._loaded("describe", benchmark, good)
            reason = f"{error} while reading its media"
            self._deadly[benchmark.name, culprit.cluster] = reason
            return self.samples(benchmark, ids)
        found = known | {sample.id: sample for sample in built}
        return [found[id] for id in ids]

    def _known_broken(self, benchmark: Benchmark, ids: Sequence[str]) -> dict[str, BrokenSample]:
        if not self._deadly:
            return {}
        return {
            sample.id: dataclasses.replace(
                sample, reason=self._deadly[benchmark.name, sample.cluster]
            )
            for sample in self._loaded("describe", benchmark, ids)
            if (benchmark.name, sample.cluster) in self._deadly
        }

    def score(
        self,
        benchmark: Benchmark,
        ids: Sequence[str],
        predictions: Mapping[str, Prediction],
        directory: Path,
    ) -> Scored:
        """Score the predictions of the samples `ids`; raises `KitError`.

        `directory` is replaced by what VLMEvalKit writes while scoring.
        """
        self._loaded("load", benchmark)
        chosen = {id: predictions[id] for id in ids}
        request = ("score", benchmark, tuple(ids), chosen, directory.absolute())
        seconds = self.score_seconds
        if benchmark.judge is not None:
            seconds += self.judge_seconds * len(ids)
        try:
            scored: Scored = self._ask("score", seconds, *request)
        except _GoneError as error:
            why = f"{benchmark.name}: {error} while scoring"
            raise KitError("score", why, logged=True) from error
        return scored

    def _loaded(self, verb: str, benchmark: Benchmark, *arguments: object) -> Any:
        """Ask for something that takes no longer than loading the data."""
        try:
            return self._ask("data", self.load_seconds, verb, benchmark, *arguments)
        except _GoneError as error:
            why = f"{benchmark.name}: {error} while loading the data"
            raise KitError("data", why, logged=True) from error

    def _ask(self, stage: Stage, seconds: float, *request: object) -> Any:
        with self._lock:
            if self._closed:
                raise KitError(stage, "the VLMEvalKit process was closed")
            try:
                child = self._start()
                if self._closed:  # while it was starting: `close` has not seen it
                    raise ChildDied("was closed")
                self._await_start(child, 0)
                child.send(request)
                done, result = child.receive(seconds)
            except (ChildDied, ChildTimedOut) as error:
                self._stop()
                gave = "gave " if isinstance(error, ChildTimedOut) else ""
                raise _GoneError(f"the VLMEvalKit process {gave}{error}") from error
            except BaseException:
                # A reply still to come would be taken for the next request's.
                self._stop()
                raise
        if not done:
            raise KitError(stage, result.text, logged=result.logged)
        return result

    def _start(self) -> Child:
        if self._child is None:
            for folder in (self._settings.work, self._settings.media, self._settings.log.parent):
                with disk_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            self._child = Child("evalsuite.vlmevalkit.server", _ENVIRONMENT)
            self._awaited = START_REPLIES
            self._child.send(self._settings)
        return self._child

    def _await_start(self, child: Child, left: int) -> None:
        """Wait until only `left` replies to the start are still to come; raises `KitStartError`."""
        while self._awaited > left:
            try:
                good, refusal = child.receive(self.start_seconds)
            except (ChildDied, ChildTimedOut) as error:
                if self._closed:
                    raise
                gave = "gave " if isinstance(error, ChildTimedOut) else ""
                reason = f"its process {gave}{error}; {self.log} says more"
                raise KitStartError(f"VLMEvalKit cannot start: {reason}") from error
            if not good:
                more = f"; {self.log} says more" if refusal.logged else ""
                raise KitStartError(f"VLMEvalKit cannot start: {refusal.text}{more}")
            self._awaited -= 1

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


_ENVIRONMENT = {
    # xlsx turns a prediction that begins with '=' into a formula; json cannot be loaded back.
    "PRED_FORMAT": "tsv",
    "EVAL_FORMAT": "csv",
    "VLMEVALKIT_USE_MODELSCOPE": "0",
    "HF_HUB_OFFLINE": "1",
    # The devices belong to the workers.
    "CUDA_VISIBLE_DEVICES": "",
    # VLMEvalKit orders what it writes by sets of words.
    "PYTHONHASHSEED": "0",
}
