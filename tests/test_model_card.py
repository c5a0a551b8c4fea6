"""Model cards: scores that huggingface_hub reads; the rest of the file does not change."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from evalsuite.benchmarks.benchmark import METRICS
from evalsuite.benchmarks.catalogue import load
from evalsuite.errors import UsageError
from evalsuite.report.export import model_card, model_index
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import Run
from evalsuite.runs.storage import write_run
from tests.builders.commands import evalsuite
from tests.builders.golden import golden
from tests.builders.hostile import HOSTILE
from tests.builders.runs import run, score, settings

BODY = "\n# A model\n\nIts *story*, `---` and all.  \n\n---\n\nmodel-index: not this one\n"
OTHERS = """\
model-index:
- name: theirs
  results:
  - task: {type: text-generation}
    dataset: {type: cais/mmlu, name: MMLU}
    metrics:
    - {type: acc, value: 61.5, verified: true, verifyToken: abc}
    source: {name: Another, url: "https://example.org"}
"""


def made(*names: str, **more: object) -> Run:
    scores = [
        score(name, 61.234, dataset=name, modality="image", vlmevalkit="0.0.20",
              definition=load().benchmarks[name].definition if name in load().benchmarks else "")
        for name in names or ("DocVQA_VAL", "MMStar")
    ]  # fmt: skip
    return run("sft", *scores, **more)


def front(text: str) -> dict:  # type: ignore[type-arg]
    return ModelCard(text.removeprefix("\ufeff")).data.to_dict()


def updated(known: str, of: Run | None = None) -> str:
    return model_card.updated(known, of or made(), Path("README.md"))


# What is written


def test_scores_have_the_types_of_the_hub() -> None:
    (entry,) = model_index.with_ours(None, made("DocVQA_VAL"))
    name, (result,) = model_index_to_eval_results([entry])
    assert name == "sft"
    assert (result.task_type, result.dataset_type) == ("image-text-to-text", "lmms-lab/DocVQA")
    assert (result.dataset_name, result.dataset_split) == ("DocVQA_VAL", "validation")
    assert (result.metric_type, result.metric_value) == ("accuracy", 61.23)
    assert result.metric_args is not None
    assert result.metric_args["stderr"] == 2.25
    assert result.metric_args["samples"] == 300
    assert result.metric_args["prompts"] == "vlmevalkit"
    assert result.verified is None
    assert result.verify_token is None
    assert result.source_name is None


def test_metrics_are_named_as_they_are() -> None:
    names = {}
    for rule in METRICS:
        (entry,) = model_index.with_ours(None, run("a", score("Mine", 50.0, metric=rule)))
        (metric,) = entry["results"][0]["metrics"]
        names[rule] = metric["type"]
        assert metric["args"]["rule"] == rule
    assert names["anls"] == "anls"
    assert names["relaxed-accuracy"] == "relaxed_accuracy"
    assert names["mmmu"] == names["video-choice"] == "accuracy"


def test_datasets_have_their_id_on_the_hub_where_there_is_one() -> None:
    """Of every packaged benchmark whose data is published; the demo's and one's own have none."""
    for name, benchmark in load().benchmarks.items():
        known = run("a", score(name, 50.0, dataset=benchmark.dataset))
        (entry,) = model_index.with_ours(None, known)
        dataset = entry["results"][0]["dataset"]
        if benchmark.published is None:
            assert dataset["type"] == name
        else:
            assert "/" in dataset["type"]
            assert dataset["type"].count("/") == 1
        assert dataset["args"]["vlmevalkit_dataset"] == benchmark.dataset
    (entry,) = model_index.with_ours(None, run("a", score("DocVQA_VAL", 1.0, dataset="Mine")))
    assert entry["results"][0]["dataset"]["type"] == "DocVQA_VAL"


def test_partial_and_modified_show_in_the_name() -> None:
    known = run("a", score("P", 50.0, partial=True), score("M", 50.0, modified_data=True))
    partial, modified = model_index.with_ours(None, known)[0]["results"]
    metric = partial["metrics"][0]
    assert metric["name"] == "Accuracy (partial: without what only a judge can score)"
    assert metric["args"]["partial"] is True
    assert modified["metrics"][0]["name"] == "Accuracy (data modified)"
    assert "modified_data" not in metric["args"]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (made(limit="50"), "run with --limit 50"),
        (made(finished=None), "unfinished"),
        (made(settings=settings(blind=True)), "without images"),
        (run("empty"), "has no score"),
    ],
)
def test_limited_blind_and_unfinished_runs_are_refused(of: Run, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        updated("# hello\n", of)


# A new card


def test_a_new_card(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    model_card.write(made(), path)
    golden("card.md", path.read_text())
    assert metadata_load(path) == yaml.safe_load(path.read_text().split("---\n")[1])
    assert ModelCard.load(path).data.model_name == "sft"
    assert "| DocVQA\\_VAL |" in path.read_text()


def test_our_table_is_replaced_and_the_text_around_it_kept(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    model_card.write(made(), path)
    path.write_text(path.read_text() + "\n## Licence\n")
    better = run("sft", score("DocVQA_VAL", 99.9, dataset="DocVQA_VAL"))
    model_card.write(better, path)
    text = path.read_text()
    assert "61.2" not in text
    assert "99.9" in text
    assert text.endswith("\n## Licence\n")
    assert text.count(model_card.BEGIN) == 1
    before = path.read_bytes()
    model_card.write(better, path)
    assert path.read_bytes() == before


# A card that is there


def test_other_bytes_do_not_change(tmp_path: Path) -> None:
    head = "license: apache-2.0   # ours\nlanguage: [en,  de]\n\n# tags next\ntags:\n- vision\n"
    path = tmp_path / "README.md"
    path.write_text(f"---\n{head}---\n{BODY}")
    model_card.write(made(), path)
    text = path.read_text()
    assert text.startswith(f"---\n{head}model-index:\n- name: sft\n")
    assert text.endswith(f"\n---\n{BODY}")
    assert front(text)["license"] == "apache-2.0"
    assert len(front(text)["model-index"][0]["results"]) == 2


@pytest.mark.parametrize("after", ["", "license: mit\n", "\n# about the licence\nlicense: mit\n"])
@pytest.mark.parametrize("before", ["", "tags: [x]\n", "# first\ntags:\n  - x\n"])
def test_results_of_others_are_kept_and_ours_replaced(before: str, after: str) -> None:
    known = f"---\n{before}{OTHERS}{after}---\n{BODY}"
    once = updated(known)
    twice = updated(once, run("again", score("MMStar", 10.0, dataset="MMStar")))
    assert once.startswith(f"---\n{before}model-index:\n")
    for text, count in ((once, 3), (twice, 2)):
        assert text.endswith(f"{after}---\n{BODY}")
        (entry,) = yaml.safe_load(text.split("---\n")[1])["model-index"]
        assert entry["name"] == "theirs"
        assert len(entry["results"]) == count
        assert entry["results"][0] == yaml.safe_load(OTHERS)["model-index"][0]["results"][0]
    assert updated(twice, run("again", score("MMStar", 10.0, dataset="MMStar"))) == twice


def test_a_metric_of_ours_beside_one_of_theirs() -> None:
    (entry,) = model_index.with_ours(None, made("MMStar"))
    entry["results"][0]["metrics"].insert(0, {"type": "acc", "value": 1})
    (changed,) = model_index.with_ours([entry], made("DocVQA_VAL"))
    first, second = changed["results"]
    assert first["metrics"] == [{"type": "acc", "value": 1}]
    assert second["dataset"]["name"] == "DocVQA_VAL"


@pytest.mark.parametrize(
    "empty", ["model-index: []\n", "model-index:\n", "model-index: [] # none\n"]
)
def test_an_empty_model_index(empty: str) -> None:
    text = updated(f"---\n{empty}license: mit\n---\nhi\n")
    assert text.endswith("\nlicense: mit\n---\nhi\n")
    assert front(text)["model-index"][0]["name"] == "sft"
    assert updated(f"---\nlicense: mit\n{empty}---\nhi\n").startswith("---\nlicense: mit\nmodel-in")


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    known = f"\ufeff---\nlicense: mit\n{OTHERS}tags: [x]\n---\n{BODY}".replace("\n", "\r\n")
    path.write_bytes(known.encode())
    model_card.write(made(), path)
    raw = path.read_bytes()
    assert raw.startswith("\ufeff---\r\nlicense: mit\r\nmodel-index:\r\n".encode())
    assert raw.endswith(f"tags: [x]\n---\n{BODY}".replace("\n", "\r\n").encode())
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert len(ModelCard.load(path).data.eval_results) == 3


def test_no_front_matter() -> None:
    text = updated("# A model\r\n\r\nText.\r\n")
    assert text.endswith("---\r\n\r\n# A model\r\n\r\nText.\r\n")
    assert front(text)["model-index"][0]["name"] == "sft"
    text = updated("\ufeffText.\n")
    assert text.startswith("\ufeff---\nmodel-index:\n")
    assert text.endswith("---\n\nText.\n")


def test_front_matter_with_only_a_comment() -> None:
    text = updated("---\n# nothing yet\n---\nhi\n")
    assert text.startswith("---\n# nothing yet\nmodel-index:\n")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("---\nlicense: [mit\n---\nhi\n", "not valid YAML in line"),
        ("---\nlicense: mit\nhi\n", "no closing line"),
        ("---\n- a\n- b\n---\nhi\n", "has no keys"),
        ("---\n{license: mit}\n---\nhi\n", "one key a line"),
        (f"---\n{OTHERS}{OTHERS}---\nhi\n", "twice"),
        ("---\nmodel-index: nonsense\n---\nhi\n", "huggingface_hub cannot read it"),
        ("---\nmodel-index:\n- name: x\n---\nhi\n", "huggingface_hub cannot read it"),
        ("---\nmodel-index:\n- name: x\n  results:\n  - task: {}\n---\n", "cannot read it"),
        (f"---\n{OTHERS.replace('theirs', '&n theirs')}tags: [*n]\n---\n", "not valid YAML"),
    ],
)  # fmt: skip
def test_unsupported_front_matter_is_refused_and_the_file_not_changed(
    known: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "README.md"
    path.write_text(known)
    with pytest.raises(UsageError, match=said) as caught:
        model_card.write(made(), path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert path.read_text() == known


def test_markers_in_a_code_block_are_ignored() -> None:
    example = f"```\n{model_card.BEGIN}\nhere\n{model_card.END}\n```\n"
    assert updated(f"{BODY}{example}", made()).endswith(f"{BODY}{example}")


def test_a_missing_marker_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(updated("", made()).replace(model_card.END, ""))
    known = path.read_bytes()
    with pytest.raises(UsageError, match=re.escape(model_card.END)):
        model_card.write(made(), path)
    assert path.read_bytes() == known


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    known = run(name, score(name, 50.0, judge=JudgeId(name, name)), settings=settings(dtype="x"))
    once = updated(f"---\nlicense: mit\n---\n{BODY}", known)
    index = front(once)["model-index"][0]
    assert index["name"] == index["results"][0]["dataset"]["name"]
    assert once.endswith(f"\n---\n{BODY}")
    fresh = updated("", known)
    assert front(fresh)["model-index"][0] == index
    assert fresh.count(model_card.BEGIN + "\n") == 1


# The command


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "results" / "sft-0123" / "settings" / "run.json"
    write_run(path, made())
    printed = evalsuite("card", "sft-0123", cwd=tmp_path)
    assert printed.returncode == 0
    written = evalsuite("card", "sft-0123", "-o", "README.md", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (0, "README.md\n")
    assert (tmp_path / "README.md").read_text() == printed.stdout
    limited = dataclasses.replace(made(), limit="50")
    write_run(path.with_name("run@50.json"), limited)
    for arguments, said in (
        ([str(path.with_name("run@50.json"))], "run with --limit 50"),
        (["nowhere"], "no such run"),
        (["sft-0123", "-o", "results"], "cannot be read"),
    ):
        result = evalsuite("card", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
    (tmp_path / "latin").write_bytes(b"\xe9")
    assert "not UTF-8" in evalsuite("card", "sft-0123", "-o", "latin", cwd=tmp_path).stderr


def test_json_of_the_index_is_plain() -> None:
    assert json.loads(json.dumps(model_index.with_ours(None, made())))
