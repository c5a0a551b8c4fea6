"""Client of the kit process, in which VLMEvalKit builds samples and scores predictions.

VLMEvalKit is imported only in this child process (`evalsuite.vlmevalkit.server`). Only plain data
are exchanged: benchmarks, samples, texts, numbers. A child that crashes or hangs is killed, and the
next request starts a new one; the error belongs to the request, or to the sample that caused it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.errors import IncompleteError
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import Prediction
from evalsuite.sample import Message, Sample
from evalsuite.system import variables
from evalsuite.system.files import disk_errors
from evalsuite.system.process import Child, ChildDied, ChildTimedOut
from evalsuite.vlmevalkit.judge import check

Stage = Literal["data", "score"]

MAX_DEATHS = 3
"""A request fails if this many processes died during it. One may have been killed by chance."""
START_REPLIES = 2
"""The child replies once after `server.check_packages` and once after importing VLMEvalKit."""


class KitError(IncompleteError):
    """VLMEvalKit failed to load or score a benchmark; `stage` is one of the two."""

    def __init__(self, stage: Stage, message: str, *, logged: bool = False) -> None:
        super().__init__(message)
        self.stage: Stage = stage
        self.logged = logged
        """Whether the kit's log has more details."""


class DataError(KitError):
    """VLMEvalKit cannot load a benchmark."""

    def __init__(self, message: str, *, logged: bool = False) -> None:
        super().__init__("data", message, logged=logged)


class KitStartError(IncompleteError):
    """VLMEvalKit does not start on this machine, so no benchmark can be evaluated."""


class _ProcessLostError(Exception):
    """The child crashed or hung during a request."""

    def __init__(self, cause: ChildDied | ChildTimedOut) -> None:
        self.hung = isinstance(cause, ChildTimedOut)
        super().__init__(f"the VLMEvalKit process {'gave ' * self.hung}{cause}")


@dataclass(frozen=True, slots=True)
class SampleOutline:
    """A sample before its prompt is built."""

    id: str
    cluster: str
    part: str = ""
    """As in `Sample`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenSample(Sample):
    """A sample whose image or video cannot be read. It has no messages."""

    messages: tuple[Message, ...] = ()
    reason: str


@dataclass(frozen=True, slots=True)
class SampleValue:
    """Value of one prediction."""

    id: str
    value: float
    """0 (wrong) to 1 (right)."""
    parsed: bool
    """Whether the scoring rule found an answer in the text."""
    counts: bool = True
    """Whether the sample is part of the benchmark's score; MLVU's open questions are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkScore:
    """Scores of a benchmark's predictions."""

    values: tuple[SampleValue, ...]
    """In the order of the request."""
    score: float
    """Mean of the `values` that count, 0 to 100."""
    vlmevalkit_score: float | None
    """VLMEvalKit's score of the same predictions, 0 to 100; None if it raises."""
    deviations: tuple[str, ...]
    """Names of the workarounds that explain a difference to VLMEvalKit's score."""
    macro_average: float | None = None
    """Unweighted mean over the benchmark's tasks, if it is usually reported."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Further scores of VLMEvalKit, with its names and scales: MLVU's G-Avg."""
    judge_reported: tuple[str, ...] = ()
    """Names of the models that answered as judge; empty if none was asked."""


@dataclass(frozen=True, slots=True)
class KitSettings:
    """Settings of a child process."""

    work: Path
    media: Path
    log: Path
    lossless: bool
    """Store frames as decoded instead of VLMEvalKit's JPEG."""
    judge: JudgeId | None


