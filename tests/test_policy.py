"""Policies: defaults, precedence, and one line for each error."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsuite.benchmarks import catalogue
from evalsuite.comparison.policy import Policy, load
from evalsuite.errors import UsageError

KNOWN = catalogue.load().benchmarks


def write(directory: Path, text: str) -> Path:
    path = directory / "gate.yaml"
    path.write_text(text)
    return path


def test_the_default_margins_are_those_of_the_benchmarks() -> None:
    terms = load(None, KNOWN).terms(["MMStar", "OCRBench"], KNOWN)
    assert (terms.margin, terms.cliffs) == (1, {"MMStar": 5, "OCRBench": 5})
    assert (terms.alpha, terms.power) == (0.05, 0.8)


def test_the_margin_is_the_mean_of_those_of_the_benchmarks() -> None:
    terms = Policy().terms(["MMStar", "DemoOCR"], KNOWN)
    assert terms.margin == (1 + 3) / 2
    assert terms.cliffs == {"MMStar": 5, "DemoOCR": 10}


def test_unknown_benchmarks_have_the_defaults() -> None:
    terms = Policy().terms(["Mine"], KNOWN)
    assert (terms.margin, terms.cliffs) == (1, {"Mine": 5})


def test_a_file_overrides_the_benchmarks_and_flags_override_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "margin: 2\ncliff: 6\ncliffs: {MMStar: 7.5}\nalpha: 0.1\npower: 0.9\n")
    policy = load(path, KNOWN)
    terms = policy.terms(["MMStar", "DemoOCR"], KNOWN)
    assert (terms.margin, terms.alpha, terms.power) == (2, 0.1, 0.9)
    assert terms.cliffs == {"MMStar": 7.5, "DemoOCR": 6}
    flags = load(path, KNOWN, margin=4, cliff=3, alpha=0.01, power=0.5, benchmarks=["MMStar"])
    terms = flags.terms(["MMStar", "DemoOCR"], KNOWN)
    assert (terms.margin, terms.alpha, terms.power) == (4, 0.01, 0.5)
    assert terms.cliffs == {"MMStar": 3, "DemoOCR": 3}
    assert flags.benchmarks == ("MMStar",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("margins: 1", r"gate.yaml: unknown key 'margins' \(did you mean 'margin'\?\)"),
        ("1: 1", "gate.yaml: unknown key '1'"),
        ("margin: 0", "gate.yaml: margin: expected points from 0.001 to 100, not 0"),
        ("margin: -1", "not -1"),
        ("margin: 101", "not 101"),
        ("margin: .nan", "not nan"),
        ("margin: .inf", "not inf"),
        ("margin: yes", "not True"),
        ("margin: one", "not 'one'"),
        ("margin:", "not None"),
        ("cliff: [5]", r"gate.yaml: cliff: expected points from 0.001 to 100, not \[5\]"),
        ("cliffs: 5", "gate.yaml: cliffs: expected benchmarks with points"),
        ("cliffs: {}", "gate.yaml: cliffs: expected benchmarks with points"),
        ("cliffs: {MMStars: 5}", r"unknown benchmark 'MMStars' \(did you mean 'MMStar'\?\)"),
        ("cliffs: {MMStar: 0}", "gate.yaml: cliffs: MMStar: expected points"),
        ("alpha: 5", "gate.yaml: alpha: expected a probability from 1e-9 to 0.5"),
        ("alpha: 0", "alpha"),
        ("alpha: 1.0e-17", "alpha"),
        ("margin: 1.0e-320", "margin"),
        ("power: 1", "gate.yaml: power: expected a probability from 0.01 to 0.9999"),
        ("power: 80", "gate.yaml: power: expected a probability from 0.01 to 0.9999"),
        ("margin: '1'", "not '1'"),
        ("cliff: '5'", "not '5'"),
        ("cliffs: {MMStar: '5'}", "not '5'"),
        ("alpha: '0.1'", "not '0.1'"),
        ("power: '0.9'", "not '0.9'"),
        ("benchmarks: MMStar", "gate.yaml: benchmarks: expected a list"),
        ("benchmarks: []", "gate.yaml: benchmarks: expected a list"),
        ("benchmarks: [MMStars]", "did you mean 'MMStar'"),
        ("benchmarks: [[MMStar]]", "gate.yaml: benchmarks: expected a list"),
        ("- margin", "expected keys like 'margin: 1'"),
        ("", "expected keys like 'margin: 1'"),
        ("margin: {", "is not valid YAML"),
        (
            "margin: 1\ncliff: 5\nmargin: 2",
            "gate.yaml: line 3 is not valid YAML: duplicate key 'margin'",
        ),
        pytest.param("a: " + "[" * 5000, "is not valid YAML", id="deep"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        load(write(tmp_path, text), KNOWN)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml", KNOWN)


@pytest.mark.parametrize("flag", ["margin", "cliff", "alpha", "power"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), 1000.0])
def test_wrong_flags(flag: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{flag}: expected"):
        load(None, KNOWN, **{flag: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "inside", "outside"),
    [
        ("margin", (0.001, 100), (0.00099, 100.001)),
        ("cliff", (0.001, 100), (0.00099, 100.001)),
        ("alpha", (1e-9, 0.5), (0.99e-9, 0.501)),
        ("power", (0.01, 0.9999), (0.0099, 0.99991)),
    ],
)
def test_the_edges_of_values_are_allowed(
    tmp_path: Path, key: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    for value in inside:
        assert getattr(load(None, KNOWN, **{key: value}), key) == value  # type: ignore[arg-type]
        path = write(tmp_path, f"{key}: {value:.12f}")
        assert getattr(load(path, KNOWN), key) == value
    for value in outside:
        with pytest.raises(UsageError, match=f"--{key}: expected"):
            load(None, KNOWN, **{key: value})  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"gate.yaml: {key}: expected"):
            load(write(tmp_path, f"{key}: {value:.12f}"), KNOWN)


def test_the_mean_is_one_more_test_unless_there_is_one_benchmark() -> None:
    terms = Policy(alpha=0.1, power=0.9).terms([], KNOWN)
    assert [terms.level(count).tests for count in (0, 1, 2, 3)] == [1, 1, 3, 4]
    assert (terms.level(2).alpha, terms.level(2).power) == (0.1, 0.9)


def test_the_margin_without_benchmarks_is_one_point() -> None:
    assert Policy().terms([], KNOWN).margin == 1


def test_a_margin_for_all_benchmarks_does_not_replace_that_of_one() -> None:
    policy = Policy(cliff=6, cliffs={"MMStar": 7})
    assert policy.terms(["MMStar", "OCRBench"], KNOWN).cliffs == {"MMStar": 7, "OCRBench": 6}


def test_flags_without_a_cliff_keep_the_cliffs_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "cliffs: {MMStar: 7.5}\nbenchmarks: [MMStar]")
    policy = load(path, KNOWN, margin=2)
    assert (policy.margin, policy.cliffs, policy.benchmarks) == (2, {"MMStar": 7.5}, ("MMStar",))
