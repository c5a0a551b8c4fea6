"""From predictions to scores, through the kit process."""

import csv
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalsuite.benchmarks.benchmark import METRICS, Benchmark, Published
from evalsuite.vlmevalkit.client import BenchmarkScore, Kit, KitError
from evalsuite.vlmevalkit.scoring_workarounds import (
    FAILURE_IS_WRONG,
    FAILURE_TEXT,
    OPEN_ANSWERS_COMPARED,
    PUNCTUATION_IS_WRONG,
)
from evalsuite.vlmevalkit.workarounds import EMPTY_IS_WRONG, NA_VALUES_AS_TEXT
from tests.builders import kit_data as made
from tests.builders import metric_tables as made_rows
from tests.builders.hostile import NASTY, TEXTS
from tests.builders.kit_scoring import RULE_DEVIATIONS, TABLES, predictions_of
from tests.builders.metric_tables import MAKERS, OPEN, RIGHT

HMER = "Handwritten Mathematical Expression Recognition"


def ids(kit: Kit, benchmark: Benchmark, part: str | None = None) -> list[str]:
    """Return the samples that can be scored, of one part or of all."""
    return [
        outline.id
        for outline in kit.outline(benchmark)
        if benchmark.scorable(outline.part) and part in (None, outline.part)
    ]


def scored(
    kit: Kit,
    benchmark: Benchmark,
    texts: Sequence[str | None],
    directory: Path,
    part: str | None = None,
) -> BenchmarkScore:
    """Score `texts` as the predictions of the first samples."""
    chosen = ids(kit, benchmark, part)[: len(texts)]
    return kit.score(benchmark, chosen, predictions_of(chosen, texts), directory)


def hits(directory: Path, pattern: str, column: str) -> dict[str, str]:
    """Return a column of VLMEvalKit's file by sample."""
    (path,) = directory.glob(pattern)
    csv.field_size_limit(10**7)
    with path.open(newline="", encoding="utf-8") as file:
        return {row["sample"]: row[column] for row in csv.DictReader(file, delimiter="\t")}


def test_every_metric_has_test_data(tmp_path: Path, kit: Kit) -> None:
    assert tuple(MAKERS) == METRICS
    for metric, make in MAKERS.items():
        got = scored(kit, make(tmp_path / metric, [{}]), ["?"], tmp_path / "out")
        assert (got.score, got.deviations) == (0, ())


