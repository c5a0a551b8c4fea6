"""What we do differently from VLMEvalKit 0.0.20, one function a defect, and why.

Each names the upstream line, and has a test that shows the defect: the day upstream mends it, the
test fails and the entry goes. Everything here acts in the kit process only. What concerns the
rules of scoring is in `rule_mends`.

Some defects need no function, because of how the neighbouring modules read, keep, ask and score:

* a changed TSV is shown with its old images, which are kept by index (``image_base.py:279``), and
  is downloaded anew if its md5 is not upstream's (``image_base.py:229``): `datasets`, `media`;
* frames are kept by the video's name and the dataset's folder must be writable for a lock
  (``videomme.py:185``), and all frames of an hour are decoded to show 64: `media`;
* so two clips of one video, or two videos of one name in different folders, show the frames of
  whichever came first (``mvbench.py:266``, ``:555``, ``mlvu.py:163``): `media` keeps them by
  content and bounds;
* an animation of fewer frames than are asked for is shown as its first pictures' colour channels,
  each as a grey picture (``mvbench.py:245``, ``:275``): `clips` shows the frames asked for;
* names of files are made by replacing ``.tsv`` anywhere in a path (``smp/file.py:701``), and
  scores found beside a prediction file are taken for its own (``multiple_choice.py:477``,
  ``image_yorn.py:52``, ``videomme.py:247``): `scoring` works in a new folder, by relative names;
* OCRBench's score is a tenth of the hits, for any number of samples (``image_vqa.py:565``):
  `scoring` divides;
* frames of WorldSense, and of any video under the older SmolVLM class, are all shown and each is
  cut into 13 tiles or so (``vlm/smolvlm.py:84``, ``:456``), but whatever is asked after another
  video set is not cut at all (``:512``): `prompts.build` has images cut and frames never, in any
  order, and `media` shows 64 frames at most;
* the words for MMBench, MathVista, ChartQA, DocVQA and TextVQA have one ``<image>`` however many
  images there are, and the processor then raises (``vlm/smolvlm.py:692``, ``:760``, ``:780``,
  ``:807``, ``:826``): `formats` puts one in front for each image;
* a hint whose question or choices are missing, or there twice, raises (``vlm/smolvlm.py:703``):
  `formats` splits at the first of each, and leaves words without them in their order;
* of TempCompass_MCQ a sentence is swapped that of Video-MME is swapped only beside ``Options:``
  (``vlm/smolvlm.py:616``): `formats` treats both as Video-MME. No words of either that VLMEvalKit
  makes have the sentence.
"""

from __future__ import annotations

import abc
import re
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from evalsuite.vlmevalkit import scoring_workarounds

EMPTY = ("∅", "⌀", "\ufffd")
"""What stands for an empty prediction in a table: the first that is wrong."""

UNLABELLED = "none"

TEXT_COLUMNS = (
    "question", "answer", "prediction", "res", "hint", "video", "image_path", "candidates",
    "choices", "answer_option", "question_type", "answer_type", "split", "category", "l2-category",
    "task", "task_type", "task_domain", "dim", "domain", "sub_category", "mc_question", "mc_answer",
    "scoring_points", *string.ascii_uppercase,
)  # fmt: skip
"""Columns that are words even where all of a table's words look like numbers."""


def apply() -> None:
    """Mend the imported VLMEvalKit, in this process."""
    tables_keep_their_words()
    rules_run_in_turn()
    results_are_saved_once()
    sets_of_datasets_can_be_built()
    scoring_workarounds.apply()


class _Pandas:
    """pandas, but tables are read as they were written."""

    def __getattr__(self, name: str) -> Any:
        import pandas

        return getattr(pandas, name)

    def read_csv(self, *args: Any, **kwargs: Any) -> Any:
        import pandas

        return pandas.read_csv(*args, **(_AS_WRITTEN | kwargs))


_AS_WRITTEN: dict[str, Any] = {
    "keep_default_na": False,
    "na_values": [""],
    "dtype": dict.fromkeys(TEXT_COLUMNS, str),
}


def tables_keep_their_words() -> None:
    """Read ``None``, ``N/A``, ``nan`` and ``007`` as the words they are.

    ``smp/file.py:load`` reads with pandas' defaults: an option ``None`` vanishes from the prompt, a
    prediction ``None`` becomes ``nan`` and is then found in an option's text, ``007`` becomes 7,
    and one hole in a column of digits turns ``5`` into ``5.0``.
    """
    import vlmeval.smp.file

    vlmeval.smp.file.pd = _Pandas()


class _InTurn:
    """A stand-in for `multiprocessing` whose pool works in this process."""

    def Pool(self, *_: object) -> _InTurn:  # noqa: N802 - multiprocessing's name
        return self

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [function(item) for item in items]


