"""The questions of a run: all samples, and some of them again at batch size 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.runner.config import RunConfig
from evalsuite.runner.job import Job
from evalsuite.runs.journal import Journal, answered
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

    @classmethod
    def of(cls, checkpoint: Checkpoint, config: RunConfig) -> PromptBuilder:
        """The prompts of a run of `checkpoint`."""
        options = PromptOptions(config.prompts, checkpoint.family, checkpoint.chat_template)
        return cls(options, config.blind)

    def build(self, sample: Sample, benchmark: Benchmark) -> Prompt:
        """The prompt for `sample`."""
        shown = blinded(sample.messages) if self.blind else sample.messages
        return prompts.build(benchmark.prompt_of(sample.part), shown, self.options)


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """A question without an answer."""

    job: Job
    sample: str
    prompt_digest: str
    question: Question

    @property
    def rerun(self) -> bool:
        """Whether the sample has a prediction and is repeated at batch size 1."""
        return self.question.unbatched


def questions(
    job: Job, samples: Iterable[Sample], builder: PromptBuilder, *, retry: bool
) -> tuple[list[PendingQuestion], list[Prediction]]:
    """Questions for those of `samples` without a prediction for their prompt, and known answers.

    `retry` includes samples that failed.
    """
    asked = []
    for sample in samples:
        known = job.journal.predictions.get(sample.id)
        if known is not None and known.ended == "error" and not retry:
            continue
        prompt = builder.build(sample, job.benchmark)
        digest = prompt_digest(prompt.text, prompt.media)
        if not _known(job.journal.predictions, sample.id, digest):
            asked.append(_pending(job, sample.id, digest, prompt, rerun=False))
    return _answered_before(asked, job.journal)


def rerun_questions(
    job: Job, builder: PromptBuilder
) -> tuple[list[PendingQuestion], list[Prediction]]:
    """The same for the reruns, without samples that failed the first time."""
    if job.reruns.journal is None:
        return [], []
    known = job.reruns.predictions
    asked = []
    for id_ in job.reruns.ids:
        sample, first = job.samples[id_], job.journal.predictions[id_]
        if isinstance(sample, BrokenSample) or first.ended == "error":
            continue
        if not _known(known, id_, first.prompt_digest):
            prompt = builder.build(sample, job.benchmark)
            asked.append(_pending(job, id_, first.prompt_digest, prompt, rerun=True))
    return _answered_before(asked, job.reruns.journal)


def _answered_before(
    asked: Iterable[PendingQuestion], journal: Journal
) -> tuple[list[PendingQuestion], list[Prediction]]:
    """Split off the questions that were asked before, under other data or another id."""
    new, known = [], []
    for one in asked:
        if (answer := journal.earlier.get(one.prompt_digest)) is None:
            new.append(one)
        else:
            known.append(replace(answer, id=one.sample))
    return new, known


def count_answered(
    samples: Iterable[Sample],
    benchmark: Benchmark,
    builder: PromptBuilder,
    earlier: Mapping[str, Prediction],
) -> int:
    """How many of `samples` have an answer in `earlier`, by the digest of their prompt."""
    whole = (sample for sample in samples if not isinstance(sample, BrokenSample))
    built = (builder.build(sample, benchmark) for sample in whole)
    return sum(prompt_digest(prompt.text, prompt.media) in earlier for prompt in built)


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
