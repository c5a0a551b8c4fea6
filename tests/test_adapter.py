"""SmolVLM in VLMEvalKit's own inference loops."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalsuite.benchmarks.benchmark import Benchmark, FrameRule
from evalsuite.checkpoint import checkpoint
from evalsuite.errors import UsageError
from evalsuite.runs.journal import read_predictions
from evalsuite.sample import Frames, Sample
from evalsuite.smolvlm import prompts
from tests.builders import kit_data as made
from tests.builders.checkpoints import make_checkpoint, merge_with_peft, train_adapter
from tests.builders.vlmevalkit_models import CLASSES, picture, vlmevalkit_prompt
from tests.conftest import Reference, demo

DEMO = "demo"
LIMIT = 8


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
    from evalsuite.smolvlm.requests import Question

    asked = [Question(s.id, prompts.build(prompt, s.messages), LIMIT) for s in samples]
    texts = {answer.id: answer.text for batch in engine.answer(asked) for answer in batch}
    return [texts[s.id] for s in samples]


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
    # VLMEvalKit is unpatched here, so use no option that it reads as missing.
    plain = {"C": "fish", "D": "bird"}
    benchmark = made.choices(tmp_path, [plain, plain, plain | {"D": "a" * 40}])
    dataset = vlmeval.dataset.ImageMCQDataset("Choices")
    infer_data_job(registered, str(tmp_path), registered, dataset)
    theirs = vlmeval.smp.load(str(tmp_path / f"{registered}_Choices.tsv"))
    expected = answers(engine, ours(benchmark), "default")
    assert list(theirs["prediction"]) == expected
    assert all(expected)


def test_video_datasets(
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
    rule = FrameRule(per_second=10)  # more than the maximum of 64
    benchmark = made.videos(tmp_path, [{}], rule)

    def prepare_dataset(*_: object) -> dict[str, str]:
        return {"root": str(tmp_path), "data_file": str(tmp_path / "Video-MME.tsv")}

    kind = vlmeval.dataset.VideoMME
    dataset = type("Local", (kind,), {"prepare_dataset": prepare_dataset})(fps=10)
    infer_data_job_video(registered, str(tmp_path), registered, dataset)
    theirs = vlmeval.smp.load(str(tmp_path / f"{registered}_Video-MME.tsv"))
    assert list(theirs["prediction"].map(str)) == answers(engine, ours(benchmark), "video-choices")


def test_the_demo_suite_in_vlmevalkits_loop(
    vlmeval: Any,
    registered: str,
    reference: Reference,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vlmeval.inference import infer_data_job
    from vlmeval.inference_video import infer_data_job_video

    monkeypatch.setenv("PRED_FORMAT", "tsv")
    monkeypatch.setenv("LMUData", str(tmp_path))
    for benchmark in demo():
        name, data = benchmark.dataset, Path(benchmark.data or "")
        kind = getattr(vlmeval.dataset, benchmark.dataset_class)
        table = data if data.is_file() else data / f"{name}.tsv"
        some = tmp_path / f"{name}.tsv"
        table_of(table).head(60).to_csv(some, sep="\t", index=False)
        if benchmark.modality == "image":
            infer_data_job(registered, str(tmp_path), registered, kind(name))
        else:
            found = {"root": str(data), "data_file": str(some)}
            local = type("Local", (kind,), {"prepare_dataset": lambda *_, found=found: found})
            infer_data_job_video(registered, str(tmp_path), registered, local(fps=1))
        theirs = table_of(tmp_path / f"{registered}_{name}.tsv")
        known = read_predictions(reference.journal(benchmark.name))
        expected = {id_: known[id_].text for id_ in theirs["index"]}
        assert dict(zip(theirs["index"], theirs["prediction"], strict=True)) == expected
        assert len(expected) == 60


def table_of(path: Path) -> pd.DataFrame:
    """Read all cells as text."""
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def test_messages_of_unsupported_types_are_errors(registered: str, vlmeval: Any) -> None:
    model = vlmeval.config.supported_VLM[registered]()
    assert isinstance(model.generate("Say something."), str)
    # Texts that look like a file or URL remain texts.
    assert isinstance(model.generate(["/etc/hostname", "http://localhost/a.png"]), str)
    with pytest.raises(UsageError, match="message of type 'video'"):
        model.generate([{"type": "video", "value": "a.mp4"}])


def keys(kind: Any) -> list[str]:
    """Return the dataset keys that one of VLMEvalKit's classes knows."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.generate_inner)))
    compared = [
        node.comparators[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == "dataset"
    ]
    return [
        leaf.value
        for side in compared
        for leaf in ast.walk(side)
        if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    ]


WORDS = (
    "Hint: h\nQuestion: q?\nOptions:\nA. x\nB. y\n"
    "Please select the correct answer from the options above. \n"
)


@pytest.mark.parametrize(("family", "n"), [("smolvlm", 46), ("idefics3", 34)])
def test_prompts_of_every_key_equal_vlmevalkit(vlmeval: Any, family: str, n: int) -> None:
    from evalsuite.vlmevalkit.adapter import prompt_of

    known = keys(getattr(vlmeval.vlm.smolvlm, CLASSES[family]))
    assert len(set(known)) == n
    for key in [*known, "WorldSense", "MLVU_MCQ", "RealWorldQA", "DemoDigits", None]:
        message = [
            {"type": "text", "value": "Look. ", "role": "system"},
            {"type": "image", "value": picture()},
            {"type": "text", "value": WORDS},
            {"type": "text", "value": "Best option:(", "role": "assistant"},
        ]
        text, images = vlmevalkit_prompt(family, key, message)
        prompt = prompt_of(message, key, prompts.PromptOptions(family=family))
        assert (prompt.text, len(prompt.media)) == (text, images), key


@pytest.mark.parametrize(
    ("dataset", "shown", "split"),
    [
        # WorldSense has no prompt format; VLMEvalKit shows all its frames and splits them.
        *(("WorldSense", 64, False), ("Video-MME", 64, False), ("TempCompass_MCQ", 64, False)),
        *(("MVBench", 64, False), ("VSI-Bench", 64, False)),
        *(("RealWorldQA", 70, True), ("SomeVideos", 70, True), (None, 70, True)),
    ],
)
@pytest.mark.usefixtures("vlmeval")
@pytest.mark.parametrize("family", ["smolvlm", "idefics3"])
def test_frames_are_limited_and_not_split(
    dataset: str | None, shown: int, split: bool, family: str
) -> None:
    from evalsuite.vlmevalkit.adapter import prompt_of

    message = [{"type": "image", "value": picture()}] * 70
    prompt = prompt_of([*message, "what?"], dataset, prompts.PromptOptions(family=family))
    assert prompt.text.count("<image>") == shown
    assert prompt.split == split
    if not split:
        (frames,) = prompt.media
        assert isinstance(frames, Frames)
        assert (frames.numbers[0], frames.numbers[-1]) == (0, 69)


def test_idefics3_checkpoints_use_their_own_formats(vlmeval: Any, tmp_path: Path) -> None:
    from evalsuite import register

    name = register(str(make_checkpoint(tmp_path / "older", family="idefics3")), device="cpu")
    known = vlmeval.config.supported_VLM[name]
    assert known.keywords["options"] == prompts.PromptOptions(family="idefics3")
    assert isinstance(known(max_new_tokens=1).generate(["What?"], dataset="MVBench"), str)


def test_a_lora_adapter(vlmeval: Any, tmp_path: Path) -> None:
    from evalsuite import register

    base = make_checkpoint(tmp_path / "base")
    adapter = train_adapter(base, tmp_path / "adapter")
    merged = merge_with_peft(base, adapter, tmp_path / "merged")
    moved = base.rename(tmp_path / "moved")
    register(str(adapter), device="cpu", base=str(moved))
    register(str(merged), device="cpu")
    register(str(moved), device="cpu")
    message = [{"type": "image", "value": picture()}, {"type": "text", "value": "What is it?"}]
    known = vlmeval.config.supported_VLM
    texts = {
        name: known[name](max_new_tokens=LIMIT).generate(message, "OCRBench")
        for name in ("adapter", "merged", "moved")
    }
    assert texts["adapter"] == texts["merged"] != texts["moved"]
