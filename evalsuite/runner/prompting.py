"""The questions of a run: all samples, and some of them again at batch size 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner.job import Job
from evalsuite.runs.journal import answered
from evalsuite.runs.records import Prediction
from evalsuite.sample import Sample, blinded, prompt_digest
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.prompts import Prompt, PromptOptions
from evalsuite.smolvlm.requests import Answer, Question
from evalsuite.vlmevalkit.client import BrokenSample


@dataclass(frozen=True, slots=True)
class PromptBuilder:
    """Makes the prompts of a run."""

    options: PromptOptions
    blind: bool
    """Whether images and frames are removed."""

    def build(self, sample: Sample, benchmark: Benchmark) -> Prompt:
        """The prompt for `sample`."""
        shown = blinded(sample.messages) if self.blind else sample.messages
        return prompts.build(benchmark.prompt_of(sample.part), shown, self.options)


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """A question without an answer."""

    job: Job
    sample: str
    """Its id."""
    prompt_digest: str
    question: Question

    @property
    def rerun(self) -> bool:
        """Whether the sample has a prediction and is repeated at batch size 1."""
        return self.question.unbatched


def questions(
    job: Job, samples: Iterable[Sample], builder: PromptBuilder
) -> Iterator[PendingQuestion]:
    """Questions for those of `samples` that have no prediction, or one for another prompt."""
    for sample in samples:
        prompt = builder.build(sample, job.benchmark)
        digest = prompt_digest(prompt.text, prompt.media)
        if not _known(job.journal.predictions, sample.id, digest):
            yield _pending(job, sample.id, digest, prompt, rerun=False)


def rerun_questions(job: Job, builder: PromptBuilder) -> Iterator[PendingQuestion]:
    """Questions for the reruns without an answer, but for samples that failed the first time."""
    known = job.reruns.predictions
    for id_ in job.reruns.ids:
        sample, first = job.samples[id_], job.journal.predictions[id_]
        if isinstance(sample, BrokenSample) or first.ended == "error":
            continue
        if not _known(known, id_, first.prompt_digest):
            prompt = builder.build(sample, job.benchmark)
            yield _pending(job, id_, first.prompt_digest, prompt, rerun=True)


def _pending(job: Job, id_: str, digest: str, prompt: Prompt, *, rerun: bool) -> PendingQuestion:
    key = (job.benchmark.name, id_, rerun)
    question = Question(key, prompt, job.benchmark.max_new_tokens, unbatched=rerun)
    return PendingQuestion(job, id_, digest, question)


def prediction(answer: Answer, pending: PendingQuestion) -> Prediction:
    """What the journal keeps of `answer`."""
    return Prediction(
        id=pending.sample,
        prompt_digest=pending.prompt_digest,
        text=answer.text,
        tokens=answer.tokens,
        ended=answer.ended,
        error=answer.error,
    )


def _known(predictions: Mapping[str, Prediction], id_: str, digest: str) -> bool:
    return answered(predictions, id_) and predictions[id_].prompt_digest == digest
