"""Custom benchmarks: the JSONL format, and the VLMEvalKit class for each metric.

Each line is an object with ``question`` and ``answer`` (or ``answers``, a list); with ``image`` (a
path relative to the file, base64, or a list of these) or ``video`` (a path), plus ``start`` and
``end`` in seconds for a clip; with options ``A``, ``B``, … or a list ``choices`` or ``options``,
where the answer is a letter or an option's text; and optionally ``index``, ``category``, ``hint``,
``split`` as in VLMEvalKit's tables.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from evalsuite.benchmarks.media_references import MediaReferenceError, local_path
from evalsuite.errors import nearest
from evalsuite.system.text import one_line
from evalsuite.vlmevalkit.client import DataError

CLASSES: Mapping[str, str] = {
    "choice": "ImageMCQDataset",
    "yes-no": "ImageYORNDataset",
    "vqa-accuracy": "ImageVQADataset",
    "relaxed-accuracy": "ImageVQADataset",
    "anls": "ImageVQADataset",
    "exact-match": "ImageVQADataset",
    "ocr-contains": "OCRBench",
}
"""VLMEvalKit class by metric, for custom data; other metrics need a fixed schema."""

_OPTION_LISTS = ("choices", "options")


class _LineError(Exception):
    """An error in one line."""


def read_lines(path: Path, medium: str) -> Any:
    """Read a JSONL file as a table with VLMEvalKit's columns; raises `KitError`.

    Each line must have `medium`: ``image`` or ``video``. Images become lists.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    rows: list[dict[str, Any]] = []
    lines: dict[str, int] = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
            if not line.strip():
                continue
            row = {"index": str(len(rows))} | _row(line, medium, path.parent)
            first = lines.setdefault(row["index"], number)
            if first != number:
                raise _LineError(f"has the same index {row['index']} as line {first}; use another")
            rows.append(row)
    except _LineError as error:
        raise DataError(f"{path}: line {number} {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    if not rows:
        raise DataError(f"{path}: no lines; expected one JSON object per line")
    return pd.DataFrame(rows, dtype=object)


def _row(line: str, medium: str, folder: Path) -> dict[str, Any]:
    try:
        given = json.loads(line, object_pairs_hook=_without_duplicates, parse_constant=_no_number)
        line.encode()
        json.dumps(given, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _LineError("contains half a character (a lone surrogate); remove it") from error
    except (ValueError, RecursionError) as error:
        raise _LineError(f"is not JSON: {one_line(error)}") from error
    if not isinstance(given, dict):
        raise _LineError(
            'is not a JSON object; expected {"question": …, "answer": …}, one object a line'
        )
    given = {key: value for key, value in given.items() if value is not None}
    if medium not in given:
        other = "image" if medium == "video" else "video"
        hint = f"; for that, set 'modality: {other}'" if other in given else ""
        raise _LineError(f"has no '{medium}'{nearest(medium, given)}{hint}")
    if "answers" in given:
        if "answer" in given:
            raise _LineError("has both 'answer' and 'answers'; remove one")
        given["answer"] = given.pop("answers")
    for key in ("question", "answer"):
        if given.get(key, "") in ("", []):
            raise _LineError(f"has no '{key}'{nearest(key, set(given) - {key})}")
    media = given.pop(medium)
    for key, value in given.items():
        lists = ("answer", *_OPTION_LISTS)
        if any(
            isinstance(item, (dict, list)) for item in _items(value if key in lists else [value])
        ):
            raise _LineError(f"has a list or an object in '{key}'; expected a text")
    options = _options(given)
    row = {key: _cell(value) for key, value in given.items()} | options
    if options:
        row["answer"] = _letter(row["answer"], options)
    if medium == "video":
        return row | {"video": _video(media, folder)} | _clip_bounds(given)
    return row | {"image": _images(media)}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _LineError(f"has the key '{twice}' twice; remove one")
    return found


def _no_number(name: str) -> Any:
    raise _LineError(f"has the value {name}; write null for a missing value")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _cell(value: Any) -> str:
    return str([str(item) for item in value]) if isinstance(value, list) else str(value)


def _options(given: dict[str, Any]) -> dict[str, str]:
    """Remove the options from a line and return them by letter."""
    lists = [key for key in _OPTION_LISTS if key in given]
    lettered = {key: given.pop(key) for key in string.ascii_uppercase if key in given}
    if len(lists) + bool(lettered) > 1:
        named = [*lists, *lettered]
        raise _LineError(f"has several sets of options: {', '.join(named)}; keep one")
    if lists:
        texts = given.pop(lists[0])
        if not isinstance(texts, list) or not 2 <= len(texts) <= 26:
            raise _LineError(f"needs a list of 2 to 26 options in '{lists[0]}'")
        lettered = dict(zip(string.ascii_uppercase, texts, strict=False))
    return {letter: str(text) for letter, text in lettered.items()}


def _letter(answer: str, options: Mapping[str, str]) -> str:
    """Return the letter of the option with the letter or the text `answer`."""
    by_text = [letter for letter, text in options.items() if text == answer]
    if answer in options and by_text not in ([], [answer]):
        raise _LineError(
            f"has the answer '{answer}', a letter and also the text of option {by_text[0]}; "
            "use the letter and change the option's text"
        )
    if answer in options:
        return answer
    if len(by_text) != 1:
        count = "none" if not by_text else "several"
        shown = ", ".join(f"{letter} ({text})" for letter, text in options.items())
        raise _LineError(f"has the answer '{answer}', which equals {count} of its options {shown}")
    return by_text[0]


def _images(media: Any) -> list[str]:
    images = media if isinstance(media, list) else [media]
    if not images or not all(isinstance(image, str) and image for image in images):
        raise _LineError("needs a path, base64 or a list of these as 'image'")
    return images


def _video(media: Any, folder: Path) -> str:
    if not isinstance(media, str) or not media:
        raise _LineError("needs a path as 'video'")
    try:
        return str(local_path(media, folder)) if "://" in media else media
    except MediaReferenceError as error:
        raise _LineError(f"has the video {error}") from None


def _clip_bounds(given: Mapping[str, Any]) -> dict[str, float]:
    bounds = {key: given[key] for key in ("start", "end") if key in given}
    for key, value in bounds.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise _LineError(f"needs a number of seconds as '{key}', not {value!r}")
    if "end" in bounds and not bounds.get("start", 0) < bounds["end"]:
        raise _LineError("has a clip whose 'end' is not after its 'start'")
    return bounds
