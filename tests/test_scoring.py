"""Predictions → score, through the kit process."""

import csv
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalsuite.benchmarks.catalogue import METRICS, Benchmark, Published
from evalsuite.vlmevalkit.client import Kit, KitError, Scored
from tests.builders import kit_data as made
from tests.builders import metric_tables as made_rows
from tests.builders.hostile import NASTY, TEXTS
from tests.builders.kit_scoring import EXCEPTED, TABLES, said
from tests.builders.metric_tables import MAKERS, OPEN, RIGHT

HMER = "Handwritten Mathematical Expression Recognition"


def ids(kit: Kit, benchmark: Benchmark, part: str | None = None) -> list[str]:
    """The samples that can be scored, of one part of the dataset or of all."""
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
) -> Scored:
    """Score `texts` as the predictions of the first samples there are."""
    chosen = ids(kit, benchmark, part)[: len(texts)]
    return kit.score(benchmark, chosen, said(chosen, texts), directory)


def hits(directory: Path, pattern: str, column: str) -> dict[str, str]:
    """What VLMEvalKit wrote about each sample."""
    (path,) = directory.glob(pattern)
    csv.field_size_limit(10**7)
    with path.open(newline="", encoding="utf-8") as file:
        return {row["sample"]: row[column] for row in csv.DictReader(file, delimiter="\t")}


def test_every_metric_is_known_here_and_there(tmp_path: Path, kit: Kit) -> None:
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
            # Ten people, three of them: each time one of the other nine is asked.
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
            # As option A, which is what VLMEvalKit makes of the answer.
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
    # What an ordinary VLMEvalKit makes of holes and words like None: see `STOCK`.
    same = got.vlmevalkit_score == pytest.approx(mean, abs=0.051)
    assert (got.deviations == ()) is same
    assert same or set(got.deviations) <= TABLES


def test_any_part_of_the_samples(kit: Kit, tmp_path: Path) -> None:
    for metric, make in MAKERS.items():
        benchmark = make(tmp_path / metric, [{} for _ in range(5)])
        kit.outline(benchmark)
        texts = [RIGHT[metric], "x", "x", "x", RIGHT[metric]]
        got = kit.score(benchmark, ["1", "4"], made.predictions(texts), tmp_path / "out")
        assert [(v.id, v.value > 0) for v in got.values] == [("1", False), ("4", True)]
        assert got.score == 100 * got.values[1].value / 2
        assert got.deviations == ()


def test_in_any_order(kit: Kit, tmp_path: Path) -> None:
    for metric, make in MAKERS.items():
        benchmark = make(tmp_path / metric, [{} for _ in range(5)])
        given = said(list("01234"), [RIGHT[metric], "x", RIGHT[metric], "", "C"])
        kit.outline(benchmark)
        first = kit.score(benchmark, list("01234"), given, tmp_path / "out")
        shuffled = random.Random(metric).sample(list("01234"), 5)
        second = kit.score(benchmark, shuffled, given, tmp_path / "out")
        assert {v.id: v for v in first.values} == {v.id: v for v in second.values}
        assert (first.score, first.deviations) == (second.score, second.deviations), metric


def test_evidence_names_samples_where_rows_are_numbered_anew(kit: Kit, tmp_path: Path) -> None:
    benchmark = MAKERS["mvbench"](tmp_path, [{} for _ in range(4)])
    kit.outline(benchmark)
    kit.score(benchmark, ["1", "3"], said(["1", "3"], ["A", "B"]), tmp_path / "out")
    assert hits(tmp_path / "out", "*_score.tsv", "score") == {"1": "0.0", "3": "1.0"}
    assert hits(tmp_path / "out", "*_score.tsv", "index") == {"1": "0", "3": "1"}


