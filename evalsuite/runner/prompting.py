"""What workers are asked: samples the first time, and some of them once more, alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.runner.job import Job
from evalsuite.runs.journal import answered
from evalsuite.runs.records import Prediction
from evalsuite.sample import Sample, blinded, prompt_digest
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.prompts import Prompt, PromptOptions
from evalsuite.smolvlm.requests import Answer, Question
from evalsuite.vlmevalkit.client import BrokenSample


@dataclass(frozen=True, slots=True)
class Wording:
    """How a run puts its samples to the model."""

    style: PromptOptions
    blind: bool

    def of(self, sample: Sample, benchmark: Benchmark) -> Prompt:
        """The prompt for `sample`."""
        shown = blinded(sample.messages) if self.blind else sample.messages
        return prompts.build(benchmark.prompt_of(sample.part), shown, self.style)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question without an answer."""

    job: Job
    sample: str
    """Its id."""
    digest: str
    """Of the prompt."""
    question: Question

    @property
    def again(self) -> bool:
        """Whether the sample has a prediction, and is asked alone now."""
        return self.question.unbatched


def ask(job: Job, samples: Iterable[Sample], wording: Wording) -> Iterator[Asked]:
    """Ask those of `samples` that have no prediction, or one to another prompt."""
    benchmark = job.benchmark
    for sample in samples:
        prompt = wording.of(sample, benchmark)
        digest = prompt_digest(prompt.text, prompt.media)
        if not _known(job.journal.predictions, sample.id, digest):
            name = f"{benchmark.name}\t{sample.id}"
            question = Question(name, prompt, benchmark.max_new_tokens)
            yield Asked(job, sample.id, digest, question)


def ask_again(job: Job, wording: Wording) -> Iterator[Asked]:
    """Ask alone what is to be and has no such answer yet, unless it failed the first time."""
    known = {} if job.again is None else job.again.predictions
    benchmark = job.benchmark
    for id_ in job.wanted_again:
        sample, first = job.samples[id_], job.journal.predictions[id_]
        if isinstance(sample, BrokenSample) or first.ended == "error":
            continue
        if not _known(known, id_, first.prompt_digest):
            name = f"{benchmark.name} again\t{id_}"
            prompt = wording.of(sample, benchmark)
            question = Question(name, prompt, benchmark.max_new_tokens, unbatched=True)
            yield Asked(job, id_, first.prompt_digest, question)


def prediction(answer: Answer, asked: Asked) -> Prediction:
    """What is kept of `answer`."""
    return Prediction(
        id=asked.sample,
        prompt_digest=asked.digest,
        text=answer.text,
        tokens=answer.tokens,
        ended=answer.ended,
        error=answer.error,
    )


def _known(predictions: Mapping[str, Prediction], id_: str, digest: str) -> bool:
    return answered(predictions, id_) and predictions[id_].prompt_digest == digest
