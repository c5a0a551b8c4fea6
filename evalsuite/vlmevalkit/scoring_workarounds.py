"""What we score differently from VLMEvalKit 0.0.20: `mends` goes on here, in the same manner.

`apply` changes VLMEvalKit, so that its number and ours are of one rule. The functions named in
a score's ``deviations`` change our value alone, and VLMEvalKit's own number is another.

Some defects need no function, because of how the neighbouring modules score:

* MLVU, TempCompass and MathVista cannot be scored without a judge, because of a part of their
  samples (``tempcompass.py:211``, ``image_vqa.py:602``): `scoring` leaves the parts out that only a
  judge can score, and in MathVista `rules.mathvista` stands in for one;
* a judge of MathVista, MVBench or Video-MME that does not answer is replaced by rules in silence
  (``videomme.py:258``): ours raises;
* MLVU rounds the marks of open answers down (``utils/mlvu.py:187``): so do we.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol


class Asked(Protocol):
    """What VLMEvalKit takes for a judge."""

    def under(self, system: str) -> Asked:
        """Return the same judge, told `system` first."""

    def working(self) -> bool:
        """Whether it answers."""

    def generate(self, prompt: str, **settings: object) -> str:
        """Answer."""


NONE = "Z"
"""VLMEvalKit's word for "none of the options"."""

FAILURE = "Failed to obtain answer via API."
"""VLMEvalKit's text in place of a prediction, or a judge's answer, that there is none of."""


def apply() -> None:
    """Mend the imported VLMEvalKit, in this process."""
    cells_are_not_run()
    no_option_by_chance()
    judges_see_the_options()
    captions_are_compared_with_care()
    marks_are_found()


# --------------------------------------------------------------------------------------------------
# Both roads
# --------------------------------------------------------------------------------------------------


def cells_are_not_run() -> None:
    """Read lists in tables as lists, not as Python to run.

    ``eval`` of answers, candidates and choices (``utils/vqa_eval.py:254``, ``smp/misc.py:58`` and
    many more): a table from somewhere runs what it likes; an answer ``exit()`` ends the process.
    """
    from vlmeval import dataset, smp
    from vlmeval.dataset.utils import mathvista, tempcompass, vqa_eval, worldsense

    for module in (
        smp.misc, smp.vlm, dataset.image_vqa, dataset.videomme, dataset.worldsense,
        dataset.mvbench, dataset.mlvu, dataset.tempcompass, vqa_eval, mathvista, tempcompass,
        worldsense,
    ):  # fmt: skip
        module.eval = _literal


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except ValueError as error:
        # The one that MathVista_acc is ready for.
        raise SyntaxError(str(error)) from error


class _NoChance:
    """A stand-in for `random`."""

    def choice(self, _: Sequence[str]) -> str:
        return NONE


def no_option_by_chance() -> None:
    """Take an answer that not even the judge can place for wrong.

    ``utils/multiple_choice.py:405`` then draws an option, unseeded.
    """
    from vlmeval.dataset.utils import multiple_choice

    multiple_choice.rd = _NoChance()


def judges_see_the_options() -> None:
    """Show a judge of Video-MME and WorldSense the options.

    ``utils/videomme.py:120`` and ``utils/worldsense.py:217`` look for them in the question, but
    they are in ``candidates``: the judge is asked about none, and what it says names none.
    """
    from vlmeval.dataset.utils import videomme, worldsense

    def mended(theirs: Callable[..., str]) -> Callable[..., str]:
        def extract_option(model: Any, input_item: dict[str, Any], dataset_name: str) -> str:
            if model is not None:
                input_item = input_item | _lettered(input_item["candidates"])
            return theirs(model, input_item, dataset_name)

        return extract_option

    for module in (videomme, worldsense):
        module.extract_option = mended(module.extract_option)


def _lettered(candidates: str) -> dict[str, str]:
    matches = (re.match(r"\s*([A-Z])[.):]\s*(.*)", text, re.S) for text in _literal(candidates))
    return {match[1]: match[2] for match in matches if match}


def captions_are_compared_with_care() -> None:
    """Let a caption that is not ``Label X: words`` fail to match, not end the evaluation.

    ``utils/tempcompass.py:71`` and ``:91`` take a second part for granted wherever they split.
    """
    from vlmeval.dataset.utils import tempcompass

    theirs = tempcompass.eval_rule_caption_matching

    def eval_rule_caption_matching(line: Any) -> Any:
        try:
            return theirs(line)
        except IndexError:
            return "fail"

    tempcompass.eval_rule_caption_matching = eval_rule_caption_matching


