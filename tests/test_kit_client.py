"""The kit process: effects of crashes, hangs and parallel requests."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evalsuite.benchmarks.benchmark import FrameRule
from evalsuite.errors import INCOMPLETE
from evalsuite.sample import Sample
from evalsuite.vlmevalkit.client import BrokenSample, Kit, KitError, KitStartError
from tests.builders import kit_data as made
from tests.builders.commands import evalsuite

pytestmark = pytest.mark.integration


def test_the_client_imports_no_heavy_package() -> None:
    code = (
        "import evalsuite.vlmevalkit.client, sys;"
        "print({'vlmeval', 'torch', 'pandas', 'numpy', 'PIL', 'decord'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_a_crash_or_hang_fails_only_the_samples_that_cause_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = made.kit()
    made.video(tmp_path / "video" / "a.mp4", 20)
    # Reading 128 GB takes longer than the time limit.
    with (tmp_path / "video" / "hangs.mp4").open("wb") as file:
        file.truncate(1 << 37)
    rows = [{}, {"video": "hangs"}, {"video": "hangs"}, {}]
    benchmark = made.videos(tmp_path, rows, FrameRule(count=2))
    assert [item.cluster for item in kit.outline(benchmark)] == ["a", "hangs", "hangs", "a"]
    monkeypatch.setattr(kit, "chunk_seconds", 4)
    monkeypatch.setattr(kit, "sample_seconds", 0)
    assert kit._child is not None
    first = kit._child.pid

    def kill() -> None:
        time.sleep(1)
        os.kill(first, signal.SIGKILL)

    # With all four samples the child dies. One by one, it hangs at the second.
    killer = threading.Thread(target=kill)
    killer.start()
    built = kit.samples(benchmark, ["0", "1", "2", "3"])
    killer.join()
    good, hanging, same, other = built
    assert isinstance(good, Sample)
    assert isinstance(other, Sample)
    reason = "the VLMEvalKit process gave no answer within 4 seconds while reading its media"
    for id, sample in (("1", hanging), ("2", same)):
        assert sample == BrokenSample(
            id=id,
            cluster="hangs",
            category="Action Recognition",
            question=f"which way {id}?",
            target="B",
            reason=reason,
        )
    assert kit._child.pid != first


def test_a_start_timeout_is_an_error(tmp_path: Path) -> None:
    with Kit(work=tmp_path / "w", media=tmp_path / "m", log=tmp_path / "kit.log") as kit:
        kit.start_seconds = 0
        with pytest.raises(KitStartError, match="gave no answer within 0 seconds"):
            kit.outline(made.choices(tmp_path, [{}]))


NO_LIBRARY = "libGL.so.1: cannot open shared object file: No such file or directory"


def broken_opencv(folder: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    """Let `import cv2` raise `error` in the processes that are started from here on."""
    (folder / "cv2.py").write_text(f"raise {error}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (f"ImportError({NO_LIBRARY!r})", NO_LIBRARY),
        ("ModuleNotFoundError(\"No module named 'cv2'\")", "No module named 'cv2'"),
        ("AttributeError('_ARRAY_API not found')", "_ARRAY_API not found"),
    ],
)
def test_opencv_that_does_not_load_is_found_before_vlmevalkit_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, reason: str
) -> None:
    broken_opencv(tmp_path, monkeypatch, error)
    with Kit(work=tmp_path / "w", media=tmp_path / "m", log=tmp_path / "kit.log") as kit:
        for _ in range(2):  # a second try says the same
            with pytest.raises(KitStartError) as raised:
                kit.check_start()
            assert reason in str(raised.value)
            assert "\n" not in str(raised.value)
            assert ("opencv-python-headless" in str(raised.value)) == (
                "ImportError" in error or "ModuleNotFoundError" in error
            )


def test_a_package_that_vlmevalkit_imports_and_does_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sty.py").write_text("raise ModuleNotFoundError(\"No module named 'sty'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Kit(work=tmp_path / "w", media=tmp_path / "m", log=tmp_path / "kit.log") as kit:
        kit.check_start()
        with pytest.raises(KitStartError, match="No module named 'sty'") as raised:
            kit.outline(made.choices(tmp_path, [{}]))
        assert str(kit.log) in str(raised.value)


def test_a_run_whose_vlmevalkit_cannot_start_ends_with_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_opencv(tmp_path, monkeypatch, f"ImportError({NO_LIBRARY!r})")
    ended = evalsuite("run", "--ckpt", "demo", "--output-dir", str(tmp_path / "results"))
    assert ended.returncode == INCOMPLETE
    assert ended.stdout == ""
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert NO_LIBRARY in lines[0]
    assert "pip install --force-reinstall --no-deps opencv-python-headless" in lines[0]
    assert not list(tmp_path.rglob("worker.log")), "no worker has loaded the checkpoint"
    assert not list(tmp_path.rglob("run*.json"))


def test_a_benchmark_whose_packages_are_left_out_is_refused_when_it_is_planned(
    tmp_path: Path,
) -> None:
    row = {"index": 0, "image": made.encoded(made.picture()), "question": "?", "answer": "['a']"}
    path = made.table(tmp_path / "OCRBench_v2.tsv", [row])
    benchmark = made.benchmark("OCRBench_v2", None, "vqa-accuracy", path)
    with pytest.raises(KitError) as raised:
        made.kit().outline(benchmark)
    assert raised.value.stage == "data"
    assert "pip install" in str(raised.value)
    assert "polygon3" in str(raised.value)


def test_threads_share_the_process(tmp_path: Path) -> None:
    kit = made.kit()
    benchmark = made.choices(tmp_path, [{} for _ in range(40)])
    ids = [item.id for item in kit.outline(benchmark)]
    texts = made.predictions(["A"] * 40)
    built: list[str] = []
    scores: list[float] = []

    def build() -> None:
        for start in range(0, 40, 4):
            built.extend(s.id for s in kit.samples(benchmark, ids[start : start + 4]))

    def score() -> None:
        for number in range(5):
            out = tmp_path / f"out{number}"
            scores.append(kit.score(benchmark, ids, texts, out).score)

    threads = [threading.Thread(target=work) for work in (build, score)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == ids
    assert scores == [100] * 5


def test_nothing_is_printed_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    benchmark = made.texts_to_read(tmp_path, [{}])
    kit = made.kit()
    kit.outline(benchmark)
    kit.score(benchmark, ["0"], made.predictions(["42"]), tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    assert "100%" in kit.log.read_text(), "VLMEvalKit's progress bar"


def test_close_does_not_wait_for_a_running_request(tmp_path: Path) -> None:
    benchmark = made.choices(tmp_path, [{}])
    kit = Kit(work=tmp_path / "w", media=tmp_path / "m", log=tmp_path / "kit.log")
    kit.start()
    child = kit._child
    assert child is not None
    raised: list[KitError] = []

    def ask() -> None:
        try:
            kit.outline(benchmark)
        except KitError as error:
            raised.append(error)

    # The request waits for the import, which takes seconds.
    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.2)
    started = time.monotonic()
    kit.close()
    asking.join()
    assert time.monotonic() - started < 2
    assert "was killed" in str(raised[0])
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    with pytest.raises(KitError, match="was closed"):
        kit.samples(benchmark, ["0"])
    kit.close()
