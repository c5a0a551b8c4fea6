"""Results as CSV, and as a pandas data frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from evalsuite.report.format import visible
from evalsuite.report.model.column import Column, R, to_records

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
"""Characters, narrow or wide, with which a spreadsheet starts a formula."""


def to_csv(columns: Sequence[Column[R]], rows: Iterable[R]) -> str:
    """Write `rows`, a line a record, with the keys of `columns` as header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in columns if column.key])
    for record in to_records(columns, rows):
        writer.writerow(map(field, record.values()))
    return text.getvalue()


def field(value: Any) -> Any:
    """Return a value on one line that no spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if shown.lstrip()[:1] in tuple(_FORMULA) else shown


def to_dataframe(columns: Sequence[Column[R]], rows: Iterable[R]) -> pd.DataFrame:
    """Return `rows`, a line a record, with the keys of `columns` as column names."""
    import pandas as pd  # half a second, which other formats do not need

    return pd.DataFrame(
        to_records(columns, rows), columns=[column.key for column in columns if column.key]
    )
