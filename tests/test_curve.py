"""Learning curves: their runs, their numbers, and the best checkpoint."""

import csv
import dataclasses
import io
import json
import math
import os
import re
from pathlib import Path

import pytest

from evalsuite.comparison.comparison import compare
from evalsuite.comparison.learning_curves import Best, Curves, best_of, curves
from evalsuite.errors import UsageError
from evalsuite.report.tables.curve import grids
from evalsuite.report.writers import curve as writers
from evalsuite.report.writers.markdown import grid_markdown
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import write_run
from evalsuite.stats import mean_standard_error
from evalsuite.stats.multiplicity import selection_bias
from tests.builders.commands import evalsuite
from tests.builders.golden import golden, parsed
from tests.builders.hostile import HOSTILE
from tests.builders.runs import failure, run, score, settings
from tests.builders.stored_runs import samples, stored
from tests.builders.sweeps import checkpoint, sweep

SKILLS = {"DemoDigits": (0.3, 0.55, 0.8, 0.76), "DemoOCR": (0.2, 0.4, 0.5, 0.5)}
STEPS = (50, 200, 1000, 1500)


def at(name: str, step: int | None, source: str, *values: float, **more: object) -> FoundRun:
    """Return a run without files: benchmarks A, B … with `values`."""
    scores = [score(chr(65 + index), value) for index, value in enumerate(values)]
    made = run(name, *scores, step=step, **more)
    record = dataclasses.replace(made.checkpoint, source=source)
    return FoundRun(Path(f"/nowhere/{name}/run.json"), dataclasses.replace(made, checkpoint=record))


def steps(found: Curves) -> dict[str, list[int]]:
    return {each.name: [point.step for point in each.points] for each in found.curves}


def why(found: Curves) -> dict[str, str]:
    return {item.run.run.checkpoint.name: item.why for item in found.left_out}


def chosen(found: Curves) -> Best:
    best = best_of(found.curves[0], found.averaged)
    assert best is not None
    return best


def everything(found: Curves) -> str:
    bests = [best_of(each, found.averaged) for each in found.curves]
    return "\n".join(grid_markdown(grid) for grid in grids(found, bests))


# Numbers


def test_the_mean_and_its_standard_error() -> None:
    assert mean_standard_error([3.0, 4.0]) == 2.5  # sqrt(9 + 16) / 2
    assert mean_standard_error([1.5]) == 1.5
    assert mean_standard_error([1.0, None]) is None
    assert mean_standard_error([]) is None


def test_points_are_ordered_by_step() -> None:
    found = curves([
        at("sft-checkpoint-1000", 1000, "sft/checkpoint-1000", 70.0, 50.0),
        at("sft-checkpoint-500", 500, "sft/checkpoint-500", 40.0, 20.0),
    ])  # fmt: skip
    assert steps(found) == {"sft": [500, 1000]}
    first, last = found.curves[0].points
    assert (first.mean, last.mean) == (30.0, 60.0)
    assert first.stderr == pytest.approx(math.hypot(2.25, 2.25) / 2)
    assert found.averaged == found.benchmarks == ("A", "B")


def test_the_mean_is_over_benchmarks_of_all_checkpoints() -> None:
    found = curves([
        at("a-checkpoint-1", 1, "a/checkpoint-1", 40.0, 20.0),
        at("a-checkpoint-2", 2, "a/checkpoint-2", 60.0),
    ])  # fmt: skip
    assert found.averaged == ("A",)
    assert [point.mean for point in found.curves[0].points] == [40.0, 60.0]
    assert "mean: over 1 benchmark that" in everything(found)


def test_a_partial_score_is_not_in_the_mean() -> None:
    one = at("a-checkpoint-1", 1, "a/checkpoint-1", 40.0)
    partial = dataclasses.replace(
        one.run, outcomes=(*one.run.outcomes, score("P", 90.0, partial=True))
    )
    found = curves([FoundRun(one.path, partial)])
    assert found.averaged == ("A",)
    assert found.benchmarks == ("A", "P")


def test_no_benchmark_in_common_gives_no_mean() -> None:
    one = at("a-checkpoint-1", 1, "a/checkpoint-1", 40.0)
    other = at("a-checkpoint-2", 2, "a/checkpoint-2")
    other = FoundRun(other.path, dataclasses.replace(other.run, outcomes=(score("B", 1.0),)))
    found = curves([one, other])
    assert [point.mean for point in found.curves[0].points] == [None, None]
    assert best_of(found.curves[0], found.averaged) is None
    assert "mean: none" in everything(found)


# Which training run a checkpoint is of


