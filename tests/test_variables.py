"""Variables of the shell do not decide a score."""

import importlib.util
import re
from pathlib import Path

import pytest

from evalsuite.system import variables
from evalsuite.system.process import Child
from evalsuite.vlmevalkit.client import _KIT_ENVIRONMENT

CHILD = """
import os
from evalsuite.system.process import serve
serve().send(dict(os.environ))
"""
DOCS = Path(__file__).parents[1] / "docs" / "reference" / "environment.md"
CHANGE_SCORES = ("VERBOSE", "SPLIT_THINK", "VLMEVAL_MIN_IMAGE_EDGE", "LOCAL_LLM", "RANK",
                 "MPLBACKEND", "DECORD_EOF_RETRY_MAX", "PYTHONOPTIMIZE")  # fmt: skip


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "environment_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "environment_child"


def test_the_scoring_process_gets_only_listed_variables(
    child: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CHANGE_SCORES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("https_proxy", "http://proxy")
    monkeypatch.setenv("EVALSUITE_JUDGE_KEY", "key")
    process = Child(child, _KIT_ENVIRONMENT, inherited=variables.for_scoring())
    got = process.receive(timeout=30)
    process.kill()
    assert not set(CHANGE_SCORES) & set(got)
    assert (got["https_proxy"], got["EVALSUITE_JUDGE_KEY"]) == ("http://proxy", "key")
    assert (got["PRED_FORMAT"], got["CUDA_VISIBLE_DEVICES"], got["PYTHONUTF8"]) == ("tsv", "", "1")


def test_verify_also_gets_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setenv("VERBOSE", "1")
    got = variables.for_scoring(devices=True)
    assert got["CUDA_VISIBLE_DEVICES"] == "3"
    assert not {"NVIDIA_TF32_OVERRIDE", "VERBOSE"} & set(got)
    assert "CUDA_VISIBLE_DEVICES" not in variables.for_scoring()


def test_workers_keep_their_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    lower = ("NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE", "ACCELERATE_MIXED_PRECISION",
             "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "USE_HUB_KERNELS")  # fmt: skip
    for name in lower:
        monkeypatch.setenv(name, "BF16")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("HF_TOKEN", "secret")
    kept = variables.for_predicting()
    assert not set(lower) & set(kept)
    assert kept["HF_TOKEN"] == "secret"
    recorded = variables.recorded()
    assert recorded["ATEN_CPU_CAPABILITY"] == "default"
    assert "HF_TOKEN" not in recorded


def test_the_docs_list_every_variable_that_vlmevalkit_reads() -> None:
    spec = importlib.util.find_spec("vlmeval")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    # Models and APIs of VLMEvalKit are not used.
    files = [
        p for p in package.rglob("*.py") if p.relative_to(package).parts[0] not in ("api", "vlm")
    ]
    reads = re.compile(
        r"(?:environ(?:\.get|\.pop)?[\[(]|getenv\()\s*f?[\"'](\w+)|[\"'](\w+)[\"'] in os\.environ"
    )
    found = {a or b for p in files for a, b in reads.findall(p.read_text(errors="replace"))}
    assert len(found) > 40
    listed = set(re.findall(r"`(\w+)[=`]", DOCS.read_text()))
    assert sorted(found - listed) == []
