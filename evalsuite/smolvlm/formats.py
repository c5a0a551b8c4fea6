"""VLMEvalKit's prompt formats for SmolVLM checkpoints, one pure function each.

``<image>`` marks the position of an image or a frame. The texts equal those of VLMEvalKit's
``SmolVLM2`` class (``vlmeval/vlm/smolvlm.py``), and for Idefics3 checkpoints those of its
``SmolVLM`` class; tests compare them byte for byte. docs/evidence/differences.md lists the inputs
for which VLMEvalKit's class fails.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

from evalsuite.sample import Frames, Message, Text

IMAGE_TOKEN = "<image>"


def default(messages: Sequence[Message]) -> str:
    """The dataset's text: images and texts in order, each text stripped."""
    return _user_turn(_in_order(messages))


def brief(messages: Sequence[Message]) -> str:
    """As `default`, plus a request for a very brief answer (OCRBench and others)."""
    return _user_turn(_in_order(messages) + "\nGive a very brief answer.")


def yes_no(messages: Sequence[Message]) -> str:
    """As `default`, plus a request for yes or no (HallusionBench)."""
    return _user_turn(_in_order(messages) + "\nAnswer yes or no.")


def choices(messages: Sequence[Message]) -> str:
    """Multiple choice, answered by a letter (MMStar, AI2D, ScienceQA, SEEDBench)."""
    swaps = {"\nOptions:": "\nChoices:", _SELECT: "Answer with the letter."}
    return _user_turn(_in_order(messages, lambda text: _replace_all(text, swaps))) + " Answer:"


def mmbench(messages: Sequence[Message]) -> str:
    """Multiple choice with the images first and the hint after its question (MMBench, CCBench)."""
    swaps = {"\nOptions:": "\nChoices:", _SELECT: "Answer with a letter."}
    texts = [_move_hint(_replace_all(text, swaps)) for text in _texts(messages)]
    return _user_turn(_all_image_tokens(messages) + "".join(texts)) + " Answer:"


def mmmu(messages: Sequence[Message]) -> str:
    """Numbered images first; their numbers again where the dataset shows them (MMMU)."""
    swaps = {"Question:": "", _SELECT: "Answer with the letter.", "\nOptions:": "\nChoices:"}
    words, number = " Question: ", 0
    for n in range(_all_image_tokens(messages).count(IMAGE_TOKEN)):
        words += f"<image {n + 1}>:{IMAGE_TOKEN}\n"
    for message in messages:
        if isinstance(message, Text):
            words += _replace_all(message.text.strip(), swaps).strip()
        for _ in range(_image_tokens(message).count(IMAGE_TOKEN)):
            number += 1
            words += f" <image {number}> "
    return _with_answer_cue(words)


def mathvista(messages: Sequence[Message]) -> str:
    """Images first; options ``(A)`` to ``(H)`` are written as ``A.`` (MathVista)."""
    swaps = {f"({letter}) ": f"{letter}. " for letter in "ABCDEFGH"}
    swaps |= {"\nOptions:": "\nChoices:", "Hint: ": ""}
    texts = [_replace_all(text, swaps).strip() for text in _texts(messages)]
    return _with_answer_cue(_all_image_tokens(messages) + "".join(texts))


def with_instructions(instructions: str, messages: Sequence[Message]) -> str:
    """Images first, then `instructions`, then the question (ChartQA, DocVQA, TextVQA)."""
    return _user_turn(_all_image_tokens(messages) + instructions + "".join(_texts(messages)))


def video(messages: Sequence[Message]) -> str:
    """A system line, then frames with time stamps, then the question.

    Parts are joined by single spaces, and time stamps count frames as seconds. Texts before the
    frames are moved after them. All as in VLMEvalKit's ``build_prompt_video``.
    """
    system = next((m for m in messages if isinstance(m, Text) and m.role == "system"), None)
    parts = [
        "<|im_start|>System:",
        system.text if system else "pay attention to the video and answer the question",
        "<end_of_utterance>\n",
        "<|im_start|>User:",
        "Here are some frames sampled from a video:\n",
    ]
    for is_text, block in itertools.groupby(messages, lambda m: isinstance(m, Text)):
        if is_text:
            continue
        for position, item in enumerate(block):
            for number in item.numbers if isinstance(item, Frames) else (position,):
                parts += [f"Frame from {number // 60:02}:{number % 60:02}:", IMAGE_TOKEN]
        parts.append("\n")
    parts += [m.text.strip() for m in messages if isinstance(m, Text) and m.role != "system"]
    parts += ["<end_of_utterance>", "\nAssistant:"]
    return " ".join(parts)


def video_choices(messages: Sequence[Message]) -> str:
    """As `video`, with VLMEvalKit's replacements for Video-MME and TempCompass_MCQ."""
    swaps = {"Options:": "Choices:", _SELECT: "Answer with the letter."}
    return _replace_if_options(video(messages), swaps)


