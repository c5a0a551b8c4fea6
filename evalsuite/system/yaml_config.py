"""YAML files that users write: read with the errors of the command line."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.system.files import read_bytes

MAX_YAML_BYTES = 1 << 24
MAX_DEPTH = 1000


MAX_VALUES = 200_000


def read_yaml(path: Path, named: str) -> Any:
    """Read a YAML file; raises `UsageError`, whose message names the file `named`.

    A duplicate key is an error, as the YAML specification says; PyYAML would use the last one.
    """
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the C one
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                same = (key.tag, key.value)
                if same in lines:
                    first = f"first defined on line {lines[same]}"
                    raise yaml.MarkedYAMLError(
                        problem=f"duplicate key '{key.value}' ({first})",
                        problem_mark=key.start_mark,
                    )
                lines[same] = key.start_mark.line + 1
            found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            return found

    try:
        text = read_bytes(path, MAX_YAML_BYTES).decode("utf-8-sig")
        if _depth(text) > MAX_DEPTH:
            raise UsageError(f"{named}: is not valid YAML: too many nested brackets")
        value = yaml.load(text, Loader)
    except OSError as error:
        raise UsageError(f"{named}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{named}: is not UTF-8 text") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "cannot parse"
        raise UsageError(f"{named}:{where} is not valid YAML: {why}") from None
    if _is_too_large(value):
        raise UsageError(
            f"{named}: has more than {MAX_VALUES:,} values, counting those that aliases (*name) "
            "repeat; write fewer aliases"
        )
    return value


def _is_too_large(value: object) -> bool:
    """Whether `value` has more than `MAX_VALUES` values; an alias counts as often as it is used."""
    left, count = [value], 0
    while left and count <= MAX_VALUES:
        one = left.pop()
        count += 1
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
    return count > MAX_VALUES


def _depth(text: str) -> int:
    """An upper bound of the depth of brackets; parsing takes quadratic time in the depth."""
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", text))
    return max(itertools.accumulate(steps), default=0)


def read_mapping(path: Path, named: str, expected: str) -> dict[Any, Any]:
    """Read a YAML mapping; raises `UsageError`, whose message names the file `named`."""
    found = read_yaml(path, named)
    if not isinstance(found, dict):
        raise UsageError(f"{named}: expected {expected}, one per line")
    return found
