"""Each test shows a defect in VLMEvalKit's scoring rules and its workaround."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalsuite.vlmevalkit import scoring_workarounds, workarounds
from tests.builders import kit_data as made


@pytest.fixture
def rules() -> Any:
    made.vlmevalkit()
    import vlmeval.dataset.utils.mathvista
    import vlmeval.dataset.utils.videomme
    import vlmeval.dataset.utils.worldsense

    return vlmeval.dataset.utils


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "LMU").mkdir()
    monkeypatch.setenv("LMUData", str(tmp_path / "LMU"))
    monkeypatch.setenv("PRED_FORMAT", "tsv")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that restores names of a module after the test."""

    def keep(module: Any, *names: str) -> None:
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))

    return keep


class FakeJudge:
    """A judge with fixed answers that records its prompts."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.system = ""

    def with_system_prompt(self, system: str) -> "FakeJudge":
        self.system = system
        return self

    def working(self) -> bool:
        return True

    def generate(self, prompt: str, **_: object) -> str:
        self.asked.append((self.system, prompt))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


MOVES = "['up', 'down', 'left']"


def moves(texts: Sequence[str], indices: Sequence[int], answer: str = "down") -> list[made.Row]:
    return [
        {"index": index, "question": "?", "candidates": MOVES, "answer": answer,
         "task_type": "plotQA", "prediction": text}
        for text, index in zip(texts, indices, strict=True)
    ]  # fmt: skip


def test_parse_cells_safely(vlmeval: Any, rules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    line = {"answer": "__import__('os').system('touch ran') or ['a']", "prediction": "a"}
    rules.vqa_eval.process_line(line, method="accuracy")
    assert Path("ran").exists()
    Path("ran").unlink()
    sets = vlmeval.dataset
    for module in (
        vlmeval.smp.misc, vlmeval.smp.vlm, rules.vqa_eval, rules.mathvista, rules.tempcompass,
        rules.worldsense, sets.image_vqa, sets.videomme, sets.worldsense, sets.mvbench, sets.mlvu,
        sets.tempcompass,
    ):  # fmt: skip
        monkeypatch.setattr(module, "eval", eval, raising=False)
    scoring_workarounds.parse_cells_safely()
    got = rules.vqa_eval.process_line(line, method="accuracy")
    assert not Path("ran").exists()
    assert got["gt"] == [line["answer"]]
    for answer in ("['a', 'b']", "a", "7", "[1", "(" * 500):
        line = {"answer": answer, "prediction": "a"}
        listed = rules.vqa_eval.process_line(line, method="accuracy")["gt"]
        assert listed == (["a", "b"] if answer.startswith("['") else [answer])
    assert vlmeval.smp.toliststr("['x', 1]") == ["x", "1"]


def test_no_random_option(rules: Any, keep: Callable[..., None]) -> None:
    module = rules.multiple_choice
    keep(module, "rd")
    item = {"question": "?", "A": "cat", "B": "dog", "prediction": "cow", "answer": "A"}

    def found() -> set[str]:
        return {
            module.extract_answer_from_item(FakeJudge("neither"), item)["opt"] for _ in range(40)
        }

    assert len(found()) > 1
    scoring_workarounds.no_random_option()
    assert found() == {"Z"}
    letters = {chr(65 + n): f"option {n}" for n in range(26)}
    got = module.extract_answer_from_item(FakeJudge("neither"), item | letters)
    assert got["opt"] == "Z", "without options the random choice raised"


def test_show_options_to_judge(rules: Any, keep: Callable[..., None]) -> None:
    for module in (rules.videomme, rules.worldsense):
        keep(module, "extract_option")
        item = {
            "question": "Which way?", "candidates": "['A. up', 'B. down']", "prediction": "it fell",
            "answer": "B",
        }  # fmt: skip
        judge = FakeJudge("B")
        assert module.extract_option(judge, dict(item), "Video-MME") != "B"
        assert "down" not in judge.asked[0][1]
    scoring_workarounds.show_options_to_judge()
    for module in (rules.videomme, rules.worldsense):
        judge = FakeJudge("B")
        assert module.extract_option(judge, dict(item), "Video-MME") == "B"
        assert "A. up\nB. down" in judge.asked[0][1]
        # Without a judge, nothing changes.
        assert module.extract_option(None, dict(item), "Video-MME") == "Z"


def test_tolerate_unlabelled_captions(rules: Any, keep: Callable[..., None]) -> None:
    module = rules.tempcompass
    keep(module, "eval_rule_caption_matching")
    line = {
        "question": "?", "answer": "B: It falls.", "candidates": "['A: It rises.', 'B: It falls.']",
        "prediction": "It rises.", "task_type": "caption_matching",
    }  # fmt: skip
    with pytest.raises(IndexError):
        module.evaluate_tempcompass_mcq(None, line)
    scoring_workarounds.tolerate_unlabelled_captions()
    assert module.evaluate_tempcompass_mcq(None, line)["rating"] == 0
    right = line | {"prediction": "It falls."}
    assert module.evaluate_tempcompass_mcq(None, right)["rating"] == 1


def test_parse_judge_marks(rules: Any, keep: Callable[..., None]) -> None:
    module = rules.mlvu
    keep(module, "extract_scores_summary", "extract_scores_sub_scene")
    well = "{'score_accuracy': 3.5, 'score_relevance': 4, 'total_score': 7.5}"
    assert module.extract_scores_sub_scene(well) == [3.5, 4]
    for bad in ("{'score_accuracy': 3, 'score_relevance': 4}\n```", "score_accuracy: good, 4"):
        with pytest.raises(ValueError, match="could not convert"):
            module.extract_scores_sub_scene(bad)
    mad = "{'score_accuracy': nan, 'score_relevance': 50, 'total_score': 7.5}"
    assert math.isnan(sum(module.extract_scores_sub_scene(mad)))
    scoring_workarounds.parse_judge_marks()
    for text, marks in (
        (well, [3.5, 4]),
        ("{'score_accuracy': 3, 'score_relevance': 4}\n```", [3, 4]),
        ('{"score_accuracy": "3", "score_relevance": "4.5"}\n', [3, 4.5]),
        ("score_accuracy: (2+4)/2 = 3. So {'score_accuracy': 3, 'score_relevance': 1}.", [3, 1]),
        (mad, [5]), ("score_accuracy: good, 4", []), ("no marks", []), ("", []),
    ):  # fmt: skip
        assert module.extract_scores_sub_scene(text) == marks, text
    summary = "{'score_completeness': 1, 'score_reliability': 2}\n"
    assert module.extract_scores_summary(summary) == [1, 2]


def test_renumber_rows(vlmeval: Any) -> None:
    kind = vlmeval.dataset.MVBench_MP4
    made.table(Path("odd.tsv"), moves(["B", "x"], [1, 3]))
    assert kind.evaluate("odd.tsv", model="exact_matching")["overall"][:2] == [2, 3]
    frame = pd.DataFrame(moves(["B", "x"], [1, 3]))
    scoring_workarounds.renumber_rows(frame)
    assert list(frame["index"]) == [0, 1]
    frame.to_csv("even.tsv", sep="\t", index=False)
    assert kind.evaluate("even.tsv", model="exact_matching")["overall"][:2] == [1, 2]
    parts = pd.DataFrame({"SUB_DATASET": list("aabab"), "index": 9, "original_index": 7})
    scoring_workarounds.renumber_rows(parts)
    assert list(parts["original_index"]) == [0, 1, 0, 2, 1]
    assert list(parts["index"]) == [0, 1, 2, 3, 4]


def test_use_judge(vlmeval: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[dict[str, Any]] = []
    judge = FakeJudge("{'score_completeness': 1, 'score_reliability': 2, 'total_score': 3}")

    def build_judge(**settings: Any) -> FakeJudge:
        built.append(settings)
        return judge

    row = {"index": 0, "question": "?", "answer": "a", "task_type": "summary", "prediction": "b"}
    made.table(Path("open.tsv"), [row])
    stock = vlmeval.dataset.mlvu.build_judge
    monkeypatch.setattr(vlmeval.dataset.mlvu, "build_judge", build_judge)
    vlmeval.dataset.MLVU_OpenEnded.evaluate("open.tsv", model="mine", nproc=1)
    assert [settings["model"] for settings in built] == ["gpt-4-0125"] * 2
    monkeypatch.setattr(vlmeval.dataset.tempcompass, "build_judge", build_judge)
    row = {
        "index": 0, "question": "?", "answer": "yes", "task_type": "yes_no", "prediction": "maybe",
        "dim": "speed",
    }  # fmt: skip
    made.table(Path("yorn.tsv"), [row])
    vlmeval.dataset.TempCompass_YorN.evaluate("yorn.tsv", model="mine", nproc=1)
    assert built[-1]["temperature"] == 1.0

    monkeypatch.setattr(vlmeval.dataset.mlvu, "build_judge", stock)
    ours = FakeJudge("{'score_completeness': 4, 'score_reliability': 4, 'total_score': 8}")
    Path("open_mine.pkl").unlink()
    Path("open_mine_score.tsv").unlink()
    with scoring_workarounds.use_judge(ours):
        got = vlmeval.dataset.MLVU_OpenEnded.evaluate("open.tsv", model="mine", nproc=1)
    assert got == {"summary": [8, 1]}
    assert "##COMPLETENESS" in ours.asked[0][0]
    assert vlmeval.dataset.mlvu.build_judge is stock


def test_normalise_judge_answer(rules: Any) -> None:
    row = {
        "question_type": "multi_choice", "choices": "['a', 'b']", "answer_option": "A",
        "answer": "a",
    }  # fmt: skip
    assert rules.mathvista.post_check(row | {"res": float("nan")}), "read back from an empty cell"
    assert rules.tempcompass.parse_llm_output("", "B. x")["rating"] == -1
    for text in ("", " \n", "Failed to obtain answer via API."):
        none = scoring_workarounds.normalise_judge_answer(text)
        assert not rules.mathvista.post_check(row | {"res": none})
        assert rules.tempcompass.parse_llm_output(none, "B. x")["rating"] == 0
    assert scoring_workarounds.normalise_judge_answer("B\ud800") == "B\ufffd"


def test_is_failure_text(vlmeval: Any) -> None:
    texts = ["A", scoring_workarounds.FAILURE_TEXT]
    made.table(Path("b.tsv"), moves(texts, [0, 1]))
    got = vlmeval.dataset.MVBench_MP4.evaluate("b.tsv", model="exact_matching")
    assert got["overall"][:2] == [1, 2], "right"
    made.table(Path("u.tsv"), moves(["B", scoring_workarounds.FAILURE_TEXT], [0, 1]))
    got = vlmeval.dataset.MLVU_MCQ.evaluate("u.tsv", model="exact_matching")
    assert got == {"plotQA": [0, 2]}, "one right, one minus one"
    assert scoring_workarounds.is_failure_text(f"so: {scoring_workarounds.FAILURE_TEXT}")
    assert not scoring_workarounds.is_failure_text("Failed")


def test_starts_with_punctuation(rules: Any) -> None:
    for text, mark in ((".", True), ("( A", True), ("", True), (" \n", True), ("A", False)):
        assert scoring_workarounds.starts_with_punctuation(text) is mark
    for text in (".", "(", ")", " ", "..."):
        assert rules.mvbench.check_ans_with_model(text, "(B) down", None, {}), text


def test_open_answer_value(rules: Any) -> None:
    def is_right(answer: str, found: str, kind: str) -> bool:
        row = {"question_type": "free_form", "answer_type": kind, "answer": answer, "res": found}
        return bool(rules.mathvista.post_check(row))

    assert not is_right("Yes", "Yes", "text")
    assert not is_right("[1, 2]", "[1, 2]", "list")
    assert is_right("None", "anything", "text")
    assert not is_right("14", "14.", "integer")
    assert (
        scoring_workarounds.open_answer_value(True),
        scoring_workarounds.open_answer_value(False),
    ) == (1, 0)


def test_numeric_columns_do_not_change_an_answer(
    vlmeval: Any, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A judge's answer read back from a table: 14.5 is not an integer, unless all are numbers.
    monkeypatch.setattr(vlmeval.smp.file, "pd", pd)
    row = {
        "question_type": "free_form", "answer_type": "integer", "answer": "14", "task": "t",
        "skills": "['s']", "log": "",
    }  # fmt: skip
    made.table(Path("a.tsv"), [row | {"res": "14.5"}, row | {"res": "3"}])

    def right() -> int:
        result = rules.mathvista.MathVista_acc("a.tsv")
        return int(result[result["Task&Skill"] == "Overall"]["hit"].item())

    assert right() == 1
    workarounds.keep_na_texts()
    assert right() == 0


def test_vlmevalkit_requires_a_judge(vlmeval: Any, rules: Any) -> None:
    row = {"index": 0, "question": "?", "answer": "1", "prediction": "1"}
    made.table(Path("m.tsv"), [row])
    with pytest.raises(KeyError, match="model"):
        vlmeval.dataset.MathVista.evaluate_heuristic("m.tsv")
    line = {"prediction": "a", "mc_question": "?", "mc_answer": "A. a"}
    with pytest.raises(ValueError, match="not supported exact matching"):
        rules.tempcompass.evaluate_tempcompass_captioning(None, line)
