"""Plots: values, accessible colours and hostile names."""

import dataclasses
import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from evalsuite.comparison.learning_curves import curves
from evalsuite.errors import UsageError
from evalsuite.report import plots
from evalsuite.report.format import visible
from evalsuite.report.model.table import build
from evalsuite.report.plots import intervals, memory, steps
from evalsuite.report.plots.memory import place
from evalsuite.report.plots.style import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
    SERIES,
    distinct,
    headed,
    save,
    shown,
    styled,
)
from evalsuite.runs.records import FoundRun
from evalsuite.stats import clustered_standard_error
from evalsuite.stats.wilson import score_interval
from tests.builders.commands import evalsuite
from tests.builders.hostile import HOSTILE
from tests.builders.runs import run, score, settings, with_fields
from tests.builders.stored_runs import sample
from tests.builders.sweeps import checkpoint, sweep

WHITE, DARK = "#ffffff", "#0d1117"
SVG = "{http://www.w3.org/2000/svg}"
MATH = ["$\\alpha$", "\\frac{1}{2}", "$", "x_1^2", "<script>alert(1)</script>", "]]>", "&amp;"]


def at(name: str, gigabytes: float, *values: float, **more: object) -> FoundRun:
    peak = round(1e9 * gigabytes)
    scores = [
        score(f"Bench {letter}", value, peak_memory_bytes=peak)
        for letter, value in zip("ABCDEFGH", values, strict=False)
    ]
    digest = hashlib.sha256(f"{name} {gigabytes}".encode(errors="surrogateescape")).hexdigest()
    return FoundRun(
        Path(f"/nowhere/{digest}/a/run.json"), run(name, *scores, digest=digest, **more)
    )


def silent(_: str) -> None:
    pass


