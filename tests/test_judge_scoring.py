"""Scores with a judge, through the kit process and a real HTTP endpoint."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evalsuite.benchmarks.benchmark import JUDGED_METRICS, METRICS, Benchmark
from evalsuite.comparison.comparison import compare
from evalsuite.runner.config import RunConfig
from evalsuite.runner.scoring import conditions_of, make_score, score_samples
from evalsuite.runner.session import as_run
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import Cost, Counts, FoundRun
from evalsuite.runs.storage import read_run, write_run, write_samples
from evalsuite.vlmevalkit.client import BenchmarkScore, BrokenSample, Kit, KitError
from evalsuite.vlmevalkit.scoring_workarounds import OPEN_ANSWERS_COMPARED, PUNCTUATION_IS_WRONG
from evalsuite.vlmevalkit.workarounds import EMPTY_IS_WRONG, NA_VALUES_AS_TEXT
from tests.builders import kit_data as made
from tests.builders.hostile import NASTY
from tests.builders.kit_scoring import RULE_DEVIATIONS, TABLES, predictions_of
from tests.builders.metric_tables import MAKERS, RIGHT
from tests.builders.runs import run
from tests.fakes.judge_server import Asked, JudgeServer, Reply, refusal


class JudgeBench:
    """A kit whose judge gives the test's answers."""

    def __init__(self, folder: Path) -> None:
        self.server = JudgeServer(lambda asked: self.answer(asked))
        self.server.__enter__()
        self.judge = JudgeId(model="judge-small", base_url=self.server.base_url)
        log = folder / "kit.log"
        self.kit = Kit(work=folder / "work", media=folder / "media", log=log, judge=self.judge)
        self.answer: Callable[[Asked], str | Reply] = lambda _: ""

    def score(
        self,
        benchmark: Benchmark,
        texts: Sequence[str | None],
        out: Path,
        part: str | None = None,
    ) -> BenchmarkScore:
        judged = replace(benchmark, judge=self.judge)
        outlines = self.kit.outline(judged)
        chosen = [o.id for o in outlines if part in (None, o.part)][: len(texts)]
        self.server.asked.clear()
        got = self.kit.score(judged, chosen, predictions_of(chosen, texts), out)
        prompts = [(asked.system, asked.prompt) for asked in self.server.asked]
        assert len(prompts) == len(set(prompts)), "a question was asked twice"
        return got

    def prompts(self) -> list[str]:
        return [asked.prompt for asked in self.server.asked]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeBench]:
    bench = JudgeBench(tmp_path_factory.mktemp("judged"))
    with bench.kit:
        yield bench
    bench.server.__exit__(None, None, None)


DEVIATIONS = dict.fromkeys(("choice", "mmmu"), (NA_VALUES_AS_TEXT,))
"""Deviations of rows with an option ``None``, which an unmodified VLMEvalKit does not see."""


def values(scored: BenchmarkScore) -> list[float]:
    return [sample.value for sample in scored.values]


def test_exactly_the_judged_metrics_use_a_judge(bench: JudgeBench, tmp_path: Path) -> None:
    # Texts in which no rule finds an answer.
    bench.answer = lambda _: "Z"
    for metric in METRICS:
        got = bench.score(MAKERS[metric](tmp_path / metric, [{}]), [f"ßß {metric}"], tmp_path / "o")
        assert (got.judge_reported == ("judge-small-0725",)) is (metric in JUDGED_METRICS), metric
        assert bool(bench.server.asked) is (metric in JUDGED_METRICS), metric
        assert (got.score, got.deviations) == (0, DEVIATIONS.get(metric, ()))
        assert not got.values[0].parsed or metric not in JUDGED_METRICS


