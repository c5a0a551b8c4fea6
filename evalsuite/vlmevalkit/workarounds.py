"""Workarounds for VLMEvalKit 0.0.20: one function for each defect.

Each function names the upstream line and has a test that shows the defect. When upstream fixes it,
the test fails and the workaround is removed. All take effect in the kit process only.
`scoring_workarounds` contains those for scoring rules. docs/evidence/differences.md also lists the
defects that need no function, because neighbouring modules avoid the code.
"""

from __future__ import annotations

import abc
import functools
import string
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from evalsuite.vlmevalkit import scoring_workarounds

NA_VALUES_AS_TEXT = "na-values-as-text"
EMPTY_IS_WRONG = "empty-prediction-is-wrong"
"""Deviations, see `keep_na_texts` and `prediction_cell`."""

EMPTY_PLACEHOLDERS = ("∅", "⌀", "\ufffd")
"""Replacements for an empty prediction in a table; the first that scores 0 is used."""

MISSING_LABEL = "none"

TEXT_COLUMNS = (
    "question", "answer", "prediction", "res", "hint", "video", "image_path", "candidates",
    "choices", "answer_option", "question_type", "answer_type", "split", "category", "l2-category",
    "task", "task_type", "task_domain", "dim", "domain", "sub_category", "mc_question", "mc_answer",
    "scoring_points", *string.ascii_uppercase,
)  # fmt: skip
"""Columns that are always text, even if all their values look like numbers."""


def apply() -> None:
    """Apply the workarounds to the imported VLMEvalKit, in this process."""
    keep_na_texts()
    score_in_one_process()
    save_results_once()
    allow_concat_datasets()
    scoring_workarounds.apply()


_TEXT_OPTIONS: dict[str, Any] = {
    "keep_default_na": False,
    "na_values": [""],
    "dtype": dict.fromkeys(TEXT_COLUMNS, str),
}


def keep_na_texts() -> None:
    """Read ``None``, ``N/A``, ``nan`` and ``007`` as texts.

    ``smp/file.py:load`` uses pandas' defaults: an option ``None`` disappears from the prompt, a
    prediction ``None`` becomes ``nan`` and is then found in an option's text, ``007`` becomes 7,
    and one missing value in a column of digits turns ``5`` into ``5.0``.
    """
    import pandas
    import vlmeval.smp.file

    read_csv = functools.partial(pandas.read_csv, **_TEXT_OPTIONS)
    vlmeval.smp.file.pd = SimpleNamespace(**vars(pandas) | {"read_csv": read_csv})


def score_in_one_process() -> None:
    """Score open questions without forking 16 processes.

    ``dataset/image_vqa.py:87`` forks them for any number of samples, from a process with threads,
    and never closes the pool.
    """
    import vlmeval.dataset.image_vqa

    pool = SimpleNamespace(map=lambda function, items: [function(item) for item in items])
    vlmeval.dataset.image_vqa.mp = SimpleNamespace(Pool=lambda *_: pool)


def save_results_once() -> None:
    """Write results once at the end, not after each sample.

    ``utils/mp_util.py:72`` pickles all results after every sample: quadratic, gigabytes for some
    thousand samples.
    """
    from vlmeval.dataset import image_vqa, image_yorn, mlvu, tempcompass
    from vlmeval.dataset.utils import multiple_choice
    from vlmeval.smp import dump

    def run_serially(
        function: Callable[..., Any], tasks: Sequence[Any], *, save: str, keys: Sequence[Any],
        **_: object
    ) -> list[Any]:  # fmt: skip
        results = [
            function(**task) if isinstance(task, dict) else function(*task) for task in tasks
        ]
        dump(dict(zip(keys, results, strict=True)), save)
        return results

    for module in (multiple_choice, image_vqa, image_yorn, mlvu, tempcompass):
        module.track_progress_rich = run_serially


def pad_short_images(data: Any) -> None:
    """Let an image that is too short fail only its own sample, not the benchmark.

    ``dataset/image_base.py:168`` treats any text of up to 64 characters as another row's index and
    asserts that it exists. Base64 ignores the added spaces.
    """
    if "image" not in data:
        return
    rows = dict(zip(map(str, data["index"]), data["image"], strict=True))

    def padded(image: Any) -> Any:
        if not isinstance(image, str) or len(image) > 64 or len(str(rows.get(image, ""))) > 64:
            return image
        return image.ljust(65)

    data["image"] = [padded(image) for image in data["image"]]


def fill_missing_labels(data: Any) -> None:
    """Give rows without a category the category ``none``.

    ``dataset/utils/multiple_choice.py:95`` sorts categories, which raises ``TypeError`` if one is
    missing. A missing ``split`` gives the score nan.
    """
    for column in ("category", "l2-category", "split"):
        if column in data:
            data[column] = [MISSING_LABEL if text != text else str(text) for text in data[column]]


def allow_concat_datasets() -> None:
    """Make MLVU and TempCompass instantiable.

    ``dataset/video_concat_dataset.py`` leaves ``prepare_dataset`` abstract, although its parts
    prepare themselves, so both constructors raise ``TypeError``.
    """
    from vlmeval.dataset import MLVU, TempCompass
    from vlmeval.dataset.video_concat_dataset import ConcatVideoDataset

    ConcatVideoDataset.prepare_dataset = lambda *_: None
    for kind in (ConcatVideoDataset, MLVU, TempCompass):
        abc.update_abstractmethods(kind)


def at_least_one_frame(indices: list[int]) -> list[int]:
    """Show the first frame of a video that is too short for any frame.

    ``dataset/videomme.py:176`` uses ``int(seconds * fps)`` frames: none for a clip under a second
    at 1 fps, so the question is asked without an image.
    """
    return indices or [0]


def check_video_is_complete(found: int, declared: int) -> None:
    """Raise `ValueError` if a file contains far fewer frames than it declares.

    decord reads the available part of a truncated mp4 whose index comes first, and VLMEvalKit shows
    it as the complete video. Editing can also cause small differences, so up to 10 % may be
    missing.
    """
    if found < 0.9 * declared:
        raise ValueError(f"truncated: it contains {found} of {declared} frames")


def restore_frame_shape(pixels: Any) -> Any:
    """Return a frame as uint8, (height, width, 3), where decord mistakes padded rows for channels.

    For videos 24, 48 and 72 pixels wide, among others, it returns more than three channels, whose
    bytes are rows followed by padding. VLMEvalKit then raises when it writes them
    (``video_base.py``).
    """
    height, width, channels = pixels.shape
    if channels == 3:
        return pixels
    return pixels.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def prediction_cell(
    text: str, wrong: Callable[[str], bool] = bool, placeholders: Sequence[str] = EMPTY_PLACEHOLDERS
) -> str:
    """Return `text` as a table cell; replace an empty text by a placeholder that is `wrong`.

    An empty cell is read as ``nan`` (``smp/file.py:load``), which some rules count as right. Half
    of a surrogate pair cannot be written at all (``smp/file.py:dump`` then leaves an unreadable
    pickle).
    """
    if text.strip() or (text and wrong(text)):
        return scoring_workarounds.UNWRITABLE.sub("\ufffd", text)
    return next(filter(wrong, placeholders), placeholders[0])
