"""A checkpoint's chat template, rendered as transformers renders it.

A template is a program that came with a checkpoint, so it runs in jinja2's sandbox, set up as in
``transformers/utils/chat_template_utils.py``; a test holds the two together.
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

Turn = Mapping[str, Any]
"""``role`` and ``content``, a list of ``{"type": "text", "text": …}`` and ``{"type": "image"}``."""


class TemplateError(Exception):
    """A template that cannot be used; one line says why."""


def render(chat_template: str, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
    """Render `turns`, with the beginning of an answer if asked for; raises `TemplateError`."""
    template = _compiled(chat_template)
    try:
        return template.render(
            messages=turns, tools=None, documents=None, add_generation_prompt=generation_prompt
        )
    except _FAULTS as error:
        raise TemplateError(_line(error)) from error


_FAULTS = (
    *(jinja2.TemplateError, ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)
"""What a template's own statements may raise."""


@functools.lru_cache(maxsize=8)
def _compiled(chat_template: str) -> jinja2.Template:
    environment = _environment()
    try:
        names = jinja2.meta.find_undeclared_variables(environment.parse(chat_template))
        template = environment.from_string(chat_template)
    except _FAULTS as error:
        raise TemplateError(_line(error)) from error
    # transformers would hand over the tokenizer's; left out, they would silently be nothing.
    if tokens := sorted(name for name in names if name.endswith(("_token", "_tokens"))):
        raise TemplateError(f"it uses {', '.join(tokens)}: write the token itself instead")
    return template


def _line(error: BaseException) -> str:
    words = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"line {error.lineno}: {words}"
    return words


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
    """``{% generation %}`` marks what an assistant said, for training; here it changes nothing."""

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
    # jinja2's own writes < and > in a way that is safe in HTML.
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
    """``dict`` without what a class has for a way out of the sandbox."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """A namespace that takes no names of Python's inner workings."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # Without a named self, a template may have a key of that name.
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
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}; rename it")
