"""Why data cannot be had: raised inside this room, a `Failure` outside."""

from __future__ import annotations

from evalsuite.runs.records import Failure

NO_NETWORK = (
    "check the network, HTTPS_PROXY and HF_ENDPOINT, or bring the data from another machine: "
    "docs/reference/data.md says where it goes"
)
"""What to do about a server that cannot be asked."""


class DataError(Exception):
    """What is wrong with data, and what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def of(self, benchmark: str) -> Failure:
        """The same as a value."""
        return Failure(benchmark=benchmark, stage="data", message=self.message, remedy=self.remedy)
