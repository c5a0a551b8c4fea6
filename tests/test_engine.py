import hashlib
import os
import random
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.image_utils import load_image

from evalsuite.sample import Frames, Image, Media, Text
from evalsuite.smolvlm.engine import Engine
from evalsuite.smolvlm.model import Model, load, non_greedy_options
from evalsuite.smolvlm.prompts import Prompt, build
from evalsuite.smolvlm.requests import Answer, EngineSettings, Question
from tests.builders.checkpoints import MAX_POSITIONS, SIDE, make_checkpoint
from tests.builders.models import LimitedModel, Stage

WORDS = ["What", "is", "the", "colour", "of", "shape", "in", "picture", "red", "3", "digits"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Model:
    return load(checkpoint, "cpu", "float32")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    rng = np.random.default_rng(0)
    made = []
    for width, height in [(64, 64), (301, 77), (1, 1), (20000, 10), (64, 64), (33, 200), (20, 20)]:
        path = tmp_path_factory.mktemp("images") / "image.png"
        PIL.Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        made.append(Image(str(path), hashlib.sha256(path.read_bytes()).hexdigest()))
    return made


@pytest.fixture(scope="module")
def questions(images: list[Image]) -> list[Question]:
    """With none, one or several images or frames, and various lengths and limits."""
    rng = random.Random(0)
    asked = []
    for i in range(24):
        text = Text(" ".join(rng.choices(WORDS, k=rng.randint(1, 25))))
        shown = rng.sample(images, rng.choice([0, 1, 1, 1, 2]))
        asked.append(Question(f"q{i}", build("default", [*shown, text]), rng.choice([1, 4, 8])))
    for i, some in enumerate([images[:5], images[:2], images[3:6]]):
        times = tuple(float(n) for n in range(len(some)))
        frames = Frames(tuple(image.path for image in some), times, f"frames {i}")
        asked.append(Question(f"v{i}", build("video", [frames, Text("What is it?")]), 6))
    return asked


def one_at_a_time(checkpoint: Path, questions: list[Question]) -> dict[str, str]:
    """Return the answers of VLMEvalKit's SmolVLM2 class."""
    processor = AutoProcessor.from_pretrained(checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    texts = {}
    for question in questions:
        paths = [path for medium in question.prompt.media for path in paths_of(medium)]
        no_split = {"do_image_splitting": False, "size": {"longest_edge": SIDE}}
        inputs = processor(
            text=question.prompt.text,
            images=[load_image(path) for path in paths] or None,
            return_tensors="pt",
            **({} if question.prompt.split else no_split),
        )
        ids = model.generate(**inputs, max_new_tokens=question.max_new_tokens, do_sample=False)
        new = ids[:, inputs["input_ids"].shape[1] :]
        texts[question.id] = processor.batch_decode(new, skip_special_tokens=True)[0].strip()
    return texts


def paths_of(medium: Image | Frames) -> tuple[str, ...]:
    return medium.paths if isinstance(medium, Frames) else (medium.path,)


def answered(engine: Engine, questions: Iterable[Question]) -> dict[str, Answer]:
    answers = [answer for batch in engine.answer(questions) for answer in batch]
    by_id = {answer.id: answer for answer in answers}
    assert len(by_id) == len(answers)
    return by_id


def total(answers: dict[str, Answer], name: str) -> int:
    """Return the sum of a number of all answers' costs."""
    return sum(getattr(answer.cost, name) for answer in answers.values())


def texts(answers: dict[str, Answer]) -> dict[str, str]:
    return {id_: answer.text for id_, answer in answers.items()}


@pytest.mark.parametrize("family", ["smolvlm", "idefics3"])
def test_texts_equal_generate_one_at_a_time(
    family: Any, questions: list[Question], tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(tmp_path, family=family)
    with Engine(checkpoint) as engine:
        answers = answered(engine, questions)
    assert texts(answers) == one_at_a_time(checkpoint, questions)
    # The test would be weak if all answers were equal.
    assert len(set(texts(answers).values())) > len(questions) / 2
    assert {answer.ended for answer in answers.values()} == {"stop", "length"}
    assert engine.stats.generation == "greedy loop"


def test_shared_prefixes_are_processed_once(
    checkpoint: Path, model: Model, images: list[Image]
) -> None:
    clip = Frames(tuple(image.path for image in images[:4]), (0.0, 1.0, 2.0, 3.0), "clip")
    asked = [
        *(
            Question(f"i{i}", build("default", [images[i // 5], Text(word)]), 4)
            for i, word in enumerate(WORDS)
        ),
        *(
            Question(f"v{i}", build("video", [clip, Text(word)]), 4)
            for i, word in enumerate(WORDS[:4])
        ),
        Question("unshared", build("default", [images[5], Text("What is the shape?")]), 4),
        Question("text", build("default", [Text("What?")]), 4),
    ]
    watched = LimitedModel(model, MemoryError())
    with Engine(checkpoint, model=watched) as engine:  # type: ignore[arg-type]
        answers = answered(engine, asked)
    assert texts(answers) == one_at_a_time(checkpoint, asked)
    # One row for each of three images, the clip and the two others, in both calls of the model.
    assert watched.tried[:2] == [6, 6]
    assert total(answers, "prefill_tokens") < 0.6 * total(answers, "prompt_tokens")


def test_costs_have_the_lengths_of_prompts(
    checkpoint: Path, model: Model, questions: list[Question]
) -> None:
    with Engine(checkpoint, model=model) as engine:
        costs = {id_: answer.cost for id_, answer in answered(engine, questions).items()}
    lengths = {
        q.id: length(checkpoint, q.prompt) for q in questions if q.prompt.split and q.prompt.media
    }
    assert {id_: costs[id_].prompt_tokens for id_ in lengths} == lengths


def test_prefix_sharing_can_be_disabled(
    checkpoint: Path, model: Model, images: list[Image]
) -> None:
    clip = Frames(tuple(image.path for image in images[:4]), (0.0, 1.0, 2.0, 3.0), "clip")
    asked = [
        Question(word, build("video", [clip, Text(word)]), 4) for word in WORDS
    ]  # fmt: skip
    with Engine(checkpoint, model=model) as sharing:
        shared = answered(sharing, asked)
    with Engine(checkpoint, model=model, share_prefixes=False) as whole:
        complete = answered(whole, asked)
    assert complete == shared
    prompt_tokens = total(complete, "prompt_tokens")
    assert total(complete, "prefill_tokens") == prompt_tokens == total(shared, "prompt_tokens")
    assert total(shared, "prefill_tokens") < prompt_tokens / 4


@pytest.fixture(scope="module")
def expected(
    checkpoint: Path, model: Model, questions: list[Question]
) -> Iterator[dict[str, Answer]]:
    with Engine(checkpoint, model=model) as engine:
        yield answered(engine, questions)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_texts_depend_on_neither_batch_size_nor_order(
    checkpoint: Path,
    model: Model,
    questions: list[Question],
    expected: dict[str, Answer],
    batch_size: int,
) -> None:
    shuffled = random.Random(batch_size).sample(questions, len(questions))
    with Engine(checkpoint, EngineSettings(batch_size=batch_size), model=model) as engine:
        batches = list(engine.answer(shuffled))
    assert max(len(batch) for batch in batches) <= batch_size
    assert {answer.id: answer for batch in batches for answer in batch} == expected


def test_token_counts_match_the_end_of_answers(
    questions: list[Question], expected: dict[str, Answer]
) -> None:
    for question in questions:
        answer = expected[question.id]
        if answer.ended == "length":
            assert answer.tokens == question.max_new_tokens
        else:
            assert answer.tokens < question.max_new_tokens
        assert answer.error is None


def test_features_equal_get_image_features(checkpoint: Path, model: Model) -> None:
    module = AutoModelForImageTextToText.from_pretrained(checkpoint)
    pixels = torch.randn(5, 3, SIDE, SIDE)
    with torch.inference_mode():
        masked = module.get_image_features(
            pixels[None], torch.ones(1, 5, SIDE, SIDE, dtype=torch.long)
        )
    # A list or a tensor, depending on the version of transformers.
    features = torch.cat([part.reshape(-1, part.shape[-1]) for part in masked.pooler_output])
    assert torch.equal(model.encode(pixels).flatten(0, 1), features)


def test_media_are_encoded_once_across_windows(
    checkpoint: Path, model: Model, images: list[Image]
) -> None:
    first, second = images[0], images[6]
    asked = [
        Question(str(i), build("default", [first if i < 200 else second, Text(str(i))]), 1)
        for i in range(300)
    ]
    with Engine(checkpoint, model=model) as engine:
        answers = answered(engine, asked)
        assert len(answers) == 300
        # 3 × 3 tiles and a global one; a window contains fewer than 200 questions.
        assert total(answers, "tiles") == 2 * 10
        assert engine.stats.peak_memory_bytes > 0
        assert set(answers["0"].cost.seconds) == {
            *("read", "tiles", "wait", "vision", "prefill", "decode", "other")
        }


def test_unbatched_questions_share_nothing(
    checkpoint: Path, model: Model, questions: list[Question], expected: dict[str, Answer]
) -> None:
    again = [replace(q, id=f"again {q.id}", unbatched=True) for q in questions]
    # Between others, directly after the same question, and several in a row.
    asked = [*questions[:10], again[9], *questions[10:], *again[:9], *again[10:]]
    with Engine(checkpoint, model=model) as engine:
        batches = list(engine.answer(asked))
    found = {answer.id: answer for batch in batches for answer in batch}
    assert len(found) == len(asked)
    for batch in batches:
        assert len(batch) == 1 or not any(answer.id.startswith("again") for answer in batch)
    for question in again:
        answer, known = found[question.id], expected[question.id.removeprefix("again ")]
        assert (answer.text, answer.ended) == (known.text, known.ended)
        assert answer.cost.prefill_tokens == answer.cost.prompt_tokens
        assert bool(answer.cost.tiles) == bool(question.prompt.media), "encoded again"


def test_longest_edge_changes_the_tiles(
    checkpoint: Path, model: Model, images: list[Image]
) -> None:
    asked = [Question("q", build("default", [images[0], Text("What?")]), 1)]
    with Engine(checkpoint, EngineSettings(longest_edge=2 * SIDE), model=model) as engine:
        assert total(answered(engine, asked), "tiles") == 2 * 2 + 1


def test_bad_media_fail_only_their_own_questions(
    checkpoint: Path,
    model: Model,
    questions: list[Question],
    expected: dict[str, Answer],
    tmp_path: Path,
) -> None:
    missing, broken, fifo = (str(tmp_path / name) for name in ("missing.png", "bad.png", "fifo"))
    Path(broken).write_bytes(b"\x89PNG and nothing more")
    os.mkfifo(fifo)
    good = questions[-1].prompt.media[0]
    assert isinstance(good, Frames)
    frames = Frames((good.paths[0], broken, good.paths[0]), (0.0, 1.0, 2.0), "broken frames")
    bad: dict[str, tuple[Media, str]] = {
        "missing": (Image(missing, "m"), f"{missing}: no such file"),
        "broken": (Image(broken, "b"), f"{broken}: not an image in a known format"),
        "pipe": (Image(fifo, "h"), f"{fifo}: it is a named pipe, not a file"),
        "frames": (frames, f"{broken}: not an image in a known format"),
    }
    asked = [
        Question(name, build("video" if name == "frames" else "default", [medium]), 4)
        for name, (medium, _) in bad.items()
    ]
    with Engine(checkpoint, model=model, decode_timeout=2) as engine:
        answers = answered(engine, [*questions[:3], *asked, *questions[3:]])
    for name, (_, why) in bad.items():
        assert answers.pop(name) == Answer(name, "", 0, "error", why)
    assert answers == expected


def test_invalid_prompts_are_errors(checkpoint: Path, model: Model, images: list[Image]) -> None:
    long = build("default", [images[0], Text("red " * MAX_POSITIONS)])
    garbled = build("default", [images[0], Text("What is \ud800?")])
    fine = build("default", [images[0], Text("What?")])
    stray = replace(fine, text=f"{fine.text}<image>")
    prompts = {"long": long, "stray": stray, "garbled": garbled, "fine": fine}
    with Engine(checkpoint, model=model) as engine:
        answers = answered(engine, [Question(id_, prompt, 1) for id_, prompt in prompts.items()])
    too_long, stray_token, not_unicode = (
        answers[n].error or "" for n in ("long", "stray", "garbled")
    )
    assert f"{length(checkpoint, long):,} tokens" in too_long
    assert str(MAX_POSITIONS) in too_long
    assert "2 <image> tokens for 1 images" in stray_token
    assert "character 32" in not_unicode
    assert answers["fine"].error is None


def length(checkpoint: Path, prompt: Prompt) -> int:
    """Return the processor's number of tokens for a prompt with images."""
    processor = AutoProcessor.from_pretrained(checkpoint)
    images = [load_image(path) for medium in prompt.media for path in paths_of(medium)]
    return len(processor(text=prompt.text, images=images)["input_ids"][0])


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]
STAGES: list[Stage] = ["vision", "embed", "prefix", "rest", "decode"]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "python"])
@pytest.mark.parametrize("stage", STAGES)
def test_out_of_memory_reduces_batches_and_keeps_answers(
    checkpoint: Path,
    model: Model,
    questions: list[Question],
    expected: dict[str, Answer],
    stage: Stage,
    error: Exception,
) -> None:
    limited = LimitedModel(model, error, stage, 3)
    twice = [*questions, *(replace(question, id=f"{question.id} again") for question in questions)]
    with Engine(checkpoint, model=limited) as engine:  # type: ignore[arg-type]
        found = answered(engine, twice)
        again = {q.id: replace(found.pop(f"{q.id} again"), id=q.id) for q in questions}
        assert found == again == expected
        assert engine.stats.splits > 0
    assert max(limited.tried) > 3
    assert min(limited.tried) <= 3


def test_out_of_memory_in_generate_reduces_batches(
    tmp_path: Path, questions: list[Question]
) -> None:
    checkpoint = make_checkpoint(tmp_path, generation={"repetition_penalty": 1.5})
    asked = [replace(question, id=f"{n}") for n in range(4) for question in questions[:1]]
    limited = LimitedModel(load(checkpoint, "cpu", "float32"), MemoryError(), "generate", 1)
    with Engine(checkpoint, model=limited) as engine:  # type: ignore[arg-type]
        assert len(set(texts(answered(engine, asked)).values())) == 1
    assert limited.tried == [4, 2, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        ("vision", "out of memory: .* on cpu"),
        ("embed", r"out of memory: .* \d+ tokens .* on cpu"),
        ("rest", r"out of memory: .* \d+ tokens .* on cpu"),
        ("decode", r"out of memory: .* \d+ tokens .* on cpu"),
    ],
)
def test_a_prompt_too_large_for_memory_is_an_error(
    checkpoint: Path,
    model: Model,
    questions: list[Question],
    expected: dict[str, Answer],
    stage: Stage,
    why: str,
) -> None:
    limited = LimitedModel(model, OUT_OF_MEMORY[0], stage, 0)
    asked = [q for q in questions if q.prompt.media and expected[q.id].tokens > 1]
    assert asked
    with Engine(checkpoint, model=limited) as engine:  # type: ignore[arg-type]
        for answer in answered(engine, asked).values():
            assert answer.ended == "error"
            assert re.fullmatch(why, answer.error or "")


@pytest.mark.parametrize("stage", ["vision", "rest"])
def test_a_question_whose_model_raises_fails_alone(
    checkpoint: Path,
    model: Model,
    questions: list[Question],
    expected: dict[str, Answer],
    stage: Stage,
) -> None:
    error = ValueError("first line\nshapes do not match")
    for limit in (0, 1):
        limited = LimitedModel(model, error, stage, limit)
        with Engine(checkpoint, EngineSettings(batch_size=4), model=limited) as engine:  # type: ignore[arg-type]
            answers = answered(engine, questions)
        failed = {id_ for id_, answer in answers.items() if answer.ended == "error"}
        if stage == "rest":
            assert failed == ({question.id for question in questions} if limit == 0 else set())
        for id_, answer in answers.items():
            if id_ in failed:
                reason = r"raised ValueError: shapes do not match \(models\.py line \d+\)"
                assert re.fullmatch(reason, answer.error or "")
            else:
                assert answer == expected[id_]
        assert failed or limit


def test_errors_after_which_the_device_is_lost_are_raised(
    checkpoint: Path, model: Model, questions: list[Question]
) -> None:
    error = RuntimeError("CUDA error: device-side assert triggered")
    for stage in ("vision", "rest"):
        limited = LimitedModel(model, error, stage, 0)
        with (
            Engine(checkpoint, model=limited) as engine,  # type: ignore[arg-type]
            pytest.raises(RuntimeError, match="device-side assert"),
        ):
            answered(engine, questions)


# Outputs that are not numbers


@pytest.mark.parametrize(
    ("generation", "greedy"),
    [({}, True), ({"no_repeat_ngram_size": 3}, False), ({"num_beams": 2}, False)],
)
@pytest.mark.parametrize(
    ("weight", "value"),
    [
        ("lm_head.weight", float("nan")),
        ("lm_head.weight", float("inf")),
        ("model.connector.modality_projection.proj.weight", float("nan")),
    ],
)
def test_an_output_that_is_not_a_number_is_an_error(
    tmp_path: Path,
    images: list[Image],
    weight: str,
    value: float,
    generation: dict[str, object],
    greedy: bool,
) -> None:
    broken = load(make_checkpoint(tmp_path, generation=generation), "cpu", "float32")
    dict(broken._module.named_parameters())[weight].data[7] = value
    with_image = [Question(i, build("default", [images[0], Text(i)]), 4) for i in ("a", "what")]
    without = Question("text", build("default", [Text("What?")]), 4)
    with Engine(tmp_path, EngineSettings(batch_size=4), model=broken) as engine:
        assert engine.stats.generation.startswith("greedy") == greedy
        answers = answered(engine, [*with_image, without])
    for question in with_image:
        assert answers[question.id].ended == "error"
        assert answers[question.id].error == "the model's output is not a number"
        assert (answers[question.id].text, answers[question.id].tokens) == ("", 0)
    assert (answers["text"].ended == "error") == (weight == "lm_head.weight")


def test_a_question_in_the_same_row_keeps_its_answer(checkpoint: Path, images: list[Image]) -> None:
    asked = [Question(i, build("default", [images[0], Text(i)]), 4) for i in ("red 3", "colour of")]
    broken = load(checkpoint, "cpu", "float32")
    with Engine(checkpoint, model=broken) as engine:
        before = answered(engine, asked)
        (token,) = AutoProcessor.from_pretrained(checkpoint).tokenizer(
            "3", add_special_tokens=False
        )["input_ids"]
        broken._module.get_input_embeddings().weight.data[token] = float("nan")
        after = answered(engine, asked)
    assert after["red 3"].error == "the model's output is not a number"
    assert after["colour of"] == before["colour of"]


def test_weights_in_memory_do_not_change_with_their_file(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path) / "model.safetensors"
    loaded = load(tmp_path, "cpu", "bfloat16")  # the stored type: nothing is converted
    before = loaded._head.weight.clone()
    with path.open("r+b") as file:  # in place, as cp does
        length = path.stat().st_size
        file.seek(length // 4)
        file.write(bytes(length - length // 4))
    assert torch.equal(loaded._head.weight, before)
    for weights in loaded._module.parameters():
        assert weights.isfinite().all()
        assert weights.dim() < 2 or weights.any()


@pytest.mark.parametrize(
    ("generation", "why"),
    [
        ({"repetition_penalty": 1.5}, "repetition_penalty=1.5"),
        ({"num_beams": 2, "min_new_tokens": 3}, "min_new_tokens=3, num_beams=2"),
        ({"no_repeat_ngram_size": 1, "do_sample": True}, "no_repeat_ngram_size=1"),
    ],
)
def test_non_greedy_options_use_generate(
    questions: list[Question], tmp_path: Path, generation: dict[str, object], why: str
) -> None:
    checkpoint = make_checkpoint(tmp_path, generation=generation)
    with Engine(checkpoint) as engine:
        assert engine.stats.generation == f"transformers generate: {why}"
        assert texts(answered(engine, questions[::2])) == one_at_a_time(checkpoint, questions[::2])


def test_sampling_options_keep_decoding_greedy(tmp_path: Path) -> None:
    sampling: dict[str, object] = {
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.9,
        "num_beams": 1,
    }
    module = AutoModelForImageTextToText.from_pretrained(
        make_checkpoint(tmp_path, generation=sampling)
    )
    assert non_greedy_options(module.generation_config) == ""


def test_several_end_tokens(tmp_path: Path, questions: list[Question]) -> None:
    checkpoint = make_checkpoint(tmp_path, generation={"eos_token_id": [4, *range(50, 120)]})
    with Engine(checkpoint) as engine:
        answers = answered(engine, questions[::2])
    assert texts(answers) == one_at_a_time(checkpoint, questions[::2])


def test_questions_may_depend_on_earlier_answers(
    checkpoint: Path, model: Model, questions: list[Question], expected: dict[str, Answer]
) -> None:
    answers: dict[str, Answer] = {}
    enough = threading.Event()

    def in_two_parts() -> Iterator[Question]:
        yield from questions[:5]
        assert enough.wait(30)
        yield from questions[5:]

    with Engine(checkpoint, model=model) as engine:
        for batch in engine.answer(in_two_parts()):
            answers |= {answer.id: answer for answer in batch}
            if len(answers) == 5:
                enough.set()
    assert answers == expected


def test_errors_of_the_question_iterator_are_raised(
    checkpoint: Path, model: Model, questions: list[Question]
) -> None:
    def broken() -> Iterator[Question]:
        yield questions[0]
        raise LookupError("the pipe is gone")

    with (
        Engine(checkpoint, model=model) as engine,
        pytest.raises(LookupError, match="the pipe is gone"),
    ):
        answered(engine, broken())


def test_no_questions_no_answers(checkpoint: Path, model: Model) -> None:
    with Engine(checkpoint, model=model) as engine:
        assert list(engine.answer([])) == []


def test_an_engine_can_be_reused_after_an_unfinished_iteration(
    checkpoint: Path, model: Model, questions: list[Question], expected: dict[str, Answer]
) -> None:
    with Engine(checkpoint, EngineSettings(batch_size=2), model=model) as engine:
        next(engine.answer(questions))
        assert answered(engine, questions) == expected


def test_bfloat16_answers(checkpoint: Path, questions: list[Question]) -> None:
    question = questions[1]
    with Engine(checkpoint, EngineSettings(dtype="bfloat16")) as engine:
        answer = answered(engine, [question])[question.id]
    assert answer.error is None
    assert answer.tokens


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = make_checkpoint(tmp_path) / "model.safetensors"
    weights = load_file(path)
    del weights["lm_head.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are missing, first lm_head\.weight"):
        Engine(tmp_path)


def test_a_processor_of_another_checkpoint_is_refused(
    checkpoint: Path, model: Model, tmp_path: Path
) -> None:
    processor = AutoProcessor.from_pretrained(checkpoint)
    processor.image_seq_len = 64
    processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"4 tokens .* 32 pixels.* 64"):
        Engine(checkpoint, EngineSettings(processor=tmp_path), model=model)
