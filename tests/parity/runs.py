"""Runs of evalsuite and of VLMEvalKit from the same checkpoint and data, and their comparison.

Ours is a run as by `evalsuite run`. The reference is VLMEvalKit's own class, loop and ``evaluate``,
without workarounds and with new objects for each benchmark. Both record what is asked: the text,
and the size and pixels of every image.
"""

import dataclasses
import hashlib
import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runs.journal import read_predictions
from evalsuite.runs.records import Score
from evalsuite.runs.storage import read_samples
from evalsuite.sample import Frames, Media, Sample
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.image_decoder import Decoder
from evalsuite.vlmevalkit.reference import ReferenceResult, ReferenceTask, run_reference
from evalsuite.vlmevalkit.unpatched import ProcessorInput
from tests.builders.paper_tables import DEVIATING, MISSING_LABELS, NA_TEXTS, SEVERAL_IMAGES, make
from tests.builders.paper_videos import SAME_NAME, SHORT_ANIMATION, SHORT_CLIP
from tests.conftest import Bench


def with_deviating(name: str, workaround: str) -> str:
    """Return the name for running `name` with its samples that deviate due to `workaround`."""
    return f"{name}-{re.sub(r'[^a-z]+', '_', workaround)}"


@dataclass(frozen=True)
class Ours:
    """Our run of one benchmark."""

    asked: Mapping[str, ProcessorInput]
    predictions: Mapping[str, str]
    values: Mapping[str, float]
    """By sample, for samples that count."""
    score: Score


def shorter(made: Mapping[str, Benchmark]) -> dict[str, Benchmark]:
    """Limit answers to eight tokens, for speed."""
    return {name: dataclasses.replace(b, max_new_tokens=8) for name, b in made.items()}


def run_ours(bench: Bench, made: Mapping[str, Benchmark], output: Path) -> dict[str, Ours | str]:
    """Run evalsuite; a failed benchmark is replaced by its error message."""
    chosen = list(made.values())
    bench.run(output, chosen, mode="infer")  # also parts that only a judge can score
    run = bench.run(output, chosen)
    found: dict[str, Ours | str] = {f.benchmark: f.message for f in run.failures}
    for score in run.scores:
        found[score.benchmark] = _ours(bench, made[score.benchmark], output, score)
    return found


def _ours(bench: Bench, benchmark: Benchmark, output: Path, score: Score) -> Ours:
    directory = bench.directory(output) / benchmark.name
    given = read_predictions(directory / "predictions.jsonl")
    rows = read_samples(directory / "samples.jsonl")
    return Ours(
        asked=_asked(bench, benchmark),
        predictions={id_: prediction.text for id_, prediction in given.items()},
        values={row.id: row.value for row in rows if row.counts},
        score=score,
    )


def _asked(bench: Bench, benchmark: Benchmark) -> dict[str, ProcessorInput]:
    kit = bench.source.kit
    ids = [outline.id for outline in kit.outline(benchmark)]
    options = prompts.PromptOptions(family=bench.checkpoint.family)
    asked = {}
    decoder = Decoder()
    for sample in kit.samples(benchmark, ids):
        assert isinstance(sample, Sample), sample
        prompt = prompts.build(benchmark.prompt_of(sample.part), sample.messages, options)
        asked[sample.id] = ProcessorInput(prompt.text, tuple(_shown(decoder, prompt.media)))
    decoder.close()
    return asked


def _shown(decoder: Decoder, media: Iterable[Media]) -> Iterable[tuple[int, int, str]]:
    for item in media:
        for path in item.paths if isinstance(item, Frames) else (item.path,):
            pixels = decoder.read(path)
            height, width, _ = pixels.shape
            yield width, height, hashlib.sha256(pixels.tobytes()).hexdigest()


def run_vlmevalkit(
    bench: Bench, made: Mapping[str, Benchmark], work: Path
) -> dict[str, ReferenceResult]:
    """Run VLMEvalKit: each benchmark without deviating samples, then with those of each workaround.

    The latter are named by `with_deviating`.
    """
    ids = {name: plain(bench, made[name]) for name in made if name in DEVIATING}
    again = []
    for name, kept in list(ids.items()):
        for workaround in dict.fromkeys(DEVIATING[name].values()):
            other = with_deviating(name, workaround)
            again.append(dataclasses.replace(made[name], name=other))
            ids[other] = (
                *kept,
                *(id_ for id_, why in DEVIATING[name].items() if why == workaround),
            )
    task = ReferenceTask(
        checkpoint=bench.checkpoint,
        benchmarks=(*made.values(), *again),
        ids=ids,
        pixels=True,
        work=work,
    )
    return {reference.benchmark: reference for reference in run_reference(task)}


def plain(bench: Bench, benchmark: Benchmark) -> tuple[str, ...]:
    """Return the samples that VLMEvalKit reads and shows as we do, of all splits."""
    whole = dataclasses.replace(benchmark, split=None)
    ids = [outline.id for outline in bench.source.kit.outline(whole)]
    return tuple(id_ for id_ in ids if id_ not in DEVIATING.get(benchmark.name, ()))


