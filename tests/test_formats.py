"""The words of every format beside those of VLMEvalKit's own classes, byte for byte."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.sample import Frames, Image, Message, Text
from evalsuite.smolvlm.formats import FORMATS, OF_FAMILY
from evalsuite.smolvlm.prompts import shown_frames
from tests.builders.vlmevalkit_models import _said, model, picture, theirs

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
"""A dataset of VLMEvalKit that is asked in each format."""
ONE_IMAGE = ("mmbench", "mathvista", "chartqa", "docvqa", "textvqa")


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as VLMEvalKit's datasets make them."""
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
TALKS: dict[str, list[Message]] = {
    "nothing but a picture": [PICTURE],
    "a question": [PICTURE, Text("  What is in the picture? \n")],
    "a hint": [PICTURE, Text(HINTED)],
    "no hint": [PICTURE, Text(HINTED.partition("\n")[2])],
    "math": [
        PICTURE,
        Text("Hint: Please answer.\nQuestion: x?\nChoices:\n(A) 1\n(B) 2\n(H) 8\n(I) 9"),
    ],
    "in pieces": [Text(" Options:\nA. "), PICTURE, Text("\nOptions:\nB. \t"), Text(SELECT)],
    "letters apart": [Text("A."), PICTURE, Text("B")],
    "unicode": [PICTURE, Text("\u00a0¿Qué? 𝔘 \u200b\n\x1f"), Text("")],
    "a mark in the words": [PICTURE, Text("what does <image> mean?")],
}
VIDEOS: dict[str, list[Message]] = {
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
    "two systems": [Text("a ", role="system"), clip(2), Text("b", role="system"), Text("c")],
    "in two blocks": [clip(2), Text("between"), clip(3), Text("after")],
    "stills": [PICTURE, PICTURE, Text("which?"), PICTURE],
    "no picture": [Text("what?")],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("family", OF_FAMILY)
@pytest.mark.parametrize("talk", [*TALKS, *VIDEOS])
def test_word_for_word(name: str, family: str, talk: str) -> None:
    messages = (TALKS | VIDEOS)[talk]
    expected, images = theirs(family, KEYS[name], as_dicts(messages))
    ours = OF_FAMILY[family][name](messages)
    if name in ONE_IMAGE:  # theirs has one mark, which fits no other number of images
        expected = expected.replace("User:<image>", "User:" + "<image>" * images, 1)
    assert ours == expected


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ONE_IMAGE])
@pytest.mark.parametrize("family", OF_FAMILY)
def test_several_images(name: str, family: str) -> None:
    messages: list[Message] = [
        PICTURE,
        Text("\nthis "),
        PICTURE,
        PICTURE,
        Text(" and A. those B."),
        PICTURE,
    ]
    assert OF_FAMILY[family][name](messages) == theirs(family, KEYS[name], as_dicts(messages))[0]


@pytest.mark.parametrize("dataset", ["MVBench_MP4", "Video-MME"])
def test_a_long_video(dataset: str) -> None:
    name = {key: name for name, key in KEYS.items()}[dataset]
    numbers = tuple(shown_frames(4000))
    shown = Frames(("",) * 64, (0.0,) * 64, "long", numbers)
    message = as_dicts([clip(4000), Text("q\nOptions:\nA. x")])
    text, images = theirs("smolvlm", dataset, message)
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
@pytest.mark.parametrize("family", OF_FAMILY)
@settings(max_examples=80, deadline=None)
@given(before=st.lists(TEXTS, max_size=2), shown=st.integers(1, 3),
       after=st.lists(TEXTS, max_size=3))  # fmt: skip
def test_any_words(
    name: str, family: str, before: list[Text], shown: int, after: list[Text]
) -> None:
    media: Message = PICTURE if name in ONE_IMAGE else clip(shown)
    messages: list[Message] = [*before, media, *after]
    ours = OF_FAMILY[family][name](messages)
    try:
        expected, _ = theirs(family, KEYS[name], as_dicts(messages))
    except ValueError:
        assert name == "mmbench"
        assert any(text.text.strip().startswith("Hint:") for text in [*before, *after])
    else:
        assert ours == expected


# Where theirs cannot be asked: see mends.py


@pytest.mark.parametrize("name", ONE_IMAGE)
@pytest.mark.parametrize("family", OF_FAMILY)
def test_one_mark_for_any_number_of_images(name: str, family: str) -> None:
    messages: list[Message] = [Text("which?"), PICTURE, PICTURE]
    text, images = theirs(family, KEYS[name], as_dicts(messages))
    assert (text.count("<image>"), images) == (1, 2)
    assert OF_FAMILY[family][name](messages) == text.replace("<image>", "<image><image>")


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
def test_a_hint_of_another_make(words: str, expected: str) -> None:
    messages: list[Message] = [PICTURE, Text(words)]
    for family in OF_FAMILY:
        with pytest.raises(ValueError, match="values to unpack"):
            theirs(family, KEYS["mmbench"], as_dicts(messages))
        assert OF_FAMILY[family]["mmbench"](messages) == (
            f"<|im_start|>User:<image>{expected}<end_of_utterance>\nAssistant: Answer:"
        )


def test_whether_frames_are_cut_is_left_to_what_ran_before() -> None:
    used = model("smolvlm")
    message = as_dicts([clip(70), Text("what?")])
    for dataset, cut in (("WorldSense", True), ("Video-MME", False), ("WorldSense", False)):
        _, images = _said(used, dataset, message)
        assert used.processor.image_processor.do_image_splitting == cut
        assert images == (64 if dataset == "Video-MME" else 70)
    older = model("idefics3")
    assert _said(older, "Video-MME", message)[1] == 70
    assert older.processor.image_processor.do_image_splitting
    # Ours: tests/test_prompts.py, that frames are never cut; tests/test_adapter.py, that 64 do.


def test_tempcompass_is_asked_as_video_mme() -> None:
    options: list[Message] = [clip(2), Text(f"q\nOptions:\nA. x\n{SELECT}")]
    made_by_vlmevalkit: list[Message] = [
        clip(2),
        Text("q\nA. x"),
        Text("\nPlease directly give the best option:"),
    ]
    for messages in (options, made_by_vlmevalkit):
        text, _ = theirs("smolvlm", "TempCompass_MCQ", as_dicts(messages))
        assert FORMATS["video-choices"](messages) == text
    stray: list[Message] = [clip(2), Text(SELECT)]
    text, _ = theirs("smolvlm", "TempCompass_MCQ", as_dicts(stray))
    assert "Answer with the letter." in text
    assert FORMATS["video-choices"](stray) == FORMATS["video"](stray)
    assert theirs("smolvlm", "Video-MME", as_dicts(stray))[0] == FORMATS["video"](stray)
