"""The two roads from a checkpoint and data to a score, and where they meet.

Ours is a run as `evalsuite run` does it. Theirs is VLMEvalKit's own class, loop and ``evaluate``,
unmended, with fresh objects for each benchmark. Both note what they ask: the text, and the size and
pixels of every image in it.
"""

import dataclasses
import hashlib
import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.runs.journal import read_predictions
from evalsuite.runs.records import Score, read_samples
from evalsuite.sample import Frames, Media, Sample
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.image_decoder import Decoder
from evalsuite.vlmevalkit.reference import Assignment, Reference, run_reference
from evalsuite.vlmevalkit.unpatched import Asked
from tests.builders.paper_tables import LABELS, ODD, SEVERAL, WORDS, make
from tests.builders.paper_videos import BY_NAME, FEW, SHORT
from tests.conftest import Bench


def with_odd(name: str, mend: str) -> str:
    """The name under which VLMEvalKit is also asked the samples of `name` that differ by `mend`."""
    return f"{name}-{re.sub(r'[^a-z]+', '_', mend)}"


@dataclass(frozen=True)
class Ours:
    """What we made of one benchmark."""

    asked: Mapping[str, Asked]
    predictions: Mapping[str, str]
    values: Mapping[str, float]
    """Of the samples that count."""
    score: Score


def shorter(made: Mapping[str, Benchmark]) -> dict[str, Benchmark]:
    """The benchmarks with answers cut after eight tokens, for speed."""
    return {name: dataclasses.replace(b, max_new_tokens=8) for name, b in made.items()}


def run_ours(bench: Bench, made: Mapping[str, Benchmark], output: Path) -> dict[str, Ours | str]:
    """Run our road; in place of a benchmark that failed stands why."""
    chosen = list(made.values())
    bench.run(output, chosen, mode="infer")  # also what only a judge could score
    run = bench.run(output, chosen)
    found: dict[str, Ours | str] = {f.benchmark: f.message for f in run.failures}
    for score in run.scores:
        found[score.benchmark] = _ours(bench, made[score.benchmark], output, score)
    return found


def _ours(bench: Bench, benchmark: Benchmark, output: Path, score: Score) -> Ours:
    directory = bench.directory(output) / benchmark.name
    said = read_predictions(directory / "predictions.jsonl")
    rows = read_samples(directory / "samples.jsonl")
    return Ours(
        asked=_asked(bench, benchmark),
        predictions={id_: prediction.text for id_, prediction in said.items()},
        values={row.id: row.value for row in rows if row.counts},
        score=score,
    )


def _asked(bench: Bench, benchmark: Benchmark) -> dict[str, Asked]:
    kit = bench.source.kit
    ids = [outline.id for outline in kit.outline(benchmark)]
    style = prompts.PromptOptions(family=bench.checkpoint.family)
    asked = {}
    decoder = Decoder()
    for sample in kit.samples(benchmark, ids):
        assert isinstance(sample, Sample), sample
        prompt = prompts.build(benchmark.prompt_of(sample.part), sample.messages, style)
        asked[sample.id] = Asked(prompt.text, tuple(_shown(decoder, prompt.media)))
    decoder.close()
    return asked


def _shown(decoder: Decoder, media: Iterable[Media]) -> Iterable[tuple[int, int, str]]:
    for item in media:
        for path in item.paths if isinstance(item, Frames) else (item.path,):
            pixels = decoder.read(path)
            height, width, _ = pixels.shape
            yield width, height, hashlib.sha256(pixels.tobytes()).hexdigest()


def run_theirs(bench: Bench, made: Mapping[str, Benchmark], work: Path) -> dict[str, Reference]:
    """Run VLMEvalKit's road: each benchmark without its odd samples, then with those of each mend.

    The latter are named by `with_odd`.
    """
    ids = {name: plain(bench, made[name]) for name in made if name in ODD}
    again = []
    for name, kept in list(ids.items()):
        for mend in dict.fromkeys(ODD[name].values()):
            other = with_odd(name, mend)
            again.append(dataclasses.replace(made[name], name=other))
            ids[other] = (*kept, *(id_ for id_, why in ODD[name].items() if why == mend))
    assignment = Assignment(
        checkpoint=bench.checkpoint.path,
        family=bench.checkpoint.family,
        tile_size=bench.checkpoint.tile_size,
        benchmarks=(*made.values(), *again),
        ids=ids,
        pixels=True,
        work=work,
    )
    return {reference.benchmark: reference for reference in run_reference(assignment)}