def test_several_training_runs() -> None:
    found = curves([
        at("a-checkpoint-1", 1, "runs/a/checkpoint-1", 40.0),
        at("b-checkpoint-1", 1, "runs/b/checkpoint-1", 50.0),
        at("a-checkpoint-2", 2, "runs/a/checkpoint-2/", 60.0),
    ])  # fmt: skip
    assert steps(found) == {"a": [1, 2], "b": [1]}


def test_training_runs_of_one_name_are_distinguished() -> None:
    found = curves([
        at("sft-checkpoint-1", 1, "x/sft/checkpoint-1", 40.0),
        at("sft-checkpoint-1", 1, "y/sft/checkpoint-1", 50.0),
    ])  # fmt: skip
    assert steps(found) == {"x/sft": [1], "y/sft": [1]}


def test_the_last_state_of_a_trainer_belongs_to_its_checkpoints() -> None:
    found = curves([
        at("sft-checkpoint-1", 1, "runs/sft/checkpoint-1", 40.0),
        at("sft", 3, "runs/sft", 50.0),
        at("best", 2, "runs/sft/best", 45.0),
    ])  # fmt: skip
    assert steps(found) == {"sft": [1, 2, 3]}


def test_steps_from_trainer_state_alone() -> None:
    found = curves([
        at("s1", 500, "runs/sft/step_00500", 40.0),
        at("s2", 1000, "runs/sft/step_01000", 50.0),
        at("r1", 200, "out/run10-200", 40.0),
        at("r2", 300, "out/run10-300", 40.0),
        at("alone", 77, "exports/alone", 40.0),
        at("hub1", 5, "org/name@step-5", 40.0),
        at("hub2", 6, "org/name@step-6", 40.0),
    ])  # fmt: skip
    assert steps(found) == {
        "step": [500, 1000], "run10": [200, 300], "alone": [77], "name": [5, 6],
    }  # fmt: skip


def test_a_checkpoint_with_a_relative_path() -> None:
    found = curves([at("sft-checkpoint-1", 1, "checkpoint-1", 40.0)])
    assert steps(found) == {"sft": [1]}


# What is left out


def test_runs_with_different_conditions_are_named_and_left_out() -> None:
    kept = [at(f"s-checkpoint-{n}", n, f"s/checkpoint-{n}", 40.0) for n in (1, 2)]
    limited = at("limited", 3, "s/checkpoint-3", 40.0, limit="50")
    native = at("native", 4, "s/checkpoint-4", 40.0, settings=settings(prompts="native"))
    stepless = at("stepless", None, "org/name", 40.0)
    empty = at("empty", 5, "s/checkpoint-5")
    frames = at("frames", 6, "s/checkpoint-6")
    frames = FoundRun(
        frames.path, dataclasses.replace(frames.run, outcomes=(score("A", 9.0, frames="8"),))
    )
    found = curves([*kept, limited, native, stepless, empty, frames])
    assert steps(found) == {"s": [1, 2]}
    assert why(found) == {
        "stepless": "no training step",
        "empty": "no score yet",
        "limited": "limit 50, the others none",
        "native": "prompts native, the others vlmevalkit",
        "frames": "A: frames 8, the others none",
    }
    shown = everything(found)
    assert "left out: limited: limit 50, the others none" in shown


def test_whole_runs_are_preferred_to_limited_runs() -> None:
    found = curves([
        at("limited", 1, "s/checkpoint-1", 40.0, limit="50"),
        at("whole", 2, "s/checkpoint-2", 40.0),
    ])  # fmt: skip
    assert why(found) == {"limited": "limit 50, the others none"}


def test_a_different_definition_is_reported() -> None:
    usual = at("a-checkpoint-1", 1, "a/checkpoint-1", 40.0)
    other = at("a-checkpoint-2", 2, "a/checkpoint-2")
    changed = (score("A", 9.0, definition="other"),)
    found = curves([usual, FoundRun(other.path, dataclasses.replace(other.run, outcomes=changed))])
    assert why(found) == {"a-checkpoint-2": "A: another definition in the benchmarks file"}


def test_one_run_per_step_with_the_usual_settings() -> None:
    half = settings(dtype="bfloat16")
    found = curves([
        at("x1", 1, "a/checkpoint-1", 40.0),
        at("x2", 2, "a/checkpoint-2", 50.0, settings=half),
        at("y2", 2, "a/checkpoint-2", 51.0),
    ])  # fmt: skip
    assert [point.mean for point in found.curves[0].points] == [40.0, 51.0]
    assert why(found) == {"x2": "step 2 has another run"}
    assert found.notes == ()


def test_different_settings_are_noted() -> None:
    found = curves([
        at("x1", 1, "a/checkpoint-1", 40.0),
        at("x2", 2, "a/checkpoint-2", 50.0, settings=settings(dtype="bfloat16"), finished=None),
    ])  # fmt: skip
    assert found.notes == (
        "the checkpoints differ in dtype: float32, bfloat16",
        "unfinished, so benchmarks may be missing: x2",
    )


