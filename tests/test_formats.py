"""Compares every prompt format with VLMEvalKit's classes, byte for byte."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.sample import Frames, Image, Message, Text
from evalsuite.smolvlm.formats import FORMATS, FORMATS_BY_FAMILY
from evalsuite.smolvlm.prompts import shown_frames
from tests.builders.vlmevalkit_models import built_prompt, model, picture, vlmevalkit_prompt

pytestmark = pytest.mark.integration

SELECT = "Please select the correct answer from the options above."
KEYS = {
    "default": "RealWorldQA",
    "brief": "OCRBench",
    "yes-no": "HallusionBench",
    "choices": "MMStar",
    "mmbench": "MMBench_DEV_EN_V11",
    "mmmu": "MMMU_DEV_VAL",
    "mathvista": "MathVista_MINI",
    "chartqa": "ChartQA_TEST",
    "docvqa": "DocVQA_VAL",
    "textvqa": "TextVQA_VAL",
    "video": "TempCompass_YorN",
    "video-choices": "Video-MME",
    "video-letters": "MLVU_MCQ",
    "mvbench": "MVBench_MP4",
}
"""A VLMEvalKit dataset key for each format."""
ONE_IMAGE = ("mmbench", "mathvista", "chartqa", "docvqa", "textvqa")


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages in the form of VLMEvalKit's datasets."""
    dicts = []
    for message in messages:
        match message:
            case Text(text, role):
                dicts.append({"type": "text", "value": text} | ({"role": role} if role else {}))
            case Image():
                dicts.append({"type": "image", "value": picture()})
            case Frames(paths):
                dicts += [{"type": "image", "value": picture()}] * len(paths)
    return dicts


def clip(n: int) -> Frames:
    return Frames(("",) * n, (0.0,) * n, "clip")


PICTURE = Image("", "p")
HINTED = (
    "Hint: it has fur\nQuestion: What is 甲?\nOptions:\nA. None\nB. N/A\nC. (A) and (B) \n"
    f"{SELECT} \n"
)
IMAGE_MESSAGES: dict[str, list[Message]] = {
    "only an image": [PICTURE],
    "a question": [PICTURE, Text("  What is in the picture? \n")],
    "a hint": [PICTURE, Text(HINTED)],
    "no hint": [PICTURE, Text(HINTED.partition("\n")[2])],
    "math": [
        PICTURE,
        Text("Hint: Please answer.\nQuestion: x?\nChoices:\n(A) 1\n(B) 2\n(H) 8\n(I) 9"),
    ],
    "in parts": [Text(" Options:\nA. "), PICTURE, Text("\nOptions:\nB. \t"), Text(SELECT)],
    "separate letters": [Text("A."), PICTURE, Text("B")],
    "unicode": [PICTURE, Text("\u00a0¿Qué? 𝔘 \u200b\n\x1f"), Text("")],
    "an image token in the text": [PICTURE, Text("what does <image> mean?")],
}
VIDEO_MESSAGES: dict[str, list[Message]] = {
    "Video-MME": [Text(""), clip(3), Text("\nThese are frames. "), Text("Question: q\nA. x")],
    "MLVU": [
        Text(" Watch. ", role="system"), clip(2), Text("Question: q\nOptions:\n(A) x\n"),
        Text("\nOnly give the best option."),
    ],
    "MVBench": [
        Text("Watch.", role="system"), clip(1), Text("Question: q\nOptions:\n(A) x\n"),
        Text("\nOnly give the best option."), Text("Best option:(", role="assistant"),
    ],
    "options to select from": [clip(2), Text(f"q\nOptions:\nA. x\n{SELECT}")],
    "no options": [clip(2), Text("Best option:( respond")],
    "two system texts": [Text("a ", role="system"), clip(2), Text("b", role="system"), Text("c")],
    "in two blocks": [clip(2), Text("between"), clip(3), Text("after")],
    "stills": [PICTURE, PICTURE, Text("which?"), PICTURE],
    "no image": [Text("what?")],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("family", FORMATS_BY_FAMILY)
@pytest.mark.parametrize("case", [*IMAGE_MESSAGES, *VIDEO_MESSAGES])
def test_formats_equal_vlmevalkit(name: str, family: str, case: str) -> None:
    messages = (IMAGE_MESSAGES | VIDEO_MESSAGES)[case]
    expected, images = vlmevalkit_prompt(family, KEYS[name], as_dicts(messages))
    ours = FORMATS_BY_FAMILY[family][name](messages)
    if name in ONE_IMAGE:  # VLMEvalKit writes one <image> for any number of images
        expected = expected.replace("User:<image>", "User:" + "<image>" * images, 1)
    assert ours == expected


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ONE_IMAGE])
@pytest.mark.parametrize("family", FORMATS_BY_FAMILY)
def test_several_images_equal_vlmevalkit(name: str, family: str) -> None:
    messages: list[Message] = [
        PICTURE,
        Text("\nthis "),
        PICTURE,
        PICTURE,
        Text(" and A. those B."),
        PICTURE,
    ]
    assert (
        FORMATS_BY_FAMILY[family][name](messages)
        == vlmevalkit_prompt(family, KEYS[name], as_dicts(messages))[0]
    )