@pytest.mark.parametrize(
    ("metric", "row", "answers"),
    [
        ("choice", {"answer": "B"}, [
            ("B", 1, True), ("B.", 1, True), ("dog", 1, True), ("The dog!", 1, True),
            ("A", 0, True), ("cat", 0, True), ("b", 0, False), ("cow", 0, False), ("", 0, False),
            ("cat and dog", 0, False), ("None", 0, True), ("nan", 0, False), ("007", 0, True),
            ("7", 0, False), ("Cannot determine the answer", 0, False), ("Z", 0, False),
            (None, 0, False),
        ]),
        ("yes-no", {"answer": "No"}, [
            ("No", 1, True), ("no.", 1, True), ("Yes", 0, True), ("yes and no", 0, False),
            ("nope", 0, False), ("", 0, False), ("None", 0, False), (None, 0, False),
        ]),
        ("vqa-accuracy", {}, [
            # Ten annotators, three of them equal; each is compared with the other nine.
            ("red", (3 * 2 / 3 + 7 * 1) / 10, True), ("The Red", 0.9, True),
            ("blue", (2 * 1 / 3 + 8 * 2 / 3) / 10, True), ("navy", 9 / 3 / 10, True),
            ("five", 0.3, True), ("5", 0.3, True), ("5.0", 0, True), ("green", 0, True),
            ("", 0, False), ("None", 0, True), (None, 0, False),
        ]),
        ("ocr-contains", {}, [
            ("hello world", 1, True), ("It says\nHELLO\nWORLD", 1, True), ("x42y", 1, True),
            ("hello  world", 0, True), ("4 2", 0, True), ("", 0, False), (None, 0, False),
            ("007", 0, True), ("042", 1, True),
        ]),
        ("ocr-contains", {"category": HMER, "answer": r"['\\frac{a}{b} = C']"}, [
            (r"= \frac{a}{b}=C", 1, True), (r"=\frac {a}\n{b} = C", 0, True),
            ("\\frac{a}\n{b} =\nC", 1, True), (r"\frac{a}{b} = c", 0, True), ("", 0, False),
        ]),
        ("video-choice", {}, [
            ("B", 1, True), ("Answer: B", 1, True), ("(B) down", 1, True), ("A", 0, True),
            ("Because", 1, True), ("down", 0, False), ("", 0, False), (None, 0, False),
            ("No idea at all what is going on in this strange clip", 0, False),
        ]),
        ("worldsense", {}, [
            ("B", 1, True), ("(B) down", 1, True), ("A", 0, True), ("down", 0, False),
            ("", 0, False), (None, 0, False),
        ]),
        ("mmmu", {}, [
            ("B", 1, True), ("The dog!", 1, True), ("A", 0, True), ("None", 0, True),
            ("nan", 0, False), ("", 0, False), (None, 0, False),
        ]),
        ("mmmu", OPEN | {"answer": "photosynthesis"}, [
            ("It is Photosynthesis.", 1, True), ("no idea", 0, False), ("other answers", 0, True),
            # VLMEvalKit turns the answer into option A.
            ("A", 1, True), ("B", 0, True), ("", 0, False), (None, 0, False),
        ]),
        ("mmmu", OPEN | {"answer": "5"}, [
            ("5", 1, True), ("It is 15", 1, True), ("6", 0, False), ("", 0, False),
        ]),
        ("relaxed-accuracy", {}, [
            ("14", 1, True), (" 14.0\n", 1, True), ("14.7", 1, True), ("13.3", 1, True),
            ("14.8", 0, True), ("14%", 0, True), ("fourteen", 0, True), ("nan", 0, True),
            ("inf", 0, True), ("", 0, False), (None, 0, False),
        ]),
        ("relaxed-accuracy", {"answer": "Yes"}, [
            ("yes", 1, True), ("YES ", 1, True), ("yes.", 0, True), ("", 0, False),
        ]),
        ("relaxed-accuracy", {"answer": "['12', 'twenty']"}, [
            ("12.1", 1, True), ("Twenty", 1, True), ("20", 0, True), ("None", 0, True),
        ]),
        ("relaxed-accuracy", {"answer": "0"}, [("0", 1, True), ("0.0", 0, True)]),
        ("anls", {}, [
            ("hello", 1, True), ("HELLO", 1, True), ("hallo  du", 1, True),
            ("hallo", 4 / 5, True),     # one letter of five; three of eight from the other
            ("help", 3 / 5, True), ("hel", 3 / 5, True), ("he", 0, True), ("", 0, False),
            ("None", 0, True), (None, 0, False),
        ]),
        ("exact-match", {}, [
            ("the sea", 1, True), (" THE SEA\n", 1, True), ("The Sea.", 0, True),
            ("Sea", 0, True), ("", 0, False), (None, 0, False),
        ]),
        ("exact-match", {"answer": "['a', 'b']"}, [("A", 1, True), ("b", 1, True), ("c", 0, True)]),
        ("mvbench", {}, [
            ("B", 1, True), ("b.", 1, True), ("(B) down", 1, True), ("B) down", 1, True),
            ("down", 1, True), ("It goes down.", 1, True), ("( B", 1, True), ("A", 0, True),
            ("c) to the left", 0, True), ("up", 0, True), ("nothing", 0, False), ("", 0, False),
            ("None", 0, False), (None, 0, False),
        ]),
        ("mlvu", {}, [
            ("(B)", 1, True), ("B", 1, True), ("B) down", 1, True), ("down", 1, True),
            ("(A) up", 0, True), ("A", 0, True), ("x", 0, False), ("", 0, False),
            ("(A), not C", 0, True), ("(a), not b", 0, False),
            ("nan", 0, False), (None, 0, False),
        ]),
        ("tempcompass", {}, [
            ("B", 1, True), ("B. down", 1, True), ("B) what", 1, True), ("B.", 1, True),
            ("A", 0, True), ("A.", 0, True), ("b", 0, False), ("down", 0, False), ("", 0, False),
            (None, 0, False),
        ]),
        ("tempcompass", {"task_type": "caption_matching"}, [
            ("Caption B: It falls.", 1, True), ("It falls.", 1, True), ("Caption B", 1, True),
            ("B", 1, True), ("B.", 1, True), ("1) It falls.", 1, True), ("Caption A", 0, True),
            ("It rises.", 0, True), ("It falls", 0, False), ("", 0, False), (None, 0, False),
        ]),
        ("tempcompass", {"task_type": "yes_no"}, [
            ("Yes, it does", 1, True), ("YES", 1, True), ("no", 0, True), ("not sure", 0, True),
            ("It does", 0, False), ("", 0, False), ("None", 0, True), (None, 0, False),
        ]),
        ("mathvista", {}, [
            ("14", 1, True), ("The answer is 14.", 1, True), (r"$\boxed{14}$", 1, True),
            ("There are 3 of 14", 1, True), ("14.0", 1, True), ("fourteen", 1, True),
            ("14.5", 0, True), ("1.4", 0, True), ("", 0, False), ("nan", 0, False),
            (None, 0, False),
        ]),
        ("mathvista", {"answer": "0"}, [
            ("0", 1, True), ("zero", 1, True), ("none", 0, False), ("", 0, False), ("1", 0, True),
        ]),
        ("mathvista", {"answer_type": "float", "answer": "1.45"}, [
            ("1.45", 1, True), ("It costs $1.451", 1, True), ("1.4", 0, True), ("145%", 0, True),
            ("nan", 0, False), ("inf", 0, False),
        ]),
        ("mathvista", {
            "question_type": "multi_choice", "answer_type": "text", "answer": "8/11",
            "choices": "['3/11', '8/11', 'a']", "answer_option": "B",
        }, [
            ("B", 1, True), ("(b)", 1, True), ("The correct answer is (B) 8/11.", 1, True),
            ("8/11", 1, True), ("A", 0, True), ("3/11", 0, True), ("?", 0, False), ("", 0, False),
            (None, 0, False),
        ]),
    ],
)  # fmt: skip
def test_values_by_hand(
    kit: Kit,
    tmp_path: Path,
    metric: str,
    row: made.Row,
    answers: Sequence[tuple[str | None, float, bool]],
) -> None:
    benchmark = MAKERS[metric](tmp_path, [row] * len(answers))
    part = "TempCompass_YorN" if row.get("task_type") == "yes_no" else None
    got = scored(kit, benchmark, [text for text, _, _ in answers], tmp_path / "out", part)
    for (text, value, parsed), sample in zip(answers, got.values, strict=True):
        assert sample.value == pytest.approx(value), text
        assert sample.parsed is parsed, text
    mean = 100 * sum(value for _, value, _ in answers) / len(answers)
    assert got.score == pytest.approx(mean)
    # For missing values and texts like None in an unmodified VLMEvalKit, see `UNPATCHED`.
    same = got.vlmevalkit_score == pytest.approx(mean, abs=0.051)
    assert (got.deviations == ()) is same
    assert same or set(got.deviations) <= TABLES


