"""Whether two scores of one benchmark can be compared: the only list of what they must share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

EXACT = "exact"
"""How a score without a judge is described: by rules alone."""
DEFINITION = "definition"
"""The name of a difference that only the digest of the benchmark's definition shows."""
_SHORT = 8


@dataclass(frozen=True, slots=True)
class JudgeId:
    """A judge: a model, and the endpoint that serves it."""

    model: str
    """The name that the endpoint is asked for."""
    base_url: str

    def __str__(self) -> str:
        return f"{self.model} at {self.base_url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a benchmark was asked and scored. Compare two with `differences`, not with ``==``."""

    dataset: str
    data_digest: str
    """SHA-256 of the data."""
    prompt_style: str
    """``vlmevalkit``, or ``native`` for the checkpoint's own chat template."""
    prompt_format: str
    """One of `evalsuite.benchmarks.benchmark.PROMPT_FORMATS`."""
    blind: bool = False
    """Whether images and frames were removed from the prompts."""
    frames: str | None = None
    """``1fps`` or a number of frames; None for images."""
    max_new_tokens: int
    metric: str
    judge: JudgeId | None = None
    """None: rules alone."""
    judge_reported: tuple[str, ...] = ()
    """Names of the models that answered, as the endpoint reported them; empty if the rules found
    every answer, so that no question was asked."""
    vlmevalkit: str | None = None
    """The version of VLMEvalKit that built the prompts and scored."""
    definition: str = ""
    """`evalsuite.benchmarks.benchmark.Benchmark.definition`."""

    @property
    def judge_name(self) -> str:
        """The judge for readers: the reported names, or else the model asked for, or ``exact``."""
        if self.judge is None:
            return EXACT
        return " + ".join(self.judge_reported) or self.judge.model


@dataclass(frozen=True, slots=True)
class Differing:
    """One condition that is not the same everywhere."""

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        if self.name == DEFINITION:
            return "its definition in the benchmarks file"
        return f"{self.name}: {', '.join(self.values)}"


def differing(conditions: Sequence[Conditions]) -> list[Differing]:
    """What is not the same in all of `conditions`; empty if their scores can be compared."""
    found = [
        Differing(name, different)
        for name, values in facts(conditions)
        if len(different := tuple(dict.fromkeys(values))) > 1
    ]
    definitions = tuple(dict.fromkeys(each.definition for each in conditions))
    # Its digest covers most of the above, so it is only named where nothing else explains it.
    if not found and len(definitions) > 1:
        found.append(Differing(DEFINITION, definitions))
    return found


def differences(a: Conditions, b: Conditions) -> list[str]:
    """What keeps scores under `a` and `b` from being compared, a line each; empty if nothing."""
    return [str(each) for each in differing([a, b])]


def facts(conditions: Sequence[Conditions]) -> Iterator[tuple[str, list[str]]]:
    """The values of each condition by its name in messages.

    A score without an answer of a judge has no value for the model that the judge reported.
    """
    yield "dataset", [each.dataset for each in conditions]
    yield "data", _told([(each.data_digest[:_SHORT], each.data_digest) for each in conditions])
    yield "prompts", [each.prompt_style for each in conditions]
    yield "prompt format", [each.prompt_format for each in conditions]
    yield "blind", [str(each.blind) for each in conditions]
    yield "frames", [each.frames or "none" for each in conditions]
    yield "token limit", [str(each.max_new_tokens) for each in conditions]
    yield "metric", [each.metric for each in conditions]
    judges = [each.judge for each in conditions]
    yield (
        "judge",
        _told([(judge.model, str(judge)) if judge else (EXACT, EXACT) for judge in judges]),
    )
    # The name of a model may stand for another model later: endpoints report which one answered.
    # A score for which no question was asked does not depend on that.
    reported = [each.judge_reported for each in conditions if each.judge_reported]
    yield "model reported by the judge", [" + ".join(names) for names in reported]
    yield "VLMEvalKit", [each.vlmevalkit or "none" for each in conditions]


def _told(names: Sequence[tuple[str, str]]) -> list[str]:
    """The short ones of `names`, or the full ones if the short ones make different ones equal."""
    enough = len({short for short, _ in names}) == len({full for _, full in names})
    return [short if enough else full for short, full in names]