def test_macro_weighs_tasks_the_same(kit: Kit, tmp_path: Path) -> None:
    rows = [{"task_type": "plotQA"}] * 3 + [{"task_type": "count"}]
    got = scored(kit, MAKERS["mlvu"](tmp_path, rows), ["B", "B", "x", "x"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == (50, 50)
    assert got.macro_average == pytest.approx(100 * (2 / 3 + 0) / 2)
    assert (got.extra, got.judge_reported) == ({}, ())
    rows = [{"task_type": "state_change"}] * 3 + [{"task_type": "action_count"}]
    got = scored(kit, MAKERS["mvbench"](tmp_path / "m", rows), ["B", "A", "x", "B"], tmp_path / "o")
    assert (got.score, got.macro_average) == (50, pytest.approx(100 * (1 / 3 + 1) / 2))


def test_both_forms_of_mvbench(kit: Kit, tmp_path: Path) -> None:
    benchmark = made_rows.plain_mvbench(tmp_path, [{}, {}, {}])
    got = scored(kit, benchmark, ["B", "C", "down"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == pytest.approx((200 / 3, 200 / 3))


FAILURE = "Failed to obtain answer via API."


def test_what_vlmevalkit_counts_otherwise(kit: Kit, tmp_path: Path) -> None:
    def number(
        metric: str, texts: Sequence[str], row: made.Row | None = None
    ) -> tuple[object, ...]:
        folder = tmp_path / metric / str(len(list(tmp_path.rglob("*"))))
        benchmark = MAKERS[metric](folder, [row or {}] * len(texts))
        got = scored(kit, benchmark, texts, tmp_path / "out")
        return got.score, got.vlmevalkit_score, got.deviations

    assert number("mvbench", ["A", FAILURE]) == (0, 50, "failure_is_no_answer")
    assert number("mvbench", [".", "A", " ", "( A"]) == (0, 75, "a_mark_is_no_answer")
    assert number("mvbench", [".", FAILURE]) == (
        0, 100, "a_mark_is_no_answer + failure_is_no_answer",
    )  # fmt: skip
    assert number("mlvu", ["B", "B", FAILURE, "x"]) == (50, 25, "failure_is_no_answer")
    words = {"answer_type": "text", "answer": "Yes"}
    assert number("mathvista", ["Yes", "no"], words) == (50, 0, "words_can_be_right")
    years = {"answer_type": "list", "answer": "[2007, 2008]"}
    assert number("mathvista", ["from 2007 to 2008", "[2007, 2009]"], years) == (
        50, 0, "words_can_be_right",
    )  # fmt: skip


def test_a_rule_of_choice_for_data_of_ones_own(kit: Kit, tmp_path: Path) -> None:
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
    ("metric", "row", "complaint"),
    [
        ("mmmu", {"answer": "F"}, "its answer 'F' is not one of its options A, B, C, D"),
        ("mmmu", OPEN | {"answer": "C"}, "it is an open question, and its answer 'C' reads like"),
        ("relaxed-accuracy", {"answer": "nan"}, "its answer 'nan' is not right even when given"),
        ("anls", {"answer": "[1, 2]"}, r"its answer \[1, 2\] is no list of texts"),
        ("exact-match", {"answer": "[]"}, r"its answer \[\] is no list of texts"),
        ("mathvista", {"answer": "many"}, "its answer 'many' is no integer"),
        ("mathvista", {"answer_type": "word"}, "its answer_type is 'word', not 'integer'"),
        ("mathvista", {"question_type": "open"}, "its question_type is 'open', not"),
        ("mathvista", {"skills": "algebra"}, "its skills are no list of texts"),
        ("mathvista",
         {"question_type": "multi_choice", "choices": "['1', '2']", "answer_option": "C"},
         "its answer_option is 'C', none of its 2 choices"),
        ("worldsense", {"duration": "5min"}, "its duration is '5min'; VLMEvalKit knows: <1min, "),
        ("worldsense", {"task_domain": "Guessing"}, "its task_domain is 'Guessing'; VLMEvalKit"),
        ("worldsense", {"audio_class": "['Noise']"}, "its audio_class is 'Noise'; VLMEvalKit"),
        ("worldsense", {"audio_class": "Speech"}, "its audio_class is no list of texts"),
        ("mvbench", {"answer": "away"}, "its answer 'away' is not one of its candidates: up, "),
        ("mvbench", {"candidates": "print('!')"}, "its candidates are no list of options"),
        ("mvbench", {"answer": " ", "candidates": "[' ', 'a']"}, "its answer is blank"),
        ("mlvu", {"task_type": "guessing"}, "its task_type is 'guessing'; VLMEvalKit knows: p"),
        ("mlvu", {"answer": "away"}, "its answer 'away' is not one of its candidates: up, "),
        ("mlvu", {"scoring_points": "", "task_type": "plotQA"}, "its task_type is 'plotQA'; VLME"),
        ("tempcompass", {"dim": "a. b"}, r"its dim is 'a\. b', which VLMEvalKit cannot tell"),
        ("tempcompass", {"dim": "overall"}, "its dim is 'overall', which VLMEvalKit cannot tell"),
        ("tempcompass", {"answer": "D. up"}, "its answer 'D. up' is not one of its candidates"),
        ("tempcompass",
         {"task_type": "caption_matching", "answer": "falls", "candidates": "['falls']"},
         "its candidate 'falls' is not 'label: caption'"),
        ("tempcompass", {"task_type": "yes_no", "answer": "Yes"}, "its answer is 'Yes', not 'yes'"),
    ],
)  # fmt: skip
def test_rows_no_prediction_is_right_for(
    kit: Kit, tmp_path: Path, metric: str, row: made.Row, complaint: str
) -> None:
    benchmark = MAKERS[metric](tmp_path, [row])
    with pytest.raises(KitError, match=rf"^{benchmark.name}: sample \d: {complaint}"):
        kit.outline(benchmark)
    # What was published is scored as it is.
    published = Published(url="https://example.org", md5={}, about_bytes=1, licence="none")
    kit.outline(replace(benchmark, published=published))
    with pytest.raises(KitError):
        kit.outline(replace(benchmark, published=published, modified=True))


def test_splits_count_by_their_size(kit: Kit, tmp_path: Path) -> None:
    rows = [{"split": "a"}, {"split": "a"}, {"split": "a"}, {"split": "b"}, {"category": "c"}]
    got = scored(kit, made.choices(tmp_path, rows), ["A", "B", "B", "A", "A"], tmp_path / "out")
    assert got.score == 60
    assert got.vlmevalkit_score == pytest.approx(60)


def test_evidence_is_of_this_scoring_alone(kit: Kit, tmp_path: Path) -> None:
    # VLMEvalKit makes names by replacing '.tsv' and dataset keys anywhere in a path.
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


def test_what_cannot_be_scored_says_why(kit: Kit, tmp_path: Path) -> None:
    rows = [{"index": 0, "image": made.encoded(made.picture()), "question": "?", "answer": "Yes"}]
    path = made.table(tmp_path / "Own.tsv", rows)
    benchmark = made.benchmark("Own", "CustomVQADataset", "yes-no", path)
    kit.outline(benchmark)
    (tmp_path / "out").mkdir()
    with pytest.raises(KitError, match=r"^Own: VLMEvalKit raised ") as raised:
        kit.score(benchmark, ["0"], made.predictions(["Yes"]), tmp_path / "out")
    assert raised.value.stage == "score"
    assert list((tmp_path / "out").iterdir()) == [], "evidence of a score that is none"
    assert "Traceback" in kit.log.read_text()


def test_a_disagreement_is_no_score(kit: Kit, tmp_path: Path) -> None:
    # By this key VLMEvalKit takes another rule; `outline` refuses it, here nobody has asked.
    path = Path(made.open_questions(tmp_path, [{}]).data or "")
    benchmark = made.benchmark("ChartQA_of_mine", "ImageVQADataset", "vqa-accuracy", path)
    with pytest.raises(KitError) as raised:
        kit.score(benchmark, ["0"], made.predictions(["red"]), tmp_path / "out")
    assert raised.value.stage == "score"
    assert str(raised.value) == (
        "ChartQA_of_mine: VLMEvalKit's score is 100.0000, but its rule gives 90.0000 sample by "
        f"sample; what it wrote is in {tmp_path / 'out'}"
    )


def test_a_failed_sample_is_wrong_whatever_the_rule_says(kit: Kit, tmp_path: Path) -> None:
    # An empty answer is in any text.
    benchmark = made.texts_to_read(tmp_path, [{"answer": "['']"}] * 4)
    got = scored(kit, benchmark, ["?", None, "", " \n"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score, got.deviations) == (25, 100, ("table_text",))
    assert [sample.parsed for sample in got.values] == [True, False, False, False]


@pytest.mark.parametrize(
    ("metric", "row", "text"),
    [
        # Of these articles and marks nothing is left to compare.
        ("vqa-accuracy", {"answer": str(["the"] * 10)}, " "),
        ("vqa-accuracy", {"answer": str(["a"] * 10)}, ""),
        ("exact-match", {"answer": "['', 'sea']"}, ""),
        ("exact-match", {"answer": "[' ', 'sea']"}, "\t\n"),
        ("ocr-contains", {"answer": "['']"}, "\u3000"),
        ("mvbench", {}, " "),
    ],
)
def test_an_empty_answer_is_wrong(
    kit: Kit, tmp_path: Path, metric: str, row: made.Row, text: str
) -> None:
    got = scored(kit, MAKERS[metric](tmp_path, [row] * 2), [text, RIGHT[metric]], tmp_path / "out")
    assert (got.values[0].value, got.values[0].parsed) == (0, False)


STOCK: list[tuple[str, made.Row, list[str], float, float | None, str]] = [
    # An option that is a hole cannot be chosen, nor a letter that has none.
    ("choice", {"B": "N/A", "answer": "B"}, ["B"] * 4, 100, 0, "words"),
    ("choice", {"C": "null", "answer": "C"}, ["null", "A"], 50, 0, "words"),
    ("choice", {"C": "cow", "D": "emu"}, ["A", "B"], 50, 50, ""),
    # Read back as nan, and an option is found in that.
    ("choice", {"A": "nan", "C": "cow", "D": "emu"}, ["", "B"], 0, 0, ""),
    ("choice", {"A": "x", "B": "nan?", "C": "cow", "D": "emu"}, ["A", "None"], 50, 50, ""),
    ("relaxed-accuracy", {"answer": "None"}, ["None"] * 4, 100, 0, "words"),
    # A column of numbers: 0 becomes 0.0, and nothing is within 5 % of zero but 0.
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
"""Rows, predictions, our score, that of VLMEvalKit by itself, and what sets the two apart."""
WHY = {
    "": (),
    "words": ("tables_keep_their_words",),
    "empty": ("table_text",),
    "both": ("table_text", "tables_keep_their_words"),
}


@pytest.mark.parametrize(("metric", "row", "texts", "ours", "theirs", "why"), STOCK)
def test_vlmevalkits_number_is_its_own(
    kit: Kit,
    tmp_path: Path,
    metric: str,
    row: made.Row,
    texts: list[str],
    ours: float,
    theirs: float | None,
    why: str,
) -> None:
    benchmark = MAKERS[metric](tmp_path, [row] * len(texts))
    part = "TempCompass_MCQ" if metric == "tempcompass" else None
    got = scored(kit, benchmark, texts, tmp_path / "out" / "evidence", part)
    assert got.score == pytest.approx(ours)
    assert got.vlmevalkit_score == (None if theirs is None else pytest.approx(theirs, abs=0.051))
    assert got.deviations == WHY[why]
    # The evidence is that of the mended VLMEvalKit, and nothing else is left.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evidence"]
    table = re.sub(r"[^\w-]", "_", benchmark.dataset) + ".tsv"
    carried = hits(tmp_path / "out" / "evidence", table, "prediction")
    assert list(carried.values()) == [text or "∅" for text in texts]


@pytest.mark.parametrize("metric", ["choice", "relaxed-accuracy", "video-choice", "mvbench"])
def test_vlmevalkits_number_is_that_of_an_ordinary_one(
    kit: Kit, tmp_path: Path, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside VLMEvalKit in this process, over the table an ordinary run writes."""
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


def test_categories_and_splits_may_be_numbers(kit: Kit, tmp_path: Path) -> None:
    rows = [{"split": n % 2, "category": n} for n in range(4)]
    got = scored(kit, made.choices(tmp_path, rows), ["A", "B", "A", "A"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == (75, 75)
    # One hole among them does not make 1.0 of 1.
    rows[0] = {"split": "", "category": ""}
    benchmark = made.choices(tmp_path / "hole", rows)
    got = scored(kit, benchmark, ["A", "B", "A", "A"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == (75, 75)
    (first, *_), (last,) = kit.samples(benchmark, ["0", "1", "2"]), kit.samples(benchmark, ["3"])
    assert (first.category, last.category) == ("", "3")
    assert last.labels == (("split", "1"),)


def test_one_split_of_numbered_ones(kit: Kit, tmp_path: Path) -> None:
    benchmark = made.choices(tmp_path, [{"split": n % 2} for n in range(4)], split="1")
    assert ids(kit, benchmark) == ["1", "3"]


def test_what_stands_for_an_empty_answer_is_no_answer(kit: Kit, tmp_path: Path) -> None:
    benchmark = made.choices(tmp_path, [{"A": "∅", "B": "{0}"}] * 2)
    got = scored(kit, benchmark, ["", "∅"], tmp_path / "out")
    assert [sample.value for sample in got.values] == [0, 1]
    assert got.deviations == ()
    assert hits(tmp_path / "out", "Choices.tsv", "prediction") == {"0": "⌀", "1": "∅"}


# --------------------------------------------------------------------------------------------------
# Any text at all
# --------------------------------------------------------------------------------------------------


THEIRS = {
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
"""Where VLMEvalKit writes what a sample is worth."""
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
"""Rows that the rule treats differently."""


@pytest.fixture(scope="module")
def anything(tmp_path_factory: pytest.TempPathFactory, kit: Kit) -> dict[str, Benchmark]:
    folder = tmp_path_factory.mktemp("anything")
    made_ones = {
        m: make(folder / m, [VARIED.get(m, [{}])[n % len(VARIED.get(m, [{}]))] for n in range(N)])
        for m, make in MAKERS.items()
    }
    for benchmark in made_ones.values():
        kit.outline(benchmark)
    return made_ones


def counted_otherwise(metric: str, text: str) -> bool:
    """Whether a mend says that VLMEvalKit's value of `text` is not ours."""
    if metric == "mvbench" and not any(map(str.isalnum, text.lower().strip().split(" ")[0])):
        return True
    return metric in ("mvbench", "mlvu") and FAILURE in text


def check_texts(kit: Kit, benchmark: Benchmark, texts: Sequence[str], out: Path) -> None:
    chosen = ids(kit, benchmark)
    chosen = random.Random(len(texts)).sample(chosen, len(texts))
    got = kit.score(benchmark, chosen, said(chosen, texts), out)
    metric = benchmark.metric
    assert set(got.deviations) <= EXCEPTED.get(metric, set()) | TABLES
    assert all(0 <= sample.value <= 1 for sample in got.values)
    carried = hits(out, f"{re.sub('[^A-Za-z0-9_-]', '_', benchmark.dataset)}.tsv", "prediction")
    stand_in = next(word for word in ("∅", "⌀") if word not in texts)
    for text, sample in zip(texts, got.values, strict=True):
        expected = made_rows.said_in_table(text) if text else stand_in
        assert carried[sample.id] == expected or (not text.strip() and carried[sample.id])
    if metric in THEIRS:
        pattern, column = THEIRS[metric]
        theirs: dict[str, str] = {}
        for path in out.glob(pattern):
            theirs |= hits(out, path.name, column)
        assert len(theirs) == len(texts)
        for text, sample in zip(texts, got.values, strict=True):
            number = theirs[sample.id]
            if not counted_otherwise(metric, text):
                assert float(NUMBERS.get(number, number)) == pytest.approx(sample.value), text


@pytest.mark.parametrize("metric", METRICS)
def test_nasty_texts(kit: Kit, anything: dict[str, Benchmark], metric: str, tmp_path: Path) -> None:
    for start in range(0, len(NASTY), N):
        check_texts(kit, anything[metric], NASTY[start : start + N], tmp_path / "out")


@pytest.mark.parametrize("metric", METRICS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(TEXTS, min_size=1, max_size=N))
def test_any_texts(
    kit: Kit, anything: dict[str, Benchmark], metric: str, tmp_path: Path, texts: list[str]
) -> None:
    check_texts(kit, anything[metric], texts, tmp_path / "out")
