from typing import Any

import numpy as np
import pytest

from evalsuite.errors import UsageError
from evalsuite.sample import Frames, Image, Message, Text, prompt_digest
from evalsuite.smolvlm.prompts import (
    FORMATS,
    MAX_FRAMES,
    VIDEO_FORMATS,
    Prompt,
    Style,
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
NATIVE = Style("native", chat_template=TEMPLATE)
IDEFICS3 = Style(family="idefics3")


def test_texts_and_images_keep_their_order_and_texts_lose_their_outer_space() -> None:
    prompt = build("default", [Text(" First: "), CAT, Text("\nsecond:"), DOG, Text("Which? ")])
    assert prompt == Prompt(
        "<|im_start|>User:First:<image>second:<image>Which?<end_of_utterance>\nAssistant:",
        (CAT, DOG),
        split=True,
    )


def test_a_video_has_stamps_and_its_question_comes_last() -> None:
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
def test_a_video_has_no_words_of_its_own_for_an_idefics3_checkpoint(name: str) -> None:
    messages: list[Message] = [Text("Look.", role="system"), CLIP, Text(f" Which? {OPTIONS}")]
    prompt = build(name, messages, IDEFICS3)
    assert prompt == Prompt(
        f"<|im_start|>User:Look.<image><image>Which? {OPTIONS}<end_of_utterance>\nAssistant:",
        (CLIP,),
        split=False,
    )


def test_chartqa_is_worded_for_the_family() -> None:
    messages: list[Message] = [CAT, Text("How many?")]
    newer, older = build("chartqa", messages).text, build("chartqa", messages, IDEFICS3).text
    assert "-Don't paraphrase" in newer
    assert older == newer.replace("'", "’") != newer


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "style", [Style(), IDEFICS3, NATIVE], ids=["smolvlm", "idefics3", "native"]
)
@pytest.mark.parametrize("media", [[CAT, DOG], [CLIP]], ids=["images", "frames"])
def test_a_mark_for_everything_shown_and_frames_are_never_cut(
    name: str, style: Style, media: list[Any]
) -> None:
    prompt = build(name, [*media, Text("Which?")], style)
    assert prompt.text.count("<image>") == 2
    assert prompt.text.count("Which?") == 1
    assert prompt.media == tuple(media)
    assert prompt.split == (CLIP not in media)


def test_native_goes_by_the_checkpoints_own_template_whatever_the_format() -> None:
    messages: list[Message] = [CAT, Text(f"Which?\n{OPTIONS}\n")]
    expected = Prompt(f"user:<image>Which?\n{OPTIONS};assistant:", (CAT,), split=True)
    assert build("choices", messages, NATIVE) == expected
    assert build("default", messages, NATIVE) == expected
    with pytest.raises(UsageError, match="no chat template, and --prompts native asks by it"):
        build("default", messages, Style("native"))


def test_a_videos_length_makes_another_prompt_only_where_it_is_said() -> None:
    longer = Frames(CLIP.paths, CLIP.times, CLIP.digest, seconds=60.0)

    def digests(style: Style) -> set[str]:
        prompts = [build("video", [clip, Text("What?")], style) for clip in (CLIP, longer)]
        return {prompt_digest(prompt.text, prompt.media) for prompt in prompts}

    assert len(digests(Style())) == 1
    assert len(digests(NATIVE)) == 2


@pytest.mark.parametrize("n", [1, 63, 64, 65, 66, 100, 127, 128, 1000, 4321])
def test_frames_shown_are_those_numpy_would_pick(n: int) -> None:
    expected = np.linspace(0, n - 1, MAX_FRAMES, dtype=int) if n > MAX_FRAMES else np.arange(n)
    assert shown_frames(n) == expected.tolist()
