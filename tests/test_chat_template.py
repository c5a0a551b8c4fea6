"""Compares prompts from a checkpoint's chat template with transformers' rendering."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from transformers import AutoProcessor
from transformers.video_utils import VideoMetadata

from evalsuite.checkpoint import checkpoint
from evalsuite.errors import UsageError
from evalsuite.sample import Frames, Image, Message, Text
from evalsuite.smolvlm import chat_template as chat_template_module
from evalsuite.smolvlm.chat_template import check, conversation, render_prompt
from evalsuite.smolvlm.tokenization import PromptTokenizer
from tests.builders.chat_templates import IDEFICS3

CAT, DOG = Image("cat.png", "c"), Image("dog.png", "d")


def clip(n: int, per_second: float, rate: float = 25.0, seconds: float = 0.0) -> Frames:
    """Return `n` frames, `per_second` each second, each at the nearest earlier video frame."""
    positions = [int(i * rate / per_second) for i in range(n)]
    return Frames(
        tuple(f"{i}.jpg" for i in range(n)),
        tuple(position / rate for position in positions),
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


def test_the_template_equals_the_processors(processor: Any, template: str) -> None:
    assert processor.chat_template == template


def test_images_are_rendered_as_by_the_processor(processor: Any, template: str) -> None:
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
    prompt = render_prompt(messages, template)
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
def test_frames_are_rendered_as_by_the_processor(
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
    prompt = render_prompt(messages, template)
    ours = PromptTokenizer(processor.tokenizer, processor.image_seq_len).encode(
        [prompt], [[(0, 0)] * len(frames.paths)]
    )
    assert processor.tokenizer.decode(ours[0]) == processor.tokenizer.decode(theirs[0])
    assert ours == theirs


def test_text_of_frames(template: str) -> None:
    frames = Frames(("a", "b"), (0.99, 3661.5), "clip", seconds=3700.2)
    assert render_prompt([frames, Text("What?")], template) == (
        "<|im_start|>User: You are provided the following series of two frames from a 1:01:40 "
        "[H:MM:SS] video.\n\nFrame from 00:00:<image>\nFrame from 61:01:<image>\n\nWhat?"
        "<end_of_utterance>\nAssistant:"
    )
    unknown = Frames(("a",), (75.9,), "clip")
    assert "one frames from a 0:01:15 [H:MM:SS] video." in render_prompt([unknown], template)


def test_assistant_text_at_the_end_begins_the_answer(processor: Any, template: str) -> None:
    messages: list[Message] = [CAT, Text("Which?"), Text("Best option:( ", role="assistant")]
    theirs = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Best option:("}]},
    ]
    prompt = render_prompt(messages, template)
    assert prompt == processor.apply_chat_template(theirs, continue_final_message=True)
    assert prompt == ("<|im_start|>User:<image>Which?<end_of_utterance>\nAssistant: Best option:(")
    # Elsewhere it is an ordinary turn.
    assert render_prompt([*messages, Text("Sure?")], template).endswith(
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
def test_messages_are_grouped_into_turns(
    messages: list[Message], turns: list[tuple[str, list[str]]]
) -> None:
    assert [
        (turn["role"], [item.get("text", "<image>") for item in turn["content"]])
        for turn in conversation(messages)
    ] == turns


@pytest.mark.parametrize(
    ("chat_template", "complaint"),
    [
        (None, "ckpt: no chat template.*--prompts native"),
        ("{% if %}", "ckpt: .*line 1: Expected"),
        ("{{ messages[0].content }}", "ckpt: .*'What is|ckpt: .*type"),
        ("{{ messages[0].content[1].text }}", r"'What is in the picture\?'"),
        ("<image>", "'<image>'"),
        ("{{ bos_token }}", "bos_token"),
    ],
)
def test_unusable_templates_are_errors(chat_template: str | None, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        check(chat_template, "ckpt")
    assert "\n" not in str(caught.value)


def test_usable_templates_pass(template: str) -> None:
    check(template, "ckpt")
    check(IDEFICS3, "ckpt")


def test_a_template_that_omits_assistant_text_is_an_error() -> None:
    messages: list[Message] = [Text("Which?"), Text("It is", role="assistant")]
    with pytest.raises(UsageError, match="assistant"):
        render_prompt(messages, "{{ messages[0].content[0].text }}")


@pytest.mark.parametrize(
    ("chat_template", "complaint"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
            "{% endfor %}{% endfor %}{% endfor %}",
            "does not end within 1 s",
        ),
        ("{{ 'x' * 10**10 }}", "needs more than 1024 MiB"),
        ("{{ 'x' * 2000000 }}", "makes a prompt of 2,000,000 characters"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    ],
)
def test_a_template_without_bounds(
    template: str, monkeypatch: pytest.MonkeyPatch, chat_template: str, complaint: str
) -> None:
    if "within" in complaint:
        monkeypatch.setattr(chat_template_module, "RENDER_SECONDS", 1.0)
    with pytest.raises(UsageError, match=complaint):
        check(chat_template, "here")
    monkeypatch.undo()
    check(template, "here")  # another process renders


def test_an_interrupted_prompt_does_not_answer_for_the_next(
    template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in a notebook ends one call, and the process lives on."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    render_prompt([CAT, Text("first")], template)
    with monkeypatch.context() as patch:
        patch.setattr(chat_template_module.Child, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render_prompt([CAT, Text("second")], template)
    assert "third" in render_prompt([CAT, Text("third")], template)


def test_threads_get_their_own_prompts(template: str) -> None:
    words = [f"question {number}" for number in range(60)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda word: render_prompt([CAT, Text(word)], template), words))
    assert [word in prompt for word, prompt in zip(words, made, strict=True)] == [True] * 60
