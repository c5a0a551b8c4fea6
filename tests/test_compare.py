"""`evalsuite compare`: pairing, errors and numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

import evalsuite as public
from evalsuite.cli import main
from evalsuite.comparison.comparison import Comparison, category_differences, compare
from evalsuite.comparison.pairing import Incomparable, Paired, pair
from evalsuite.comparison.selection import lead
from evalsuite.errors import IncompleteError, UsageError
from evalsuite.report.tables import comparison as tables
from evalsuite.report.writers import comparison as writers
from evalsuite.report.writers.csv import to_dataframe
from evalsuite.report.writers.markdown import grid_markdown
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import write_run
from evalsuite.stats.multiplicity import holm, selection_bias
from tests.builders.commands import evalsuite
from tests.builders.cpu_time import cpu_units
from tests.builders.runs import failure, settings
from tests.builders.stored_runs import failed, sample, samples, stored

GPT = JudgeId("gpt-4o", "https://api.openai.com/v1")

EASY, HARD = [1.0] * 60 + [0.0] * 40, [1.0] * 50 + [0.0] * 48 + [1.0] * 2


def two(tmp: Path, **more: Any) -> tuple[FoundRun, FoundRun]:
    """Return a baseline with 60 of 100 right and a candidate that lost ten and gained two."""
    baseline = stored(tmp, "first", {"DemoDigits": samples(EASY)})
    return baseline, stored(tmp, "second", {"DemoDigits": samples(HARD)}, **more)


def one_pair(baseline: FoundRun, candidate: FoundRun) -> Paired | Incomparable:
    (found,) = pair([baseline], [candidate])
    return found


def why(baseline: FoundRun, candidate: FoundRun) -> str:
    found = one_pair(baseline, candidate)
    assert isinstance(found, Incomparable)
    return "; ".join(found.why)


# Pairing


def test_samples_are_paired_by_id(tmp_path: Path) -> None:
    rows = samples(HARD)
    random.Random(1).shuffle(rows)
    found = one_pair(two(tmp_path)[0], stored(tmp_path, "mixed", {"DemoDigits": rows}))
    assert isinstance(found, Paired)
    assert all(m.baseline[0].id == m.candidate[0].id for m in found.samples)
    assert [m.known.id for m in found.samples] == [str(i) for i in range(100)]
    assert sum(m.change for m in found.samples) == -8


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data_digest": "e" * 64}, "data: dddddddd, eeeeeeee"),
        ({"metric": "anls"}, "metric: choice, anls"),
        ({"judge": GPT}, "judge: exact, gpt-4o"),
        ({"prompt_style": "native"}, "prompts: vlmevalkit, native"),
        ({"frames": "8"}, "frames: none, 8"),
        ({"max_new_tokens": 64}, "token limit: 8, 64"),
        ({"vlmevalkit": "0.0.21"}, "VLMEvalKit: none, 0.0.21"),
        ({"definition": "other"}, "its definition"),
    ],
)
def test_different_conditions_are_named(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    assert said in why(*two(tmp_path, scores={"DemoDigits": changed}))


def test_blind_runs_are_incomparable(tmp_path: Path) -> None:
    assert "blind: False, True" in why(*two(tmp_path, settings=settings(blind=True)))


def test_a_missing_score_is_explained(tmp_path: Path) -> None:
    baseline, candidate = two(tmp_path)
    broken = dataclasses.replace(candidate.run, outcomes=(failure("DemoDigits", "no such file"),))
    said = why(baseline, FoundRun(candidate.path, broken))
    assert said == "the candidate second has no score: no such file"


def test_samples_with_different_prompts_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = samples(HARD)
    rows[3] = dataclasses.replace(rows[3], prompt_digest="otherwise")
    found = one_pair(two(tmp_path)[0], stored(tmp_path, "other", {"DemoDigits": rows[:-1]}))
    assert isinstance(found, Paired)
    assert (len(found.samples), found.left_out, found.different_prompts) == (98, 1, 1)
    nothing = stored(tmp_path, "none", {"DemoDigits": samples(HARD, prompt_digest="otherwise")})
    assert why(two(tmp_path)[0], nothing) == "the prompts of all samples differ"


def test_samples_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    rows = [*samples(HARD), sample(100, 1.0, counts=False)]
    found = one_pair(two(tmp_path)[0], stored(tmp_path, "open", {"DemoDigits": rows}))
    assert isinstance(found, Paired)
    assert (len(found.samples), found.left_out) == (100, 0)


def test_a_limited_run_is_compared_on_shared_samples(tmp_path: Path) -> None:
    part = stored(tmp_path, "second", {"DemoDigits": samples(HARD)[:30]}, limit="30")
    comparison = compare([two(tmp_path)[0]], [part])
    assert comparison.differences[0].drop.n == 30
    assert comparison.paired[0].left_out == 70


@pytest.mark.parametrize(("off", "equal"), [(0.9e-6, True), (1.1e-6, False), (0.5, False)])
def test_samples_must_give_the_stored_score_to_a_millionth_of_a_point(
    tmp_path: Path, off: float, equal: bool
) -> None:
    baseline, candidate = two(tmp_path)
    (score,) = candidate.run.scores
    for value in (52 - off, 52 + off):
        outcomes = (dataclasses.replace(score, value=value),)
        wrong = dataclasses.replace(candidate.run, outcomes=outcomes)
        candidate = FoundRun(candidate.path, wrong)
        if equal:
            assert isinstance(one_pair(baseline, candidate), Paired)
        else:
            with pytest.raises(UsageError, match=r"does not give the score in run.json, 5\d\.\d\d"):
                one_pair(baseline, candidate)


@pytest.mark.parametrize(
    ("extra", "n", "said"),
    [
        (0, 99, "100 counted samples, but n in run.json is 99"),
        (0, 101, "100 counted samples, but n in run.json is 101"),
        (1, 101, "a duplicate id, but n in run.json is 101"),
        (1, 100, "101 counted samples, but n in run.json is 100"),
    ],
)
def test_the_number_of_samples_must_be_that_of_the_score(
    tmp_path: Path, extra: int, n: int, said: str
) -> None:
    rows = samples(HARD)
    changed = {"scores": {"DemoDigits": {"n": n}}}
    candidate = stored(tmp_path, "other", {"DemoDigits": [*rows, *rows[:extra]]}, **changed)
    with pytest.raises(UsageError, match=said):
        one_pair(two(tmp_path)[0], candidate)


def test_changed_samples_are_the_losses_then_the_gains(tmp_path: Path) -> None:
    before, after = [0.0, 1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.5, 0.0]
    found = one_pair(*(stored(tmp_path, f"run{i}", {"DemoDigits": samples(values)})
                       for i, values in enumerate((before, after))))  # fmt: skip
    assert isinstance(found, Paired)
    assert [(m.known.id, m.change) for m in found.changed] == [
        ("2", -1), ("4", -1), ("0", 1), ("3", 0.5),
    ]  # fmt: skip


def test_the_change_is_between_the_means_of_both_groups(tmp_path: Path) -> None:
    groups = [[stored(tmp_path, f"{side}{i}", {"DemoDigits": [sample(0, value)]})
               for i, value in enumerate(values)]
              for side, values in (("a", [1.0, 0.0, 1.0]), ("b", [0.0, 0.0, 1.0]))]  # fmt: skip
    (found,) = pair(*groups)
    assert isinstance(found, Paired)
    (matched,) = found.samples
    assert matched.change == pytest.approx(1 / 3 - 2 / 3)
    assert ([row.value for row in matched.baseline], len(matched.candidate)) == ([1, 0, 1], 3)
    assert (len(found.baseline), len(found.candidate)) == (3, 3)


def test_a_pair_has_one_prompt_and_one_cluster(tmp_path: Path) -> None:
    """A prompt that could not be built has no digest; it is not another prompt."""
    rows = samples(EASY)
    rows[0] = failed(rows[0], prompt_digest="")
    rows[1] = dataclasses.replace(rows[1], prompt_digest="")
    rows[2] = dataclasses.replace(rows[2], cluster="other")
    rows[3] = failed(rows[3])
    found = one_pair(two(tmp_path)[0], stored(tmp_path, "other", {"DemoDigits": rows}))
    assert isinstance(found, Paired)
    assert (len(found.samples), found.different_prompts, found.left_out) == (98, 2, 0)
    assert [m.known.id for m in found.samples if m.failed] == ["0", "3"]


def test_only_the_named_benchmarks_are_paired(tmp_path: Path) -> None:
    rows = {"DemoDigits": samples(EASY), "DemoOCR": samples(EASY)}
    baseline, candidate = stored(tmp_path, "a", rows), stored(tmp_path, "b", rows)
    for only, names in (((), ["DemoDigits", "DemoOCR"]), (["DemoOCR"], ["DemoOCR"]), (["X"], [])):
        assert [found.benchmark for found in pair([baseline], [candidate], only)] == names


def test_runs_without_a_common_sample_are_incomparable(tmp_path: Path) -> None:
    other = stored(tmp_path, "other", {"DemoDigits": [sample(1000, 1.0)]})
    assert why(two(tmp_path)[0], other) == "no sample is in all runs"


# Numbers


def test_the_difference_is_close_to_the_paired_t_test(tmp_path: Path) -> None:
    """Tango's interval is close to it if many answers differ. In points."""
    before, after = [1.0] * 70 + [0.0] * 50, [1.0] * 40 + [0.0] * 70 + [1.0] * 10
    theirs = scipy.stats.ttest_rel(after, before)
    comparison = compare(
        [stored(tmp_path, "a", {"DemoDigits": samples(before)})],
        [stored(tmp_path, "b", {"DemoDigits": samples(after)})],
    )
    (difference,) = comparison.differences
    assert difference.points == pytest.approx(100 * (50 - 70) / 120)
    low, high = theirs.confidence_interval(0.95)
    assert difference.interval() == pytest.approx((100 * low, 100 * high), abs=0.25)
    assert difference.p == pytest.approx(theirs.pvalue, rel=0.4)
    assert (difference.worse, difference.better) == (30, 10)
    assert difference.mcnemar is not None
    assert difference.mcnemar.exact == pytest.approx(scipy.stats.binomtest(30, 40).pvalue)
    assert comparison.mean is None


