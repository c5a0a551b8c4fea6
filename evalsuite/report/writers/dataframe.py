"""Results as a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evalsuite.report.model.column import Column, R, to_records

if TYPE_CHECKING:
    import pandas as pd


def to_dataframe(columns: Sequence[Column[R]], rows: Iterable[R]) -> pd.DataFrame:
    """Return `rows`, a line a record, with the keys of `columns` as column names."""
    import pandas as pd  # half a second, which other formats do not need

    return pd.DataFrame(
        to_records(columns, rows), columns=[column.key for column in columns if column.key]
    )
