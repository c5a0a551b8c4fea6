"""HTML by templates, in which nothing from outside becomes markup.

Each value that a template prints passes through `visible`, which shows control characters and the
like as text, and is then escaped. A content security policy allows our style and no script, should
anything slip through.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from operator import attrgetter
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evalsuite.report.format import FAILED, OTHER, visible
from evalsuite.report.tables.grid import Grid


def document(title: str, grids: Sequence[Grid]) -> str:
    """Return a page with `grids` that needs no other file."""
    return render("report.html.j2", title=title, grids=grids, style=style(), policy=policy())


def render(template: str, **values: Any) -> str:
    """Render a file of ``templates``; a name that is not among `values` is an error."""
    return _environment().get_template(template).render(values)


@cache
def style() -> str:
    """The style of a report, which its page contains."""
    return template_file("report.css")


def policy() -> str:
    """What the page of a report may load or run: `style`, nothing else."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"


def template_file(name: str) -> str:
    """Return the text of a file of ``templates``."""
    return files("evalsuite.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evalsuite.report"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["consecutive"] = _consecutive
    environment.globals |= {"failed": FAILED, "other": OTHER}
    return environment


def _printable(value: Any) -> str:
    """Markup of ours as it is; anything else on one line, without control characters."""
    return value if isinstance(value, Markup) else visible(str(value))


def _consecutive(items: Sequence[Any], name: str) -> Iterator[tuple[Any, list[Any]]]:
    """Neighbours whose attribute `name` is equal, with its value."""
    for value, members in groupby(items, key=attrgetter(name)):
        yield value, list(members)
