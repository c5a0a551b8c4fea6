"""Reading benchmarks files: valid ones, and one-line errors for invalid ones."""

import dataclasses
from pathlib import Path

import pytest

from evalsuite.benchmarks import catalogue as benchmarks
from evalsuite.benchmarks.benchmark import METRICS, PROMPT_FORMATS, FrameRule
from evalsuite.benchmarks.catalogue import load, override
from evalsuite.errors import UsageError
from evalsuite.runs.comparable import JudgeId
from evalsuite.smolvlm.formats import FORMATS

GOOD = """
  Mine:
    dataset: Mine
    dataset_class: ImageMCQDataset
    data: mine.tsv
    modality: image
    prompt: default
    metric: choice
    max_new_tokens: 4
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "benchmarks.yaml"
    path.write_text(text)
    return path


def test_the_packaged_file() -> None:
    catalogue = load()
    assert [b.name for b in catalogue.suite("demo")] == [
        "DemoDigits", "DemoYesNo", "DemoShapes", "DemoOCR", "DemoVideo",
    ]  # fmt: skip
    assert catalogue.benchmarks["DemoVideo"].frames == FrameRule(per_second=1.0)
    assert all(Path(b.data or "").exists() for b in catalogue.suite("demo"))


def test_prompt_formats_are_those_the_engine_has() -> None:
    assert set(PROMPT_FORMATS) == set(FORMATS)


def test_a_file_may_extend_ours(tmp_path: Path) -> None:
    path = write(
        tmp_path, f"extends: packaged\nbenchmarks:{GOOD}\nsuites: {{two: [Mine, DemoOCR]}}"
    )
    catalogue = load(path)
    mine, ocr = catalogue.suite("two")
    assert mine.data == str(tmp_path / "mine.tsv")
    assert mine.max_new_tokens == 4
    assert ocr == load().benchmarks["DemoOCR"]


def test_names_ignore_case_and_repetition() -> None:
    names = [b.name for b in load().select(["demoocr", "DemoDigits", "DEMOOCR"])]
    assert names == ["DemoOCR", "DemoDigits"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"benchmarks:{GOOD}    metrics: choice", r"benchmarks.yaml: Mine: unknown key 'metrics' "
         r"\(did you mean 'metric'\?\)"),
        (f"benchmark:{GOOD}", r"unknown key 'benchmark' \(did you mean 'benchmarks'\?\)"),
        ("benchmarks: {X: {dataset: a}}", "X: missing key 'metric'"),
        (f"benchmarks:{GOOD.replace('4', '0')}", "Mine: max_new_tokens: .*not 0"),
        (f"benchmarks:{GOOD.replace('choice', 'choise')}", "Mine: metric: .*not 'choise'"),
        (f"benchmarks:{GOOD}    cliff: 0", "Mine: cliff: .*not 0"),
        (f"benchmarks:{GOOD}    margin: .nan", "Mine: margin: .*not nan"),
        (f"benchmarks:{GOOD}    frames: 16", "Mine: 'frames' requires"),
        (f"benchmarks:{GOOD}    published: {{md5: {{A: 12}}, about_bytes: 1, licence: MIT}}",
         "Mine: published: md5: A: .*not 12"),
        (f"benchmarks:{GOOD}    part_prompts: {{A: shouted}}", "Mine: part_prompts: A: "),
        (f"benchmarks:{GOOD.replace('image', 'video')}    frames: fast", "expected '1fps'"),
        (f"benchmarks:{GOOD}suites: {{s: [Mime]}}", r"suite s: unknown benchmark 'Mime' "
         r"\(did you mean 'Mine'\?\)"),
        (f"benchmarks:{GOOD}suites: {{s: []}}", "suite s: "),
        ("a: [", "line 2 is not valid YAML"),
        (f"benchmarks:{GOOD}    metric: choice\n",
         "yaml: line 10 is not valid YAML: duplicate key 'metric' .*line 8"),
        ("suites: {s: [], s: []}", "line 1 is not valid YAML: duplicate key 's' .*line 1"),
        ("- a", "expected the keys 'benchmarks' and 'suites'"),
        ("extends: benchmarks.yaml", "extends itself"),
        (f"benchmarks:{GOOD.replace('Mine:', '../up:', 1)}", "benchmark name '../up'"),
        (f"benchmarks:{GOOD.replace('Mine:', 'Mean:', 1)}", "'Mean' is reserved"),
        (f"benchmarks:{GOOD}    cliff: 1.0e-320", "Mine: cliff: .*not 1e-320"),
    ],
)  # fmt: skip
def test_invalid_files(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_file_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(tmp_path / "b.yaml")


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown benchmark 'DemoDigit' \(did you mean 'DemoDig"):
        load().select(["DemoDigit"])
    with pytest.raises(UsageError, match=r"unknown suite 'dmo' \(did you mean 'demo'\?\)"):
        load().suite("dmo")


def test_set_changes_what_may_be_changed() -> None:
    demo = load().suite("demo")
    changed = override(demo, ["DemoVideo.frames=4", "DemoOCR.max_new_tokens=3"])
    assert changed[4].frames == FrameRule(count=4)
    assert str(changed[4].frames) == "4"
    assert changed[3].max_new_tokens == 3
    assert changed[:3] == demo[:3]


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("DemoOCR.max_new_token=3", r"did you mean 'max_new_tokens'\?"),
        (
            "DemoOCD.max_new_tokens=3",
            r"not among the benchmarks of this run \(did you mean 'DemoOCR'\?\)",
        ),
        ("DemoOCR.max_new_tokens=big", "expected a positive whole number, not 'big'"),
        ("DemoOCR.max_new_tokens=-1", "expected a positive"),
        ("DemoOCR.margin=3", "'margin' cannot be set"),
        ("DemoVideo.frames=0", "expected '1fps'"),
        ("nonsense", "expected BENCH.key=value"),
    ],
)
def test_set_refuses_the_rest(setting: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        override(load().suite("demo"), [setting])


def test_a_metric_is_enough(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "benchmarks: {Short: {data: a.jsonl, metric: exact-match},"
        " Clips: {data: c.tsv, metric: choice, modality: video}}",
    )
    short, clips = load(path).select(["Short", "Clips"])
    assert (short.dataset, short.modality, short.prompt, short.frames) == (
        "Short", "image", "default", None,
    )  # fmt: skip
    assert short.max_new_tokens == 128
    assert (clips.prompt, clips.frames) == ("video", FrameRule(per_second=1.0))


PAPER = [
    "OCRBench", "AI2D_TEST", "ChartQA_TEST", "TextVQA_VAL", "DocVQA_VAL", "ScienceQA_VAL",
    "ScienceQA_TEST", "MMMU_DEV_VAL", "MathVista_MINI", "MMStar", "Video-MME", "MLVU", "MVBench",
    "WorldSense", "TempCompass",
]  # fmt: skip


def test_the_papers_suite() -> None:
    catalogue = load()
    paper = catalogue.suite("paper")
    assert [b.name for b in paper] == PAPER
    assert catalogue.suite("image") + catalogue.suite("video") == paper
    assert {b.modality for b in catalogue.suite("image")} == {"image"}
    assert {str(b.frames) for b in catalogue.suite("video")} == {"1fps"}
    assert all(b.published and b.published.md5 for b in paper)
    # The paper gives one number a benchmark; which half of ScienceQA it is about it does not say.
    table = {b.name: [r.score for r in b.references if "arXiv" in r.source] for b in paper}
    assert [name for name, scores in table.items() if len(scores) != 3] == ["ScienceQA_VAL"]
    for column, average in enumerate((44.0, 51.0, 59.8)):
        found = [scores[column] for scores in table.values() if scores]
        assert round(sum(found) / len(found), 1) == average


def test_a_part_has_its_own_prompt_and_may_need_a_judge() -> None:
    (temp,) = load().select(["TempCompass"])
    assert temp.prompt_of("TempCompass_MCQ") == "video-choices"
    assert temp.prompt_of("TempCompass_YorN") == "video"
    assert not temp.scorable("TempCompass_Captioning")
    assert temp.scorable("TempCompass_YorN")
    judged = dataclasses.replace(temp, judge=JudgeId("some-model", "http://localhost/v1"))
    assert judged.scorable("TempCompass_Captioning")
    assert judged.definition != temp.definition


def test_every_metric_is_used_by_some_benchmark() -> None:
    used = {b.metric for b in load().benchmarks.values()}
    example = Path(__file__).parents[1] / "examples" / "own-benchmarks" / "benchmarks.yaml"
    used |= {b.metric for b in load(example).benchmarks.values()}
    assert used == set(METRICS)
    assert benchmarks.packaged_file().name == "benchmarks.yaml"