def several(tmp: Path) -> Comparison:
    rng = np.random.default_rng(6)
    names = ("DemoDigits", "DemoOCR", "DemoVideo")
    sides = [
        stored(tmp, side, {name: samples([float(v) for v in rng.random(80) < rate])
                           for name in names})
        for side, rate in (("a", 0.7), ("b", 0.6))
    ]  # fmt: skip
    return compare([sides[0]], [sides[1]])


def test_p_is_adjusted_over_benchmarks_and_mean(tmp_path: Path) -> None:
    comparison = several(tmp_path)
    assert comparison.mean is not None
    everything = (*comparison.differences, comparison.mean)
    assert [d.p for d in everything] == pytest.approx(holm([d.drop.p for d in everything]))
    assert comparison.mean.points == pytest.approx(
        sum(d.points for d in comparison.differences) / 3
    )


def test_categories_add_up(tmp_path: Path) -> None:
    comparison = compare(*[[found] for found in two(tmp_path)])
    (difference,) = comparison.differences
    even, odd = category_differences(comparison.paired[0])
    assert (even.name, odd.name) == ("even", "odd")
    assert even.points * 50 + odd.points * 50 == pytest.approx(difference.points * 100)
    assert [even.p, odd.p] == pytest.approx(holm([even.drop.p, odd.drop.p]))