@pytest.mark.parametrize(
    ("metric", "text", "reply", "shown"),
    [
        ("choice", "kitty", "A", "A. cat"),
        ("mmmu", "puppy", "B", "B. dog"),
        ("yes-no", "indeed", "Yes", "indeed"),
        ("mathvista", "fourteen", "14", "fourteen"),
        ("video-choice", "falling", "B", "B. down"),
        ("worldsense", "falling", "B", "B. down"),
        ("mvbench", "falling", "B", "B. down"),
        ("mlvu", "falling", "B", "B. down"),
        ("tempcompass", "it is falling", "Correct", "Ground-Truth Answer: B. down"),
    ],
)
def test_the_judge_is_asked_where_rules_find_no_answer(
    bench: JudgeBench, tmp_path: Path, metric: str, text: str, reply: str, shown: str
) -> None:
    benchmark = MAKERS[metric](tmp_path, [{"question": f"{metric} {n}?"} for n in range(3)])
    # The correct answer needs no judge. It answers one question and not the other.
    bench.answer = lambda asked: reply if f"{metric} 1?" in asked.prompt else "no idea"
    if metric == "tempcompass":
        bench.answer = lambda a: reply if f"{metric} 1?" in a.prompt else "Incorrect. Not Correct"
    got = bench.score(benchmark, [RIGHT[metric], text, f"{text}, maybe"], tmp_path / "out")
    assert values(got) == [1, 1, 0]
    assert got.vlmevalkit_score == pytest.approx(200 / 3, abs=0.05)
    assert got.deviations == DEVIATIONS.get(metric, ())
    assert got.judge_reported == ("judge-small-0725",)
    assert len(bench.prompts()) == 2
    assert shown in "\n".join(bench.prompts())
    # The second time, all answers come from the cache.
    again = bench.score(benchmark, [RIGHT[metric], text, f"{text}, maybe"], tmp_path / "out")
    assert again == got
    assert bench.prompts() == []


def test_a_judges_number_is_compared_by_value(bench: JudgeBench, tmp_path: Path) -> None:
    rows = [{}, {"answer": "[1, 2]", "answer_type": "list"}]
    benchmark = MAKERS["mathvista"](tmp_path, rows)
    bench.answer = lambda asked: "14." if "fourteen" in asked.prompt else "Extracted: [1, 2]"
    got = bench.score(benchmark, ["it says fourteen", "one and two"], tmp_path / "out")
    assert values(got) == [1, 1]
    assert (got.vlmevalkit_score, got.deviations) == (0, (OPEN_ANSWERS_COMPARED,))


def test_open_answers_of_mlvu(bench: JudgeBench, tmp_path: Path) -> None:
    opened = {"scoring_points": "['a man', 'a door']"}
    rows = [{}, {}, opened, opened | {"task_type": "summary"}, opened]

    def answer(asked: Asked) -> str:
        if "##COMPLETENESS" in asked.system:
            assert "Standard Answer: a man leaves" in asked.prompt
            return 'So: {"score_completeness": 2, "score_reliability": 3}\n```'
        assert "##RELEVANCE" in asked.system
        if "no person" in asked.prompt:
            return ""
        assert "Scoring Points: ['a man', 'a door']" in asked.prompt
        return "{'score_accuracy': 3.5, 'score_relevance': 4, 'total_score': 7.5}"

    bench.answer = answer
    benchmark = MAKERS["mlvu"](tmp_path, rows)
    texts = ["B", "A", "A man goes.", "no person", "He leaves."]
    got = bench.score(benchmark, texts, tmp_path / "out")
    # The table of open questions comes second.
    assert [v.value for v in got.values if v.counts] == [1, 0]
    assert [(v.value, v.parsed) for v in got.values if not v.counts] == [
        (0.7, True), (0.5, True), (0.7, True),
    ]  # fmt: skip
    assert (got.score, got.vlmevalkit_score, got.deviations) == (50, 50, ())
    assert got.macro_average == 50
    assert got.extra == {"G-Avg": pytest.approx((7 + 5 + 7) / 3)}
    with pytest.raises(KitError, match=r"^MLVU: none of these samples .*--limit"):
        bench.score(benchmark, ["x"], tmp_path / "out", part="MLVU_OpenEnded")


