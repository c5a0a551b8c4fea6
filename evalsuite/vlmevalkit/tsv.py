"""Read tables of questions and validate them before VLMEvalKit uses them."""

from __future__ import annotations

import ast
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from vlmeval.smp import load

from evalsuite.errors import nearest
from evalsuite.system.text import first_few
from evalsuite.vlmevalkit.client import KitError

Row = Mapping[str, Any]

SUFFIXES = (".tsv", ".csv")


def read_table(
    path: Path, filled: Sequence[str], present: Sequence[str] = (), *, strict: bool = True
) -> Any:
    """Read a table; raises `KitError`.

    The columns `filled` must exist without missing values, and the columns `present` must exist. An
    index, if there is one, must be unique. `strict`: see `count_rows`.
    """
    if not path.is_file():
        raise KitError("data", f"{path}: no such file")
    if path.suffix not in SUFFIXES:
        raise KitError(
            "data", f"{path}: expected a .tsv, .csv or .jsonl file; convert it to one of these"
        )
    rows = count_rows(path) if strict else None
    try:
        data = load(str(path))
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        kind = "tab" if path.suffix == ".tsv" else "comma"
        raise KitError("data", f"{path}: {error} (expected: {kind}-separated, UTF-8)") from error
    if rows not in (None, len(data)):
        raise KitError("data", f"{path}: has {rows} rows, but pandas reads {len(data)} of them")
    require_columns(data, filled, path)
    missing = [column for column in present if column not in data]
    if missing:
        raise KitError("data", f"{path}: no column {first_few([repr(name) for name in missing])}")
    if "index" in data:
        require_columns(data, ("index",), path)
        if pd.api.types.is_float_dtype(data["index"]):
            broken = [str(number) for number in data["index"] if not number.is_integer()]
            shown = first_few(broken or [str(data["index"].iloc[0])])
            raise KitError(
                "data",
                f"{path}: index {shown} is a decimal number; use whole numbers 0, 1, 2, … or texts",
            )
        duplicates = list(data["index"][data["index"].duplicated()].astype(str).unique())
        if duplicates:
            raise KitError("data", f"{path}: duplicate index {first_few(duplicates)}")
    return data


def count_rows(path: Path) -> int:
    """Count the rows of a table; raises `KitError` with the line where pandas would misread it.

    pandas silently joins the rows between two stray quotes, fills short rows, and renames columns
    with equal names.
    """
    delimiter = "\t" if path.suffix == ".tsv" else ","
    pending: list[str] = []
    """Lines of the current row."""
    csv.field_size_limit(sys.maxsize)
    with path.open("rb") as raw:
        reader = csv.reader(_decoded(raw, path, pending), delimiter=delimiter, strict=True)
        line, rows, header = 1, 0, None
        try:
            for cells in reader:
                if header is None:
                    header = _header(cells, path)
                elif cells:
                    _check_row(cells, pending, len(header), delimiter, f"{path}: line {line}")
                    rows += 1
                line += len(pending)
                pending.clear()
        except csv.Error as error:
            problem = _CARRIAGE_RETURN if "new-line" in str(error) else _STRAY_QUOTE
            raise KitError("data", f"{path}: line {line} has {problem}") from None
    return rows


_STRAY_QUOTE = (
    'a cell that begins with a quote (") and does not end with one; enclose the cell in quotes and '
    'double the quotes inside it: """Stop"" sign?"'
)

_CARRIAGE_RETURN = "a carriage return outside quotes; save the table with Unix line ends"


def _decoded(lines: Iterable[bytes], path: Path, pending: list[str]) -> Iterator[str]:
    """Decode `lines`, and keep those of the current row in `pending`."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise KitError(
                "data", f"{path}: line {number} is not UTF-8 text; save the table as UTF-8"
            ) from None
        if "\0" in text:
            raise KitError("data", f"{path}: line {number} contains a NUL character; remove it")
        pending.append(text)
        yield text


def _header(cells: list[str], path: Path) -> list[str]:
    twice = [name for name, count in Counter(filter(None, cells)).items() if count > 1]
    if twice:
        raise KitError("data", f"{path}: two columns '{twice[0]}'; remove or rename one")
    return cells


def _check_row(
    cells: list[str], lines: list[str], columns: int, delimiter: str, where: str
) -> None:
    if len(cells) != columns:
        raise KitError("data", f"{where} has {len(cells)} cells, but the header has {columns}")
    # Each line of a cell with line breaks would be a row of its own.
    if (
        columns > 1
        and len(lines) > 1
        and {line.count(delimiter) for line in lines} == {columns - 1}
    ):
        raise KitError("data", f"{where} joins {len(lines)} rows: it has {_STRAY_QUOTE}")


def require_columns(data: Any, columns: Sequence[str], path: Path) -> None:
    """Raise `KitError` if any of `columns` is missing or has missing values."""
    missing = [column for column in columns if column not in data]
    if missing:
        close = nearest(missing[0], map(str, data.columns)) if len(missing) == 1 else ""
        names = first_few([repr(name) for name in missing])
        raise KitError("data", f"{path}: no column {names}{close}")
    for column in columns:
        # Report row numbers, since a cell may span several lines of the file.
        empty = [str(i + 1) for i, missing in enumerate(data[column].isna()) if missing]
        if empty:
            raise KitError("data", f"{path}: no {column} in row {first_few(empty)}")


def listed_texts(cell: Any) -> list[str]:
    """Return the texts in a cell with a list, or the cell's single text."""
    if isinstance(cell, str) and cell.startswith("["):
        try:
            cell = ast.literal_eval(cell)
        except (SyntaxError, ValueError):
            return [cell]
    return [str(item) for item in cell] if isinstance(cell, list) else [str(cell)]


def cell_seconds(cell: Any) -> float | None:
    """Return a time in seconds, or None for an empty cell; raises `ValueError`."""
    if cell is None or cell != cell or cell == "":
        return None
    return float(cell)


def cell_text(cell: Any) -> str:
    """Return a cell's text, empty for an empty cell."""
    return "" if cell is None or cell != cell else str(cell)
