"""Workarounds for the scoring rules of VLMEvalKit 0.0.20; continues `workarounds`.

`apply` changes VLMEvalKit, so that its score and ours use the same rule. The functions in the last
section change only our value of a sample; their names appear in a score's deviations.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalsuite.vlmevalkit.judge_adapter import JudgeModel


NO_OPTION = "Z"
"""VLMEvalKit's letter for "none of the options"."""

FAILURE_TEXT = "Failed to obtain answer via API."
"""VLMEvalKit's text for a failed prediction or judge answer."""


FAILURE_IS_WRONG = "failure-text-is-wrong"
PUNCTUATION_IS_WRONG = "punctuation-is-not-an-answer"
OPEN_ANSWERS_COMPARED = "open-answers-compared"
DOCUMENTED_METRIC = "metric-as-documented"
"""Deviations, see `is_failure_text`, `starts_with_punctuation`, `open_answer_value` and
`rules.open_answers`."""


def apply() -> None:
    """Apply the workarounds to the imported VLMEvalKit, in this process."""
    parse_cells_safely()
    no_random_option()
    show_options_to_judge()
    tolerate_unlabelled_captions()
    parse_judge_marks()


# Changes to VLMEvalKit: both scores use the same rule


def parse_cells_safely() -> None:
    """Parse lists in tables as literals instead of evaluating them as Python.

    VLMEvalKit calls ``eval`` on answers, candidates and choices (``utils/vqa_eval.py:254``,
    ``smp/misc.py:58`` and many more), so a table can run any code.
    """
    from vlmeval import dataset, smp
    from vlmeval.dataset.utils import mathvista, tempcompass, vqa_eval, worldsense

    for module in (
        smp.misc, smp.vlm, dataset.image_vqa, dataset.videomme, dataset.worldsense,
        dataset.mvbench, dataset.mlvu, dataset.tempcompass, vqa_eval, mathvista, tempcompass,
        worldsense,
    ):  # fmt: skip
        module.eval = _literal
    for module in (smp.misc, dataset.image_vqa, vqa_eval):
        module.eval = _literal_or_text


def _literal_or_text(text: str) -> Any:
    """As `_literal`; a text in brackets that is no list, like ``[a or b]``, is a list of itself.

    VLMEvalKit raises for the whole benchmark (``smp/misc.py:255``).
    """
    try:
        return _literal(text)
    except (SyntaxError, MemoryError, RecursionError):
        if text.startswith("[") and text.endswith("]"):
            return [text]
        raise


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except ValueError as error:
        # MathVista_acc catches this type.
        raise SyntaxError(str(error)) from error


def no_random_option() -> None:
    """Count an answer that the judge cannot assign to an option as wrong.

    ``utils/multiple_choice.py:405`` then chooses a random option without a seed.
    """
    from vlmeval.dataset.utils import multiple_choice

    multiple_choice.rd = SimpleNamespace(choice=lambda _: NO_OPTION)


def show_options_to_judge() -> None:
    """Show the options to a judge of Video-MME and WorldSense.

    ``utils/videomme.py:120`` and ``utils/worldsense.py:217`` search the question for options, but
    these are in ``candidates``, so the judge's prompt has none.
    """
    from vlmeval.dataset.utils import videomme, worldsense

    def wrapped(original: Callable[..., str]) -> Callable[..., str]:
        def extract_option(model: Any, input_item: dict[str, Any], dataset_name: str) -> str:
            if model is not None:
                input_item = input_item | _lettered(input_item["candidates"])
            return original(model, input_item, dataset_name)

        return extract_option

    for module in (videomme, worldsense):
        module.extract_option = wrapped(module.extract_option)


def _lettered(candidates: str) -> dict[str, str]:
    matches = (re.match(r"\s*([A-Z])[.):]\s*(.*)", text, re.S) for text in _literal(candidates))
    return {match[1]: match[2] for match in matches if match}


def tolerate_unlabelled_captions() -> None:
    """Let a caption that is not ``Label X: text`` count as no match instead of raising.

    ``utils/tempcompass.py:71`` and ``:91`` assume a second part after each split.
    """
    from vlmeval.dataset.utils import tempcompass

    original = tempcompass.eval_rule_caption_matching

    def eval_rule_caption_matching(line: Any) -> Any:
        try:
            return original(line)
        except IndexError:
            return "fail"

    tempcompass.eval_rule_caption_matching = eval_rule_caption_matching


