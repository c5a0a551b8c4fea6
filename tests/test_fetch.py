"""Downloads from an HTTP server: resumed, checked, and without overwriting files."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from evalsuite.benchmarks.benchmark import Benchmark, Published
from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.data.download import RetryPolicy, download, partial_path
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.fetch import Missing, ensure_data, fetch, missing
from evalsuite.benchmarks.data.progress import Step, no_progress
from evalsuite.errors import IncompleteError, UsageError
from evalsuite.report.progress import downloads
from tests.fakes.http_server import Files, serving

DATA = b"".join(b"%07d\n" % n for n in range(60_000))
MD5 = hashlib.md5(DATA).hexdigest()
PATIENT = RetryPolicy(timeout_seconds=5.0, tries=3, pause_seconds=0.01)
HURRIED = RetryPolicy(timeout_seconds=0.3, tries=2, pause_seconds=0.01)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LMUData", str(tmp_path / "LMU"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "LMU"


@pytest.fixture
def target(places: Path) -> Path:
    return places / "MMStar.tsv"


def benchmark(url: str, md5: str = MD5, about: int = 480_000) -> Benchmark:
    published = Published(url=url, md5={"MMStar": md5}, about_bytes=about, licence="MIT")
    return dataclasses.replace(load().benchmarks["MMStar"], published=published)


def begin(target: Path, data: bytes) -> Path:
    part = partial_path(target, MD5)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(data)
    return part


def beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_table_is_downloaded_checked_and_renamed(target: Path) -> None:
    steps: list[Step] = []
    with serving(Files(DATA)) as server:
        (wanted,) = missing([benchmark(server.url)], None)
        assert (wanted.bytes, wanted.about, wanted.target) == (len(DATA), False, target)
        assert fetch([wanted], on_step=steps.append) == []
    assert target.read_bytes() == DATA
    assert beside(target) == ["MMStar.tsv"]
    loaded = [step.done for step in steps if step.doing == "downloading"]
    assert loaded == sorted(loaded)
    assert loaded[-1] == len(DATA)
    assert missing([benchmark(server.url)], None) == []


def test_nothing_is_missing_in_a_data_directory(tmp_path: Path) -> None:
    assert missing([benchmark("http://127.0.0.1:9/")], tmp_path) == []


def test_a_partial_download_is_continued(target: Path) -> None:
    begin(target, DATA[:100_000])
    with serving(Files(DATA)) as server:
        (wanted,) = missing([benchmark(server.url)], None)
        assert wanted.bytes == len(DATA) - 100_000
        assert fetch([wanted]) == []
        assert server.asked[-1] == ("GET", "bytes=100000-")
    assert target.read_bytes() == DATA


def test_a_server_without_ranges_starts_again(target: Path) -> None:
    begin(target, DATA[:100_000])
    with serving(Files(DATA, ranges=False)) as server:
        download(server.url, target, MD5, "B", no_progress, PATIENT)
    assert target.read_bytes() == DATA


def test_interrupted_connections_are_resumed(target: Path) -> None:
    # More interruptions than attempts: each attempt received data, so none counts as failed.
    with serving(Files(DATA, cut_after=70_000, cuts=5)) as server:
        download(server.url, target, MD5, "B", no_progress, PATIENT)
        assert [wanted for _, wanted in server.asked][:3] == [
            None, "bytes=70000-", "bytes=140000-",
        ]  # fmt: skip
    assert target.read_bytes() == DATA


def test_a_busy_server_is_retried(target: Path) -> None:
    with serving(Files(DATA, failures=2)) as server:
        download(server.url, target, MD5, "B", no_progress, PATIENT)
        assert len(server.asked) == 3
    assert target.read_bytes() == DATA


def test_a_body_of_unknown_length(target: Path) -> None:
    with serving(Files(DATA, chunked=True)) as server:
        download(server.url, target, MD5, "B", no_progress, PATIENT)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_missing_file_is_not_retried(target: Path, status: int) -> None:
    with (
        serving(Files(DATA, status=status)) as server,
        pytest.raises(DataError, match=f"the server answers {status}"),
    ):
        download(server.url, target, MD5, "B", no_progress, PATIENT)
    assert len(server.asked) == 1
    assert beside(target) == []


def test_a_slow_server_times_out_and_the_partial_file_is_kept(target: Path) -> None:
    with (
        serving(Files(DATA, slow_seconds=2.0)) as server,
        pytest.raises(DataError, match="did not answer in time") as caught,
    ):
        download(server.url, target, MD5, "B", no_progress, HURRIED)
    assert "rerun the same command to continue" in caught.value.remedy
    assert not target.exists()
    assert DATA.startswith(partial_path(target, MD5).read_bytes())
    assert partial_path(target, MD5).stat().st_size >= len(DATA) // 2


def test_a_file_with_another_md5_is_deleted(target: Path) -> None:
    with (
        serving(Files(b"something else")) as server,
        pytest.raises(DataError) as caught,
    ):
        download(server.url, target, MD5, "B", no_progress, PATIENT)
    assert hashlib.md5(b"something else").hexdigest() in caught.value.message
    assert MD5 in caught.value.message
    assert beside(target) == []


@pytest.mark.parametrize("beginning", [b"of another file", b"longer" * 100_000])
def test_a_partial_file_of_another_version_is_replaced(target: Path, beginning: bytes) -> None:
    begin(target, beginning)
    with serving(Files(DATA)) as server:
        download(server.url, target, MD5, "B", no_progress, PATIENT)
    assert target.read_bytes() == DATA
    assert beside(target) == ["MMStar.tsv"]


def test_existing_files_are_not_overwritten(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with serving(Files(DATA)) as server:
        assert missing([benchmark(server.url)], None) == []
        download(server.url, target, MD5, "B", no_progress, PATIENT)
        # Nor if it appears during the download.
        target.unlink()
        download(server.url, target, MD5, "B", lambda _: target.write_bytes(b"mine"), PATIENT)
    assert target.read_bytes() == b"mine"
    assert beside(target) == ["MMStar.tsv"]


FETCH = """
import sys
from pathlib import Path
from evalsuite.benchmarks.data.download import download
from evalsuite.benchmarks.data.progress import no_progress
download(sys.argv[1], Path(sys.argv[2]), sys.argv[3], "B", no_progress)
"""


def other_process(url: str, target: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", FETCH, url, str(target), MD5])


def test_two_processes_download_a_file_once(target: Path) -> None:
    with serving(Files(DATA, slow_seconds=1.0)) as server:
        both = [other_process(server.url, target) for _ in range(2)]
        assert [process.wait(30) for process in both] == [0, 0]
        assert len(server.asked) == 1
    assert target.read_bytes() == DATA
    assert beside(target) == ["MMStar.tsv"]


def test_a_killed_download_is_continued(target: Path) -> None:
    with serving(Files(DATA, slow_seconds=30.0)) as server:
        process = other_process(server.url, target)
        part = partial_path(target, MD5)
        deadline = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        server.slow_seconds = 0.0
        # The lock was released when the process ended.
        download(server.url, target, MD5, "B", no_progress, PATIENT)
    assert target.read_bytes() == DATA
    assert beside(target) == ["MMStar.tsv"]


def test_ctrl_c_keeps_the_partial_file(target: Path) -> None:
    def stop(step: Step) -> None:
        if step.done:
            raise KeyboardInterrupt

    with serving(Files(DATA)) as server, pytest.raises(KeyboardInterrupt):
        download(server.url, target, MD5, "B", stop, PATIENT)
    assert 0 < partial_path(target, MD5).stat().st_size <= len(DATA)
    assert beside(target) == [partial_path(target, MD5).name]


def test_an_unreachable_server_is_reported_before_the_download(target: Path) -> None:
    (wanted,) = missing([benchmark("http://127.0.0.1:9/x.tsv", about=7_000_000)], None)
    assert (wanted.bytes, wanted.about) == (7_000_000, True)
    assert wanted.unreachable == "Connection refused"
    (failed,) = fetch([wanted])
    assert failed.message == "http://127.0.0.1:9/x.tsv: Connection refused"
    assert "docs/reference/data.md" in failed.remedy
    assert not target.parent.exists()


def test_a_server_without_sizes() -> None:
    with serving(Files(DATA, head_status=405)) as server:
        (wanted,) = missing([benchmark(server.url)], None)
    assert (wanted.bytes, wanted.about, wanted.unreachable) == (480_000, True, None)


def test_other_addresses_than_http_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(DATA)
    (wanted,) = missing([benchmark((tmp_path / "t.tsv").as_uri())], None)
    assert wanted.unreachable is not None
    assert "not an HTTP address" in wanted.unreachable


def test_a_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    import ssl

    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
            "/CN=127.0.0.1", "-keyout", "k.pem", "-out", "c.pem"]  # fmt: skip
    try:
        subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    import socket

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    before = ssl._create_default_https_context
    # VLMEvalKit sets this on import.
    ssl._create_default_https_context = ssl._create_unverified_context
    try:
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def answer() -> None:
                client, _ = listening.accept()
                with client, contextlib.suppress(OSError):
                    context.wrap_socket(client, server_side=True).close()

            threading.Thread(target=answer, daemon=True).start()
            port = listening.getsockname()[1]
            (wanted,) = missing([benchmark(f"https://127.0.0.1:{port}/x.tsv")], None)
    finally:
        ssl._create_default_https_context = before
    assert wanted.unreachable is not None
    assert "CERTIFICATE_VERIFY_FAILED" in wanted.unreachable


def test_a_proxy_is_used(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Files(DATA)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.rpartition("/")[0])
        monkeypatch.delenv("no_proxy", raising=False)
        download("http://data.invalid/x.tsv", target, MD5, "B", no_progress, PATIENT)
    assert target.read_bytes() == DATA


def wanted(count: int, target: Path) -> Missing:
    return Missing(
        benchmark=benchmark("http://127.0.0.1:9/"), source="s", target=target, bytes=count,
        about=False,
    )  # fmt: skip


def test_the_disk_must_have_room(target: Path) -> None:
    with pytest.raises(IncompleteError, match=r"1.0 PB to download and unpack, .* free"):
        fetch([wanted(10**15, target)], yes=True)


LARGE = r"6\.0 GB to download for MMStar: more than 5\.0 GB requires --yes"


def test_a_large_download_requires_yes(target: Path) -> None:
    large = [wanted(6_000_000_000, target)]
    with pytest.raises(UsageError, match=LARGE):
        fetch(large)
    assert not target.parent.exists()
    (failed,) = fetch(large, yes=True, retries=HURRIED)
    assert "Connection refused" in failed.message
    (failed,) = fetch([wanted(4_000_000_000, target)], retries=HURRIED)
    assert "Connection refused" in failed.message


def test_run_and_fetch_refuse_a_large_download_alike(tmp_path: Path, target: Path) -> None:
    with serving(Files(DATA, head_status=405)) as server:
        mine = benchmark(server.url, about=6_000_000_000)
        with pytest.raises(UsageError) as run:
            ensure_data(
                [mine], None, allow_modified=False, available=False, fetching=True, yes=False,
                note=lambda _: None, on_step=no_progress,
            )  # fmt: skip
        file = catalogue(tmp_path / "b.yaml", server.url, "MMStar", 6_000_000_000)
        done = command("fetch", "-b", "MMStar", "--benchmarks-file", str(file))
        assert [method for method, _ in server.asked] == ["HEAD", "HEAD"], "nothing is downloaded"
    assert done.returncode == run.value.exit_code == 2
    assert done.stderr.splitlines()[-1] == f"evalsuite: {run.value}"
    assert not target.exists()


def catalogue(path: Path, url: str, name: str = "Mine", about: int = 480_000) -> Path:
    entry = {
        "dataset": "MMStar", "modality": "image", "prompt": "choices", "metric": "choice",
        "max_new_tokens": 4,
        "published": {
            "url": url, "md5": {"MMStar": MD5}, "about_bytes": about, "licence": "MIT & more",
        },
    }  # fmt: skip
    path.write_text(yaml.safe_dump({"benchmarks": {name: entry}}))
    return path


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evalsuite", *words], capture_output=True, text=True,
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_command_prints_the_downloads_then_downloads(tmp_path: Path, target: Path) -> None:
    with serving(Files(DATA)) as server:
        file = catalogue(tmp_path / "b.yaml", server.url)
        done = command("fetch", "-b", "Mine", "--benchmarks-file", str(file))
        again = command("fetch", "-b", "Mine", "--benchmarks-file", str(file), "--verify")
        target.write_bytes(b"changed")
        changed = command("fetch", "-b", "Mine", "--benchmarks-file", str(file))
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    (row,) = [n for n, line in enumerate(lines) if line.startswith("Mine ")]
    for said in ("480.0 kB", "MIT & more", server.url, str(target)):
        assert said in lines[row]
    (loading,) = [n for n, line in enumerate(lines) if "downloading 480.0 kB of 480.0 kB" in line]
    assert row < loading
    assert lines[-1] == "data of 1 of 1 benchmark is ready"
    assert again.returncode == 0
    assert again.stderr == "data of 1 of 1 benchmark is ready\n"
    assert changed.returncode == 4
    assert hashlib.md5(b"changed").hexdigest() in changed.stderr
    assert target.read_bytes() == b"changed"


def test_without_a_network_there_is_one_table_and_exit_4(tmp_path: Path) -> None:
    began = time.monotonic()
    done = command(
        "fetch", "--suite", "paper", https_proxy="http://127.0.0.1:9",
        HF_HUB_CACHE=str(tmp_path / "hub"), HF_ENDPOINT="http://127.0.0.1:9",
    )  # fmt: skip
    assert done.returncode == 4
    assert time.monotonic() - began < 60, "a dead network is not waited for"
    assert "Traceback" not in done.stderr
    troubles = [line for line in done.stderr.splitlines() if "Connection refused" in line]
    assert len(troubles) <= 2
    assert "OCRBench, AI2D_TEST" in troubles[0]
    assert done.stderr.endswith("data of 0 of 15 benchmarks is ready\n")


def test_plain_lines_tell_rate_and_time_left() -> None:
    out = io.StringIO()
    now = iter([0.0, 1.0, 20.0, 30.0, 31.0])
    plain = downloads.Plain(Console(file=out, width=100), clock=lambda: next(now))
    for done in (0, 1, 2_000_000, 10_000_000, 10_000_000):
        plain.say(Step("B", "downloading", done, 10_000_000))
    assert out.getvalue() == textwrap.dedent("""\
        B: downloading 0 bytes of 10.0 MB
        B: downloading 2.0 MB of 10.0 MB, 100.0 kB/s, 1:20 left
        B: downloading 10.0 MB of 10.0 MB
        """)
