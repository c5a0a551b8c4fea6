"""What we do differently from VLMEvalKit 0.0.20, one function a defect, and why.

Each names the upstream line, and has a test that shows the defect: the day upstream mends it, the
test fails and the entry goes. Everything here acts in the kit process only.

Some defects need no function, because of how the neighbouring modules read, keep and score:

* a changed TSV is shown with its old images, which are kept by index (``image_base.py:279``), and
  is downloaded anew if its md5 is not upstream's (``image_base.py:229``): `datasets`, `media`;
* frames are kept by the video's name and the dataset's folder must be writable for a lock
  (``videomme.py:185``), and all frames of an hour are decoded to show 64: `media`;
* names of files are made by replacing ``.tsv`` anywhere in a path (``smp/file.py:701``), and
  scores found beside a prediction file are taken for its own (``multiple_choice.py:477``,
  ``image_yorn.py:52``, ``videomme.py:247``): `scoring` works in a new folder, by relative names;
* OCRBench's score is a tenth of the hits, for any number of samples (``image_vqa.py:565``):
  `scoring` divides.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any

EMPTY = ("∅", "⌀", "\ufffd")
"""What stands for an empty prediction in a table: the first that scores as nothing does."""

UNLABELLED = "none"

TEXT_COLUMNS = (
    "question", "answer", "prediction", "hint", "video", "image_path", *string.ascii_uppercase
)  # fmt: skip
"""Columns that are words even where all of a table's words look like numbers."""


def apply() -> None:
    """Mend the imported VLMEvalKit, in this process."""
    tables_keep_their_words()
    rules_run_in_turn()
    results_are_saved_once()


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
    """Write multiple-choice results when all are there, not after each.

    ``utils/mp_util.py:72`` pickles everything so far after every sample: quadratic, gigabytes for
    some thousand samples.
    """
    import vlmeval.dataset.utils.multiple_choice as choice
    from vlmeval.smp import dump

    def in_turn(
        function: Callable[..., Any], tasks: Sequence[dict[str, Any]], *, save: str,
        keys: Sequence[Any], **_: object
    ) -> list[Any]:  # fmt: skip
        results = [function(**task) for task in tasks]
        dump(dict(zip(keys, results, strict=True)), save)
        return results

    choice.track_progress_rich = in_turn


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


def at_least_one_frame(indices: list[int]) -> list[int]:
    """Show the first frame of a video too short for any.

    ``dataset/videomme.py:176`` takes ``int(seconds * fps)`` frames: none of a clip under a second
    at 1 fps, and the question is then asked without a picture.
    """
    return indices or [0]


def table_text(text: str, value: Callable[[str], float], target: float) -> str:
    """Return `text` as a table carries it, by words that score `target` if any do.

    An empty cell is read as ``nan`` (``smp/file.py:load``), and half of a surrogate pair cannot
    be written at all (``smp/file.py:dump`` then leaves a pickle, which nothing reads).
    """
    if not text:
        return next((word for word in EMPTY if value(word) == target), EMPTY[0])
    return _UNWRITABLE.sub("\ufffd", text)


_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
