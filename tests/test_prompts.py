import numpy as np
import pytest

from evalsuite.samples import Frames, Image, Message, Text
from evalsuite.smolvlm.prompts import FORMATS, MAX_FRAMES, Prompt, build, shown_frames

CAT, DOG = Image("cat.png", "c"), Image("dog.png", "d")
CLIP = Frames(("1.png", "2.png"), (0.0, 1.0), "clip")
OPTIONS = "Options:\nA. red\nPlease select the correct answer from the options above."


def test_texts_and_images_keep_their_order_and_texts_lose_their_outer_space() -> None:
    prompt = build("default", [Text(" First: "), CAT, Text("\nsecond:"), DOG, Text("Which? ")])
    assert prompt == Prompt(
        "<|im_start|>User:First:<image>second:<image>Which?<end_of_utterance>\nAssistant:",
        (CAT, DOG),
        split=True,
    )


def test_brief_asks_for_a_brief_answer() -> None:
    assert build("brief", [CAT, Text("What does it say?")]).text == (
        "<|im_start|>User:<image>What does it say?\n"
        "Give a very brief answer.<end_of_utterance>\nAssistant:"
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


def test_a_video_takes_its_system_line_from_the_dataset() -> None:
    prompt = build("video", [Text("Look closely.", role="system"), CLIP, Text("What?")])
    assert prompt.text.startswith("<|im_start|>System: Look closely. <end_of_utterance>\n")
    assert prompt.text.count("Look closely.") == 1


def test_stamps_count_frames_as_seconds_and_name_the_frames_shown() -> None:
    some = Frames(("a.png", "b.png"), (3.0, 90.0), "some", numbers=(1, 75))
    assert "Frame from 00:01: <image> Frame from 01:15: <image>" in build("video", [some]).text


def test_choices_are_worded_as_for_video_mme() -> None:
    text = build("video-choices", [CLIP, Text(OPTIONS)]).text
    assert "Choices:\nA. red\nAnswer with the letter. <end_of_utterance>" in text
    # Without options nothing is swapped.
    plain: list[Message] = [CLIP, Text("Please select the correct answer from the options above.")]
    assert build("video-choices", plain) == build("video", plain)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 66, 100, 127, 128, 1000, 4321])
def test_frames_shown_are_those_numpy_would_pick(n: int) -> None:
    expected = np.linspace(0, n - 1, MAX_FRAMES, dtype=int) if n > MAX_FRAMES else np.arange(n)
    assert shown_frames(n) == expected.tolist()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_mark_for_every_image(name: str) -> None:
    prompt = build(name, [CLIP] if name.startswith("video") else [CAT, DOG])
    assert prompt.text.count("<image>") == 2