def test_runs_without_step_are_an_error() -> None:
    with pytest.raises(UsageError, match="checkpoint-500"):
        curves([at("demo", None, "demo", 40.0)])


# The best of it


def test_the_best_is_compared_with_the_last(tmp_path: Path) -> None:
    runs = sweep(tmp_path, SKILLS, STEPS)
    found = curves(runs)
    best = chosen(found)
    assert (best.best.step, best.last.step) == (1000, 1500)
    reference = compare([runs[3]], [runs[2]]).mean
    assert reference is not None
    assert best.difference is not None
    assert best.difference.points == pytest.approx(reference.points)
    assert best.difference.interval() == reference.interval()
    assert best.paired
    assert best.error == pytest.approx(reference.standard_error)
    assert best.selection_bias == pytest.approx(selection_bias(4, best.error or 0))
    low, high = reference.interval()
    assert (
        f"best: step 1000, {reference.points:+.2f} points compared with the last (95 % interval "
        f"{low:+.2f} to {high:+.2f}, "
    ) in everything(found).replace("\\", "")


def test_the_paired_error_is_smaller_than_the_unpaired(tmp_path: Path) -> None:
    found = curves(sweep(tmp_path, SKILLS, STEPS))
    best = chosen(found)
    assert best.best.stderr is not None
    assert best.last.stderr is not None
    unpaired = math.hypot(best.best.stderr, best.last.stderr)
    assert best.error is not None
    assert 0 < best.error < 0.6 * unpaired
    for item in found.curves[0].points:  # the answers are gone, the scores are not
        for name in found.benchmarks:
            item.found.samples(name).unlink()
    blind = chosen(found)
    assert blind.error == pytest.approx(unpaired)
    assert not blind.paired
    assert blind.difference is None
    shown = everything(found).replace("\\", "")
    assert "(no interval: " in shown
    assert "from unpaired standard errors" in shown


def test_if_the_last_is_the_best_its_error_is_from_the_second(tmp_path: Path) -> None:
    runs = sweep(tmp_path, {"DemoDigits": (0.2, 0.5, 0.8)}, (1, 2, 3))
    best = chosen(curves(runs))
    assert best.best is best.last
    assert best.difference is None
    reference = compare([runs[1]], [runs[2]]).differences[0]
    assert best.error == pytest.approx(reference.standard_error)
    assert "best: the last, step 3" in everything(curves(runs))


def test_the_last_of_equal_checkpoints_is_the_best() -> None:
    found = curves([at(f"c{n}", n, f"a/checkpoint-{n}", 40.0) for n in (1, 2, 3)])
    assert chosen(found).best.step == 3


def test_one_image_has_no_selection_bias(tmp_path: Path) -> None:
    found = curves([
        stored(tmp_path, f"c{n}", {"A": samples([1.0, 0.0, n / 2], cluster="one")},
               source=f"a/checkpoint-{n}", step=n) for n in (1, 2)
    ])  # fmt: skip
    assert chosen(found).selection_bias is None
    assert "warning" not in everything(found)


# As it is shown


def made(tmp_path: Path) -> Curves:
    runs = sweep(tmp_path, SKILLS, STEPS)
    runs.append(checkpoint(tmp_path, "runs/low-lr", 200, {"DemoDigits": 0.5, "DemoOCR": 0.4}))
    broken = checkpoint(tmp_path, "runs/low-lr", 1000, {"DemoDigits": 0.7, "DemoOCR": 0.5})
    write_run(
        broken.path,
        dataclasses.replace(broken.run, outcomes=(broken.run.outcomes[0], failure("DemoOCR"))),
    )
    limited = at("quick", 9, "runs/sft/checkpoint-9", 5.0, limit="50")
    return curves([*runs, FoundRun(broken.path, read(broken)), limited])


def read(found: FoundRun):  # type: ignore[no-untyped-def]
    from evalsuite.runs.storage import read_run

    return read_run(found.path)


def without_interval(text: str) -> str:
    """Replace the numbers of the interval, which a test above compares with `compare`."""
    changed, count = re.subn(r"interval \S+ to [^,]+,", "interval LOW to HIGH,", text)
    assert count == 1
    return changed


def test_as_a_table(tmp_path: Path) -> None:
    found = made(tmp_path)
    writers.write(found, "table", tmp_path / "out.txt")
    golden("curve.txt", without_interval((tmp_path / "out.txt").read_text()))


