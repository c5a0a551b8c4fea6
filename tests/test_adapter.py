"""SmolVLM inside VLMEvalKit's own inference loops."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalsuite import checkpoint
from evalsuite.benchmarks import Benchmark, FrameRule
from evalsuite.errors import UsageError
from evalsuite.samples import Sample
from evalsuite.smolvlm import prompts
from tests import made_data as made

DEMO = "demo"
LIMIT = 8


@pytest.fixture(scope="module")
def vlmeval() -> Any:
    return made.vlmevalkit()


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    from evalsuite.smolvlm.engine import Engine

    engine = Engine(checkpoint.read(DEMO).path)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def registered(vlmeval: Any) -> str:
    from evalsuite import register

    name = register(DEMO, "smol-demo", device="cpu")
    known = vlmeval.config.supported_VLM
    known[name] = functools.partial(known[name], max_new_tokens=LIMIT)
    return name


def answers(engine: Any, samples: list[Sample], prompt: str) -> list[str]:
    from evalsuite.smolvlm.questions import Question

    asked = [Question(s.id, prompts.build(prompt, s.messages), LIMIT) for s in samples]
    said = {answer.id: answer.text for batch in engine.answer(asked) for answer in batch}
    return [said[s.id] for s in samples]


def ours(benchmark: Benchmark) -> list[Sample]:
    kit = made.kit()
    built = kit.samples(benchmark, [item.id for item in kit.outline(benchmark)])
    return [sample for sample in built if isinstance(sample, Sample)]


def test_images(
    vlmeval: Any,
    engine: Any,
    registered: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vlmeval.inference import infer_data_job

    monkeypatch.setenv("PRED_FORMAT", "tsv")
    monkeypatch.setenv("LMUData", str(tmp_path))
    # No option that VLMEvalKit's own reading, which nothing mends here, takes for a hole.
    plain = {"C": "fish", "D": "bird"}
    benchmark = made.choices(tmp_path, [plain, plain, plain | {"D": "a" * 40}])
    dataset = vlmeval.dataset.ImageMCQDataset("Choices")
    infer_data_job(registered, str(tmp_path), registered, dataset)
    theirs = vlmeval.smp.load(str(tmp_path / f"{registered}_Choices.tsv"))
    expected = answers(engine, ours(benchmark), "default")
    assert list(theirs["prediction"]) == expected
    assert all(expected)


def test_videos(
    vlmeval: Any,
    engine: Any,
    registered: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vlmeval.inference_video import infer_data_job_video

    monkeypatch.setenv("PRED_FORMAT", "tsv")
    monkeypatch.setenv("LMUData", str(tmp_path))
    made.video(tmp_path / "video" / "a.mp4", 100)
    rule = FrameRule(per_second=10)  # more than the 64 that are shown
    benchmark = made.videos(tmp_path, [{}], rule)

    def prepare_dataset(*_: object) -> dict[str, str]:
        return {"root": str(tmp_path), "data_file": str(tmp_path / "Video-MME.tsv")}

    kind = vlmeval.dataset.VideoMME
    dataset = type("Local", (kind,), {"prepare_dataset": prepare_dataset})(fps=10)
    infer_data_job_video(registered, str(tmp_path), registered, dataset)
    theirs = vlmeval.smp.load(str(tmp_path / f"{registered}_Video-MME.tsv"))
    assert list(theirs["prediction"].map(str)) == answers(engine, ours(benchmark), "video-choices")


def test_a_message_that_cannot_be_asked(registered: str, vlmeval: Any) -> None:
    model = vlmeval.config.supported_VLM[registered]()
    assert isinstance(model.generate("Say something."), str)
    # Words that look like a file or an address are words all the same.
    assert isinstance(model.generate(["/etc/hostname", "http://localhost/a.png"]), str)
    with pytest.raises(UsageError, match="a message of type 'video'"):
        model.generate([{"type": "video", "value": "a.mp4"}])
    with pytest.raises(UsageError, match="MMStar: evalsuite does not build"):
        model.generate("?", dataset="MMStar")


@pytest.mark.usefixtures("vlmeval")
@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("OCRBench", "brief"),
        ("Video-MME", "video-choices"),
        ("MLVU", "video"),
        ("RealWorldQA", "default"),
        ("DemoDigits", "default"),
        (None, "default"),
    ],
)
def test_prompt_formats(dataset: str | None, expected: str) -> None:
    from evalsuite.vlmevalkit.adapter import prompt_format

    assert prompt_format(dataset) == expected
