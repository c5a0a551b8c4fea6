"""Where benchmarks' data lies, how it is fetched and made ready, and what is cached of it.

Nothing here needs VLMEvalKit.
"""

from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.benchmarks.data.fetch import Missing, fetch, missing
from evalsuite.benchmarks.data.locate import locate

__all__ = ["Missing", "data_digest", "fetch", "locate", "missing"]
