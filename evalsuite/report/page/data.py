"""Files of the browser of samples: an index, texts in chunks, and a search index.

Pure. Rows are those of `evalsuite.report.model.join_samples`, numbered from 0; runs are columns.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.report.model.join_samples import (
    Row,
    is_empty,
    is_failed,
    is_truncated,
    is_unparsed,
    known,
)
from evalsuite.runs.records import SampleScore

CHUNK_ROWS = 500
"""Most rows in a file of texts."""
CHUNK_CHARACTERS = 100_000
"""Most characters in a file of texts, so that it loads quickly."""
SEARCH_CHARACTERS = 2_000_000
"""Approximate size of a file of the search index."""
SEARCHED_QUESTION, SEARCHED_ANSWER = 1000, 500
"""Searched characters of a question, and of a target or prediction."""
SHOWN_FRAMES = 6
"""Most frames of a video that are shown: the first, the last and evenly spaced ones."""
SHOWN_IMAGES = 24
"""Most images of one question that are shown."""

FAILED, UNPARSED, EMPTY, TRUNCATED, UNSCORED, BLANK = 1, 2, 4, 8, 16, 32
"""Flags of a prediction; `BLANK`: the run does not have the sample."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as a page shows it."""

    source: str
    """Relative address, or a ``file:`` address; empty if the image cannot be shown."""
    why: str = ""
    """Why it cannot be shown."""


def scripts(
    rows: Sequence[Row],
    labels: Sequence[str],
    pictures: Mapping[str, Picture],
    *,
    stem: str,
    video: bool,
) -> Iterator[tuple[str, str]]:
    """Yield `rows` as scripts: names, which begin with `stem`, and texts; the index is last.

    An image that is not in `pictures` is not shown.
    """
    starts = []
    for number, start, stop in _chunks(rows):
        starts.append(start)
        name = f"{stem}/{number:04}"
        yield name, to_script(name, _texts(rows[start:stop], pictures, video=video))
    searched = 0
    cut = 0
    for number, (texts, longer) in enumerate(_search(rows), start=1):
        name = f"{stem}/search-{number:04}"
        yield name, to_script(name, texts)
        searched, cut = number, cut + longer
    name = f"{stem}/index"
    yield name, to_script(name, _index(rows, labels, starts, searched, cut))


def media_of(row: Row) -> Sequence[str]:
    """Return the images or frames of a sample; a blind run has none, other runs of it may."""
    return next((s.media for s in row if s is not None and s.media), ())


def shown(media: Sequence[str], *, video: bool) -> list[str]:
    """Select the images or frames of a sample that are shown."""
    limit = SHOWN_FRAMES if video else SHOWN_IMAGES
    if len(media) <= limit or not video:
        return list(media[:limit])
    last = len(media) - 1
    return [media[round(step * last / (limit - 1))] for step in range(limit)]


def _index(
    rows: Sequence[Row], labels: Sequence[str], starts: Sequence[int], searched: int, cut: int
) -> dict[str, Any]:
    """Return the index: the values that filters use, a list a field."""
    columns = [[row[index] for row in rows] for index in range(len(labels))]
    return {
        "runs": list(labels),
        "starts": list(starts),
        "ids": [known(row).id for row in rows],
        "values": [[0 if s is None else round(s.value, 4) for s in column] for column in columns],
        "flags": [[BLANK if s is None else _flags(s) for s in column] for column in columns],
        "facets": list(_facets([known(row) for row in rows])),
        "searched": searched,
        "cut": cut,
        "limits": [SEARCHED_QUESTION, SEARCHED_ANSWER],
    }


def _flags(sample: SampleScore) -> int:
    return (
        FAILED * is_failed(sample)
        | UNPARSED * is_unparsed(sample)
        | EMPTY * is_empty(sample)
        | TRUNCATED * is_truncated(sample)
        | UNSCORED * (not sample.counts)
    )


def _facets(samples: Sequence[SampleScore]) -> Iterator[dict[str, Any]]:
    """Yield the fields by which samples are grouped and that have several values."""
    groups = [dict(sample.groups) for sample in samples]
    for column in dict.fromkeys(itertools.chain.from_iterable(groups)):
        texts = [known.get(column, "none") for known in groups]
        values = sorted(set(texts))
        if len(values) > 1:
            code = {value: index for index, value in enumerate(values)}
            yield {
                "name": column or "category",
                "values": values,
                "codes": [code[text] for text in texts],
            }


def _chunks(rows: Sequence[Row]) -> Iterator[tuple[int, int, int]]:
    """Yield number, first row and end row of each file of texts."""
    number, start, size = 1, 0, 0
    for index, row in enumerate(rows):
        size += _length(row)
        if index > start and (index - start == CHUNK_ROWS or size > CHUNK_CHARACTERS):
            yield number, start, index
            number, start, size = number + 1, index, _length(row)
    if rows:
        yield number, start, len(rows)


def _length(row: Row) -> int:
    sample = known(row)
    answers = sum(len(s.prediction) + len(s.error or "") for s in row if s is not None)
    return len(sample.question) + len(sample.target) + answers


def _texts(
    rows: Sequence[Row], pictures: Mapping[str, Picture], *, video: bool
) -> dict[str, list[Any]]:
    """Return the texts of `rows`; each image is listed once."""
    numbers: dict[str, int] = {}
    texts = []
    for row in rows:
        sample = known(row)
        media = media_of(row)
        there = [path for path in shown(media, video=video) if path in pictures]
        images = [numbers.setdefault(path, len(numbers)) for path in there]
        answers = [None if s is None else [s.prediction, s.error or ""] for s in row]
        texts.append(
            [sample.question, sample.target, answers, images, len(media), sample.prompt_digest]
        )
    seen = [[pictures[path].source, pictures[path].why] for path in numbers]
    return {"rows": texts, "images": seen}


def _search(rows: Sequence[Row]) -> Iterator[tuple[list[str], int]]:
    """Yield the searched texts of each file, in lower case, and the number of truncated rows."""
    part: list[str] = []
    size = longer = 0
    for row in rows:
        text, cut = _searched(row)
        part.append(text)
        size += len(text)
        longer += cut
        if size > SEARCH_CHARACTERS:
            yield part, longer
            part, size, longer = [], 0, 0
    if part:
        yield part, longer


def _searched(row: Row) -> tuple[str, bool]:
    sample = known(row)
    answers = [sample.target]
    answers += [text for s in row if s is not None for text in (s.prediction, s.error or "")]
    cut = len(sample.question) > SEARCHED_QUESTION or max(map(len, answers)) > SEARCHED_ANSWER
    pieces = [sample.id, sample.question[:SEARCHED_QUESTION]]
    pieces += [text[:SEARCHED_ANSWER] for text in answers]
    plain = (" ".join(piece.split()).lower() for piece in pieces)
    return "\n".join(dict.fromkeys(piece for piece in plain if piece)), cut


_UNSAFE = re.compile("['<>&\u2028\u2029\u007f-\u009f\ud800-\udfff]")
"""Characters that end a string or a line, begin markup, or cannot be encoded."""


def to_script(name: str, value: Any) -> str:
    """Return the script that passes `value` to the page as the file `name`.

    A page that was opened from disk can load data from scripts only. The JSON is a string, which is
    parsed and not run, so that no text in it becomes code and no key becomes ``__proto__``. `name`
    has only letters, digits and ``._/-``.
    """
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # JSON has no raw control characters below U+0020.
    escaped = plain.replace("\\", "\\\\")
    quoted = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)
    return f"evalsuite.take('{name}','{quoted}');\n"
