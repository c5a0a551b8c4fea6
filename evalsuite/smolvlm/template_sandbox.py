"""Render a checkpoint's chat template as transformers does.

A template is a program that comes with the checkpoint, so it runs in jinja2's sandbox with the
settings of ``transformers/utils/chat_template_utils.py``. A test compares the two.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from evalsuite.system.text import one_line

Turn = Mapping[str, Any]
"""``role`` and ``content``: a list of ``{"type": "text", "text": …}`` and ``{"type": "image"}``."""


class TemplateError(Exception):
    """An invalid template. The message is one line."""


def render(chat_template: str, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
    """Render `turns`, optionally with the start of an answer; raises `TemplateError`."""
    template = _compiled(chat_template)
    try:
        return template.render(
            messages=turns, tools=None, documents=None, add_generation_prompt=generation_prompt
        )
    except _TEMPLATE_FAULTS as error:
        raise TemplateError(_reason(error)) from error


_TEMPLATE_FAULTS = (
    *(jinja2.TemplateError, ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)
"""Exceptions that a template's statements may raise."""


@functools.lru_cache(maxsize=8)
def _compiled(chat_template: str) -> jinja2.Template:
    environment = _environment()
    try:
        names = jinja2.meta.find_undeclared_variables(environment.parse(chat_template))
        template = environment.from_string(chat_template)
    except _TEMPLATE_FAULTS as error:
        raise TemplateError(_reason(error)) from error
    # transformers defines these from the tokenizer. Here they would silently be empty.
    if tokens := sorted(name for name in names if name.endswith(("_token", "_tokens"))):
        raise TemplateError(f"it uses {', '.join(tokens)}: write the token literally instead")
    return template


def _reason(error: BaseException) -> str:
    text = one_line(error)
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"line {error.lineno}: {text}"
    return text


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    return environment


class _Generation(jinja2.ext.Extension):
    """``{% generation %}`` marks assistant text for training; here it has no effect."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes < and > for HTML.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


class _Dict:
    """``dict`` without class attributes that could break out of the sandbox."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """A namespace without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # Without a parameter named self, a template may use a key of that name.
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _refuse_underscore(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot contain {name!r}; rename it")
