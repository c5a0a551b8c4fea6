"""The made video tables are what VLMEvalKit itself would write from the made repositories."""

import csv
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from evalsuite.benchmarks.video_layouts import LAYOUTS
from tests.builders.kit_data import vlmevalkit
from tests.builders.paper_tables import make, make_upstream

pytestmark = pytest.mark.integration

TABLES = [(dataset, table) for dataset, layout in LAYOUTS.items() for table in layout.tables]
BENCHMARKS = {
    "MVBench": "MVBench_plain", "MVBench_MP4": "MVBench"
}  # fmt: skip


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_upstream(tmp_path_factory.mktemp("upstream"))


def prepared(
    table: str, tree: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, str]]:
    """The rows of the table VLMEvalKit's own class makes of a downloaded repository."""
    copy = folder / "copy"
    shutil.copytree(tree, copy)
    (copy / "audios").mkdir()  # taken as: sound was extracted before
    kind: Any = next(
        kind for kind in vlmevalkit().dataset.DATASET_CLASSES if table in kind.supported_datasets()
    )
    module = sys.modules[kind.__module__]
    monkeypatch.setenv("LMUData", str(folder))
    monkeypatch.setenv("VLMEVALKIT_USE_MODELSCOPE", "0")
    monkeypatch.setattr(module, "get_cache_path", lambda *_, **__: None)
    monkeypatch.setattr(module, "snapshot_download", lambda *_, **__: str(copy))
    monkeypatch.setattr("huggingface_hub.login", lambda *_: None)
    # WorldSense's class imports it, and would cut sound out of videos with it.
    editor = types.SimpleNamespace(VideoFileClip=None)
    monkeypatch.setitem(sys.modules, "moviepy", types.SimpleNamespace(editor=editor))
    monkeypatch.setitem(sys.modules, "moviepy.editor", editor)
    kind(dataset=table, nframe=8)
    return rows(copy / f"{table}.tsv")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize(("dataset", "table"), TABLES)
def test_made_tables_are_vlmevalkits(
    dataset: str,
    table: str,
    repositories: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = prepared(table, repositories[dataset], tmp_path, monkeypatch)
    name = BENCHMARKS.get(dataset, dataset)
    made = rows(Path(make(tmp_path / "made", [name])[name].data or "") / f"{table}.tsv")
    assert list(made[0]) == list(theirs[0])
    if dataset == "MVBench":
        # Its repository has an order of its own, and no place for gifs.
        made = sorted((r for r in made if r["data_type"] != "gif"), key=by_question)
        theirs = sorted(theirs, key=by_question)
        assert [by_question(row) for row in made] == [by_question(row) for row in theirs]
    else:
        assert made == theirs
    assert len(theirs) > 1


def by_question(row: dict[str, str]) -> list[str]:
    """A row but for its number."""
    return [value for key, value in row.items() if key != "index"]