class Kit:
    """A kit process, started on demand. Threads may share it; requests run one after the other."""

    start_seconds: float = 300
    """Timeout for importing VLMEvalKit."""
    load_seconds: float = 1800
    """Timeout for loading a benchmark's data."""
    chunk_seconds: float = 300
    """Timeout for building the samples of one call, plus `sample_seconds` per sample."""
    sample_seconds: float = 10
    score_seconds: float = 1800
    """Timeout for scoring a benchmark, plus `judge_seconds` per sample with a judge."""
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
        """Set the directories for temporary files and for media, and the log file.

        `lossless` stores frames as decoded. `judge` is used for benchmarks with a judge.
        """
        self._settings = KitSettings(
            work.absolute(), media.absolute(), log.absolute(), lossless, judge
        )
        self.log = log
        self.media = self._settings.media
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._pending_replies = 0
        """Expected replies of the start, out of `START_REPLIES`."""
        self._closed = False
        self._judge_answered = False
        # Media that made a child crash or hang, by benchmark and cluster; never read again.
        self._fatal_media: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Kit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the child, so that its import overlaps with other work."""
        with self._lock, contextlib.suppress(ChildDied):
            self._start()

    def check_start(self) -> None:
        """Start the child and wait for its check of packages; raises `KitStartError`.

        This takes less than a second; the complete start takes several.
        """
        with self._lock:
            try:
                self._await_start(self._start(), START_REPLIES - 1)
            except BaseException:
                self._stop()
                raise

    def check_judge(self) -> None:
        """Check once that the judge, if any, answers; raises `EvalsuiteError`."""
        if self._settings.judge is not None and not self._judge_answered:
            check(self._settings.judge)
            self._judge_answered = True

    def close(self) -> None:
        """Kill the child; a running request raises `KitError`."""
        self._closed = True
        if (child := self._child) is not None:
            # A running request holds the lock and fails because of this.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        with self._lock:
            self._stop()

    def outline(self, benchmark: Benchmark) -> list[SampleOutline]:
        """Return all samples of `benchmark` in the dataset's order; raises `KitError`."""
        outlines: list[SampleOutline] = self._ask_data("outline", benchmark)
        return outlines

    def samples(self, benchmark: Benchmark, ids: Sequence[str]) -> list[Sample]:
        """Build the prompts of the samples `ids`, some `BrokenSample`; raises `KitError`.

        If the child crashes or hangs, samples are built one by one to find the cause.
        """
        known = self._samples_with_fatal_media(benchmark, ids)
        good = [id for id in ids if id not in known]
        seconds = self.chunk_seconds + self.sample_seconds * len(good)
        try:
            tries = 1 if len(good) > 1 else MAX_DEATHS
            built = self._ask_loaded("data", seconds, tries, "samples", benchmark, good)
        except _ProcessLostError as error:
            if len(good) > 1:
                return [sample for id in ids for sample in self.samples(benchmark, [id])]
            (culprit,) = self._ask_data("describe", benchmark, good)
            reason = f"{error} while reading its media"
            self._fatal_media[benchmark.name, culprit.cluster] = reason
            return self.samples(benchmark, ids)
        found = known | {sample.id: sample for sample in built}
        return [found[id] for id in ids]

    def _samples_with_fatal_media(
        self, benchmark: Benchmark, ids: Sequence[str]
    ) -> dict[str, BrokenSample]:
        if not self._fatal_media:
            return {}
        return {
            sample.id: dataclasses.replace(
                sample, reason=self._fatal_media[benchmark.name, sample.cluster]
            )
            for sample in self._ask_data("describe", benchmark, ids)
            if (benchmark.name, sample.cluster) in self._fatal_media
        }

    def score(
        self,
        benchmark: Benchmark,
        ids: Sequence[str],
        predictions: Mapping[str, Prediction],
        directory: Path,
    ) -> BenchmarkScore:
        """Score the predictions of the samples `ids`; raises `KitError`.

        `directory` is replaced by the files that VLMEvalKit writes.
        """
        chosen = {id: predictions[id] for id in ids}
        request = (tuple(ids), chosen, directory.absolute())
        seconds = self.score_seconds
        if benchmark.judge is not None:
            seconds += self.judge_seconds * len(ids)
        try:
            scored: BenchmarkScore = self._ask_loaded(
                "score", seconds, MAX_DEATHS, "score", benchmark, *request
            )
        except _ProcessLostError as error:
            why = f"{benchmark.name}: {error} while scoring"
            raise KitError("score", why, logged=True) from error
        return scored

    def _ask_loaded(
        self, stage: Stage, seconds: float, tries: int, verb: str, benchmark: Benchmark,
        *arguments: object,
    ) -> Any:  # fmt: skip
        """Load the data and send a request; repeat both in a new process if this one dies."""

        def load_and_ask() -> Any:
            self._ask_data("load", benchmark)
            return self._ask(stage, seconds, verb, benchmark, *arguments)

        return self._retry(tries, load_and_ask)

    def _ask_data(self, verb: str, benchmark: Benchmark, *arguments: object) -> Any:
        """Send a request that takes at most the time for loading the data."""
        seconds = self.load_seconds
        try:
            return self._retry(
                MAX_DEATHS, lambda: self._ask("data", seconds, verb, benchmark, *arguments)
            )
        except _ProcessLostError as error:
            why = f"{benchmark.name}: {error} while loading the data"
            raise DataError(why, logged=True) from error

    def _retry(self, tries: int, ask: Callable[[], Any]) -> Any:
        """Call `ask` again, with a new process, if the process died and did not hang."""
        for left in reversed(range(tries)):
            try:
                return ask()
            except _ProcessLostError as error:
                if error.hung or self._closed or not left:
                    raise
        raise AssertionError

    def _ask(self, stage: Stage, seconds: float, *request: object) -> Any:
        with self._lock:
            if self._closed:
                raise KitError(stage, "the VLMEvalKit process was closed")
            try:
                child = self._start()
                if self._closed:  # closed during the start, without the child
                    raise ChildDied("was closed")
                self._await_start(child, 0)
                child.send(request)
                done, result, logged = child.receive(seconds)
            except (ChildDied, ChildTimedOut) as error:
                self._stop()
                raise _ProcessLostError(error) from error
            except BaseException:
                # A late reply would be mistaken for the next request's.
                self._stop()
                raise
        if not done:
            raise KitError(stage, result, logged=logged)
        return result

    def _start(self) -> Child:
        if self._child is None:
            for folder in (self._settings.work, self._settings.media, self._settings.log.parent):
                with disk_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            work = str(self._settings.work)
            self._child = Child(
                "evalsuite.vlmevalkit.server",
                # Otherwise both are created in the home directory, which may be read-only.
                _KIT_ENVIRONMENT
                | {"LMUData": work, "NLTK_DATA": os.environ.get("NLTK_DATA", work)},
                inherited=variables.for_scoring(),
            )
            self._pending_replies = START_REPLIES
            self._child.send(self._settings)
        return self._child

    def _await_start(self, child: Child, left: int) -> None:
        """Wait until at most `left` start replies are pending; raises `KitStartError`."""
        while self._pending_replies > left:
            try:
                good, failure, logged = child.receive(self.start_seconds)
            except (ChildDied, ChildTimedOut) as error:
                if self._closed:
                    raise
                gave = "gave " if isinstance(error, ChildTimedOut) else ""
                reason = f"its process {gave}{error}; see {self.log}"
                raise KitStartError(f"VLMEvalKit cannot start: {reason}") from error
            if not good:
                log = f"; see {self.log}" if logged else ""
                raise KitStartError(f"VLMEvalKit cannot start: {failure}{log}")
            self._pending_replies -= 1

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


ENVIRONMENT = {
    # xlsx turns a prediction that starts with '=' into a formula; json cannot be read back.
    "PRED_FORMAT": "tsv",
    "EVAL_FORMAT": "csv",
    "VLMEVALKIT_USE_MODELSCOPE": "0",
    "HF_HUB_OFFLINE": "1",
    # VLMEvalKit opens files without naming an encoding.
    "PYTHONUTF8": "1",
}
"""Environment of every process that imports VLMEvalKit."""
_KIT_ENVIRONMENT = {
    **ENVIRONMENT,
    # The workers use the devices.
    "CUDA_VISIBLE_DEVICES": "",
    # VLMEvalKit writes sets of strings in hash order.
    "PYTHONHASHSEED": "0",
}
