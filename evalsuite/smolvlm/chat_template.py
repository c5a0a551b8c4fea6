"""Ask a checkpoint in its own chat template, with the dataset's words and nothing else.

What stands here is what ``SmolVLMProcessor`` makes of the same conversation. Frames are shown as
SmolVLM2 was trained on them, with the seconds they really are at.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from num2words import num2words

from evalsuite.errors import UsageError
from evalsuite.sample import Frames, Image, Message, Text
from evalsuite.smolvlm.formats import IMAGE_TOKEN
from evalsuite.smolvlm.template_sandbox import TemplateError, Turn, render

_INTRO = (
    "You are provided the following series of {count} frames from a {duration} [H:MM:SS] video.\n"
)
_OUTRO = "\n\n"
"""Both as in ``transformers/models/smolvlm/processing_smolvlm.py``."""
_CUT = "\ue000"
"""Stands where the words of an answer that is begun for the checkpoint end."""


def text(messages: Sequence[Message], chat_template: str | None) -> str:
    """Word `messages` by `chat_template`; raises `UsageError` if it is missing or broken.

    An assistant's words at the end begin the answer (MVBench's ``Best option:(``).
    """
    return _rendered(messages, chat_template, "this checkpoint")


def check(chat_template: str | None, where: str) -> None:
    """Raise `UsageError` if the template found at `where` cannot ask about an image."""
    words = "What is in the picture?"
    prompt = _rendered([Image("", ""), Text(words)], chat_template, where)
    if prompt.count(IMAGE_TOKEN) != 1 or words not in prompt:
        raise UsageError(
            f"{where}: its chat template is not SmolVLM's: it makes {prompt[:200]!r} of an image "
            "and a question; copy the base model's, or leave out --prompts native"
        )


def _rendered(messages: Sequence[Message], chat_template: str | None, where: str) -> str:
    if chat_template is None:
        raise UsageError(
            f"{where}: no chat template, and --prompts native asks by it; copy "
            "chat_template.jinja from the base model, or name that with --processor"
        )
    turns = conversation(messages)
    try:
        if not (turns and turns[-1]["role"] == "assistant"):
            return render(chat_template, turns, generation_prompt=True)
        turns[-1]["content"][-1]["text"] += _CUT
        begun, cut, _ = render(chat_template, turns, generation_prompt=False).rpartition(_CUT)
        if not cut:
            raise TemplateError("it leaves out what an assistant says")
    except TemplateError as error:
        raise UsageError(
            f"{where}: its chat template cannot be used: {error}; copy the base model's, or leave "
            "out --prompts native"
        ) from error
    return begun


def conversation(messages: Iterable[Message]) -> list[Turn]:
    """Turn messages into a template's: neighbours of one role are one turn.

    Images and frames are the user's, and so are words of nobody.
    """
    turns: list[Turn] = []
    for role, said in itertools.groupby(messages, _role):
        if content := [_item(message) for message in _trimmed(said)]:
            turns.append({"role": role, "content": content})
    return turns


def _role(message: Message) -> str:
    return (message.role if isinstance(message, Text) else "") or "user"


def _trimmed(said: Iterable[Message]) -> list[Message]:
    """Leave out white space where a turn begins and ends and behind a video's own line breaks.

    The rest belongs to the words: it tells question, options and instructions apart.
    """
    kept: list[Message] = []
    for message in said:
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
            return {"type": "text", "text": _shown(message)}
        case Image():
            return {"type": "image"}


def _shown(frames: Frames) -> str:
    duration = timedelta(seconds=int(frames.seconds or frames.times[-1]))
    shown = _INTRO.format(count=num2words(len(frames.paths)), duration=duration)
    for time in frames.times:
        shown += f"\nFrame from {int(time // 60):02}:{int(time % 60):02}:{IMAGE_TOKEN}"
    return shown + _OUTRO