def test_as_markdown(tmp_path: Path) -> None:
    found = made(tmp_path)
    writers.write(found, "markdown", tmp_path / "out.md")
    text = (tmp_path / "out.md").read_text()
    golden("curve.md", without_interval(text))
    rows = parsed(text)
    assert rows[0] == ["step", "mean", "DemoDigits", "DemoOCR"]
    assert [row[0] for row in rows] == ["step", "50", "200", "1000", "1500", "step", "200", "1000"]


def test_as_csv(tmp_path: Path) -> None:
    found = made(tmp_path)
    writers.write(found, "csv", tmp_path / "out.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    means = [(r["training_run"], r["step"]) for r in rows if r["benchmark"] == "mean"]
    assert means == [("sft", str(step)) for step in STEPS] + [("low-lr", "200"), ("low-lr", "1000")]
    first = found.curves[0].points[0]
    assert float(rows[0]["score"]) == first.mean
    assert float(rows[1]["score"]) == first.scores["DemoDigits"].value
    assert float(rows[1]["stderr"]) == first.scores["DemoDigits"].stderr
    assert rows[1]["n"] == "240"


@pytest.mark.parametrize("name", ["=1+1", " =1", "＝1"])
def test_a_name_is_no_formula_in_a_spreadsheet(tmp_path: Path, name: str) -> None:
    found = curves([at(name, step, f"{name}/checkpoint-{step}", 40.0) for step in (1, 2)])
    writers.write(found, "csv", tmp_path / "out.csv")
    [row, *_] = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert (row["training_run"], row["checkpoint"]) == (f"'{name}", f"'{name}")


def test_as_json(tmp_path: Path) -> None:
    found = made(tmp_path)
    writers.write(found, "json", tmp_path / "out.json")
    plain = json.loads((tmp_path / "out.json").read_text())
    sft, low = plain["training_runs"]
    assert [point["step"] for point in sft["points"]] == list(STEPS)
    assert plain["averaged"] == ["DemoDigits"]
    assert sft["points"][2]["mean"] == found.curves[0].points[2].mean
    assert sft["points"][2]["scores"]["DemoOCR"]["n"] == 240
    best = sft["best"]
    assert (best["step"], best["last"], best["paired"]) == (1000, 1500, True)
    assert best["low"] <= best["difference"] <= best["high"]
    assert low["best"]["difference"] is None
    assert [item["checkpoint"] for item in plain["left_out"]] == ["quick"]


@pytest.mark.parametrize("name", [*HOSTILE, "=1+1", "@SUM(A1)"])
def test_a_hostile_training_run_breaks_no_table(name: str, tmp_path: Path) -> None:
    found = curves([at("c", n, f"{name.replace('/', '-')}/checkpoint-{n}", 1.0) for n in (1, 2)])
    rows = parsed(everything(found))
    assert [row[0] for row in rows] == ["step", "1", "2"]
    writers.write(found, "table", tmp_path / "out.txt")
    shown = (tmp_path / "out.txt").read_text()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    for form in ("csv", "json"):
        writers.write(found, form, tmp_path / f"out.{form}")
    rows = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert len(rows) == 5
    assert {len(row) for row in rows} == {7}
    assert not any(row[0].startswith(("=", "+", "-", "@")) for row in rows)


# The command


def test_the_command(tmp_path: Path) -> None:
    sweep(tmp_path / "results", SKILLS, STEPS)
    result = evalsuite("curve", "--plot", "pictures", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("sft, 4 checkpoints\n")
    assert "warning: the best of 4 checkpoints is overestimated" in result.stdout
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "plot-steps-benchmarks.png", "plot-steps-benchmarks.svg", "plot-steps.png",
        "plot-steps.svg",
    ]  # fmt: skip
    assert result.stderr.splitlines() == [
        f"pictures/plot-steps{part}" for part in
        (".svg", ".png", "-benchmarks.svg", "-benchmarks.png")
    ]  # fmt: skip


def test_wrong_arguments_are_one_line_each(tmp_path: Path) -> None:
    runs = sweep(tmp_path / "results", SKILLS, STEPS)
    for arguments, said in (
        (["--format", "tabel"], "--format tabel: unknown (did you mean 'table'?)"),
        (["nowhere"], "nowhere: no such run"),
    ):
        result = evalsuite("curve", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
    (tmp_path / "file").write_text("")
    result = evalsuite("curve", "--plot", "file", "-o", os.devnull + "/x", cwd=tmp_path)
    assert result.returncode == 2
    assert "cannot be written" in result.stderr
    damaged = runs[3].samples("DemoOCR")
    damaged.write_text("{\n")
    result = evalsuite("curve", cwd=tmp_path)
    assert result.returncode == 0
    assert "is damaged" in result.stdout
    assert "no interval" in result.stdout