def test_captions_of_tempcompass(bench: JudgeBench, tmp_path: Path) -> None:
    rows = [{"task_type": "captioning"}] * 3
    benchmark = MAKERS["tempcompass"](tmp_path, rows)

    def answer(asked: Asked) -> str:
        assert asked.system == "You are an AI assistant for question answering."
        assert "Which?\nA. up\nB. down" in asked.prompt
        if "falls" in asked.prompt.split("Video Description:")[-1]:
            return "Reasoning: it falls.\nAnswer: B. down"
        return "Answer: none" if "nothing" in asked.prompt else "Answer: A. up"

    bench.answer = answer
    texts = ["It falls.", "It rises.", "nothing"]
    got = bench.score(benchmark, texts, tmp_path / "out", part="TempCompass_Captioning")
    assert values(got) == [1, 0, 0]
    assert (got.vlmevalkit_score, got.deviations) == (pytest.approx(100 / 3), ())


def test_empty_answers_are_not_sent_to_the_judge(bench: JudgeBench, tmp_path: Path) -> None:
    # The judge would count all of them as correct.
    marks = "{'score_%s': 5, 'score_%s': 5, 'total_score': 10}"
    mlvu = marks % ("accuracy", "relevance") + marks % ("completeness", "reliability")
    replies = {
        "choice": "A", "mmmu": "B", "yes-no": "Yes", "mathvista": "14", "video-choice": "B",
        "worldsense": "B", "mvbench": "B", "mlvu": mlvu, "tempcompass": "Answer: B. Correct",
    }  # fmt: skip
    assert set(replies) == set(JUDGED_METRICS)
    blank = ["", " \n", None]
    for metric, reply in replies.items():
        bench.answer = lambda _, reply=reply: reply
        rows: list[made.Row] = [{"question": f"blank {metric} {n}?"} for n in range(3)]
        if metric == "mlvu":
            opened = {"scoring_points": "[]"}
            tasks = ("summary", "sub_scene")
            rows += [row | opened | {"task_type": task} for row in rows for task in tasks]
        if metric == "tempcompass":
            tasks = ("multi-choice", "caption_matching", "captioning", "yes_no")
            rows = [row | {"task_type": task} for task in tasks for row in rows]
        texts = blank * (len(rows) // 3)
        got = bench.score(MAKERS[metric](tmp_path / metric, rows), texts, tmp_path / "out")
        assert bench.prompts() == [], metric
        assert [(v.value, v.parsed) for v in got.values] == [(0, False)] * len(rows), metric
        assert got.extra == ({"G-Avg": 0} if metric == "mlvu" else {})
        # MVBench counts a blank as an answer.
        assert got.vlmevalkit_score == (pytest.approx(100 / 3) if metric == "mvbench" else 0)
        deviations = {EMPTY_IS_WRONG, *DEVIATIONS.get(metric, ())}
        deviations |= {PUNCTUATION_IS_WRONG} if metric == "mvbench" else set()
        assert set(got.deviations) == deviations


def test_the_placeholder_is_not_sent_to_the_judge(bench: JudgeBench, tmp_path: Path) -> None:
    # Equal prompts except for the answer: one is given, the other is a placeholder.
    benchmark = MAKERS["tempcompass"](tmp_path, [{"task_type": "captioning"}] * 3)
    bench.answer = lambda a: "Answer: B. down" if "∅" in a.prompt else "Answer: A. up"
    part = "TempCompass_Captioning"
    got = bench.score(benchmark, ["∅", "", "it rises"], tmp_path / "out", part=part)
    assert values(got) == [1, 0, 0]
    assert len(bench.prompts()) == 2
    assert not [prompt for prompt in bench.prompts() if "⌀" in prompt]


def test_g_avg_includes_empty_answers(bench: JudgeBench, tmp_path: Path) -> None:
    bench.answer = lambda _: "{'score_accuracy': 3, 'score_relevance': 4, 'total_score': 7}"
    opened = {"scoring_points": "[]"}
    benchmark = MAKERS["mlvu"](tmp_path, [{}, opened, opened, opened])
    got = bench.score(benchmark, ["B", "he goes", "", None], tmp_path / "out")
    assert got.extra == {"G-Avg": pytest.approx(7 / 3)}
    assert (got.score, got.vlmevalkit_score, got.deviations) == (100, 100, (EMPTY_IS_WRONG,))
    assert len(bench.prompts()) == 1


def judged_run(
    bench: JudgeBench, benchmark: Benchmark, texts: Sequence[str], root: Path
) -> FoundRun:
    """Score `texts` and store the run as `evalsuite run` does."""
    samples = [
        BrokenSample(id=o.id, cluster=o.cluster, part=o.part, reason="")
        for o in bench.kit.outline(benchmark)
    ]
    given = predictions_of([sample.id for sample in samples], texts)
    scored, rows = score_samples(bench.kit, benchmark, samples, given, root / "evidence")
    conditions = conditions_of(benchmark, "data", {"prompts": "vlmevalkit", "blind": False})
    made = make_score(benchmark, conditions, scored, rows, unscored=0, cost=Cost())
    path = root / root.name / "0123abcd" / "run.json"
    write_run(path, run(root.name, made))
    write_samples(path.parent / benchmark.name / "samples.jsonl", rows)
    return FoundRun(path, read_run(path))


def test_a_judge_that_was_not_asked_is_comparable(bench: JudgeBench, tmp_path: Path) -> None:
    """Rules read all answers of one run; one answer of the other needs the judge."""
    bench.answer = lambda _: "A"
    rows = [{"question": f"judged {n}?"} for n in range(3)]
    benchmark = replace(MAKERS["choice"](tmp_path / "data", rows), judge=bench.judge)
    bench.server.asked.clear()
    by_rules = judged_run(bench, benchmark, ["A", "A", "A"], tmp_path / "by-rules")
    assert bench.prompts() == []
    by_judge = judged_run(bench, benchmark, ["A", "kitty", "A"], tmp_path / "by-judge")
    assert len(bench.prompts()) == 1
    assert by_rules.run.scores[0].conditions.judge_reported == ()
    assert by_judge.run.scores[0].conditions.judge_reported == ("judge-small-0725",)
    for baseline, candidate in ((by_rules, by_judge), (by_judge, by_rules)):
        compared = compare([baseline], [candidate])
        assert compared.incomparable == ()
        assert [difference.points for difference in compared.differences] == [0]


def test_a_candidate_keeps_the_judge_of_the_baseline(bench: JudgeBench, tmp_path: Path) -> None:
    bench.answer = lambda _: "A"
    row = {"question": "judged alone?"}
    benchmark = replace(MAKERS["choice"](tmp_path / "data", [row]), judge=bench.judge)
    baseline = judged_run(bench, benchmark, ["kitty"], tmp_path / "baseline")
    assert baseline.run.scores[0].conditions.judge_reported == ("judge-small-0725",)
    config = as_run(baseline, RunConfig(ckpt=("new",), command=""))
    assert (config.judge, config.judge_base_url) == ("judge-small", bench.server.base_url)


def test_counts_include_only_rows_that_count(bench: JudgeBench, tmp_path: Path) -> None:
    bench.answer = lambda _: "no idea"
    opened = {"scoring_points": "[]"}
    benchmark = replace(
        MAKERS["mlvu"](tmp_path, [{}] * 6 + [opened] * 8), judge=bench.judge, published=None
    )
    texts = ["B", "", None, " ", "neither", "so long"]
    samples = [
        BrokenSample(id=o.id, cluster=o.cluster, part=o.part, reason="")
        for o in bench.kit.outline(benchmark)
    ]
    given = predictions_of(
        [s.id for s in samples], [*texts, None, None, None, "", " ", "x", "y", "z"]
    )
    for at in (5, 11, 12):  # truncated: one that counts, and two that do not
        id = samples[at].id
        given[id] = replace(given[id], ended="length")
    scored, rows = score_samples(bench.kit, benchmark, samples, given, tmp_path / "out")
    conditions = conditions_of(benchmark, "", {"prompts": "vlmevalkit", "blind": False})
    score = make_score(benchmark, conditions, scored, rows, unscored=0, cost=Cost())
    assert score.n == 6
    assert score.counts == Counts(failed=1, empty=2, truncated=1, unparsed=2)
    assert score.conditions.judge == bench.judge


def test_na_texts_are_named_without_a_second_evaluation(bench: JudgeBench, tmp_path: Path) -> None:
    # No second evaluation is paid for, so the unmodified VLMEvalKit's score is unknown.
    bench.answer = lambda _: "B"
    benchmark = MAKERS["choice"](tmp_path, [{"B": "N/A", "C": "cow", "D": "emu"}])
    got = bench.score(benchmark, ["A"], tmp_path / "out")
    assert (got.score, got.vlmevalkit_score) == (100, 100)
    assert got.deviations == (NA_VALUES_AS_TEXT,)
    assert bench.prompts() == []
    benchmark = MAKERS["video-choice"](tmp_path, [{}])
    for text, deviations in (("nan A", ()), ("NA", (NA_VALUES_AS_TEXT,))):
        assert bench.score(benchmark, [text], tmp_path / "out").deviations == deviations
    bench.answer = lambda _: "Z"
    got = bench.score(MAKERS["mvbench"](tmp_path, [{}]), ["nan"], tmp_path / "out")
    assert got.deviations == (NA_VALUES_AS_TEXT,), "a text, not a missing value"
    # To a judge, numbers and their digits are equal.
    got = bench.score(MAKERS["mathvista"](tmp_path, [{}]), ["14"], tmp_path / "out")
    assert (got.score, got.deviations) == (100, ())


def test_a_judge_error_is_not_a_score(bench: JudgeBench, tmp_path: Path) -> None:
    benchmark = MAKERS["choice"](tmp_path, [{"question": f"up {n}?"} for n in range(40)])
    bench.answer = lambda _: refusal(401, "no such key")
    with pytest.raises(KitError) as raised:
        bench.score(benchmark, ["kitten"] * 40, tmp_path / "out")
    assert raised.value.stage == "score"
    assert "401" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert len(bench.prompts()) < 40, "no further requests after the error"


@pytest.mark.parametrize("metric", JUDGED_METRICS)
def test_any_answer_of_a_judge_is_accepted(bench: JudgeBench, tmp_path: Path, metric: str) -> None:
    replies = [*(text for text in NASTY if text.strip() and len(text) < 1000), *_MARKS]

    def answer(asked: Asked) -> str:
        at = int(hashlib.sha256(asked.prompt.encode()).hexdigest(), 16)
        return replies[at % len(replies)].encode("utf-8", "replace").decode()

    bench.answer = answer
    rows = [{"question": f"whatever {metric} {n}?"} for n in range(30)]
    if metric == "mlvu":
        opened = {"scoring_points": "[]"}
        rows += [r | opened | {"task_type": t} for r in rows for t in ("summary", "sub_scene")]
    if metric == "tempcompass":
        tasks = ("multi-choice", "caption_matching", "captioning", "yes_no")
        rows = [row | {"task_type": task} for row in rows for task in tasks]
    benchmark = MAKERS[metric](tmp_path, rows)
    got = bench.score(benchmark, [f"ßß {n}" for n in range(len(rows))], tmp_path / "out")
    assert len(got.values) == len(rows)
    assert all(0 <= sample.value <= 1 for sample in got.values)
    assert set(got.deviations) <= RULE_DEVIATIONS.get(metric, set()) | TABLES


_MARKS = [
    f"{{'score_{one}': {mark}, 'score_{two}': {mark}}}{end}"
    for one, two in (("accuracy", "relevance"), ("completeness", "reliability"))
    for mark in ("5", "nan", "99", "-3", "'4'", "four", "1e999")
    for end in ("", "\n```", " as asked, well")
]