def parse_judge_marks() -> None:
    """Parse the marks of MLVU's open answers for any end of the judge's JSON.

    ``utils/mlvu.py:80`` assumes that a mark ends at the next comma: ``5}`` followed by a line break
    or a sentence raises ``ValueError`` after all answers have been judged, and ``nan`` or 50 are
    accepted as marks.
    """
    from vlmeval.dataset.utils import mlvu

    def wrapped(original: Callable[[str], list[float]], keys: Sequence[str]) -> Callable[..., Any]:
        def extract_scores(text: str) -> list[float]:
            try:
                marks = original(text)
            except ValueError:
                marks = []
            if len(marks) < len(keys) or not all(map(math.isfinite, marks)):
                marks = [mark for key in keys for mark in _last_number(key, text)]
            return [min(max(mark, 0.0), 5.0) for mark in marks]

        return extract_scores

    mlvu.extract_scores_summary = wrapped(
        mlvu.extract_scores_summary, ("score_completeness", "score_reliability")
    )
    mlvu.extract_scores_sub_scene = wrapped(
        mlvu.extract_scores_sub_scene, ("score_accuracy", "score_relevance")
    )


def _last_number(key: str, text: str) -> list[float]:
    return [float(n) for n in re.findall(key + r"\W{1,9}([0-9]{1,9}(?:\.[0-9]{1,9})?)", text)[-1:]]


def renumber_rows(frame: Any) -> None:
    """Number the rows of a table from 0, separately for each part of a dataset.

    ``mvbench.py:415``, ``mlvu.py:255``, ``worldsense.py:333`` and ``tempcompass.py:254`` use the
    index as the position: rows 1 and 3 create an extra row, or raise.
    """
    if "original_index" in frame:
        frame["original_index"] = frame.groupby("SUB_DATASET").cumcount()
    frame["index"] = range(len(frame))


@contextlib.contextmanager
def use_judge(model: JudgeModel) -> Iterator[None]:
    """Let VLMEvalKit use `model`, whatever judge it builds.

    ``mlvu.py:420`` always uses gpt-4-0125 but names its files after another, ``tempcompass.py:218``
    uses temperature 1, and ``judge_util.py:17`` reads keys from a file in the package.
    """
    from vlmeval import dataset

    def build_judge(system_prompt: str = "", **_: object) -> JudgeModel:
        return model.with_system_prompt(system_prompt)

    modules = (
        dataset.image_mcq, dataset.image_vqa, dataset.image_yorn, dataset.videomme,
        dataset.worldsense, dataset.mvbench, dataset.mlvu, dataset.tempcompass,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(replaced(module, build_judge=build_judge))
        yield


@contextlib.contextmanager
def replaced(owner: Any, **attributes: object) -> Iterator[None]:
    """Replace attributes of `owner` within the block."""
    before = {name: getattr(owner, name) for name in attributes}
    try:
        vars(owner).update(attributes)
        yield
    finally:
        vars(owner).update(before)


def normalise_judge_answer(text: str) -> str:
    """Replace a judge's empty answer by "none of the options".

    An empty answer is read back as ``nan``, which is then found in an option ``a``
    (``utils/mathvista.py:85``) and counts as minus one right answer in TempCompass
    (``utils/tempcompass.py:139``). VLMEvalKit's failure text makes it retry.
    """
    if not text.strip() or "Failed to obtain answer via API" in text:
        return NO_OPTION
    return UNWRITABLE.sub("\ufffd", text)


UNWRITABLE = re.compile("[\0\ud800-\udfff]")


# Changes to our value only: named in a score's deviations


def is_failure_text(text: str) -> bool:
    """Return whether VLMEvalKit treats a prediction as its own failure text.

    It counts such a prediction as -1: minus one right answer in MLVU (``utils/mlvu.py:187``), a
    right one in MVBench (``utils/mvbench.py:21``). Here it is a wrong answer.
    """
    return FAILURE_TEXT in text


def starts_with_punctuation(text: str) -> bool:
    """Return whether a prediction is empty or its first word has no letter or digit.

    ``utils/mvbench.py:64`` searches ``(a)`` for the first word without full stops: ``.``, ``(`` and
    an empty text are in every option and count as right. Here the rest of the text decides.
    """
    return not any(map(str.isalnum, text.lower().strip().split(" ")[0]))


def open_answer_value(same: bool) -> float:
    """Return the value of an open answer, including texts and lists.

    ``utils/mathvista.py:97`` compares ``str(None)`` with every answer that is neither a number nor
    a choice, so only the answer ``None`` is ever right. It also rejects numbers written as ``14.``
    or ``1,000``. Like MathVista's authors, we compare the extracted answer.
    """
    return float(same)
