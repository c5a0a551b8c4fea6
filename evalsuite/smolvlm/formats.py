"""The words VLMEvalKit asks a SmolVLM checkpoint in: one function a format, all pure.

``<image>`` stands where an image or a frame goes. The texts are those that VLMEvalKit's
``SmolVLM2`` class builds (``vlmeval/vlm/smolvlm.py``), and for an Idefics3 checkpoint its
``SmolVLM`` class, byte for byte: the tests hold them against both. Where theirs cannot be asked at
all, `evalsuite.vlmevalkit.workarounds` says what is done instead.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

from evalsuite.sample import Frames, Message, Text

IMAGE_TOKEN = "<image>"


def default(messages: Sequence[Message]) -> str:
    """The text as the dataset words it: images and texts in their order, each text stripped."""
    return _asked(_in_order(messages))


def brief(messages: Sequence[Message]) -> str:
    """As `default`, asking for a very brief answer (OCRBench among others)."""
    return _asked(_in_order(messages) + "\nGive a very brief answer.")


def yes_no(messages: Sequence[Message]) -> str:
    """As `default`, asking for yes or no (HallusionBench)."""
    return _asked(_in_order(messages) + "\nAnswer yes or no.")


def choices(messages: Sequence[Message]) -> str:
    """Multiple choice to be answered by a letter (MMStar, AI2D, ScienceQA, SEEDBench)."""
    swaps = {"\nOptions:": "\nChoices:", _SELECT: "Answer with the letter."}
    return _asked(_in_order(messages, lambda text: _swapped(text, swaps))) + " Answer:"


def mmbench(messages: Sequence[Message]) -> str:
    """Multiple choice with images in front, and a hint behind its question (MMBench, CCBench)."""
    swaps = {"\nOptions:": "\nChoices:", _SELECT: "Answer with a letter."}
    texts = [_hint_last(_swapped(text, swaps)) for text in _texts(messages)]
    return _asked(_marks(messages) + "".join(texts)) + " Answer:"


def mmmu(messages: Sequence[Message]) -> str:
    """Numbered images in front, and the numbers again where the dataset shows them (MMMU)."""
    swaps = {"Question:": "", _SELECT: "Answer with the letter.", "\nOptions:": "\nChoices:"}
    words, number = " Question: ", 0
    for n in range(_marks(messages).count(IMAGE_TOKEN)):
        words += f"<image {n + 1}>:{IMAGE_TOKEN}\n"
    for message in messages:
        if isinstance(message, Text):
            words += _swapped(message.text.strip(), swaps).strip()
        for _ in range(_mark(message).count(IMAGE_TOKEN)):
            number += 1
            words += f" <image {number}> "
    return _lettered(words)


def mathvista(messages: Sequence[Message]) -> str:
    """Images in front; options from ``(A)`` to ``(H)`` are written ``A.`` (MathVista)."""
    swaps = {f"({letter}) ": f"{letter}. " for letter in "ABCDEFGH"}
    swaps |= {"\nOptions:": "\nChoices:", "Hint: ": ""}
    texts = [_swapped(text, swaps).strip() for text in _texts(messages)]
    return _lettered(_marks(messages) + "".join(texts))


def instructed(instructions: str, messages: Sequence[Message]) -> str:
    """Images in front, then `instructions`, then the question (ChartQA, DocVQA, TextVQA)."""
    return _asked(_marks(messages) + instructions + "".join(_texts(messages)))


def video(messages: Sequence[Message]) -> str:
    """A system line, then frames with time stamps, then the question.

    Parts are joined by single spaces, stamps count frames as seconds, and texts that come before
    the frames move behind them: so does VLMEvalKit (``build_prompt_video``).
    """
    system = next((m for m in messages if isinstance(m, Text) and m.role == "system"), None)
    parts = [
        "<|im_start|>System:",
        system.text if system else "pay attention to the video and answer the question",
        "<end_of_utterance>\n",
        "<|im_start|>User:",
        "Here are some frames sampled from a video:\n",
    ]
    for words, block in itertools.groupby(messages, lambda m: isinstance(m, Text)):
        if words:
            continue
        for place, item in enumerate(block):
            for number in item.numbers if isinstance(item, Frames) else (place,):
                parts += [f"Frame from {number // 60:02}:{number % 60:02}:", IMAGE_TOKEN]
        parts.append("\n")
    parts += [m.text.strip() for m in messages if isinstance(m, Text) and m.role != "system"]
    parts += ["<end_of_utterance>", "\nAssistant:"]
    return " ".join(parts)


def video_choices(messages: Sequence[Message]) -> str:
    """As `video`, with the wording VLMEvalKit swaps in for Video-MME and TempCompass_MCQ."""
    text = video(messages)
    if "Options:" not in text:
        return text
    return _swapped(text, {"Options:": "Choices:", _SELECT: "Answer with the letter."})


def video_letters(messages: Sequence[Message]) -> str:
    """As `video`, with the wording VLMEvalKit swaps in for MLVU and LongVideoBench."""
    return _swapped(video(messages), {"Options:": _LETTERS})


def mvbench(messages: Sequence[Message]) -> str:
    """As `video`, with the wording VLMEvalKit swaps in for MVBench."""
    text = video(messages)
    if "Options:" not in text:
        return text
    return _swapped(text, {"Options:": _LETTERS, "Best option:(": "Answer:"})


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


# What the formats are made of


def _asked(words: str) -> str:
    return f"<|im_start|>User:{words}<end_of_utterance>\nAssistant:"


def _lettered(words: str) -> str:
    """Ask for an option where the words look as if they had some."""
    text = _asked(words)
    return f"{text} Answer:" if "A." in text and "B." in text else text


def _in_order(messages: Sequence[Message], reworded: Callable[[str], str] = str) -> str:
    return "".join(
        reworded(message.text.strip()) if isinstance(message, Text) else _mark(message)
        for message in messages
    )


def _texts(messages: Sequence[Message]) -> list[str]:
    return [message.text.strip() for message in messages if isinstance(message, Text)]


def _marks(messages: Sequence[Message]) -> str:
    return "".join(map(_mark, messages))


def _mark(message: Message) -> str:
    """One mark an image, one a frame, none for a text."""
    if isinstance(message, Text):
        return ""
    return IMAGE_TOKEN * (len(message.paths) if isinstance(message, Frames) else 1)


def _swapped(text: str, swaps: Mapping[str, str]) -> str:
    for old, new in swaps.items():
        text = text.replace(old, new)
    return text


def _hint_last(text: str) -> str:
    """Put the hint between question and choices; words not made like that stay as they are."""
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
    "chartqa": functools.partial(instructed, _CHARTQA),
    "docvqa": functools.partial(instructed, _DOCVQA),
    "textvqa": functools.partial(instructed, _TEXTVQA),
    "video": video,
    "video-choices": video_choices,
    "video-letters": video_letters,
    "mvbench": mvbench,
}
"""Every prompt format a benchmark can name."""
VIDEO_FORMATS = ("video", "video-choices", "video-letters", "mvbench")
OF_FAMILY: Mapping[str, Mapping[str, Format]] = {
    "smolvlm": FORMATS,
    "idefics3": {
        **FORMATS,
        "chartqa": functools.partial(instructed, _CHARTQA.replace("'", "’")),
        # VLMEvalKit's class for these has no words for videos.
        **dict.fromkeys(VIDEO_FORMATS, default),
    },
}
"""The words for each family of checkpoints."""