# --------------------------------------------------------------------------------------------------
# VLMEvalKit's number
# --------------------------------------------------------------------------------------------------

ROUNDING: Mapping[str, float] = {
    "video-choice": 0.05, "worldsense": 0.05, "mlvu": 0.05, "tempcompass": 0.005,
}  # fmt: skip
"""Maximum rounding error of VLMEvalKit's score in points, by metric."""


def reported_score(benchmark: Benchmark, reference: ReferenceResult) -> float:
    """Return VLMEvalKit's score as shown in its output, 0 to 100."""
    return float(_reported_score(benchmark.metric, reference.result, len(reference.predictions)))


def _reported_score(metric: str, result: Any, n: int) -> Any:
    match metric:
        case "choice":
            return 100 * result["Overall"].item()
        case "mmmu":
            return 100 * result.loc[result["split"] == "validation", "Overall"].item()
        case "vqa-accuracy" | "relaxed-accuracy" | "anls":
            return result["Overall"].item()
        case "ocr-contains":
            return 100 * result["Final Score"] / n
        case "video-choice" | "worldsense":
            return 100 * float(result["overall"]["overall"])
        case "mvbench":
            hits, total, _ = result["overall"]
            return 100 * hits / total
        case "mlvu":
            return result.loc[result["task"] == "M-Avg", "acc"].item()
        case "tempcompass":
            return result.loc[result["dim.task_type"] == "overall", "acc"].item()
    raise AssertionError(metric)


@dataclass(frozen=True)
class BothRuns:
    """Both runs over generated data, by benchmark."""

    made: Mapping[str, Benchmark]
    ours: Mapping[str, Ours | str]
    theirs: Mapping[str, ReferenceResult]


def run_both(bench: Bench, folder: Path, names: Iterable[str] | None = None) -> BothRuns:
    """Generate data for the named benchmarks, or all, and run both."""
    made = shorter(make(folder / "data", names))
    return BothRuns(
        made, run_ours(bench, made, folder / "ours"), run_vlmevalkit(bench, made, folder / "theirs")
    )


# --------------------------------------------------------------------------------------------------
# Comparison
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """Comparison of one benchmark: its plain samples, and the deviating ones by workaround."""

    benchmark: str
    n: int
    """Plain samples in both runs."""
    differing_prompts: tuple[str, ...]
    differing_predictions: tuple[str, ...]
    score: float
    """Our score of the plain samples that count."""
    theirs: float | None
    """VLMEvalKit's score of the same samples, if any."""
    agreement: str
    """``agrees``, ``differs``, or VLMEvalKit's error."""
    deviating: Mapping[str, str]
    """Workaround by deviating sample."""


def compare(runs: BothRuns, name: str) -> Compared:
    """Compare the plain samples of one benchmark."""
    benchmark, ours, theirs = runs.made[name], runs.ours[name], runs.theirs[name]
    assert isinstance(ours, Ours), ours
    deviating = DEVIATING.get(name, {})
    ids = [id_ for id_ in ours.predictions if id_ not in deviating]
    score = 100 * statistics.fmean(v for id_, v in ours.values.items() if id_ not in deviating)
    number = None if theirs.result is None else reported_score(benchmark, theirs)
    if number is None:
        agreement = str(theirs.error)
    else:
        agrees = abs(number - score) <= ROUNDING.get(benchmark.metric, 0.0) + 1e-9
        agreement = "agrees" if agrees else "differs"
    return Compared(
        benchmark=name,
        n=len(ids),
        differing_prompts=tuple(i for i in ids if ours.asked[i] != theirs.asked.get(i)),
        differing_predictions=tuple(
            i for i in ids if ours.predictions[i] != theirs.predictions.get(i)
        ),
        score=score,
        theirs=number,
        agreement=agreement,
        deviating=deviating,
    )


def deviating_samples(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return benchmark and id of every deviating sample."""
    return [(name, id_) for name in names for id_ in DEVIATING.get(name, ())]


def shows_defect(runs: BothRuns, name: str, id_: str) -> bool:
    """Return whether VLMEvalKit has the defect of a sample's workaround."""
    workaround = DEVIATING[name][id_]
    ours, theirs = runs.ours[name], runs.theirs[with_deviating(name, workaround)]
    assert isinstance(ours, Ours), ours
    raised = theirs.error or ""
    mine, other = ours.asked[id_], theirs.asked.get(id_)
    if workaround in (SHORT_CLIP, SEVERAL_IMAGES):  # VLMEvalKit raises
        shown = 1 if workaround == SHORT_CLIP else 2
        answered = id_ in theirs.predictions
        return len(mine.images) == shown and not answered and raised.startswith("predict: ")
    assert other is not None
    if workaround == NA_TEXTS:
        return mine.text != other.text and mine.images == other.images
    if workaround == MISSING_LABELS:
        return mine == other and raised.startswith("evaluate: TypeError")
    if workaround == SHORT_ANIMATION:
        return mine.text == other.text and mine.images != other.images
    assert workaround == SAME_NAME
    before = [asked.images for id_, asked in theirs.asked.items()][:-1]
    return mine.text == other.text and mine.images not in before and other.images in before