def video_letters(messages: Sequence[Message]) -> str:
    """As `video`, with VLMEvalKit's replacements for MLVU and LongVideoBench."""
    return _replace_all(video(messages), {"Options:": _LETTERS})


def mvbench(messages: Sequence[Message]) -> str:
    """As `video`, with VLMEvalKit's replacements for MVBench."""
    swaps = {"Options:": _LETTERS, "Best option:(": "Answer:"}
    return _replace_if_options(video(messages), swaps)


_SELECT = "Please select the correct answer from the options above."
_LETTERS = "respond ONLY with one of the multiple choice letter options (A/B/C/D):"
_CHARTQA = (
    "For the question below, follow the following instructions:\n"
    "-The answer should contain as few words as possible.\n"
    "-Don't paraphrase or reformat the text you see in the image.\n"
    "-Answer a binary question with Yes or No.\n"
    "-When asked to give a numerical value, provide a number like 2 instead of Two.\n"
    "-If the final answer has two or more items, provide it in the list format like [1, 2].\n"
    "-When asked to give a ratio, give out the decimal value like 0.25 instead of 1:4.\n"
    "-When asked to give a percentage, give out the whole value like 17 instead of decimal like "
    "0.17%.\n"
    "-Don't include any units in the answer.\n"
    "-Do not include any full stops at the end of the answer.\n"
    "-Try to include the full label from the graph when asked about an entity.\n"
    "Question: "
)
_DOCVQA = (
    "Give a short and terse answer to the following question. "
    "Do not paraphrase or reformat the text you see in the image. "
    "Do not include any full stops. "
    "Just give the answer without additional explanation. Question: "
)
_TEXTVQA = (
    "Answer the following question about the image using as few words as possible. "
    "Follow these additional instructions:\n"
    "-Always answer a binary question with Yes or No.\n"
    "-When asked what time it is, reply with the time seen in the image.\n"
    "-Do not put any full stops at the end of the answer.\n"
    "-Do not put quotation marks around the answer.\n"
    "-An answer with one or two words is favorable.\n"
    "-Do not apply common sense knowledge. The answer can be found in the image.\n"
    "Question: "
)


# Helpers


def _user_turn(words: str) -> str:
    return f"<|im_start|>User:{words}<end_of_utterance>\nAssistant:"


def _with_answer_cue(words: str) -> str:
    """Return a user turn; ask for an option if the text seems to contain options."""
    text = _user_turn(words)
    return f"{text} Answer:" if "A." in text and "B." in text else text


def _in_order(messages: Sequence[Message], reworded: Callable[[str], str] = str) -> str:
    return "".join(
        reworded(message.text.strip()) if isinstance(message, Text) else _image_tokens(message)
        for message in messages
    )


def _texts(messages: Sequence[Message]) -> list[str]:
    return [message.text.strip() for message in messages if isinstance(message, Text)]


def _all_image_tokens(messages: Sequence[Message]) -> str:
    return "".join(map(_image_tokens, messages))


def _image_tokens(message: Message) -> str:
    """One token per image or frame, none for a text."""
    if isinstance(message, Text):
        return ""
    return IMAGE_TOKEN * len(message.paths)


def _replace_all(text: str, swaps: Mapping[str, str]) -> str:
    for old, new in swaps.items():
        text = text.replace(old, new)
    return text


def _replace_if_options(text: str, swaps: Mapping[str, str]) -> str:
    return _replace_all(text, swaps) if "Options:" in text else text


def _move_hint(text: str) -> str:
    """Move the hint between question and choices; texts of another form are unchanged."""
    hint, question, rest = text.partition("\nQuestion:")
    asked, options, choices = rest.partition("\nChoices:")
    if not (text.startswith("Hint:") and question and options):
        return text
    return f"Question:{asked}\n{hint}\nChoices:{choices}"


Format = Callable[[Sequence[Message]], str]
FORMATS: Mapping[str, Format] = {
    "default": default,
    "brief": brief,
    "yes-no": yes_no,
    "choices": choices,
    "mmbench": mmbench,
    "mmmu": mmmu,
    "mathvista": mathvista,
    "chartqa": functools.partial(with_instructions, _CHARTQA),
    "docvqa": functools.partial(with_instructions, _DOCVQA),
    "textvqa": functools.partial(with_instructions, _TEXTVQA),
    "video": video,
    "video-choices": video_choices,
    "video-letters": video_letters,
    "mvbench": mvbench,
}
"""All prompt formats that a benchmark can name."""
VIDEO_FORMATS = ("video", "video-choices", "video-letters", "mvbench")
FORMATS_BY_FAMILY: Mapping[str, Mapping[str, Format]] = {
    "smolvlm": FORMATS,
    "idefics3": {
        **FORMATS,
        "chartqa": functools.partial(with_instructions, _CHARTQA.replace("'", "’")),
        # VLMEvalKit's class for this family has no video prompt.
        **dict.fromkeys(VIDEO_FORMATS, default),
    },
}
"""The formats for each family of checkpoints."""