def rules_run_in_turn() -> None:
    """Score open questions without forking 16 processes.

    ``dataset/image_vqa.py:87`` forks them for any number of samples, from a process that has
    threads, and never closes the pool.
    """
    import vlmeval.dataset.image_vqa

    vlmeval.dataset.image_vqa.mp = _InTurn()


def results_are_saved_once() -> None:
    """Write results when all are there, not after each.

    ``utils/mp_util.py:72`` pickles everything so far after every sample: quadratic, gigabytes for
    some thousand samples.
    """
    from vlmeval.dataset import image_vqa, image_yorn, mlvu, tempcompass
    from vlmeval.dataset.utils import multiple_choice
    from vlmeval.smp import dump

    def in_turn(
        function: Callable[..., Any], tasks: Sequence[Any], *, save: str, keys: Sequence[Any],
        **_: object
    ) -> list[Any]:  # fmt: skip
        results = [
            function(**task) if isinstance(task, dict) else function(*task) for task in tasks
        ]
        dump(dict(zip(keys, results, strict=True)), save)
        return results

    for module in (multiple_choice, image_vqa, image_yorn, mlvu, tempcompass):
        module.track_progress_rich = in_turn


def short_images_reach_their_sample(data: Any) -> None:
    """Let an image too short to be one break its own sample, not the benchmark.

    ``dataset/image_base.py:168`` takes any text of up to 64 characters for another row's index and
    asserts that there is one. Spaces do not matter to base64.
    """
    if "image" not in data:
        return
    rows = dict(zip(map(str, data["index"]), data["image"], strict=True))

    def padded(image: Any) -> Any:
        if not isinstance(image, str) or len(image) > 64 or len(str(rows.get(image, ""))) > 64:
            return image
        return image.ljust(65)

    data["image"] = [padded(image) for image in data["image"]]


def labels_are_words(data: Any) -> None:
    """Call a row without a category ``none``.

    ``dataset/utils/multiple_choice.py:95`` sorts the categories, and a hole among words cannot be
    sorted: ``TypeError`` instead of a score. A hole in ``split`` scores as nan.
    """
    for column in ("category", "l2-category", "split"):
        if column in data:
            data[column] = [UNLABELLED if text != text else str(text) for text in data[column]]


def sets_of_datasets_can_be_built() -> None:
    """Let MLVU and TempCompass be built.

    ``dataset/video_concat_dataset.py`` leaves ``prepare_dataset`` abstract, though its parts
    prepare themselves: ``TypeError`` from either's constructor.
    """
    from vlmeval.dataset import MLVU, TempCompass
    from vlmeval.dataset.video_concat_dataset import ConcatVideoDataset

    ConcatVideoDataset.prepare_dataset = lambda *_: None
    for kind in (ConcatVideoDataset, MLVU, TempCompass):
        abc.update_abstractmethods(kind)


def at_least_one_frame(indices: list[int]) -> list[int]:
    """Show the first frame of a video too short for any.

    ``dataset/videomme.py:176`` takes ``int(seconds * fps)`` frames: none of a clip under a second
    at 1 fps, and the question is then asked without a picture.
    """
    return indices or [0]


def a_video_has_its_end(found: int, declared: int) -> None:
    """Raise `ValueError` for a file that ends long before the frames it says it has.

    decord reads what is there of an mp4 whose index stands in front, and VLMEvalKit shows that as
    the whole: the first minutes of a film that was not downloaded to its end. Where editing
    left out a few frames the two numbers differ a little as well.
    """
    if found < 0.9 * declared:
        raise ValueError(f"its end is cut off: {found} of {declared} frames are there")


def rows_are_not_channels(pixels: Any) -> Any:
    """Return a frame as uint8, (height, width, 3), where decord takes padded rows for channels.

    Of videos 24, 48 and 72 pixels wide, among others, it gives four channels and more, whose bytes
    are rows with some padding behind; VLMEvalKit then raises as it writes them (``video_base.py``).
    """
    height, width, channels = pixels.shape
    if channels == 3:
        return pixels
    return pixels.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def table_text(
    text: str, wrong: Callable[[str], bool] = bool, stand_ins: Sequence[str] = EMPTY
) -> str:
    """Return `text` as a table carries it; one without words as words that are `wrong`, if any are.

    An empty cell is read as ``nan`` (``smp/file.py:load``), which is a wrong answer here and a
    right one there; and half of a surrogate pair cannot be written at all (``smp/file.py:dump``
    then leaves a pickle, which nothing reads).
    """
    if text.strip() or (text and wrong(text)):
        return _UNWRITABLE.sub("\ufffd", text)
    return next(filter(wrong, stand_ins), stand_ins[0])


_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