def test_failed_samples_count_as_wrong_and_are_reported(tmp_path: Path) -> None:
    rows = samples(EASY)
    rows[:3] = [failed(row, prompt_digest="") for row in rows[:3]]
    baseline = two(tmp_path)[0]
    (difference,) = compare([baseline], [stored(tmp_path, "f", {"DemoDigits": rows})]).differences
    assert difference.points == pytest.approx(-3)
    assert difference.failed == (0, 3)
    assert difference.without_failed is not None
    assert (difference.without_failed.drop.n, difference.without_failed.points) == (97, 0)


def test_mcnemar_needs_binary_values_and_one_sample_per_cluster(tmp_path: Path) -> None:
    for name, more in (("shared", {"cluster": "one"}), ("parts", {})):
        rows = samples([0.5, *HARD[1:]] if name == "parts" else HARD, **more)
        base = stored(tmp_path, f"{name}-base", {"DemoDigits": samples(EASY, **more)})
        (found,) = compare([base], [stored(tmp_path, name, {"DemoDigits": rows})]).differences
        assert found.mcnemar is None


# Groups and sweeps


def seeds(tmp: Path, side: str, rates: list[float]) -> list[FoundRun]:
    made = []
    for index, rate in enumerate(rates):
        values = [float(i < round(400 * rate)) for i in range(400)]
        names = ("DemoDigits", "DemoOCR")
        made.append(stored(tmp, f"{side}{index}", {name: samples(values) for name in names}))
    return made


