"""Prompts in a checkpoint's own template beside what transformers makes of the conversation."""

from typing import Any

import numpy as np
import pytest
from transformers import AutoProcessor
from transformers.video_utils import VideoMetadata

from evalsuite.checkpoint import checkpoint
from evalsuite.errors import UsageError
from evalsuite.sample import Frames, Image, Message, Text
from evalsuite.smolvlm.chat_template import check, conversation, text
from evalsuite.smolvlm.tokenization import Expander
from tests.builders.chat_templates import IDEFICS3

CAT, DOG = Image("cat.png", "c"), Image("dog.png", "d")


def clip(n: int, per_second: float, rate: float = 25.0, seconds: float = 0.0) -> Frames:
    """`n` frames of a video, so many a second, each at the nearest frame before."""
    places = [int(i * rate / per_second) for i in range(n)]
    return Frames(
        tuple(f"{i}.jpg" for i in range(n)),
        tuple(place / rate for place in places),
        "clip",
        seconds=seconds,
    )


@pytest.fixture(scope="module")
def processor() -> Any:
    return AutoProcessor.from_pretrained(checkpoint.read("demo").path)


@pytest.fixture(scope="module")
def template() -> str:
    found = checkpoint.read("demo").chat_template
    assert found is not None
    return found


def test_the_template_is_the_processors(processor: Any, template: str) -> None:
    assert processor.chat_template == template


def test_images(processor: Any, template: str) -> None:
    messages: list[Message] = [
        Text("Be brief.", role="system"), CAT, Text("\nthis and "), DOG, Text(" that: "),
        Text("\n¿Which <is> it? \n"),
    ]  # fmt: skip
    theirs = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [
            {"type": "image"}, {"type": "text", "text": "\nthis and "}, {"type": "image"},
            {"type": "text", "text": " that: "}, {"type": "text", "text": "\n¿Which <is> it?"},
        ]},
    ]  # fmt: skip
    assert conversation(messages) == theirs
    prompt = text(messages, template)
    assert prompt == processor.apply_chat_template(theirs, add_generation_prompt=True)
    assert prompt == (
        "<|im_start|>System: Be brief.<end_of_utterance>\nUser:<image>\nthis and <image> that: "
        "\n¿Which <is> it?<end_of_utterance>\nAssistant:"
    )


@pytest.mark.parametrize(
    ("frames", "metadata"),
    [
        (clip(1, 1), {"duration": None}),
        (clip(3, 1, seconds=3.6), {"duration": 3.6}),
        (clip(21, 0.3, 23.976, seconds=70.0), {"duration": 70.0, "fps": 23.976}),
        (clip(64, 0.01, seconds=6399.9), {"duration": 6399.9}),  # over an hour
    ],
)
def test_frames_are_shown_as_in_training(
    processor: Any, template: str, frames: Frames, metadata: dict[str, Any]
) -> None:
    facts = VideoMetadata(total_num_frames=10**6, **({"fps": 25.0} | metadata))
    facts.frames_indices = [round(time * facts.fps) for time in frames.times]
    video = np.zeros((len(frames.paths), 64, 64, 3), np.uint8)
    conversation = [
        {"role": "system", "content": [{"type": "text", "text": "Watch."}]},
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What?"}]},
    ]
    theirs = processor(
        text=[processor.apply_chat_template(conversation, add_generation_prompt=True)],
        videos=[[video]],
        videos_kwargs={"video_metadata": [[facts]], "do_sample_frames": False},
        return_tensors="pt",
    )["input_ids"].tolist()
    messages: list[Message] = [Text("Watch.", role="system"), frames, Text("\nWhat?\n")]
    prompt = text(messages, template)
    ours = Expander(processor).ids([prompt], [[(0, 0)] * len(frames.paths)])
    assert processor.tokenizer.decode(ours[0]) == processor.tokenizer.decode(theirs[0])
    assert ours == theirs


def test_frames_in_words(template: str) -> None:
    frames = Frames(("a", "b"), (0.99, 3661.5), "clip", seconds=3700.2)
    assert text([frames, Text("What?")], template) == (
        "<|im_start|>User: You are provided the following series of two frames from a 1:01:40 "
        "[H:MM:SS] video.\n\nFrame from 00:00:<image>\nFrame from 61:01:<image>\n\nWhat?"
        "<end_of_utterance>\nAssistant:"
    )
    unknown = Frames(("a",), (75.9,), "clip")
    assert "one frames from a 0:01:15 [H:MM:SS] video." in text([unknown], template)


def test_an_answer_begun(processor: Any, template: str) -> None:
    messages: list[Message] = [CAT, Text("Which?"), Text("Best option:( ", role="assistant")]
    theirs = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Best option:("}]},
    ]
    prompt = text(messages, template)
    assert prompt == processor.apply_chat_template(theirs, continue_final_message=True)
    assert prompt == ("<|im_start|>User:<image>Which?<end_of_utterance>\nAssistant: Best option:(")
    # Not at the end it is a turn like any other.
    assert text([*messages, Text("Sure?")], template).endswith(
        "Assistant: Best option:(<end_of_utterance>\nUser: Sure?<end_of_utterance>\nAssistant:"
    )


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        ([Text(" \n"), CAT, Text("\tWhat? ")], [("user", ["<image>", "\tWhat?"])]),
        ([Text(" a\n"), Text("\nb\n"), Text(" ")], [("user", ["a\n", "\nb"])]),
        ([Text("a", "user"), Text("b"), CAT], [("user", ["a", "b", "<image>"])]),
        ([Text("\n", "system"), Text("b")], [("user", ["b"])]),
        ([Text("a", "system"), Text("b", "system"), CAT],
         [("system", ["a", "b"]), ("user", ["<image>"])]),
        ([Text("a"), Text("b", "assistant"), Text("c")],
         [("user", ["a"]), ("assistant", ["b"]), ("user", ["c"])]),
        ([], []),
    ],
)  # fmt: skip
def test_turns(messages: list[Message], turns: list[tuple[str, list[str]]]) -> None:
    assert [
        (turn["role"], [item.get("text", "<image>") for item in turn["content"]])
        for turn in conversation(messages)
    ] == turns


@pytest.mark.parametrize(
    ("chat_template", "complaint"),
    [
        (None, "ckpt: no chat template, and --prompts native asks by it; copy"),
        ("{% if %}", "ckpt: its chat template cannot be used: line 1: Expected"),
        ("{{ messages[0].content }}", "ckpt: its chat template is not SmolVLM's: it makes"),
        ("{{ messages[0].content[1].text }}", r"it makes 'What is in the picture\?' of an image"),
        ("<image>", "it makes '<image>' of an image and a question; copy the base model's"),
        ("{{ bos_token }}", "it uses bos_token: write the token itself"),
    ],
)
def test_templates_that_cannot_ask(chat_template: str | None, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        check(chat_template, "ckpt")
    assert "\n" not in str(caught.value)


def test_templates_that_can(template: str) -> None:
    check(template, "ckpt")
    check(IDEFICS3, "ckpt")


def test_a_template_that_drops_the_answer_begun() -> None:
    messages: list[Message] = [Text("Which?"), Text("It is", role="assistant")]
    with pytest.raises(UsageError, match="it leaves out what an assistant says"):
        text(messages, "{{ messages[0].content[0].text }}")
