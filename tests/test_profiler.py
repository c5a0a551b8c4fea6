"""Tests `evalsuite profile` with real measurements of a tiny checkpoint."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from rich.console import Console

from evalsuite.errors import UsageError
from evalsuite.report.plots import profile as profiled
from evalsuite.report.tables.profile import grids
from evalsuite.report.writers.terminal import print_grids
from evalsuite.runner.config import RunConfig
from evalsuite.runner.profile import Profile, ProfileConfig, profile
from evalsuite.smolvlm.engine import Engine
from evalsuite.smolvlm.profiler import (
    BUSY_STAGES,
    Measurement,
    MeasurementFailure,
    measure_batches,
    minimum_seconds,
    photo,
    questions,
    share_of_matrix_rate,
)
from evalsuite.smolvlm.requests import EngineSettings
from tests.builders.checkpoints import make_checkpoint, train_adapter


def request(checkpoint: Path, *, base: str | None = None, **options: Any) -> ProfileConfig:
    device = options.pop("device", "cpu")
    run = RunConfig(ckpt=(str(checkpoint),), command="test", device=device, base=base)
    small = {"image_size": "96x64", "batch_sizes": "4,1", "new_tokens": 5, "seconds": 0.0}
    return ProfileConfig(run=run, **{**small, **options})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return profile(request(make_checkpoint(tmp_path_factory.mktemp("checkpoint"))))


def text_of(made: Profile) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_grids(grids(made), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_batch_size_is_measured(made: Profile) -> None:
    assert (made.device, made.dtype, made.image_size) == ("cpu", "float32", (96, 64))
    assert made.rates.matrix > 1e9
    assert made.rates.bandwidth > 1e8
    one, four = made.rows
    assert isinstance(one, Measurement)
    assert isinstance(four, Measurement)
    assert (one.batch_size, four.batch_size) == (1, 4)
    for row in (one, four):
        assert row.workload.prompts == row.batch_size * row.batches
        # 3 x 2 tiles and a global one.
        assert row.workload.tiles == 7 * row.workload.prompts
        assert row.workload.prefill_tokens == row.workload.prompt_tokens
        assert 1 <= row.workload.generated / row.workload.prompts <= 5
        assert row.busy_seconds <= row.wall_seconds
        assert 0 < minimum_seconds(row, made.rates) < row.busy_seconds
        assert 0 < share_of_matrix_rate(row, made.rates) < 1
        assert row.splits == 0


def test_the_file_contains_every_figure(made: Profile, tmp_path: Path) -> None:
    files = profiled.write(made, tmp_path / "new")
    assert [file.name for file in files] == ["profile.json", "profile.svg", "profile.png"]
    plain = json.loads(files[0].read_text())
    assert plain["schema"] == 1
    assert plain["command"] == "test"
    assert plain["environment"]["torch"]
    for shown, row in zip(plain["rows"], made.measured, strict=True):
        assert shown["examples_per_second"] == row.examples_per_second
        assert shown["maximum_examples_per_second"] > row.examples_per_second
        assert set(shown["minimum_seconds"]) == {"vision", "prefill", "decode"}
        assert set(BUSY_STAGES) < set(shown["seconds"])
    assert files[1].read_text().startswith("<?xml")
    with PIL.Image.open(files[2]) as image:
        assert image.size[0] > 1000


def test_files_are_written_next_to_the_checkpoints_runs(made: Profile) -> None:
    name, digest = made.checkpoint.name, made.checkpoint.digest
    on_gpu = dataclasses.replace(made, device="cuda:1", dtype="bfloat16")
    where = profiled.place(on_gpu, Path("results"))
    assert where == Path("results", f"{name}-{digest[:8]}", "profile-cuda1-bfloat16")


def test_the_printed_table(made: Profile) -> None:
    text = text_of(made)
    assert "memory, GB" in text
    assert "7 tiles" in text
    for stage in BUSY_STAGES:
        assert stage in text


def test_out_of_memory_is_a_row(made: Profile, tmp_path: Path) -> None:
    one, _ = made.measured
    rows = (
        dataclasses.replace(one, splits=2),
        MeasurementFailure(64, "out of memory: 9 tokens do not fit"),
    )
    text = text_of(dataclasses.replace(made, rows=rows))
    assert "batch 1: out of memory 2 times: measured in smaller parts" in text
    assert "batch 64: out of memory: 9 tokens do not fit" in text
    none = dataclasses.replace(made, rows=(MeasurementFailure(64, "out of memory"),))
    assert "none could be measured" in text_of(none)
    assert [file.name for file in profiled.write(none, tmp_path)] == ["profile.json"]


def test_a_load_error_is_a_row(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path)
    config = json.loads((checkpoint / "config.json").read_text())
    config["text_config"]["hidden_act"] = "nothing"
    (checkpoint / "config.json").write_text(json.dumps(config))
    (row,) = profile(request(checkpoint, batch_sizes="1")).rows
    assert isinstance(row, MeasurementFailure)
    assert "nothing" in row.reason


def test_an_adapter_is_merged_before_measuring(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = make_checkpoint(tmp_path / "base")
    adapter = train_adapter(base, tmp_path / "adapter", steps=1)
    (row,) = profile(request(adapter, base=str(base), batch_sizes="2")).rows
    assert isinstance(row, Measurement)
    assert row.workload.prompts == 2 * row.batches


def test_a_batch_too_large_for_memory_is_measured_in_parts(tmp_path: Path) -> None:
    from evalsuite.smolvlm.model import load
    from tests.builders.models import LimitedModel

    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    limited = LimitedModel(load(checkpoint, "cpu", "float32"), MemoryError(), "decode", 2)
    asked = questions(4, (64, 64), 4, tmp_path)
    with Engine(checkpoint, EngineSettings(batch_size=4), model=limited) as engine:  # type: ignore[arg-type]
        row = measure_batches(engine, asked, weight_bytes=4, min_seconds=0)
    assert isinstance(row, Measurement)
    assert row.splits == 1
    assert row.workload.prompts == 4


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("batch_sizes", "1,x", "--batch-size 1,x: expected numbers of questions like 1,64"),
        ("batch_sizes", "0", "--batch-size 0: expected"),
        ("image_size", "640", "--image-size 640: expected width and height like 1024x768"),
        ("device", "tpu", "--device tpu: expected"),
    ],
)
def test_wrong_arguments(tmp_path: Path, option: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        profile(request(tmp_path, **{option: value}))


def test_photos_are_deterministic(tmp_path: Path) -> None:
    first, again, other = (
        photo(tmp_path / f"{i}.jpg", (200, 150), seed).read_bytes()
        for i, seed in enumerate([0, 0, 1])
    )
    assert first == again != other
    with PIL.Image.open(tmp_path / "0.jpg") as image:
        assert image.size == (200, 150)