def test_a_group_includes_the_variance_between_seeds(tmp_path: Path) -> None:
    """Single runs differ significantly; groups of three do not."""
    ours, theirs = (
        seeds(tmp_path, "a", [0.50, 0.60, 0.70]),
        seeds(tmp_path, "b", [0.44, 0.55, 0.64]),
    )
    alone = compare(ours[:1], theirs[:1])
    together = compare(ours, theirs)
    assert alone.mean is not None
    assert together.mean is not None
    assert alone.mean.p < 1e-6
    assert together.mean.p > 0.3
    welch = scipy.stats.ttest_ind([0.5, 0.6, 0.7], [0.44, 0.55, 0.64], equal_var=False)
    # Runs move both benchmarks at once: a mean over benchmarks does not average seeds away.
    assert together.mean.drop.standard_error > abs(together.mean.drop.estimate / welch.statistic)
    assert together.mean.points == pytest.approx(100 * (0.44 + 0.55 + 0.64 - 1.8) / 3, abs=1e-9)
    assert together.differences[0].mcnemar is None


def test_one_run_against_a_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two runs"):
        compare(seeds(tmp_path, "a", [0.5]), seeds(tmp_path, "b", [0.5, 0.6]))


def sweep(tmp: Path, right: dict[str, int]) -> dict[str, FoundRun]:
    return {
        source: stored(
            tmp,
            source.replace("/", "-"),
            {"DemoDigits": samples([float(i < n) for i in range(100)])},
            source=source,
        )
        for source, n in right.items()
    }


def test_the_best_of_a_sweep_has_a_warning(tmp_path: Path) -> None:
    runs = sweep(tmp_path, {
        "base": 50, "sweep/a/checkpoint-1": 55, "sweep/a/checkpoint-2": 60,
        "sweep/b/checkpoint-1": 58, "elsewhere/c/checkpoint-9": 90,
    })  # fmt: skip
    others = list(runs.values())
    best = compare([runs["base"]], [runs["sweep/a/checkpoint-2"]])
    found = lead(best, others)
    assert found is not None
    assert found.count == 3
    error = best.differences[0].standard_error
    assert error is not None
    assert found.selection_bias == pytest.approx(selection_bias(3, error))
    assert "best of 3 checkpoints" in grid_markdown(tables.table(best, found))
    second = compare([runs["base"]], [runs["sweep/b/checkpoint-1"]])
    assert lead(second, others) is None
    alone = compare([runs["base"]], [runs["elsewhere/c/checkpoint-9"]])
    assert lead(alone, others) is None


def test_selection_bias_of_two_and_of_many() -> None:
    """E max of 2 is 1/sqrt(pi); of 10, 1.5388 (tables of normal order statistics)."""
    assert selection_bias(2, 1) == pytest.approx(1 / np.sqrt(np.pi) / np.sqrt(2), rel=1e-6)
    assert selection_bias(10, np.sqrt(2)) == pytest.approx(1.53875, abs=1e-4)


# What is shown