def test_any_subset_can_be_scored(kit: Kit, tmp_path: Path) -> None:
    for metric, make in MAKERS.items():
        benchmark = make(tmp_path / metric, [{} for _ in range(5)])
        kit.outline(benchmark)
        texts = [RIGHT[metric], "x", "x", "x", RIGHT[metric]]
        got = kit.score(benchmark, ["1", "4"], made.predictions(texts), tmp_path / "out")
        assert [(v.id, v.value > 0) for v in got.values] == [("1", False), ("4", True)]
        assert got.score == 100 * got.values[1].value / 2
        assert got.deviations == ()


def test_the_order_of_samples_does_not_matter(kit: Kit, tmp_path: Path) -> None:
    for metric, make in MAKERS.items():
        benchmark = make(tmp_path / metric, [{} for _ in range(5)])
        given = predictions_of(list("01234"), [RIGHT[metric], "x", RIGHT[metric], "", "C"])
        kit.outline(benchmark)
        first = kit.score(benchmark, list("01234"), given, tmp_path / "out")
        shuffled = random.Random(metric).sample(list("01234"), 5)
        second = kit.score(benchmark, shuffled, given, tmp_path / "out")
        assert {v.id: v for v in first.values} == {v.id: v for v in second.values}
        assert (first.score, first.deviations) == (second.score, second.deviations), metric


def test_files_name_samples_if_rows_are_renumbered(kit: Kit, tmp_path: Path) -> None:
    benchmark = MAKERS["mvbench"](tmp_path, [{} for _ in range(4)])
    kit.outline(benchmark)
    kit.score(benchmark, ["1", "3"], predictions_of(["1", "3"], ["A", "B"]), tmp_path / "out")
    assert hits(tmp_path / "out", "*_score.tsv", "score") == {"1": "0.0", "3": "1.0"}
    assert hits(tmp_path / "out", "*_score.tsv", "index") == {"1": "0", "3": "1"}


