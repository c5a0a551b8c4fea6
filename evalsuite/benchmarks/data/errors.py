"""Errors about data: `DataError` within this package, a `Failure` outside."""

from __future__ import annotations

from evalsuite.runs.records import Failure

NO_NETWORK = (
    "check the network, HTTPS_PROXY and HF_ENDPOINT, or copy the data from another machine "
    "(see docs/reference/data.md)"
)


class DataError(Exception):
    """A problem with a benchmark's data, and its remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def of(self, benchmark: str) -> Failure:
        """The `Failure` of `benchmark`."""
        return Failure(benchmark=benchmark, stage="data", message=self.message, remedy=self.remedy)