def test_a_loss_is_negative(tmp_path: Path) -> None:
    comparison = compare(*[[found] for found in two(tmp_path)])
    shown = grid_markdown(tables.table(comparison))
    assert "second against first" in shown
    assert "second minus first, in points" in shown
    line = next(row for row in shown.splitlines() if row.startswith("| DemoDigits"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:5] == ["100", "60.0", "52.0", "-8.00"]
    assert cells[7:9] == ["10", "2"]


def test_too_few_clusters_have_a_note_and_no_p(tmp_path: Path) -> None:
    few = [stored(tmp_path, name, {"DemoDigits": samples(values[:20])})
           for name, values in (("a", EASY), ("b", HARD))]  # fmt: skip
    shown = grid_markdown(tables.table(compare([few[0]], [few[1]])))
    assert "too few clusters" in shown
    line = next(row for row in shown.splitlines() if row.startswith("| DemoDigits"))
    assert [cell.strip() for cell in line.strip("|").split("|")][6] == "–"


def test_incomparable_benchmarks_are_shown(tmp_path: Path) -> None:
    rows = {"DemoDigits": samples(EASY), "DemoOCR": samples(EASY)}
    baseline = stored(tmp_path, "a", rows)
    candidate = stored(tmp_path, "b", rows, scores={"DemoOCR": {"metric": "anls"}})
    comparison = compare([baseline], [candidate])
    assert [d.name for d in comparison.differences] == ["DemoDigits"]
    shown = grid_markdown(tables.table(comparison))
    assert "incomparable" in shown
    assert "DemoOCR cannot be compared: metric: choice, anls" in shown


def test_json_and_csv_have_the_same_numbers(tmp_path: Path) -> None:
    comparison = several(tmp_path)
    plain = json.loads(writers.to_json(comparison))
    rows = list(csv.DictReader(io.StringIO(writers.to_csv(comparison))))
    assert len(rows) == 3 * 3 + 1
    for benchmark in plain["benchmarks"]:
        row = next(r for r in rows if r["benchmark"] == benchmark["name"] and not r["category"])
        for key in ("difference", "low", "high", "p_adjusted", "worse", "better"):
            assert float(row[key]) == pytest.approx(benchmark[key])
    difference = comparison.differences[0]
    assert plain["benchmarks"][0]["difference"] == pytest.approx(difference.points)
    assert plain["benchmarks"][0]["low"] == pytest.approx(difference.interval()[0])
    assert len(plain["benchmarks"][0]["breakdown"]) == 2


def test_a_data_frame_has_the_values_of_csv(tmp_path: Path) -> None:
    comparison = several(tmp_path)
    frame = to_dataframe(writers.COLUMNS, writers.rows(comparison))
    rows = list(csv.DictReader(io.StringIO(writers.to_csv(comparison))))
    assert list(frame.columns) == list(rows[0])
    assert [float(row["difference"]) for row in rows] == pytest.approx(list(frame["difference"]))
    assert comparison.mean is not None
    assert frame["difference"].iloc[-1] == comparison.mean.points


def test_html_has_the_table(tmp_path: Path) -> None:
    sides = [found.path for found in two(tmp_path)]
    assert command(*sides, "--format", "html", "-o", tmp_path / "out.html") == 0
    text = (tmp_path / "out.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "-8.00" in text


def test_one_image_has_no_standard_error(tmp_path: Path) -> None:
    """A benchmark with a single image has no standard error, and neither has the mean."""
    sides = [
        stored(tmp_path, name, {"DemoDigits": samples(values),
                                "DemoOCR": samples(values[:3], cluster="one")})
        for name, values in (("a", EASY), ("b", HARD))
    ]  # fmt: skip
    comparison = compare([sides[0]], [sides[1]])
    plain = json.loads(writers.to_json(comparison))
    assert plain["benchmarks"][1]["standard_error"] is None
    assert plain["mean"]["standard_error"] is None
    assert (plain["mean"]["low"], plain["mean"]["high"]) == (-100, 100)
    assert plain["mean"]["too_few_clusters"]
    assert "too few clusters" in grid_markdown(tables.table(comparison))


def test_different_settings_are_noted(tmp_path: Path) -> None:
    comparison = compare(*[[f] for f in two(tmp_path, settings=settings(dtype="bfloat16"))])
    assert "the runs differ in dtype: float32, bfloat16" in comparison.notes


# The command


def command(*arguments: str | Path) -> int:
    return main(["compare", *map(str, arguments)])


def test_changed_answers_have_both_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline, candidate = two(tmp_path)
    listed = tmp_path / "changed.jsonl"
    code = command(baseline.path, candidate.path.parent, "--samples", "3", "--samples-file", listed)
    shown = capsys.readouterr().out
    assert code == 0
    assert "3 of 12 changed answers" in shown
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [row["id"] for row in rows] == [*map(str, range(50, 60)), "98", "99"]
    first = rows[0]
    assert (first["baseline_prediction"], first["candidate_prediction"]) == ("A", "B")
    assert (first["target"], first["change"]) == ("A", -1)


def test_nothing_comparable_exits_with_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = two(tmp_path, scores={"DemoDigits": {"judge": GPT}})
    assert command(*(each.path for each in found)) == 4
    assert "nothing to compare: DemoDigits: judge: exact, gpt-4o" in capsys.readouterr().err
    empty = [FoundRun(f.path, dataclasses.replace(f.run, outcomes=())) for f in found]
    with pytest.raises(IncompleteError, match="no scores yet"):
        compare(empty[:1], empty[1:])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["A", "nowhere"], "nowhere: no such run"),
        (["A"], "Missing argument 'CANDIDATE'"),
        (["A", "B", "--format", "cvs"], "did you mean 'csv'?"),
        (["A", "B", "-b", "DemoDigit"], "did you mean 'DemoDigits'?"),
        (["A", "B", "--samples", "-1"], "'--samples'"),
        (["A", "B", "--group"], "fewer than two runs"),
        (["A,B", "A,B", "--group"], "named twice"),
        (["A,B", "C,D", "--group", "--samples", "3"], "one run per side"),
        (["A,B", "C"], "no such run"),
        (["damaged", "B"], "is damaged"),
        (["bare", "B"], "samples.jsonl: cannot be read"),
    ],
)
def test_wrong_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    for name in "ABCD":
        stored(tmp_path, name, {"DemoDigits": samples(EASY)})
    damaged = stored(tmp_path, "damaged", {"DemoDigits": samples(EASY)})
    damaged.samples("DemoDigits").write_text('{"id": 1}\n')
    bare = stored(tmp_path, "bare", {"DemoDigits": samples(EASY)})
    bare.samples("DemoDigits").unlink()
    paths = {path.name.rpartition("-")[0]: path.name for path in tmp_path.iterdir()}
    given = [",".join(paths.get(part, part) for part in word.split(",")) for word in arguments]
    assert command(*given, "--output-dir", tmp_path) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("evalsuite: ")
    assert len(error.splitlines()) == 1


