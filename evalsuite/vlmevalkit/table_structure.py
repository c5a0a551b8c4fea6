"""Whether a table has the rows and columns that its author meant.

pandas silently joins the rows between two stray quotes, removes quotes, fills short rows, and
renames columns with equal names.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evalsuite.vlmevalkit.client import DataError


@dataclass(frozen=True, slots=True)
class TableStructure:
    """How a table is to be read."""

    rows: int
    quoted: bool
    """Whether a quote at the start of a cell encloses it. Otherwise all quotes are text."""


class _StrayQuote(Exception):
    """A quote at the start of a cell that does not enclose it. The message ends an error."""


def inspect(path: Path) -> TableStructure:
    """Return the structure of a table; raises `DataError` with the line that has another one.

    A table with a stray quote is read without quoting, if each of its lines is then a row and no
    cell is enclosed in quotes.
    """
    try:
        return TableStructure(_count_rows(path, quoted=True), quoted=True)
    except _StrayQuote as stray:
        try:
            return TableStructure(_count_rows(path, quoted=False), quoted=False)
        except DataError:
            raise DataError(f"{path}: {stray}") from None


def _count_rows(path: Path, *, quoted: bool) -> int:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    pending: list[str] = []
    """Lines of the current row."""
    csv.field_size_limit(sys.maxsize)
    with path.open("rb") as raw:
        reader = csv.reader(
            _decoded(raw, path, pending),
            delimiter=delimiter,
            strict=True,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        )
        line, rows, columns = 1, 0, 0
        try:
            for cells in reader:
                if not columns:
                    columns = _count_columns(cells, path)
                elif cells:
                    _check_row(cells, columns, f"{path}: line {line}")
                    if quoted:
                        _check_lines(pending, columns, delimiter, line)
                    elif any(cell[:1] == cell[-1:] == '"' for cell in cells):
                        raise DataError(f"{path}: line {line} has an enclosed cell")
                    rows += 1
                line += len(pending)
                pending.clear()
        except csv.Error as error:
            if "new-line" in str(error):
                raise DataError(
                    f"{path}: line {line} has a carriage return; save with Unix line ends"
                ) from None
            raise _StrayQuote(f"line {line} has {_ADVICE}") from None
    return rows


_ADVICE = (
    'a cell that begins with a quote (") and does not end with one; enclose the cell in quotes and '
    'double the quotes inside it: """Stop"" sign?"'
)


def _decoded(lines: Iterable[bytes], path: Path, pending: list[str]) -> Iterator[str]:
    """Decode `lines`, and keep those of the current row in `pending`."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise DataError(
                f"{path}: line {number} is not UTF-8 text; save the table as UTF-8"
            ) from None
        if "\0" in text:
            raise DataError(f"{path}: line {number} contains a NUL character; remove it")
        pending.append(text)
        yield text


def _count_columns(cells: list[str], path: Path) -> int:
    twice = [name for name, count in Counter(filter(None, cells)).items() if count > 1]
    if twice:
        raise DataError(f"{path}: two columns '{twice[0]}'; remove or rename one")
    return len(cells)


def _check_row(cells: list[str], columns: int, where: str) -> None:
    if len(cells) != columns:
        raise DataError(f"{where} has {len(cells)} cells, but the header has {columns}")


def _check_lines(lines: list[str], columns: int, delimiter: str, first: int) -> None:
    """Raise `_StrayQuote` if each line of a row would be a row of its own."""
    alone = {line.count(delimiter) for line in lines} == {columns - 1}
    if alone and columns > 1 and len(lines) > 1:
        raise _StrayQuote(f"line {first} joins {len(lines)} rows: it has {_ADVICE}")