def marks_are_found() -> None:
    """Read the marks of MLVU's open answers however a judge closes its JSON.

    ``utils/mlvu.py:80`` takes a mark to end at the next comma: ``5}`` and a line break after it, or
    a sentence, is a ``ValueError`` after every answer has been judged; ``nan`` or 50 are marks.
    """
    from vlmeval.dataset.utils import mlvu

    def mended(theirs: Callable[[str], list[float]], keys: Sequence[str]) -> Callable[..., Any]:
        def extract_scores(text: str) -> list[float]:
            try:
                marks = theirs(text)
            except ValueError:
                marks = []
            if len(marks) < len(keys) or not all(map(math.isfinite, marks)):
                marks = [mark for key in keys for mark in _last_number(key, text)]
            return [min(max(mark, 0.0), 5.0) for mark in marks]

        return extract_scores

    mlvu.extract_scores_summary = mended(
        mlvu.extract_scores_summary, ("score_completeness", "score_reliability")
    )
    mlvu.extract_scores_sub_scene = mended(
        mlvu.extract_scores_sub_scene, ("score_accuracy", "score_relevance")
    )


def _last_number(key: str, text: str) -> list[float]:
    return [float(n) for n in re.findall(key + r"\W{1,9}([0-9]{1,9}(?:\.[0-9]{1,9})?)", text)[-1:]]


def rows_count_from_zero(frame: Any) -> None:
    """Number a table's rows as they stand, each part of a dataset by itself.

    ``mvbench.py:415``, ``mlvu.py:255``, ``worldsense.py:333`` and ``tempcompass.py:254`` take the
    index for the position: of rows 1 and 3 they make a third one, or raise.
    """
    if "original_index" in frame:
        frame["original_index"] = frame.groupby("SUB_DATASET").cumcount()
    frame["index"] = range(len(frame))


@contextlib.contextmanager
def our_judge_is_asked(model: Asked) -> Iterator[None]:
    """Have VLMEvalKit ask `model`, whatever judge it builds.

    ``mlvu.py:420`` insists on gpt-4-0125 and still names its files after another, ``tempcompass.py:
    218`` asks at temperature 1, and ``judge_util.py:17`` reads keys from a file among its modules.
    """
    from vlmeval import dataset

    def build_judge(system_prompt: str = "", **_: object) -> Asked:
        return model.under(system_prompt)

    modules = (
        dataset.image_mcq, dataset.image_vqa, dataset.image_yorn, dataset.videomme,
        dataset.worldsense, dataset.mvbench, dataset.mlvu, dataset.tempcompass,
    )  # fmt: skip
    before = [module.build_judge for module in modules]
    try:
        for module in modules:
            module.build_judge = build_judge
        yield
    finally:
        for module, theirs in zip(modules, before, strict=True):
            module.build_judge = theirs


def no_verdict_is_none(text: str) -> str:
    """Take a judge's empty answer for "none of them".

    An empty answer is read back from a table as ``nan``, which is then found in an option ``a``
    (``utils/mathvista.py:85``), and is minus one right answer in TempCompass (``utils/tempcompass.
    py:139``). VLMEvalKit's own words of failure have it ask again.
    """
    if not text.strip() or "Failed to obtain answer via API" in text:
        return NONE
    return _UNWRITABLE.sub("\ufffd", text)


_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


# --------------------------------------------------------------------------------------------------
# Our value alone: names found in `deviations`
# --------------------------------------------------------------------------------------------------


def failure_is_no_answer(text: str) -> bool:
    """Whether VLMEvalKit takes a prediction for a failure of its own.

    It counts such a one as -1: minus one right answer in MLVU (``utils/mlvu.py:187``), and a right
    one in MVBench (``utils/mvbench.py:21``). It is a wrong answer.
    """
    return FAILURE in text


def a_mark_is_no_answer(text: str) -> bool:
    """Whether a prediction begins with a word without letters or digits, or with nothing at all.

    ``utils/mvbench.py:64`` looks for the first word, less full stops, within ``(a)``: ``.``, ``(``
    and a blank are in every option, and right. What follows decides here.
    """
    return not any(map(str.isalnum, text.lower().strip().split(" ")[0]))


def words_can_be_right(same: bool) -> float:
    """Count an answer that is the expected one, in words or in a list as well.

    ``utils/mathvista.py:97`` compares ``str(None)`` with the answer wherever it is neither a number
    nor a choice, so that none is ever right but the answer ``None`` always; and it takes ``14.`` or
    ``1,000`` from a judge for no number. MathVista's authors compare what was found.
    """
    return float(same)
