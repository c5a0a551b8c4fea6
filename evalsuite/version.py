"""The version, where nothing else has to be imported to read it."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("evalsuite")
except PackageNotFoundError:  # running from a source tree that was never installed
    VERSION = "0+unknown"
