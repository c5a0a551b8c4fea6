from typing import Any

import numpy as np
import pytest

from evalsuite.errors import UsageError
from evalsuite.sample import Frames, Image, Message, Text, prompt_digest
from evalsuite.smolvlm.formats import FORMATS, VIDEO_FORMATS
from evalsuite.smolvlm.prompts import (
    MAX_FRAMES,
    Prompt,
    PromptOptions,
    build,
    shown_frames,
)

CAT, DOG = Image("cat.png", "c"), Image("dog.png", "d")
CLIP = Frames(("1.png", "2.png"), (0.0, 1.0), "clip")
OPTIONS = "Options:\nA. red\nPlease select the correct answer from the options above."
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}:"
    "{% for item in message.content %}{{ item.text or '<image>' }}{% endfor %};{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
NATIVE = PromptOptions("native", chat_template=TEMPLATE)
IDEFICS3 = PromptOptions(family="idefics3")


def test_default_keeps_order_and_strips_texts() -> None:
    prompt = build("default", [Text(" First: "), CAT, Text("\nsecond:"), DOG, Text("Which? ")])
    assert prompt == Prompt(
        "<|im_start|>User:First:<image>second:<image>Which?<end_of_utterance>\nAssistant:",
        (CAT, DOG),
        split=True,
    )


@pytest.mark.parametrize("name", [*FORMATS, "native"])
@pytest.mark.parametrize("options", [PromptOptions(), IDEFICS3])
def test_the_image_token_in_a_question_is_removed(name: str, options: PromptOptions) -> None:
    words = "<image>\nWhich? Options:\nA. <image>\nB. blue"
    media = [CLIP] if name in VIDEO_FORMATS else [CAT, DOG]
    style = NATIVE if name == "native" else options
    asked = build(name, [*media, Text(words)], style)
    expected = words.replace("<image>\n", "").replace("<image>", "")
    assert asked == build(name, [*media, Text(expected)], style)
    assert asked.text.count("<image>") >= 2 or name == "native"


def test_video_has_time_stamps_and_ends_with_the_question() -> None:
    prompt = build("video", [Text("What happens? "), CLIP])
    assert prompt == Prompt(
        "<|im_start|>System: pay attention to the video and answer the question "
        "<end_of_utterance>\n <|im_start|>User: Here are some frames sampled from a video:\n "
        "Frame from 00:00: <image> Frame from 00:01: <image> \n What happens? "
        "<end_of_utterance> \nAssistant:",
        (CLIP,),
        split=False,
    )


@pytest.mark.parametrize("name", VIDEO_FORMATS)
def test_idefics3_uses_the_default_format_for_videos(name: str) -> None:
    messages: list[Message] = [Text("Look.", role="system"), CLIP, Text(f" Which? {OPTIONS}")]
    prompt = build(name, messages, IDEFICS3)
    assert prompt == Prompt(
        f"<|im_start|>User:Look.<image><image>Which? {OPTIONS}<end_of_utterance>\nAssistant:",
        (CLIP,),
        split=False,
    )


def test_chartqa_differs_by_family() -> None:
    messages: list[Message] = [CAT, Text("How many?")]
    newer, older = build("chartqa", messages).text, build("chartqa", messages, IDEFICS3).text
    assert "-Don't paraphrase" in newer
    assert older == newer.replace("'", "’") != newer


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "options", [PromptOptions(), IDEFICS3, NATIVE], ids=["smolvlm", "idefics3", "native"]
)
@pytest.mark.parametrize("media", [[CAT, DOG], [CLIP]], ids=["images", "frames"])
def test_one_image_token_per_image_and_frames_are_never_split(
    name: str, options: PromptOptions, media: list[Any]
) -> None:
    prompt = build(name, [*media, Text("Which?")], options)
    assert prompt.text.count("<image>") == 2
    assert prompt.text.count("Which?") == 1
    assert prompt.media == tuple(media)
    assert prompt.split == (CLIP not in media)


def test_native_uses_the_chat_template_for_every_format() -> None:
    messages: list[Message] = [CAT, Text(f"Which?\n{OPTIONS}\n")]
    expected = Prompt(f"user:<image>Which?\n{OPTIONS};assistant:", (CAT,), split=True)
    assert build("choices", messages, NATIVE) == expected
    assert build("default", messages, NATIVE) == expected
    with pytest.raises(UsageError, match=r"no chat template.*--prompts native"):
        build("default", messages, PromptOptions("native"))


def test_video_duration_changes_only_native_prompts() -> None:
    longer = Frames(CLIP.paths, CLIP.times, CLIP.digest, seconds=60.0)

    def digests(options: PromptOptions) -> set[str]:
        prompts = [build("video", [clip, Text("What?")], options) for clip in (CLIP, longer)]
        return {prompt_digest(prompt.text, prompt.media) for prompt in prompts}

    assert len(digests(PromptOptions())) == 1
    assert len(digests(NATIVE)) == 2


@pytest.mark.parametrize("n", [1, 63, 64, 65, 66, 100, 127, 128, 1000, 4321])
def test_shown_frames_equal_numpy_linspace(n: int) -> None:
    expected = np.linspace(0, n - 1, MAX_FRAMES, dtype=int) if n > MAX_FRAMES else np.arange(n)
    assert shown_frames(n) == expected.tolist()
