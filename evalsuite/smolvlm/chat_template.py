"""Build prompts with the checkpoint's own chat template and the dataset's text only.

The result equals that of ``SmolVLMProcessor`` for the same conversation. Frames carry their real
time stamps, as in the training of SmolVLM2. A template is a program that comes with the checkpoint;
transformers runs it in jinja2's sandbox.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
import resource
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from num2words import num2words

from evalsuite.errors import UsageError
from evalsuite.sample import Frames, Image, Message, Text
from evalsuite.smolvlm.formats import IMAGE_TOKEN
from evalsuite.system.process import Child, ChildDied, ChildTimedOut, serve
from evalsuite.system.text import one_line

Turn = Mapping[str, Any]
"""``role`` and ``content``: a list of ``{"type": "text", "text": …}`` and ``{"type": "image"}``."""

_INTRO = (
    "You are provided the following series of {count} frames from a {duration} [H:MM:SS] video.\n"
)
_OUTRO = "\n\n"
"""Both from ``transformers/models/smolvlm/processing_smolvlm.py``."""
_END_OF_TEXT = "\ue000"
"""Marks the end of an answer that the prompt begins for the checkpoint."""
RENDER_SECONDS = 10.0
MEMORY_BYTES = 1 << 30
MAX_CHARACTERS = 1_000_000
"""Limits of rendering one prompt."""


class TemplateError(Exception):
    """An invalid template. The message is one line."""


def render(chat_template: str, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
    """Render `turns`, optionally with the start of an answer; raises `TemplateError`.

    A child process renders, because a template may not end or may fill the memory. Threads may
    share it.
    """
    try:
        with _RENDERING:
            text, fault = _ask_child((chat_template, list(turns), generation_prompt))
    except ChildTimedOut:
        raise TemplateError(f"it does not end within {RENDER_SECONDS:.0f} s") from None
    except ChildDied as death:
        raise TemplateError(f"the process that renders it {death}") from None
    if fault is not None:
        raise TemplateError(fault)
    return text


_RENDERING = threading.Lock()


def _ask_child(request: tuple[str, Sequence[Turn], bool]) -> tuple[str, str | None]:
    child = _child()
    try:
        child.send(request)
        reply: tuple[str, str | None] = child.receive(RENDER_SECONDS)
    except BaseException:
        # A late reply would be mistaken for the next request's.
        _child.cache_clear()
        child.kill()
        raise
    return reply


@functools.cache
def _child() -> Child:
    """The process that renders; it imports transformers first."""
    child = Child(__name__)
    child.receive()
    return child


def main() -> None:
    """The child: receives templates and turns, sends texts or faults."""
    connection = serve()
    with open(os.devnull, "w") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    import transformers.utils.chat_template_utils  # noqa: F401 - before the limit

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection.send("ready")
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        connection.send(_render_here(*request))


def _render_here(
    chat_template: str, turns: Sequence[Turn], generation_prompt: bool
) -> tuple[str, str | None]:
    """The text, and a fault of the template or None."""
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        _refuse_tokens(chat_template)
        (text,), _ = render_jinja_template(
            [turns], chat_template=chat_template, add_generation_prompt=generation_prompt
        )
    except MemoryError:
        return "", f"it needs more than {MEMORY_BYTES >> 20} MiB of memory"
    except Exception as error:  # noqa: BLE001 - a template is a program that may raise any error
        line = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
        return "", f"{line}{one_line(error)}"
    if len(text) > MAX_CHARACTERS:
        return "", f"it makes a prompt of {len(text):,} characters"
    return str(text), None


@functools.lru_cache(maxsize=8)
def _refuse_tokens(chat_template: str) -> None:
    """Refuse names that transformers defines from the tokenizer and that would be empty here."""
    import jinja2.meta

    plain = re.sub(r"\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}", "", chat_template)
    parser = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    names = jinja2.meta.find_undeclared_variables(parser.parse(plain))
    if tokens := sorted(name for name in names if name.endswith(("_token", "_tokens"))):
        raise ValueError(f"it uses {', '.join(tokens)}: write the token literally instead")


def render_prompt(messages: Sequence[Message], chat_template: str | None) -> str:
    """Render `messages` with `chat_template`; raises `UsageError` if it is missing or invalid.

    Assistant text at the end becomes the beginning of the answer (MVBench's ``Best option:(``).
    """
    return _render(messages, chat_template, "this checkpoint")


def check(chat_template: str | None, where: str) -> None:
    """Raise `UsageError` if the template from `where` cannot render an image and a question."""
    words = "What is in the picture?"
    prompt = _render([Image("", ""), Text(words)], chat_template, where)
    if prompt.count(IMAGE_TOKEN) != 1 or words not in prompt:
        raise UsageError(
            f"{where}: the chat template is not SmolVLM's: it renders an image and a question as "
            f"{prompt[:200]!r}; copy the base model's template, or omit --prompts native"
        )


def _render(messages: Sequence[Message], chat_template: str | None, where: str) -> str:
    if chat_template is None:
        raise UsageError(
            f"{where}: no chat template, which --prompts native requires; copy "
            "chat_template.jinja from the base model, or name that model with --processor"
        )
    turns = conversation(messages)
    try:
        if not (turns and turns[-1]["role"] == "assistant"):
            return render(chat_template, turns, generation_prompt=True)
        turns[-1]["content"][-1]["text"] += _END_OF_TEXT
        text, mark, _ = render(chat_template, turns, generation_prompt=False).rpartition(
            _END_OF_TEXT
        )
        if not mark:
            raise TemplateError("it omits the assistant's text")
    except TemplateError as error:
        raise UsageError(
            f"{where}: invalid chat template: {error}; copy the base model's template, or omit "
            "--prompts native"
        ) from error
    return text


def conversation(messages: Iterable[Message]) -> list[Turn]:
    """Convert messages to template turns; adjacent messages of one role form one turn.

    Images, frames and texts without a role belong to the user.
    """
    turns: list[Turn] = []
    for role, group in itertools.groupby(messages, _role):
        if content := [_item(message) for message in _strip_turn(group)]:
            turns.append({"role": role, "content": content})
    return turns


def _role(message: Message) -> str:
    return (message.role if isinstance(message, Text) else "") or "user"


def _strip_turn(group: Iterable[Message]) -> list[Message]:
    """Remove white space at the start and end of a turn and after a video's line breaks.

    Other white space is kept: it separates question, options and instructions.
    """
    kept: list[Message] = []
    for message in group:
        if isinstance(message, Text):
            if not kept or isinstance(kept[-1], Frames):
                message = dataclasses.replace(message, text=message.text.lstrip())
            if not message.text:
                continue
        kept.append(message)
    while kept and isinstance(last := kept[-1], Text):
        if words := last.text.rstrip():
            kept[-1] = dataclasses.replace(last, text=words)
            break
        kept.pop()
    return kept


def _item(message: Message) -> dict[str, Any]:
    match message:
        case Text(words):
            return {"type": "text", "text": words}
        case Frames():
            return {"type": "text", "text": _frames_text(message)}
        case Image():
            return {"type": "image"}


def _frames_text(frames: Frames) -> str:
    duration = timedelta(seconds=int(frames.seconds or frames.times[-1]))
    shown = _INTRO.format(count=num2words(len(frames.paths)), duration=duration)
    for time in frames.times:
        shown += f"\nFrame from {int(time // 60):02}:{int(time % 60):02}:{IMAGE_TOKEN}"
    return shown + _OUTRO


if __name__ == "__main__":
    main()