@pytest.mark.parametrize("dataset", ["MVBench_MP4", "Video-MME"])
def test_a_long_video_shows_64_frames(dataset: str) -> None:
    name = {key: name for name, key in KEYS.items()}[dataset]
    numbers = tuple(shown_frames(4000))
    shown = Frames(("",) * 64, (0.0,) * 64, "long", numbers)
    message = as_dicts([clip(4000), Text("q\nOptions:\nA. x")])
    text, images = vlmevalkit_prompt("smolvlm", dataset, message)
    assert images == 64
    assert FORMATS[name]([shown, Text("q\nOptions:\nA. x")]) == text
    assert "Frame from 66:39:" in text


WORDS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("Hint:", "Hint: ", "\nQuestion:", "Question:", "\nOptions:", "Options:"),
                *("\nChoices:", "\n", " ", "A.", "B.", "(A) ", "(H) ", "(I) ", "Best option:("),
                *(SELECT, "Answer:", "'", "<image 1>"),
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=8,
).map("".join)
TEXTS = st.builds(Text, WORDS, st.sampled_from(["", "", "", "system", "user", "assistant"]))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("family", FORMATS_BY_FAMILY)
@settings(max_examples=80, deadline=None)
@given(before=st.lists(TEXTS, max_size=2), shown=st.integers(1, 3),
       after=st.lists(TEXTS, max_size=3))  # fmt: skip
def test_random_texts_equal_vlmevalkit(
    name: str, family: str, before: list[Text], shown: int, after: list[Text]
) -> None:
    media: Message = PICTURE if name in ONE_IMAGE else clip(shown)
    messages: list[Message] = [*before, media, *after]
    ours = FORMATS_BY_FAMILY[family][name](messages)
    try:
        expected, _ = vlmevalkit_prompt(family, KEYS[name], as_dicts(messages))
    except ValueError:
        assert name == "mmbench"
        assert any(text.text.strip().startswith("Hint:") for text in [*before, *after])
    else:
        assert ours == expected


# Inputs for which VLMEvalKit fails: see workarounds.py


@pytest.mark.parametrize("name", ONE_IMAGE)
@pytest.mark.parametrize("family", FORMATS_BY_FAMILY)
def test_one_image_token_per_image(name: str, family: str) -> None:
    messages: list[Message] = [Text("which?"), PICTURE, PICTURE]
    text, images = vlmevalkit_prompt(family, KEYS[name], as_dicts(messages))
    assert (text.count("<image>"), images) == (1, 2)
    assert FORMATS_BY_FAMILY[family][name](messages) == text.replace("<image>", "<image><image>")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "Hint: h\nQuestion: q\nQuestion: r\nOptions: o",
            "Question: q\nQuestion: r\nHint: h\nChoices: o",
        ),
        (
            "Hint: h\nQuestion: q\nOptions: o\nOptions: p",
            "Question: q\nHint: h\nChoices: o\nChoices: p",
        ),
        ("Hint: h\nQuestion: q", "Hint: h\nQuestion: q"),
        ("Hint: h", "Hint: h"),
    ],
)
def test_unusual_hints(words: str, expected: str) -> None:
    messages: list[Message] = [PICTURE, Text(words)]
    for family in FORMATS_BY_FAMILY:
        with pytest.raises(ValueError, match="values to unpack"):
            vlmevalkit_prompt(family, KEYS["mmbench"], as_dicts(messages))
        assert FORMATS_BY_FAMILY[family]["mmbench"](messages) == (
            f"<|im_start|>User:<image>{expected}<end_of_utterance>\nAssistant: Answer:"
        )


def test_vlmevalkit_splits_frames_depending_on_earlier_benchmarks() -> None:
    used = model("smolvlm")
    message = as_dicts([clip(70), Text("what?")])
    for dataset, cut in (("WorldSense", True), ("Video-MME", False), ("WorldSense", False)):
        _, images = built_prompt(used, dataset, message)
        assert used.processor.image_processor.do_image_splitting == cut
        assert images == (64 if dataset == "Video-MME" else 70)
    older = model("idefics3")
    assert built_prompt(older, "Video-MME", message)[1] == 70
    assert older.processor.image_processor.do_image_splitting
    # For evalsuite, see tests/test_prompts.py (never split) and tests/test_adapter.py (64 frames).


def test_tempcompass_uses_the_format_of_video_mme() -> None:
    options: list[Message] = [clip(2), Text(f"q\nOptions:\nA. x\n{SELECT}")]
    made_by_vlmevalkit: list[Message] = [
        clip(2),
        Text("q\nA. x"),
        Text("\nPlease directly give the best option:"),
    ]
    for messages in (options, made_by_vlmevalkit):
        text, _ = vlmevalkit_prompt("smolvlm", "TempCompass_MCQ", as_dicts(messages))
        assert FORMATS["video-choices"](messages) == text
    stray: list[Message] = [clip(2), Text(SELECT)]
    text, _ = vlmevalkit_prompt("smolvlm", "TempCompass_MCQ", as_dicts(stray))
    assert "Answer with the letter." in text
    assert FORMATS["video-choices"](stray) == FORMATS["video"](stray)
    assert vlmevalkit_prompt("smolvlm", "Video-MME", as_dicts(stray))[0] == FORMATS["video"](stray)