def test_python_api(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    made = public.compare(first.path, second.path.parent.parent.name, output_dir=tmp_path)
    assert made.differences[0].points == pytest.approx(-8)
    with pytest.raises(UsageError, match="did you mean 'DemoDigits'"):
        public.compare(first.path, second.path, benchmarks=["DemoDigit"])


def test_names_under_the_results(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    names = [found.path.parent.parent.name for found in (first, second)]
    result = evalsuite("compare", *names, "--output-dir", str(tmp_path), "--format", "json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["benchmarks"][0]["difference"] == pytest.approx(-8)


def test_help_has_the_options() -> None:
    text = evalsuite("compare", "--help").stdout
    for word in (
        "--group",
        "--by-category",
        "--samples",
        "CANDIDATE minus BASELINE",
        "exit code 4",
    ):
        assert word in " ".join(text.split())


def large(tmp: Path, name: str, seed: int) -> FoundRun:
    """50,000 samples on five benchmarks, three questions per image, with long answers."""
    rng = random.Random(seed)
    rows = {
        benchmark: [
            sample(
                index,
                float(rng.random() < 0.6),
                cluster=f"image-{index // 3}",
                category=f"kind {index % 12}",
                labels=(("split", f"part {index % 3}"),),
                question="What is written on the sign behind the man in the red jacket?" * 2,
                media=(f"/data/images/{index // 3}.jpg",),
                prediction=f"The sign says number {rng.randrange(1000)}.",
            )
            for index in range(10_000)
        ]
        for benchmark in ("DemoDigits", "DemoOCR", "DemoShapes", "DemoYesNo", "DemoVideo")
    }
    return stored(tmp, name, rows)


def test_fifty_thousand_samples_are_compared_quickly_without_torch(tmp_path: Path) -> None:
    runs = [large(tmp_path, name, seed) for seed, name in enumerate(("a", "b"))]
    arguments = ["compare", *(str(found.path) for found in runs), "--by-category"]
    code = (
        f"import sys; from evalsuite.cli import main; code = main({arguments!r})\n"
        "heavy = {'torch', 'transformers', 'vlmeval', 'pandas', 'scipy.stats'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )

    def start() -> None:
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert "50000" in result.stdout

    units = cpu_units(start, 2)
    print(f"{units:.2f} units")
    assert units < 35


def test_an_unfinished_run_is_noted(tmp_path: Path) -> None:
    baseline, candidate = two(tmp_path)
    cut = dataclasses.replace(candidate.run, finished=None)
    write_run(candidate.path, cut)
    notes = compare([baseline], [FoundRun(candidate.path, cut)]).notes
    assert "second is unfinished: benchmarks may be missing" in notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\\xff", "is damaged"),
        ("[1]\n", "a line is not an object"),
        ("null\n", "a line is not an object"),
        ("[" * 100_000, "is damaged"),
        ("", "0 counted samples, but n in run.json is 50"),
    ],
    ids=["no text", "a list", "null", "deep", "empty"],
)
def test_an_unreadable_file_is_damaged(tmp_path: Path, text: str, said: str) -> None:
    a = stored(tmp_path, "a", {"A": samples(EASY[:50])})
    a.samples("A").write_bytes(text.encode("latin-1").replace(b"\\xff", b"\xff"))
    with pytest.raises(UsageError, match=said) as caught:
        compare([a], [a])
    assert "score again with --mode eval" in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": 5}, {"id": [1]}, {"id": None}, {"cluster": {}}, {"cluster": None},
        {"prompt_digest": [1]}, {"prediction": None}, {"category": 5}, {"target": None},
        {"labels": [["a", None]]}, {"labels": "xy"}, {"media": [1]}, {"ended": "bogus"},
        {"counts": "no"}, {"value": "1"}, {"value": math.nan}, {"value": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_a_sample_with_a_wrong_type_is_damaged(tmp_path: Path, changed: dict[str, Any]) -> None:
    a = stored(tmp_path, "a", {"A": samples(EASY[:50])})
    first, *rest = a.samples("A").read_text().splitlines()
    a.samples("A").write_text("\n".join([json.dumps({**json.loads(first), **changed}), *rest]))
    with pytest.raises(UsageError, match="is damaged"):
        compare([a], [a])


def test_samples_must_match_the_score(tmp_path: Path) -> None:
    """Half a file, a duplicate id, and another file are refused."""
    a, b = (stored(tmp_path, name, {"A": samples(EASY)}) for name in "ab")
    lines = b.samples("A").read_text().splitlines(keepends=True)
    for kept, said in (
        (lines[: len(lines) // 2], f"{len(lines) // 2} counted samples"),
        ([*lines[1:], lines[-1]], "a duplicate id"),
        ([line.replace('"value":0.0', '"value":1.0') for line in lines], "does not give the score"),
    ):
        b.samples("A").write_text("".join(kept))
        with pytest.raises(UsageError, match=said):
            compare([a], [b])


def test_a_line_separator_in_a_text_is_not_a_new_line(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", {"A": samples(EASY, target="A\u2028B")})
    path = a.samples("A")
    path.write_text(path.read_text().replace("\\u2028", "\u2028"), encoding="utf-8")
    assert compare([a], [a]).paired[0].samples[0].known.target == "A\u2028B"