def plain(bench: Bench, benchmark: Benchmark) -> tuple[str, ...]:
    """The samples that VLMEvalKit reads and shows as we do, of all its splits."""
    whole = dataclasses.replace(benchmark, split=None)
    ids = [outline.id for outline in bench.source.kit.outline(whole)]
    return tuple(id_ for id_ in ids if id_ not in ODD.get(benchmark.name, ()))


# --------------------------------------------------------------------------------------------------
# VLMEvalKit's number
# --------------------------------------------------------------------------------------------------

ROUNDING: Mapping[str, float] = {
    "video-choice": 0.05, "worldsense": 0.05, "mlvu": 0.05, "tempcompass": 0.005,
}  # fmt: skip
"""By how many points VLMEvalKit rounds what it returns, by metric."""


def headline(benchmark: Benchmark, reference: Reference) -> float:
    """VLMEvalKit's number as a reader of its output would take it, from 0 to 100."""
    return float(_headline(benchmark.metric, reference.result, len(reference.predictions)))


def _headline(metric: str, result: Any, n: int) -> Any:
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
class Roads:
    """Both roads over made data, by benchmark."""

    made: Mapping[str, Benchmark]
    ours: Mapping[str, Ours | str]
    theirs: Mapping[str, Reference]


def walk(bench: Bench, folder: Path, names: Iterable[str] | None = None) -> Roads:
    """Make data for the named benchmarks, or for all, and walk both roads."""
    made = shorter(make(folder / "data", names))
    return Roads(
        made, run_ours(bench, made, folder / "ours"), run_theirs(bench, made, folder / "theirs")
    )


# --------------------------------------------------------------------------------------------------
# Where they meet
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """One benchmark on both roads: its plain samples, and the odd ones by name of their mend."""

    benchmark: str
    n: int
    """Plain samples asked on both roads."""
    differing_prompts: tuple[str, ...]
    differing_predictions: tuple[str, ...]
    score: float
    """Our score over those plain samples that count."""
    theirs: float | None
    """VLMEvalKit's over the same, if it has one."""
    agreement: str
    """``agrees``, what VLMEvalKit raised, or that the numbers differ."""
    odd: Mapping[str, str]
    """The mend that says why a sample differs."""


def compare(roads: Roads, name: str) -> Compared:
    """Compare the plain samples of one benchmark."""
    benchmark, ours, theirs = roads.made[name], roads.ours[name], roads.theirs[name]
    assert isinstance(ours, Ours), ours
    odd = ODD.get(name, {})
    ids = [id_ for id_ in ours.predictions if id_ not in odd]
    score = 100 * statistics.fmean(v for id_, v in ours.values.items() if id_ not in odd)
    number = None if theirs.result is None else headline(benchmark, theirs)
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
        odd=odd,
    )


def odd_ones(names: Iterable[str]) -> list[tuple[str, str]]:
    """Benchmark and id of every odd sample."""
    return [(name, id_) for name in names for id_ in ODD.get(name, ())]


def shows(roads: Roads, name: str, id_: str) -> bool:
    """Whether VLMEvalKit, unmended, does with an odd sample what its mend says it does."""
    mend = ODD[name][id_]
    ours, theirs = roads.ours[name], roads.theirs[with_odd(name, mend)]
    assert isinstance(ours, Ours), ours
    raised = theirs.error or ""
    mine, other = ours.asked[id_], theirs.asked.get(id_)
    if mend in (SHORT, SEVERAL):  # raises before it asks, or as it does
        shown = 1 if mend == SHORT else 2
        said = id_ in theirs.predictions
        return len(mine.images) == shown and not said and raised.startswith("predict: ")
    assert other is not None
    if mend == WORDS:
        return mine.text != other.text and mine.images == other.images
    if mend == LABELS:
        return mine == other and raised.startswith("evaluate: TypeError")
    if mend == FEW:
        return mine.text == other.text and mine.images != other.images
    assert mend == BY_NAME
    before = [asked.images for id_, asked in theirs.asked.items()][:-1]
    return mine.text == other.text and mine.images not in before and other.images in before