def test_macro_average_weighs_tasks_equally(kit: Kit, tmp_path: Path) -> None:
    rows = [{"task_type": "plotQA"}] * 3 + [{"task_type": "count"}]
    got = scored(kit, MAKERS["mlvu"](tmp_path, rows), ["B", "B", "x", "x"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == (50, 50)
    assert got.macro_average == pytest.approx(100 * (2 / 3 + 0) / 2)
    assert (got.extra, got.judge_reported) == ({}, ())
    rows = [{"task_type": "state_change"}] * 3 + [{"task_type": "action_count"}]
    got = scored(kit, MAKERS["mvbench"](tmp_path / "m", rows), ["B", "A", "x", "B"], tmp_path / "o")
    assert (got.score, got.macro_average) == (50, pytest.approx(100 * (1 / 3 + 1) / 2))


def test_both_versions_of_mvbench(kit: Kit, tmp_path: Path) -> None:
    benchmark = made_rows.plain_mvbench(tmp_path, [{}, {}, {}])
    got = scored(kit, benchmark, ["B", "C", "down"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == pytest.approx((200 / 3, 200 / 3))


def test_deviations_of_scoring_rules(kit: Kit, tmp_path: Path) -> None:
    def number(
        metric: str, texts: Sequence[str], row: made.Row | None = None
    ) -> tuple[object, ...]:
        folder = tmp_path / metric / str(len(list(tmp_path.rglob("*"))))
        benchmark = MAKERS[metric](folder, [row or {}] * len(texts))
        got = scored(kit, benchmark, texts, tmp_path / "out")
        return got.score, got.vlmevalkit_score, got.deviations

    assert number("mvbench", ["A", FAILURE_TEXT]) == (0, 50, (FAILURE_IS_WRONG,))
    assert number("mvbench", [".", "A", " ", "( A"]) == (0, 75, (PUNCTUATION_IS_WRONG,))
    assert number("mvbench", [".", FAILURE_TEXT]) == (
        0, 100, (FAILURE_IS_WRONG, PUNCTUATION_IS_WRONG),
    )  # fmt: skip
    assert number("mlvu", ["B", "B", FAILURE_TEXT, "x"]) == (50, 25, (FAILURE_IS_WRONG,))
    words = {"answer_type": "text", "answer": "Yes"}
    assert number("mathvista", ["Yes", "no"], words) == (50, 0, (OPEN_ANSWERS_COMPARED,))
    years = {"answer_type": "list", "answer": "[2007, 2008]"}
    assert number("mathvista", ["from 2007 to 2008", "[2007, 2009]"], years) == (
        50, 0, (OPEN_ANSWERS_COMPARED,),
    )  # fmt: skip


def test_the_metric_decides_the_rule_for_custom_data(kit: Kit, tmp_path: Path) -> None:
    row = {"index": 0, "image": made.encoded(made.picture()), "question": "?", "answer": "100"}
    path = made.table(tmp_path / "Mine.tsv", [row])
    for metric, text, value in (
        ("relaxed-accuracy", "101", 1), ("anls", "101", 2 / 3), ("exact-match", "101", 0),
        ("exact-match", " 100", 1),
    ):  # fmt: skip
        benchmark = made.benchmark("Mine", "ImageVQADataset", metric, path)
        got = scored(kit, benchmark, [text], tmp_path / "out")
        assert (got.score, got.deviations) == (pytest.approx(100 * value), ())
        assert got.vlmevalkit_score == pytest.approx(100 * value)


@pytest.mark.parametrize(
    ("metric", "row", "error"),
    [
        ("mmmu", {"answer": "F"}, "its answer 'F' is not one of its options A, B, C, D"),
        ("mmmu", OPEN | {"answer": "C"}, "it is an open question, but its answer 'C'"),
        ("relaxed-accuracy", {"answer": "nan"}, "its answer 'nan' does not match itself"),
        ("anls", {"answer": "[1, 2]"}, r"its answer \[1, 2\] is not a list of texts"),
        ("exact-match", {"answer": "[]"}, r"its answer \[\] is not a list of texts"),
        ("mathvista", {"answer": "many"}, "its answer 'many' is not of type integer"),
        ("mathvista", {"answer_type": "word"}, "its answer_type is 'word', not 'integer'"),
        ("mathvista", {"question_type": "open"}, "its question_type is 'open', not"),
        ("mathvista", {"skills": "algebra"}, "its skills are not a list of texts"),
        ("mathvista",
         {"question_type": "multi_choice", "choices": "['1', '2']", "answer_option": "C"},
         "its answer_option 'C' is not one of its 2 choices"),
        ("worldsense", {"duration": "5min"}, "its duration is '5min'; expected one of <1min, "),
        ("worldsense", {"task_domain": "Guessing"}, "its task_domain is 'Guessing'; expected"),
        ("worldsense", {"audio_class": "['Noise']"}, "its audio_class is 'Noise'; expected"),
        ("worldsense", {"audio_class": "Speech"}, "its audio_class is not a list of texts"),
        ("mvbench", {"answer": "away"}, "its answer 'away' is not one of its candidates: up, "),
        ("mvbench", {"candidates": "print('!')"}, "its candidates are not a list of options"),
        ("mvbench", {"answer": " ", "candidates": "[' ', 'a']"}, "its answer is blank"),
        ("mlvu", {"task_type": "guessing"}, "its task_type is 'guessing'; expected one of p"),
        ("mlvu", {"answer": "away"}, "its answer 'away' is not one of its candidates: up, "),
        ("mlvu", {"scoring_points": "", "task_type": "plotQA"}, "its task_type is 'plotQA'; expe"),
        ("tempcompass", {"dim": "a. b"}, r"its dim is 'a\. b'"),
        ("tempcompass", {"dim": "overall"}, "its dim is 'overall'"),
        ("tempcompass", {"answer": "D. up"}, "its answer 'D. up' is not one of its candidates"),
        ("tempcompass",
         {"task_type": "caption_matching", "answer": "falls", "candidates": "['falls']"},
         "its candidate 'falls' is not 'label: caption'"),
        ("tempcompass", {"task_type": "yes_no", "answer": "Yes"}, "its answer is 'Yes', not 'yes'"),
    ],
)  # fmt: skip
def test_rows_without_a_correct_prediction_are_errors(
    kit: Kit, tmp_path: Path, metric: str, row: made.Row, error: str
) -> None:
    benchmark = MAKERS[metric](tmp_path, [row])
    with pytest.raises(KitError, match=rf"^{benchmark.name}: sample \d: {error}"):
        kit.outline(benchmark)
    # Published data are scored as they are.
    published = Published(url="https://example.org", md5={}, about_bytes=1, licence="none")
    kit.outline(replace(benchmark, published=published))
    with pytest.raises(KitError):
        kit.outline(replace(benchmark, published=published, modified=True))


def test_splits_are_weighted_by_size(kit: Kit, tmp_path: Path) -> None:
    rows = [{"split": "a"}, {"split": "a"}, {"split": "a"}, {"split": "b"}, {"category": "c"}]
    got = scored(kit, made.choices(tmp_path, rows), ["A", "B", "B", "A", "A"], tmp_path / "out")
    assert got.score == 60
    assert got.vlmevalkit_score == pytest.approx(60)


def test_old_files_are_not_reused(kit: Kit, tmp_path: Path) -> None:
    # VLMEvalKit replaces '.tsv' and dataset keys anywhere in a path.
    out = tmp_path / "my.tsv.d" / "MLVU_runs"
    benchmark = made.choices(tmp_path, [{}, {}])
    first = scored(kit, benchmark, ["A", "A"], out)
    (out / "left over").touch()
    second = scored(kit, benchmark, ["A", "B"], out)
    assert (first.score, second.score) == (100, 50)
    assert sorted(p.name for p in out.iterdir()) == [
        "Choices.tsv",
        "Choices_acc.csv",
        "Choices_exact_matching_result.pkl",
        "Choices_exact_matching_result.tsv",
    ]
    assert hits(out, "Choices.tsv", "prediction") == {"0": "A", "1": "B"}
    assert "image" not in (out / "Choices.tsv").read_text().splitlines()[0]
    assert [p.name for p in out.parent.iterdir()] == ["MLVU_runs"]


def test_a_scoring_failure_is_reported(kit: Kit, tmp_path: Path) -> None:
    rows = [{"index": 0, "image": made.encoded(made.picture()), "question": "?", "answer": "Yes"}]
    path = made.table(tmp_path / "Own.tsv", rows)
    benchmark = made.benchmark("Own", "CustomVQADataset", "yes-no", path)
    kit.outline(benchmark)
    (tmp_path / "out").mkdir()
    with pytest.raises(KitError, match=r"^Own: VLMEvalKit raised ") as raised:
        kit.score(benchmark, ["0"], made.predictions(["Yes"]), tmp_path / "out")
    assert raised.value.stage == "score"
    assert list((tmp_path / "out").iterdir()) == [], "no files without a score"
    assert "Traceback" in kit.log.read_text()


def test_a_score_that_differs_from_its_rule_is_an_error(kit: Kit, tmp_path: Path) -> None:
    # VLMEvalKit uses another rule for this key. `outline` rejects it, but is not called here.
    path = Path(made.open_questions(tmp_path, [{}]).data or "")
    benchmark = made.benchmark("ChartQA_of_mine", "ImageVQADataset", "vqa-accuracy", path)
    with pytest.raises(KitError) as raised:
        kit.score(benchmark, ["0"], made.predictions(["red"]), tmp_path / "out")
    assert raised.value.stage == "score"
    for part in ("ChartQA_of_mine: ", "100.0000", "90.0000", str(tmp_path / "out")):
        assert part in str(raised.value)


@pytest.mark.usefixtures("vlmeval")
@pytest.mark.parametrize(
    ("metric", "off", "equal"),
    [
        ("choice", 0.9e-6, True), ("choice", 1.1e-6, False), ("choice", float("nan"), False),
        # VLMEvalKit writes these scores as shares with three decimals: 0.0005 is 0.05 points.
        ("video-choice", 0.04999, True), ("video-choice", 0.05001, False),
        ("worldsense", 0.04999, True), ("worldsense", 0.05001, False),
    ],
)  # fmt: skip
def test_the_score_may_differ_from_the_rule_by_its_rounding_alone(
    tmp_path: Path, metric: str, off: float, equal: bool
) -> None:
    from evalsuite.vlmevalkit import scoring
    from evalsuite.vlmevalkit.rules.base import RuleResult

    results = [RuleResult(value, parsed=True) for value in (0.0, 1.0, 1.0, 0.0)]
    scored: Any = [SimpleNamespace(result=each, table_result=each) for each in results]
    rounding = scoring.METRICS[metric].rounding
    for score in (50 - off, 50 + off):
        if equal:
            assert scoring._mean(scored, "A", score, rounding, 100, tmp_path) == 50
        else:
            with pytest.raises(KitError, match=r"mean of its rule .* is 50\.0000"):
                scoring._mean(scored, "A", score, rounding, 100, tmp_path)


@pytest.mark.parametrize("metric", ["mvbench", "mlvu"])
def test_the_text_of_a_failed_request_is_no_answer(kit: Kit, tmp_path: Path, metric: str) -> None:
    got = scored(kit, MAKERS[metric](tmp_path, [{}]), [FAILURE_TEXT], tmp_path / "out")
    assert [(sample.value, sample.parsed) for sample in got.values] == [(0, False)]


def test_failed_samples_are_wrong_for_any_rule(kit: Kit, tmp_path: Path) -> None:
    # Every text contains the empty answer.
    benchmark = made.texts_to_read(tmp_path, [{"answer": "['']"}] * 4)
    got = scored(kit, benchmark, ["?", None, "", " \n"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score, got.deviations) == (25, 100, (EMPTY_IS_WRONG,))
    assert [sample.parsed for sample in got.values] == [True, False, False, False]


@pytest.mark.parametrize(
    ("metric", "row", "text"),
    [
        # Normalisation removes these articles and characters completely.
        ("vqa-accuracy", {"answer": str(["the"] * 10)}, " "),
        ("vqa-accuracy", {"answer": str(["a"] * 10)}, ""),
        ("exact-match", {"answer": "['', 'sea']"}, ""),
        ("exact-match", {"answer": "[' ', 'sea']"}, "\t\n"),
        ("ocr-contains", {"answer": "['']"}, "\u3000"),
        ("mvbench", {}, " "),
    ],
)
def test_empty_answers_are_wrong(
    kit: Kit, tmp_path: Path, metric: str, row: made.Row, text: str
) -> None:
    got = scored(kit, MAKERS[metric](tmp_path, [row] * 2), [text, RIGHT[metric]], tmp_path / "out")
    assert (got.values[0].value, got.values[0].parsed) == (0, False)


UNPATCHED: list[tuple[str, made.Row, list[str], float, float | None, str]] = [
    # A missing option cannot be chosen, and neither can its letter.
    ("choice", {"B": "N/A", "answer": "B"}, ["B"] * 4, 100, 0, "words"),
    ("choice", {"C": "null", "answer": "C"}, ["null", "A"], 50, 0, "words"),
    ("choice", {"C": "cow", "D": "emu"}, ["A", "B"], 50, 50, ""),
    # Read back as nan, in which an option is found.
    ("choice", {"A": "nan", "C": "cow", "D": "emu"}, ["", "B"], 0, 0, ""),
    ("choice", {"A": "x", "B": "nan?", "C": "cow", "D": "emu"}, ["A", "None"], 50, 50, ""),
    ("relaxed-accuracy", {"answer": "None"}, ["None"] * 4, 100, 0, "words"),
    # In a numeric column 0 becomes 0.0, and only 0 is within 5 % of zero.
    ("relaxed-accuracy", {"answer": "0"}, ["0", "0.0"], 50, 0, "words"),
    ("relaxed-accuracy", {}, ["14", "15.5"], 50, 50, ""),
    ("video-choice", {"answer": "A"}, ["NA", "N/A", "A", "B"], 75, 25, "words"),
    ("mvbench", {}, ["None", "A", "B", "nan"], 25, 75, "words"),
    ("mvbench", {}, ["", "A"], 0, 50, "empty"),
    ("mvbench", {}, ["", "A", "nan"], 0, 200 / 3, "both"),
    ("mvbench", {"candidates": "['1', '2']", "answer": "2"}, ["2", "1"], 50, None, "words"),
    ("mlvu", {}, ["", "(B)"], 50, None, "empty"),
    ("mlvu", {}, ["null", "(B)"], 50, None, "words"),
    ("tempcompass", {}, ["", "B"], 50, None, "empty"),
    ("vqa-accuracy", {"answer": str(["nan"] * 10)}, ["", "nan"], 50, 100, "both"),
    ("exact-match", {"answer": "n/a"}, ["n/a", "null"], 50, 100, "words"),
    ("mathvista", {}, ["", "14"], 50, 50, ""),
    ("anls", {"answer": "['nan']"}, ["", "x"], 0, 50, "empty"),
    ("ocr-contains", {"answer": "['none']"}, ["NULL none", "None"], 100, 50, "words"),
]
"""Metric, row, predictions, our score, the score of an unmodified VLMEvalKit, and the reason."""
DEVIATIONS_BY_REASON = {
    "": (),
    "words": (NA_VALUES_AS_TEXT,),
    "empty": (EMPTY_IS_WRONG,),
    "both": (EMPTY_IS_WRONG, NA_VALUES_AS_TEXT),
}


@pytest.mark.parametrize(("metric", "row", "texts", "ours", "theirs", "reason"), UNPATCHED)
def test_scores_of_an_unmodified_vlmevalkit(
    kit: Kit,
    tmp_path: Path,
    metric: str,
    row: made.Row,
    texts: list[str],
    ours: float,
    theirs: float | None,
    reason: str,
) -> None:
    benchmark = MAKERS[metric](tmp_path, [row] * len(texts))
    part = "TempCompass_MCQ" if metric == "tempcompass" else None
    got = scored(kit, benchmark, texts, tmp_path / "out" / "evidence", part)
    assert got.score == pytest.approx(ours)
    assert got.vlmevalkit_score == (None if theirs is None else pytest.approx(theirs, abs=0.051))
    assert got.deviations == DEVIATIONS_BY_REASON[reason]
    # The files are those of the patched VLMEvalKit only.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evidence"]
    table = re.sub(r"[^\w-]", "_", benchmark.dataset) + ".tsv"
    cells = hits(tmp_path / "out" / "evidence", table, "prediction")
    assert list(cells.values()) == [text or "∅" for text in texts]


@pytest.mark.parametrize("metric", ["choice", "relaxed-accuracy", "video-choice", "mvbench"])
def test_vlmevalkit_score_equals_a_separate_run(
    kit: Kit, tmp_path: Path, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compares with VLMEvalKit in this process, on the table of an ordinary run."""
    import pandas as pd

    vlmeval = made.vlmevalkit()
    monkeypatch.setattr(vlmeval.smp.file, "pd", pd)
    texts = ["", "None", "A", "14", "down", "nan", "B", "N/A", "0", "null"]
    benchmark = MAKERS[metric](tmp_path, [{}] * len(texts))
    got = scored(kit, benchmark, texts, tmp_path / "out")
    data = Path(benchmark.data or "")
    frame = vlmeval.smp.load(str(data if data.is_file() else data / f"{benchmark.dataset}.tsv"))
    frame = frame.drop(columns="image", errors="ignore").assign(prediction=texts)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRED_FORMAT", "tsv")
    vlmeval.smp.dump(frame, "ordinary.tsv")
    classes = {kind.__name__: kind for kind in vlmeval.dataset.DATASET_CLASSES}
    kinds = {"relaxed-accuracy": "ImageVQADataset", "mvbench": "MVBench_MP4"}
    kind = classes[benchmark.dataset_class or kinds[metric]]
    dataset = kind.__new__(kind)
    dataset.dataset_name, dataset.data = benchmark.dataset, frame
    result = dataset.evaluate("ordinary.tsv", model="exact_matching", nproc=1)
    number = {
        "choice": lambda: 100 * result["Overall"].item(),
        "relaxed-accuracy": lambda: result["Overall"].item(),
        "video-choice": lambda: 100 * float(result["overall"]["overall"]),
        "mvbench": lambda: 100 * result["overall"][0] / result["overall"][1],
    }[metric]()
    assert got.vlmevalkit_score == pytest.approx(number)


def test_categories_and_splits_can_be_numbers(kit: Kit, tmp_path: Path) -> None:
    rows = [{"split": n % 2, "category": n} for n in range(4)]
    got = scored(kit, made.choices(tmp_path, rows), ["A", "B", "A", "A"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == (75, 75)
    # One missing value does not turn 1 into 1.0.
    rows[0] = {"split": "", "category": ""}
    benchmark = made.choices(tmp_path / "missing", rows)
    got = scored(kit, benchmark, ["A", "B", "A", "A"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == (75, 75)
    (first, *_), (last,) = kit.samples(benchmark, ["0", "1", "2"]), kit.samples(benchmark, ["3"])
    assert (first.category, last.category) == ("", "3")
    assert last.labels == (("split", "1"),)


def test_a_numeric_split(kit: Kit, tmp_path: Path) -> None:
    benchmark = made.choices(tmp_path, [{"split": n % 2} for n in range(4)], split="1")
    assert ids(kit, benchmark) == ["1", "3"]


def test_the_placeholder_of_an_empty_answer_is_not_an_option(kit: Kit, tmp_path: Path) -> None:
    benchmark = made.choices(tmp_path, [{"A": "∅", "B": "{0}"}] * 2)
    got = scored(kit, benchmark, ["", "∅"], tmp_path / "out")
    assert [sample.value for sample in got.values] == [0, 1]
    assert got.deviations == ()
    assert hits(tmp_path / "out", "Choices.tsv", "prediction") == {"0": "⌀", "1": "∅"}


# --------------------------------------------------------------------------------------------------
# Random texts
# --------------------------------------------------------------------------------------------------


VALUE_COLUMNS = {
    "choice": ("*_result.tsv", "hit"),
    "mmmu": ("*_result.tsv", "hit"),
    "yes-no": ("*_auxmatch.tsv", "score"),
    "vqa-accuracy": ("*_results.tsv", "eval_score"),
    "relaxed-accuracy": ("*_results.tsv", "eval_score"),
    "exact-match": ("*_results.tsv", "eval_score"),
    "video-choice": ("*_score.tsv", "score"),
    "worldsense": ("*_score.tsv", "score"),
    "mvbench": ("*_score.tsv", "score"),
    "mlvu": ("MLVU_MCQ_score.tsv", "score"),
    "tempcompass": ("TempCompass_*_score.tsv", "score"),
}
"""File and column with VLMEvalKit's value of a sample."""
NUMBERS = {"True": "1", "False": "0"}
N = 12

VARIED: dict[str, list[made.Row]] = {
    "mmmu": [{}, OPEN | {"answer": "red"}, OPEN | {"answer": "42"}],
    "relaxed-accuracy": [{}, {"answer": "Yes"}, {"answer": "0"}, {"answer": "-1.5"}],
    "mathvista": [
        {},
        {"answer": "0"},
        {"answer": "4.2", "answer_type": "float"},
        {"answer": "Yes", "answer_type": "text"},
        {"answer": "[1, 42]", "answer_type": "list"},
        {"question_type": "multi_choice", "choices": "['cat', 'a', '42']", "answer_option": "C"},
    ],
    "tempcompass": [{}, {"task_type": "caption_matching"}, {"task_type": "yes_no"}],
}
"""Rows that the rule handles differently."""


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory, kit: Kit) -> dict[str, Benchmark]:
    folder = tmp_path_factory.mktemp("benchmarks")
    created = {
        m: make(folder / m, [VARIED.get(m, [{}])[n % len(VARIED.get(m, [{}]))] for n in range(N)])
        for m, make in MAKERS.items()
    }
    for benchmark in created.values():
        kit.outline(benchmark)
    return created


def has_rule_deviation(metric: str, text: str) -> bool:
    """Return whether a workaround changes our value of `text`."""
    if metric == "mvbench" and not any(map(str.isalnum, text.lower().strip().split(" ")[0])):
        return True
    return metric in ("mvbench", "mlvu") and FAILURE_TEXT in text


def check_texts(kit: Kit, benchmark: Benchmark, texts: Sequence[str], out: Path) -> None:
    chosen = ids(kit, benchmark)
    chosen = random.Random(len(texts)).sample(chosen, len(texts))
    got = kit.score(benchmark, chosen, predictions_of(chosen, texts), out)
    metric = benchmark.metric
    assert set(got.deviations) <= RULE_DEVIATIONS.get(metric, set()) | TABLES
    assert all(0 <= sample.value <= 1 for sample in got.values)
    cells = hits(out, f"{re.sub('[^A-Za-z0-9_-]', '_', benchmark.dataset)}.tsv", "prediction")
    placeholder = next(word for word in ("∅", "⌀") if word not in texts)
    for text, sample in zip(texts, got.values, strict=True):
        expected = made_rows.cell_of(text) if text else placeholder
        assert cells[sample.id] == expected or (not text.strip() and cells[sample.id])
    if metric in VALUE_COLUMNS:
        pattern, column = VALUE_COLUMNS[metric]
        theirs: dict[str, str] = {}
        for path in out.glob(pattern):
            theirs |= hits(out, path.name, column)
        assert len(theirs) == len(texts)
        for text, sample in zip(texts, got.values, strict=True):
            number = theirs[sample.id]
            if not has_rule_deviation(metric, text):
                assert float(NUMBERS.get(number, number)) == pytest.approx(sample.value), text


@pytest.mark.parametrize("metric", METRICS)
def test_difficult_texts(
    kit: Kit, benchmarks: dict[str, Benchmark], metric: str, tmp_path: Path
) -> None:
    for start in range(0, len(NASTY), N):
        check_texts(kit, benchmarks[metric], NASTY[start : start + N], tmp_path / "out")


@pytest.mark.parametrize("metric", METRICS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(TEXTS, min_size=1, max_size=N))
def test_random_texts(
    kit: Kit, benchmarks: dict[str, Benchmark], metric: str, tmp_path: Path, texts: list[str]
) -> None:
    check_texts(kit, benchmarks[metric], texts, tmp_path / "out")