def svg(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def texts(path: Path) -> list[str]:
    return ["".join(element.itertext()) for element in svg(path).iter(f"{SVG}text")]


# Colours


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2: (L1 + 0.05) / (L2 + 0.05)."""
    light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other))
    return light[1] / light[0]


# Machado, Oliveira & Fernandes, IEEE TVCG 15 (2009) 1291, at full severity, on linear RGB.
SEEN = {
    "all": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ rgb / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_contrast_is_computed_as_wcag_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("ground", [WHITE, DARK])
def test_colours_can_be_seen_on_light_and_dark(ground: str) -> None:
    for colour in COLOURS:
        assert contrast(colour, ground) >= 3
    assert contrast(INK, ground) >= 4


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_stay_apart(eyes: str) -> None:
    as_seen = [lab(np.clip(np.array(SEEN[eyes]) @ linear(c), 0, 1)) for c in COLOURS]
    # CIE 1976: 2.3 is just noticeable.
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(as_seen, 2)) > 15


def test_series_differ_in_marker_and_dashes_too() -> None:
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(set(DASHES)) == SERIES


# Names beside points


boxes = st.builds(
    Bbox.from_bounds, st.floats(0, 400), st.floats(0, 300), st.floats(5, 60), st.floats(5, 20)
)  # fmt: skip


@given(
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=1, max_size=8),
    st.lists(boxes, max_size=4),
)
def test_names_are_placed_clear_of_each_other(
    points: list[tuple[float, float]], taken: list[Bbox]
) -> None:
    room = Bbox.from_bounds(0, 0, 400, 300)
    placed = [box for box in place(points, [(60, 12)] * len(points), taken, room, 6) if box]
    for one, other in itertools.combinations(placed, 2):
        assert not one.count_overlaps([other])
    assert all(within(box, room) for box in placed)
    assert not any(box.count_overlaps(taken) for box in placed)


def within(box: Bbox, room: Bbox) -> bool:
    return room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1


def test_a_name_is_beside_its_point_if_possible() -> None:
    (box,) = place([(100, 100)], [(50, 10)], [], Bbox.from_bounds(0, 0, 400, 300), 6)
    assert box is not None
    assert box.bounds == (106, 95, 50, 10)
    (none,) = place([(100, 100)], [(500, 10)], [], Bbox.from_bounds(0, 0, 400, 300), 6)
    assert none is None


def extents(figure: Figure) -> list[Bbox]:
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in figure.findobj(Text) if text.get_gid() == "name"]


@pytest.mark.parametrize("apart", [0.0, 0.01, 0.3])
def test_eight_names_do_not_overlap(apart: float) -> None:
    runs = [
        at(f"checkpoint-of-some-length-{i}", 2 + apart * i, 50 + apart * i, 40.0) for i in range(8)
    ]
    with styled():
        figure = memory_of(runs)
        found = extents(figure)
    assert len(found) == 8
    assert not any(one.count_overlaps([other]) for one, other in itertools.combinations(found, 2))
    frame = figure.axes[0].get_window_extent()
    assert all(within(box, frame.padded(1)) for box in found)


def memory_of(runs: Sequence[FoundRun]) -> Figure:
    table = build([found.run for found in runs])
    figure = memory.draw(memory.spots(table, runs), table.averaged)
    assert figure is not None
    return figure


# Memory


def test_memory_is_the_runs_peak_without_a_profile() -> None:
    found = at("a", 1.5, 50.0, environment={"device": "cuda:1"})
    assert memory.memory_of(found) == (
        1_500_000_000,
        "peak of the run, any batch size, cuda",
    )
    bare = FoundRun(found.path, run("a", score("A", 1.0)))
    assert memory.memory_of(bare) is None


def profiled(directory: Path, digest: str, name: str = "profile-cpu-float32", **more: object):  # type: ignore[no-untyped-def]
    rows = [
        {"batch_size": 64, "peak_memory_bytes": 9_000_000_000},
        {"batch_size": 8, "reason": "out of memory"},
        {"batch_size": 1, "peak_memory_bytes": 800_000_000},
    ]
    plain = {"device": "cpu", "dtype": "float32", "checkpoint": {"digest": digest}, "rows": rows}
    (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / name / "profile.json").write_text(json.dumps({**plain, **more}))


def test_a_profile_of_the_same_weights_is_preferred(tmp_path: Path) -> None:
    made = at("a", 1.5, 50.0, environment={"device": "cpu"})
    found = FoundRun(tmp_path / "a-1234" / "settings" / "run.json", made.run)
    digest = made.run.checkpoint.digest
    profiled(tmp_path / "a-1234", digest)
    assert memory.memory_of(found) == (800_000_000, "profile, batch size 1, cpu")
    for other in (
        {"digest": "another"}, {"digest": digest, "dtype": "bfloat16"},
        {"digest": digest, "device": "cuda:0"}, {"digest": digest, "rows": []},
        {"digest": digest, "rows": None}, {"digest": digest, "rows": [1]},
    ):  # fmt: skip
        profiled(tmp_path / "a-1234", **other)  # type: ignore[arg-type]
        assert memory.memory_of(found) == (
            1_500_000_000,
            "peak of the run, any batch size, cpu",
        )
    (tmp_path / "a-1234" / "profile-cpu-float32" / "profile.json").write_text("{")
    assert memory.memory_of(found) is not None


def test_ways_to_measure_have_different_markers(tmp_path: Path) -> None:
    one, other = at("a", 1.5, 50.0), at("b", 3.0, 60.0)
    one = FoundRun(tmp_path / "a-1234" / "settings" / "run.json", one.run)
    profiled(tmp_path / "a-1234", one.run.checkpoint.digest)
    plots.draw([one, other], tmp_path, ["memory"], silent)
    said = texts(tmp_path / "plot-memory.svg")
    assert {"profile, batch size 1, cpu", "peak of the run, any batch size"} <= set(said)
    assert {"a", "b"} <= set(said)


def test_the_pareto_front_is_named() -> None:
    def spot(name: str, size: int, value: float) -> memory.Spot:
        return memory.Spot(name, size, "", intervals.Dot(value, value, value))

    found = [spot("small", 1, 10), spot("beaten", 2, 9), spot("same", 1, 10), spot("large", 3, 30)]
    assert [each.name for each in memory.frontier(found)] == ["large", "small"]


def test_the_best_of_a_long_pareto_front_are_named(tmp_path: Path) -> None:
    runs = [at(f"c{i:02}", 1 + i / 10, 20.0 + i) for i in range(20)]
    plots.draw(runs, tmp_path, ["memory"], silent)
    said = texts(tmp_path / "plot-memory.svg")
    assert sorted(name for name in said if re.fullmatch(r"c\d\d", name)) == [
        f"c{i:02}" for i in range(4, 20)
    ]
    assert "named: the 16 best of the Pareto front" in " ".join(said)


def test_a_hundred_runs_stay_readable(tmp_path: Path) -> None:
    chance = random.Random(1)
    runs = []
    for i in range(100):
        size = 10 ** chance.uniform(-0.2, 1.3)
        runs.append(at(f"sweep-lr{i}", size, 40 + 20 * size**0.2 + chance.gauss(0, 3), 30.0))
    files = plots.draw(runs, tmp_path, ["memory", "intervals"], silent)
    scatter, bars = (" ".join(texts(path)) for path in files if path.suffix == ".svg")
    assert "100 checkpoints; named: the Pareto front" in scatter
    assert 2 <= scatter.count("sweep-lr") <= memory.NAMED
    assert "The 6 best of 100 checkpoints, by their mean." in bars
    assert bars.count("sweep-lr") == SERIES
    assert all(path.stat().st_size < 150_000 for path in files)


# Steps


def test_curves_with_more_training_runs_than_colours(tmp_path: Path) -> None:
    runs = []
    for i in range(9):
        for step in (1, 2):
            found = at(f"lr{i}-checkpoint-{step}", 1.0 + i, 10.0 * i + step, step=step)
            record = dataclasses.replace(
                found.run.checkpoint, source=f"runs/lr{i}/checkpoint-{step}"
            )
            runs.append(FoundRun(found.path, dataclasses.replace(found.run, checkpoint=record)))
    plots.draw(runs, tmp_path, ["steps"], silent)
    said = texts(tmp_path / "plot-steps.svg")
    assert [name for name in said if name.startswith("lr")] == [f"lr{i}" for i in range(3, 9)]
    assert "The 6 of 9 training runs with the best checkpoints." in " ".join(said)
    assert not (tmp_path / "plot-steps-benchmarks.svg").exists()  # of one benchmark it is the same


def test_the_line_is_the_mean_and_the_band_its_interval(tmp_path: Path) -> None:
    found = curves(sweep(tmp_path, {"A": (0.3, 0.6), "B": (0.5, 0.8)}, (100, 200)))
    with styled():
        figure = steps.draw_mean(found)
    assert figure is not None
    (axes,) = figure.axes
    (line,) = axes.lines
    points = found.curves[0].points
    assert line.get_xdata().tolist() == [100, 200]  # type: ignore[union-attr]
    assert line.get_ydata().tolist() == [point.mean for point in points]  # type: ignore[union-attr]
    corners = axes.collections[0].get_paths()[0].vertices
    for point in points:
        assert point.mean is not None
        assert point.stderr is not None
        inside = score_interval(point.mean / 100, point.stderr / 100, 160)
        assert inside is not None
        drawn = sorted({round(y, 6) for x, y in corners if x == point.step})  # type: ignore[union-attr]
        assert drawn == pytest.approx([100 * inside[0], 100 * inside[1]], abs=1e-5)


# Benchmarks and categories


def test_every_benchmark_and_the_mean() -> None:
    table = build([at("a", 1.0, 50.0, 70.0).run, at("b", 2.0, 40.0).run])
    with styled():
        figure = intervals.draw(table)
    assert figure is not None
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Bench A", "Bench B"]
    dots = [line.get_xdata().tolist() for line in axes.lines[:2]]  # type: ignore[union-attr]
    assert dots == [[50.0, 70.0], [40.0]]
    whole = build([at("a", 1.0, 50.0, 70.0).run])
    with styled():
        figure = intervals.draw(whole)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["Bench A", "Bench B", "mean"]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [50.0, 70.0, 60.0]  # type: ignore[union-attr]


def test_a_benchmark_by_category() -> None:
    rows = [
        sample(i, float(i % 4 == 0), category="x" if i < 40 else "y", cluster=f"c{i // 2}")
        for i in range(100)
    ]
    rows.append(sample(100, 1.0, category="z", counts=False))
    with styled():
        figure = intervals.draw_categories("A", ["one"], [rows])
    assert figure is not None
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x (40)", "y (60)"]
    assert axes.lines[0].get_xdata().tolist() == [25.0, 25.0]  # type: ignore[union-attr]
    error = clustered_standard_error([r.value for r in rows[:40]], [r.cluster for r in rows[:40]])
    inside = score_interval(0.25, error, 20)
    assert inside is not None
    bar = axes.collections[0].get_paths()[0].vertices
    assert [x for x, _ in bar] == pytest.approx([100 * inside[0], 100 * inside[1]])  # type: ignore[union-attr]
    with styled():
        assert intervals.draw_categories("A", ["one"], [rows[:40]]) is None


def test_more_categories_than_a_plot_holds() -> None:
    rows = [sample(i, 1.0, category=f"c{i % 60:02}") for i in range(100)]
    with styled():
        figure = intervals.draw_categories("A", ["one"], [rows])
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"c{i:02} (2)" for i in range(40)]
    assert figure._supxlabel is not None
    assert "The 40 of 60 categories with most samples." in (
        figure._supxlabel.get_text().replace("\n", " ")
    )


# Files


def some(directory: Path) -> list[FoundRun]:
    found = sweep(directory / "results", {"A": (0.3, 0.6), "B": (0.5, 0.8)}, (100, 200))
    with_memory = []
    for each in found:
        outcomes = tuple(with_fields(s, peak_memory_bytes=2 * 10**9) for s in each.run.scores)
        with_memory.append(FoundRun(each.path, dataclasses.replace(each.run, outcomes=outcomes)))
    return with_memory


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    runs = some(tmp_path)
    before = dict(matplotlib.rcParams)
    first = plots.draw(runs, tmp_path / "one", [], silent)
    second = plots.draw(runs, tmp_path / "two", [], silent)
    assert [path.name for path in first] == [
        f"plot-{name}.{kind}"
        for name in ("memory", "steps", "steps-benchmarks", "intervals", "categories-A",
                     "categories-B")
        for kind in ("svg", "png")
    ]  # fmt: skip
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert str(tmp_path).encode() not in one.read_bytes()
        assert one.stat().st_size < 150_000
    assert dict(matplotlib.rcParams) == before


def test_text_is_text_and_large_enough(tmp_path: Path) -> None:
    for path in plots.draw(some(tmp_path), tmp_path, [], silent):
        if path.suffix == ".svg":
            assert texts(path)
            for element in svg(path).iter(f"{SVG}text"):
                style = element.get("style") or ""
                size = re.search(r"([\d.]+)px", style)
                assert size, style
                assert float(size[1]) >= 9
                assert "sans-serif" in style


def test_plots_are_transparent_and_visible(tmp_path: Path) -> None:
    for path in plots.draw(some(tmp_path), tmp_path, [], silent):
        if path.suffix != ".png":
            continue
        pixels = np.array(PIL.Image.open(path).convert("RGBA")).reshape(-1, 4)
        assert pixels[0, 3] == 0
        assert (pixels[:, 3] == 0).mean() > 0.5
        solid, counts = np.unique(pixels[pixels[:, 3] == 255][:, :3], axis=0, return_counts=True)
        seen = [
            min(contrast("#{:02x}{:02x}{:02x}".format(*rgb), ground) for ground in (WHITE, DARK))
            for rgb in solid.tolist()
        ]
        assert counts[np.array(seen) >= 3].sum() > 0.97 * counts.sum()


def test_global_settings_of_matplotlib_do_not_change(tmp_path: Path) -> None:
    sweep(tmp_path / "results", {"A": (0.3, 0.6)}, (1, 2))
    code = (
        "import sys; from evalsuite.cli import main; "
        "assert main(['plot', '-o', 'out', '--only', 'steps,intervals']) == 0; "
        "assert not {'matplotlib.pyplot', 'torch', 'vlmeval', 'pandas', 'transformers'} "
        "& set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "out" / "plot-steps.svg").exists()


@pytest.mark.parametrize("first", range(0, len(HOSTILE + MATH), SERIES))
def test_names_are_shown_as_they_are(first: int, tmp_path: Path) -> None:
    names = [*HOSTILE, *MATH][first : first + SERIES]
    runs = [at(name, 1.0 + i, 50.0 + i) for i, name in enumerate(names)]
    plots.draw([*runs, at("other", 9.0, 20.0)][:SERIES], tmp_path, ["memory", "intervals"], silent)
    for kind in ("memory", "intervals"):
        path = tmp_path / f"plot-{kind}.svg"
        assert {shown(name) for name in names} <= set(texts(path))
        assert not list(svg(path).iter(f"{SVG}script"))


def test_a_long_name_is_shortened_in_the_middle() -> None:
    assert shown("run-" + "x" * 90 + "-checkpoint-500") == "run-xxxxxxxxxxxxx…x-checkpoint-500"
    assert len(shown("y" * 200)) == 34
    assert shown("a\nb\u202e") == visible("a\nb\u202e")


def test_hostile_benchmarks_and_categories(tmp_path: Path) -> None:
    rows = [sample(i, float(i % 2), category=MATH[i % 4]) for i in range(40)]
    with styled():
        figure = intervals.draw_categories("$B$", ["$s$", "t"], [rows, rows])
        assert figure is not None
        save(figure, tmp_path, "picture")
    said = texts(tmp_path / "picture.svg")
    assert {"$B$ by category", "$s$", *(f"{name} (10)" for name in MATH[:4])} <= set(said)


@pytest.mark.parametrize("count", [2, 6])
def test_long_names_do_not_shrink_the_axes(count: int) -> None:
    runs = [at(f"smolvlm2-2.2b-lr2e-5-checkpoint-{n}{'W' * 40}", 1.0, 50.0, 60.0).run
            for n in range(count)]  # fmt: skip
    with styled():
        figure = intervals.draw(build(runs))
        assert figure is not None
        figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    names, drawn = legend.get_window_extent(), axes.get_window_extent()
    assert drawn.width > 0.7 * figure.bbox.width
    assert 0 <= names.x0 < names.x1 <= figure.bbox.x1
    assert figure._suptitle is not None
    assert drawn.y1 < names.y0 < names.y1 <= figure._suptitle.get_window_extent().y0


def test_names_that_differ_in_their_middle_stay_different(tmp_path: Path) -> None:
    names = [f"smolvlm2-2.2b-docmix-{rate}-frozen-tower-checkpoint-4000" for rate in
             ("lr1e-4", "lr2e-5")]  # fmt: skip
    plots.draw([at(name, n + 1.0, 50.0, 60.0) for n, name in enumerate(names)], tmp_path,
               ["intervals", "memory"], silent)  # fmt: skip
    for kind in ("intervals", "memory"):
        drawn = [text for text in texts(tmp_path / f"plot-{kind}.svg") if "smol" in text]
        assert len(set(drawn)) == 2, drawn
    middles = ["a" * 100 + middle + "a" * 100 for middle in "bc"]
    assert distinct(middles) == [shown("a" * 201, 90)] * 2
    assert distinct(["short", "x" * 40]) == ["short", shown("x" * 40)]


def test_a_single_series_is_named_in_the_title(tmp_path: Path) -> None:
    plots.draw(some(tmp_path)[:1], tmp_path, ["intervals", "steps"], silent)
    assert "Scores by benchmark: sft-checkpoint-100" in texts(tmp_path / "plot-intervals.svg")
    assert "Score by training step: sft" in texts(tmp_path / "plot-steps.svg")
    each = texts(tmp_path / "plot-steps-benchmarks.svg")
    assert "Benchmarks by training step: sft" in each


def test_a_title_fits_into_the_plot() -> None:
    with styled():
        figure = Figure((7.2, 3))
        headed(figure, "x" * 300, "y " * 300)
        for text in figure.findobj(Text):
            assert text.get_window_extent().x1 <= figure.bbox.x1, text.get_text()


def test_a_single_step_has_its_interval_too(tmp_path: Path) -> None:
    found = curves(sweep(tmp_path, {"A": (0.3,), "B": (0.5,)}, (100,)))
    with styled():
        figure = steps.draw_mean(found)
    assert figure is not None
    (reach,) = figure.axes[0].collections[0].get_paths()
    (point,) = found.curves[0].points
    assert point.mean is not None
    assert reach.vertices[:, 0].tolist() == [100, 100]  # type: ignore[index, union-attr]
    low, high = reach.vertices[:, 1]  # type: ignore[index]
    assert low < point.mean < high


@pytest.mark.parametrize(
    ("common", "said"),
    [
        (1, ""),
        (2, "Mean: over the 2 benchmarks on which every checkpoint has a whole score."),
        (3, ""),
    ],
)
def test_the_caption_explains_the_mean(common: int, said: str, tmp_path: Path) -> None:
    runs = [at("a", 1.0, *(50.0,) * common), at("b", 1.0, 60.0, 50.0, 40.0)]
    plots.draw(runs, tmp_path, ["intervals"], silent)
    found = texts(tmp_path / "plot-intervals.svg")
    assert ("mean" in found) == (common > 1)
    assert ("Mean:" in " ".join(found)) == bool(said)
    assert said in " ".join(found)


def test_partial_benchmarks_are_marked(tmp_path: Path) -> None:
    scores = {"A": {"partial": True, "unscored": 9}}
    found = [checkpoint(tmp_path, "runs/sft", step, {"A": 0.4, "B": 0.6, "C": 0.5}, scores=scores)
             for step in (100, 200)]  # fmt: skip
    plots.draw(found, tmp_path, ["intervals", "steps"], silent)
    for name in ("plot-intervals.svg", "plot-steps-benchmarks.svg"):
        said = texts(tmp_path / name)
        assert {"A (partial)", "B", "C"} <= set(said)
        assert "A" not in said
    caption = " ".join(texts(tmp_path / "plot-intervals.svg"))
    assert "over the 2 benchmarks on which every checkpoint has a whole score" in caption


# What cannot be drawn


def test_comparability_and_the_table_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("alike", "build"):
        monkeypatch.setattr(plots, name, counted(getattr(plots, name), name, calls))
    plots.draw(some(tmp_path), tmp_path, [], silent)
    assert sorted(calls) == ["alike", "build"]


def counted(function: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    """`function`, which adds `name` to `calls` when it is called."""

    def call(*arguments: Any) -> Any:
        calls.append(name)
        return function(*arguments)

    return call


def test_plots_that_cannot_be_drawn_are_listed(tmp_path: Path) -> None:
    told: list[str] = []
    half = settings(prompts="native")
    runs = [
        at("a", 1.0, 50.0), at("b", 1.0, 50.0), at("native", 1.0, 50.0, settings=half),
        at("new", 1.0),
    ]  # fmt: skip
    made = plots.draw(runs, tmp_path, [], told.append)
    assert [path.name for path in made if path.suffix == ".svg"] == [
        "plot-memory.svg", "plot-intervals.svg",
    ]  # fmt: skip
    assert "left out: native: prompts native, the others vlmevalkit" in told
    assert told.count("left out: new: no score yet") == 1, "for all pictures"
    assert any(line.startswith("no plot of steps: ") for line in told)
    assert any(line.startswith("no plot of categories: ") for line in told)


def test_a_requested_plot_that_cannot_be_drawn_is_an_error(tmp_path: Path) -> None:
    for only, said in (("steps", "training step"), ("intervalls", "did you mean 'intervals'")):
        with pytest.raises(UsageError, match=said):
            plots.draw([at("a", 1.0, 50.0)], tmp_path, [only], silent)
    with pytest.raises(UsageError, match="has a score"):
        plots.draw([at("new", 1.0)], tmp_path, [], silent)


def test_the_command(tmp_path: Path) -> None:
    sweep(tmp_path / "results", {"A": (0.3, 0.6)}, (1, 2))
    result = evalsuite("plot", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "results/plots/plot-steps.svg"
    assert "no plot of memory" in result.stderr
    wrong = evalsuite("plot", "--only", "memory", cwd=tmp_path)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    (tmp_path / "file").touch()
    full = evalsuite("plot", "--only", "steps", "-o", "file", cwd=tmp_path)
    assert full.returncode == 2
    assert "cannot be written" in full.stderr
