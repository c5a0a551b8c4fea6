"""The text-only baseline: the same questions without images."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from evalsuite.cli import main
from evalsuite.runs.records import Run
from evalsuite.runs.storage import read_run, read_samples
from evalsuite.sample import Frames, Image, Text, blinded
from evalsuite.smolvlm.formats import FORMATS
from tests.conftest import Bench, Reference

CHANCE = {"DemoYesNo": 50, "DemoShapes": 25, "DemoVideo": 25}


@dataclass(frozen=True)
class Blind:
    directory: Path
    run: Run


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Blind:
    output = tmp_path_factory.mktemp("blind")
    code = main([
        "run", "--ckpt", "demo", "--blind", "-b", ",".join(CHANCE), "--limit", "120",
        "--noise", "5", "--output-dir", str(output),
    ])  # fmt: skip
    assert code == 0
    (record,) = output.glob("*/*/run@120.json")
    return Blind(record.parent, read_run(record))


def test_only_texts_remain() -> None:
    shown = (Image("i.png", "1"), Text("What?", "user"), Frames(("f.png",), (0.0,), "2"))
    assert blinded(shown) == (Text("What?", "user"),)


def test_white_space_replaces_an_image_between_texts() -> None:
    image, user = Image("i.png", "1"), "user"
    shown = (image, Text("In "), image, image, Text("and"), image, Text("\nwhich?"), image)
    assert blinded(shown) == (Text("In and\nwhich?"),)
    shown = (Text("Compare"), image, Text("with"), image, Text("it.", user), Text(" Now.", user))
    assert blinded(shown) == (Text("Compare with"), Text("it.", user), Text(" Now.", user))
    asked = [Text("Given"), image, Text("what is x?")]
    assert "Given what is x?" in FORMATS["mmmu"](blinded(tuple(asked)))


def test_text_only_scores_are_near_chance(blind: Blind, reference: Reference) -> None:
    assert blind.run.settings["blind"] is True
    assert blind.run.batch_sensitivity is not None
    assert blind.run.batch_sensitivity.count == 5
    normal = {score.benchmark: score for score in reference.run.scores}
    assert {score.benchmark for score in blind.run.scores} == set(CHANCE)
    for score in blind.run.scores:
        assert score.counts.failed == 0
        assert abs(score.value - CHANCE[score.benchmark]) < 15, score
        assert score.value < normal[score.benchmark].value - 20
        assert score.cost.tokens["tiles"] == 0


def test_questions_are_equal_and_predictions_are_not_shared(
    blind: Blind, bench: Bench, reference: Reference
) -> None:
    assert blind.directory.name != bench.directory(Path()).name
    rows = read_samples(blind.directory / "DemoShapes" / "samples@120.jsonl")
    known = {r.id: r for r in read_samples(reference.directory / "DemoShapes" / "samples.jsonl")}
    assert len(rows) == 120
    for row in rows:
        assert row.question == known[row.id].question
        assert row.cluster == known[row.id].cluster
        assert row.prompt_digest != known[row.id].prompt_digest
        assert row.media, "kept for people to look at"


def test_text_only_and_normal_runs_are_not_compared(
    blind: Blind, reference: Reference, capfd: pytest.CaptureFixture[str]
) -> None:
    selection = ["-b", "DemoShapes"]
    assert main(["compare", str(reference.directory), str(blind.directory), *selection]) == 4
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "blind: False, True" in error
    runs = ["--baseline", str(reference.directory), "--candidate", str(blind.directory)]
    assert main(["gate", *runs, *selection]) == 4
    assert "blind: False, True" in capfd.readouterr().out
