"""The data of benchmarks: search paths, downloads, preparation, checks and the cache.

It does not need VLMEvalKit.
"""

from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.benchmarks.data.fetch import Missing, fetch, missing
from evalsuite.benchmarks.data.locate import locate

__all__ = ["Missing", "data_digest", "fetch", "locate", "missing"]
