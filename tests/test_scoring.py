"""Predictions → score, through the kit process."""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalsuite.benchmarks import METRICS, Benchmark, FrameRule
from evalsuite.vlmevalkit.kit import Kit, KitError, Scored
from tests import made_data as made

HMER = "Handwritten Mathematical Expression Recognition"
Maker = Callable[[Path, Sequence[made.Row]], Benchmark]


def clips(folder: Path, rows: Sequence[made.Row]) -> Benchmark:
    return made.videos(folder, rows, FrameRule(per_second=1))


MAKERS: dict[str, Maker] = {
    "choice": made.choices,
    "yes-no": made.yes_no,
    "vqa-accuracy": made.open_questions,
    "ocr-contains": made.texts_to_read,
    "video-choice": clips,
}


@pytest.fixture(scope="module")
def kit() -> Kit:
    return made.kit()


def scored(kit: Kit, benchmark: Benchmark, texts: Sequence[str | None], directory: Path) -> Scored:
    """Score `texts` as the predictions of samples 0, 1, …"""
    kit.outline(benchmark)
    ids = [str(number) for number in range(len(texts))]
    return kit.score(benchmark, ids, made.predictions(texts), directory)


def hits(directory: Path, pattern: str, column: str) -> dict[str, str]:
    """What VLMEvalKit wrote about each sample."""
    (path,) = directory.glob(pattern)
    csv.field_size_limit(10**7)
    with path.open(newline="", encoding="utf-8") as file:
        return {row["index"]: row[column] for row in csv.DictReader(file, delimiter="\t")}


def test_every_metric_is_known_here_and_there(tmp_path: Path, kit: Kit) -> None:
    assert tuple(MAKERS) == METRICS
    for metric, make in MAKERS.items():
        got = scored(kit, make(tmp_path / metric, [{}]), ["?"], tmp_path / "out")
        assert (got.score, got.agreement) == (0, "agrees")


@pytest.mark.parametrize(
    ("metric", "row", "said"),
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
    ],
)  # fmt: skip
def test_values_by_hand(
    kit: Kit,
    tmp_path: Path,
    metric: str,
    row: made.Row,
    said: Sequence[tuple[str | None, float, bool]],
) -> None:
    benchmark = MAKERS[metric](tmp_path, [row] * len(said))
    got = scored(kit, benchmark, [text for text, _, _ in said], tmp_path / "out")
    for (text, value, parsed), sample in zip(said, got.values, strict=True):
        assert sample.value == pytest.approx(value), text
        assert sample.parsed is parsed, text
    mean = 100 * sum(value for _, value, _ in said) / len(said)
    assert got.score == pytest.approx(mean)
    assert got.vlmevalkit_score == pytest.approx(mean, abs=0.051)
    assert got.agreement == "agrees"


def test_any_part_of_the_samples(kit: Kit, tmp_path: Path) -> None:
    for metric, make in MAKERS.items():
        benchmark = make(tmp_path / metric, [{} for _ in range(5)])
        kit.outline(benchmark)
        right = {"choice": "A", "yes-no": "Yes", "ocr-contains": "42", "video-choice": "B"}
        texts = [right.get(metric, "red"), "x", "x", "x", right.get(metric, "red")]
        got = kit.score(benchmark, ["1", "4"], made.predictions(texts), tmp_path / "out")
        assert [(v.id, v.value > 0) for v in got.values] == [("1", False), ("4", True)]
        assert got.score == 100 * got.values[1].value / 2
        assert got.agreement == "agrees"


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
    benchmark = made.texts_to_read(tmp_path, [{"answer": "['']"}] * 2)
    got = scored(kit, benchmark, ["?", None], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score, got.agreement) == (50, 100, "table_text")


def test_what_stands_for_an_empty_answer_is_no_answer(kit: Kit, tmp_path: Path) -> None:
    benchmark = made.choices(tmp_path, [{"A": "∅", "B": "{0}"}] * 2)
    got = scored(kit, benchmark, ["", "∅"], tmp_path / "out")
    assert [sample.value for sample in got.values] == [0, 1]
    assert got.agreement == "agrees"
    assert hits(tmp_path / "out", "Choices.tsv", "prediction") == {"0": "⌀", "1": "∅"}


# --------------------------------------------------------------------------------------------------
# Any text at all
# --------------------------------------------------------------------------------------------------

NASTY = [
    "", " ", "None", "N/A", "nan", "null", "NA", "-nan", "=1+1", "{=A1}", "+1", "-1", "@x", "\t",
    "\n", "\r", "\r\n", "a\rb", "A\tB", '"', '""', "'", "\\", "\\n", "\0", "A\0", "\x01", "\x1a",
    "\ufeff", "\ufeffA", "\ud800", "A\udfff", "\ud83d\ude00", "😀", "Yes\r", "no\n", "1", "01",
    "1.0", "1e5", "True", "TRUE", "∅", "\ufffd", "[1]", "['A']", "{", "{}", "%s", "\\frac{a}{b}",
    "<script>", "İ", "ﬁ", "\u2028", "A" * 100_000, "cat " * 25_000, "1," * 50_000, ". " * 50_000,
    "((((" * 25_000, "yes no " * 14_000, "Failed to obtain answer via API.",
]  # fmt: skip

TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.lists(
        st.sampled_from(
            ["A", "B", "C", "D", "E", "Z", "cat", "dog", "None", "007", "Yes", "no", "red", "Blue",
             "42", "Hello World", "the", "Answer:", "The answer is", " ", ".", ",", "\n", "(", ")"]
        ),
        max_size=8,
    ).map("".join),
)  # fmt: skip

THEIRS = {
    "choice": ("*_result.tsv", "hit"),
    "yes-no": ("*_auxmatch.tsv", "score"),
    "vqa-accuracy": ("*_results.tsv", "eval_score"),
    "video-choice": ("*_score.tsv", "score"),
}
NUMBERS = {"True": "1", "False": "0"}
N = 12


@pytest.fixture(scope="module")
def anything(tmp_path_factory: pytest.TempPathFactory, kit: Kit) -> dict[str, Benchmark]:
    folder = tmp_path_factory.mktemp("anything")
    made_ones = {m: make(folder / m, [{} for _ in range(N)]) for m, make in MAKERS.items()}
    for benchmark in made_ones.values():
        kit.outline(benchmark)
    return made_ones


def check_texts(kit: Kit, benchmark: Benchmark, texts: Sequence[str], out: Path) -> None:
    ids = [str(number) for number in range(len(texts))]
    got = kit.score(benchmark, ids, made.predictions(texts), out)
    assert got.agreement == "agrees"
    assert all(0 <= sample.value <= 1 for sample in got.values)
    carried = hits(out, f"{re.sub('[^A-Za-z-]', '_', benchmark.dataset)}.tsv", "prediction")
    for text, sample in zip(texts, got.values, strict=True):
        expected = re.sub("[\0\ud800-\udfff]", "\ufffd", text) or "∅"
        assert carried[sample.id] == expected
    if benchmark.metric in THEIRS:
        theirs = hits(out, *THEIRS[benchmark.metric])
        for text, sample in zip(texts, got.values, strict=True):
            number = theirs[sample.id]
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
