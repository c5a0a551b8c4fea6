"""VLMEvalKit's own inference loop. `tests.parity` compares it with ours."""

import base64
import dataclasses
import os
from pathlib import Path

import pytest

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.checkpoint import checkpoint
from evalsuite.vlmevalkit.reference import ReferenceResult, ReferenceTask, run_reference
from tests.builders import kit_data as made_data
from tests.builders import paper_tables as paper_data


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def relative(path: Path) -> Path:
    """Return a relative path, as a user may type it."""
    return Path(os.path.relpath(path))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def benchmarks(data: Path) -> dict[str, Benchmark]:
    names = ["MMStar", "MLVU", "WorldSense", "MathVista_MINI", "MVBench_plain"]
    chosen = paper_data.make(data, names)
    noise = base64.b64encode(b"\x89PNG and then nothing that an image would have" * 2).decode()
    chosen["Broken"] = made_data.choices(data, [{}, {}, {"image": noise}, {}], "Broken")
    return {name: dataclasses.replace(b, max_new_tokens=4) for name, b in chosen.items()}


IDS = {"MMStar": ("6", "1", "4"), "MLVU": ("9", "0", "1")}


@pytest.fixture(scope="module")
def before(data: Path, benchmarks: dict[str, Benchmark]) -> set[str]:
    assert benchmarks
    return tree(data)


@pytest.fixture(scope="module")
def made(
    benchmarks: dict[str, Benchmark], before: set[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ReferenceResult]:
    assert before
    demo = checkpoint.read("demo")
    task = ReferenceTask(
        checkpoint=dataclasses.replace(
            demo, path=relative(demo.path), processor_path=relative(demo.processor_path)
        ),
        dtype="bfloat16",
        benchmarks=tuple(
            dataclasses.replace(b, data=str(relative(Path(str(b.data)))))
            for b in benchmarks.values()
        ),
        ids=IDS,
        work=relative(tmp_path_factory.mktemp("reference") / "work"),
    )
    return {reference.benchmark: reference for reference in run_reference(task)}


def test_chosen_samples_run_in_data_order(made: dict[str, ReferenceResult]) -> None:
    assert list(made["MMStar"].predictions) == ["1", "4", "6"]
    assert list(made["MLVU"].predictions) == ["0", "1", "9"]
    assert list(made["WorldSense"].predictions) == list("012345")


def test_processor_inputs_are_recorded(made: dict[str, ReferenceResult]) -> None:
    asked = made["MMStar"].asked
    assert list(asked) == ["1", "4", "6"]
    question = "what shape is in the image?"
    assert asked["4"].text == (
        f"<|im_start|>User:<image>Question: {question}\nChoices:\nA. circle\nB. rectangle\n"
        "C. triangle\nAnswer with the letter.<end_of_utterance>\nAssistant: Answer:"
    )
    # Samples 1, 4 and 6 have images 6, 9 and 11; pixel digests were not requested.
    assert [a.images for a in asked.values()] == [
        ((40, 900, ""),),
        ((30, 30, ""),),
        ((64, 64, ""),),
    ]


def test_at_most_64_frames_without_a_video_prompt(
    made: dict[str, ReferenceResult],
) -> None:
    counts = [len(asked.images) for asked in made["WorldSense"].asked.values()]
    assert counts == [3, 3, 64, 64, 2, 2]
    assert all(asked.text.count("<image>") == n for asked, n in zip(
        made["WorldSense"].asked.values(), counts, strict=True
    ))  # fmt: skip


def test_judged_parts_are_left_out_of_the_score(made: dict[str, ReferenceResult]) -> None:
    tasks = dict(zip(made["MLVU"].result["task"], made["MLVU"].result["overall"], strict=True))
    assert tasks == {"plotQA": 2, "M-Avg": 2, "G-Avg": 0}


def test_a_missing_judge_is_reported(made: dict[str, ReferenceResult]) -> None:
    reference = made["MathVista_MINI"]
    assert len(reference.predictions) == 9
    assert reference.result is None
    assert reference.error == (
        "evaluate: AssertionError: MathVista evaluation requires a working OPENAI API"
    )


def test_predictions_before_an_unreadable_image_are_kept(
    made: dict[str, ReferenceResult],
) -> None:
    reference = made["Broken"]
    assert list(reference.predictions) == ["0", "1"]
    assert reference.result is None
    assert reference.error is not None
    assert reference.error.startswith("predict: UnidentifiedImageError: ")


def test_nothing_is_written_next_to_the_data(
    data: Path, before: set[str], made: dict[str, ReferenceResult]
) -> None:
    assert len(made) == 6
    assert tree(data) == before
    assert f"WorldSense/{LAYOUTS['WorldSense'].tables[0]}.tsv" in before


def test_time_starts_at_the_first_sample(made: dict[str, ReferenceResult]) -> None:
    for name, reference in made.items():
        # A sample that raises ends the loop and leaves the time unset.
        assert (reference.seconds > 0) == (name != "Broken")
        assert reference.first_prediction_seconds > reference.seconds
        assert reference.peak_memory_bytes > 100e6
