"""Tables of questions, read and found complete before VLMEvalKit sees them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from vlmeval.smp import load

from evalsuite.errors import nearest
from evalsuite.system.text import first_few
from evalsuite.vlmevalkit.client import KitError

Row = Mapping[str, Any]

SUFFIXES = (".tsv", ".csv")


def read(path: Path, filled: Sequence[str], present: Sequence[str] = ()) -> Any:
    """Read a table; raises `KitError`.

    It must have the columns `filled`, without holes, and those `present`, and an index that no two
    rows share if it has one.
    """
    if not path.is_file():
        raise KitError("data", f"{path}: no such file")
    if path.suffix not in SUFFIXES:
        raise KitError("data", f"{path}: expected a .tsv or .csv file")
    try:
        data = load(str(path))
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        kind = "tab" if path.suffix == ".tsv" else "comma"
        raise KitError("data", f"{path}: {error} (expected: {kind}-separated, UTF-8)") from error
    require(data, filled, path)
    missing = [column for column in present if column not in data]
    if missing:
        raise KitError("data", f"{path}: no column {first_few([repr(name) for name in missing])}")
    if "index" in data:
        require(data, ("index",), path)
        if pd.api.types.is_float_dtype(data["index"]):
            broken = [str(number) for number in data["index"] if not number.is_integer()]
            shown = first_few(broken or [str(data["index"].iloc[0])])
            raise KitError(
                "data",
                f"{path}: index {shown}: a decimal number; number the rows 0, 1, 2, … or name "
                "each by a word",
            )
        twice = list(data["index"][data["index"].duplicated()].astype(str).unique())
        if twice:
            raise KitError("data", f"{path}: more than one row has index {first_few(twice)}")
    return data


def require(data: Any, columns: Sequence[str], path: Path) -> None:
    """Raise `KitError` if any of `columns` is missing or has holes."""
    missing = [column for column in columns if column not in data]
    if missing:
        close = nearest(missing[0], map(str, data.columns)) if len(missing) == 1 else ""
        names = first_few([repr(name) for name in missing])
        raise KitError("data", f"{path}: no column {names}{close}")
    for column in columns:
        # The line in the file is not known: cells may span lines.
        holes = [str(at + 1) for at, hole in enumerate(data[column].isna()) if hole]
        if holes:
            raise KitError("data", f"{path}: no {column} in row {first_few(holes)}")


def several(cell: Any) -> list[str]:
    """Return the texts that a cell lists, or the one it holds."""
    if isinstance(cell, str) and cell.startswith("["):
        try:
            cell = ast.literal_eval(cell)
        except (SyntaxError, ValueError):
            return [cell]
    return [str(item) for item in cell] if isinstance(cell, list) else [str(cell)]


def seconds(cell: Any) -> float | None:
    """Return a time in a cell, or None for a hole; raises `ValueError`."""
    if cell is None or cell != cell or cell == "":
        return None
    return float(cell)


def words(cell: Any) -> str:
    """Return a cell's text; a hole has none."""
    return "" if cell is None or cell != cell else str(cell)
