"""Read tables of questions and validate them before VLMEvalKit uses them."""

from __future__ import annotations

import ast
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import vlmeval.smp.file
from vlmeval.smp import load

from evalsuite.errors import nearest
from evalsuite.system.text import first_few
from evalsuite.vlmevalkit import table_structure
from evalsuite.vlmevalkit.client import DataError

Row = Mapping[str, Any]

SUFFIXES = (".tsv", ".csv")


def read_table(
    path: Path, filled: Sequence[str], present: Sequence[str] = (), *, strict: bool = True
) -> Any:
    """Read a table; raises `KitError`.

    The columns `filled` must exist without missing values, and the columns `present` must exist. An
    index, if there is one, must be unique. `strict`: see `table_structure`.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: expected a .tsv, .csv or .jsonl file; convert it to one of these")
    structure = table_structure.inspect(path) if strict else None
    try:
        data = load(str(path)) if structure is None or structure.quoted else _unquoted(path)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        kind = "tab" if path.suffix == ".tsv" else "comma"
        raise DataError(f"{path}: {error} (expected: {kind}-separated, UTF-8)") from error
    if structure is not None and structure.rows != len(data):
        read = f"pandas reads {len(data)} of them"
        raise DataError(f"{path}: has {structure.rows} rows, but {read}")
    require_columns(data, filled, path)
    missing = [column for column in present if column not in data]
    if missing:
        raise DataError(f"{path}: no column {first_few([repr(name) for name in missing])}")
    if "index" in data:
        require_columns(data, ("index",), path)
        if pd.api.types.is_float_dtype(data["index"]):
            broken = [str(number) for number in data["index"] if not number.is_integer()]
            shown = first_few(broken or [str(data["index"].iloc[0])])
            raise DataError(
                f"{path}: index {shown} is a decimal number; use whole numbers 0, 1, 2, … or texts"
            )
        duplicates = list(data["index"][data["index"].duplicated()].astype(str).unique())
        if duplicates:
            raise DataError(f"{path}: duplicate index {first_few(duplicates)}")
    return data


def _unquoted(path: Path) -> Any:
    """Read a table whose quotes are text, with the options of `workarounds.keep_na_texts`."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    return vlmeval.smp.file.pd.read_csv(str(path), sep=delimiter, quoting=csv.QUOTE_NONE)


def require_columns(data: Any, columns: Sequence[str], path: Path) -> None:
    """Raise `KitError` if any of `columns` is missing or has missing values."""
    missing = [column for column in columns if column not in data]
    if missing:
        close = nearest(missing[0], map(str, data.columns)) if len(missing) == 1 else ""
        names = first_few([repr(name) for name in missing])
        raise DataError(f"{path}: no column {names}{close}")
    for column in columns:
        # Report row numbers, since a cell may span several lines of the file.
        empty = [str(i + 1) for i, missing in enumerate(data[column].isna()) if missing]
        if empty:
            raise DataError(f"{path}: no {column} in row {first_few(empty)}")


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
    return None if is_missing(cell) or cell == "" else float(cell)


def cell_text(cell: Any) -> str:
    """Return a cell's text, empty for an empty cell."""
    return "" if is_missing(cell) else str(cell)


def is_missing(cell: Any) -> bool:
    """Return whether a cell is empty."""
    return cell is None or cell != cell
