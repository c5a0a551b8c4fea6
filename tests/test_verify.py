"""`evalsuite verify`: both implementations, and the table of their comparison."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from evalsuite.checkpoint import checkpoint
from evalsuite.report.tables import verify as verified
from evalsuite.report.writers.terminal import print_grids
from evalsuite.runner.config import RunConfig
from evalsuite.runner.events import ignore
from evalsuite.runner.verify import BenchmarkAgreement, Difference, Verification, verify
from tests.builders import paper_tables as paper_data
from tests.builders.checkpoints import train_adapter

pytestmark = pytest.mark.integration


def text_of(found: Verification) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_grids([verified.grid(found)], console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_both_implementations_agree(tmp_path: Path) -> None:
    paper_data.make(tmp_path / "data", ["AI2D_TEST", "MathVista_MINI", "TempCompass"])
    config = RunConfig(
        ckpt=("demo",),
        command="test",
        benchmarks=("AI2D_TEST", "MathVista_MINI", "TempCompass", "DemoOCR"),
        limit="6",
        device="cpu",
        max_new_tokens=8,
        data_dir=tmp_path / "data",
        allow_modified_data=True,
    )
    found = verify(config, ignore)
    assert (found.device, found.dtype) == ("cpu", "float32")
    assert [compared.benchmark for compared in found.benchmarks] == list(config.benchmarks)
    # VLMEvalKit drops some options, which changes the prompt and possibly the answer.
    deviating = set(paper_data.DEVIATING["AI2D_TEST"])
    for compared in found.benchmarks:
        assert {item.id for item in compared.differences} <= deviating, compared
        assert compared.stopped is None
        assert compared.n > 0
        assert compared.score is not None
    assert found.complete
    assert found.seconds > 0
    assert found.their_seconds > 0
    text = text_of(found)
    assert "same prediction" in text
    assert "samples/s" in text
    assert not list(tmp_path.glob("results*"))


def test_a_lora_adapter_is_compared_with_peft(tmp_path: Path) -> None:
    adapter = train_adapter(checkpoint.read("demo").path, tmp_path / "adapter")
    config = RunConfig(
        ckpt=(str(adapter),), command="test", benchmarks=("DemoOCR",), limit="8",
        device="cpu", dtype="float32",
    )  # fmt: skip
    found = verify(config, ignore)
    (compared,) = found.benchmarks
    assert (compared.n, compared.differences, compared.stopped) == (8, (), None)


def compared(
    name: str, n: int, *different: Difference, stopped: str | None = None
) -> BenchmarkAgreement:
    score = None if n == 0 else 50.0
    return BenchmarkAgreement(
        benchmark=name, n=n, differences=different, score=score, their_score=score, stopped=stopped
    )


@pytest.mark.parametrize(
    ("benchmarks", "dtype", "said"),
    [
        ((compared("A", 5),), "float32", "equal: 5 samples"),
        (
            (compared("A", 5, Difference("3", "x", "y")),),
            "bfloat16",
            "--dtype float32",
        ),
        (
            (compared("A", 5, Difference("3", "x" * 99, "y")),),
            "float32",
            f"A 3: evalsuite '{'x' * 60}…', VLMEvalKit 'y'",
        ),
        (
            (compared("A", 0, stopped="predict: ValueError: two images"),),
            "float32",
            "A: VLMEvalKit's own loop stopped: predict: ValueError: two images",
        ),
    ],
)
def test_what_is_said(benchmarks: tuple[BenchmarkAgreement, ...], dtype: str, said: str) -> None:
    found = Verification(
        checkpoint="demo", device="cpu", dtype=dtype, benchmarks=benchmarks, seconds=1.0,
        their_seconds=10.0,
    )  # fmt: skip
    assert said in " ".join(text_of(found).split())
    assert found.identical == (not any(c.differences for c in benchmarks))
    assert found.complete == all(c.n for c in benchmarks)
