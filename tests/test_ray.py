"""Workers on a Ray cluster of two machines write the same files as one local worker."""

import base64
import contextlib
import dataclasses
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalsuite.errors import IncompleteError, InterruptedRun, UsageError
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.workers import ray_nodes as node
from evalsuite.runner.workers.ray_client import RayCluster as Connection
from evalsuite.runner.workers.ray_client import worker_devices
from evalsuite.runner.workers.ray_nodes import Node
from evalsuite.runner.workers.worker import (
    Assigned,
    BatchDone,
    Ready,
    Worker,
    WorkerRemoved,
    WorkerSettings,
)
from evalsuite.runs.records import Run
from evalsuite.sample import Image
from evalsuite.smolvlm.prompts import Prompt
from evalsuite.smolvlm.requests import EngineSettings, Question
from evalsuite.system.process import ChildDied
from tests.builders.commands import gone
from tests.builders.run_files import png, scores
from tests.conftest import Bench, Watched, demo
from tests.fakes.ray_cluster import RayCluster

pytestmark = pytest.mark.integration

pytest.importorskip("ray")

NAMES = ["DemoOCR", "DemoVideo"]
LIMIT = "120"
PATIENCE = 180
"""Seconds; a worker loads torch first, and the machine may have other things to do."""
COMMAND = [sys.executable, "-P", "-m", "evalsuite", "run", "--ckpt", "demo",
           "-b", ",".join(NAMES), "--limit", LIMIT]  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with contextlib.closing(RayCluster()) as made:
        made.add()
        yield made


@dataclasses.dataclass
class Alone:
    """A run by one worker of this machine."""

    run: Run
    directory: Path

    def same(self, run: Run, directory: Path) -> None:
        """`run` in `directory` has the same scores, and the same files byte for byte."""
        assert scores(run) == scores(self.run)
        for name in NAMES:
            for file in ("predictions.jsonl", f"samples@{LIMIT}.jsonl"):
                assert (directory / name / file).read_bytes() == (
                    self.directory / name / file
                ).read_bytes(), f"{name}/{file}"


@pytest.fixture(scope="module")
def alone(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    output = tmp_path_factory.mktemp("alone")
    run = bench.run(output, demo(*NAMES), limit=LIMIT)
    assert not run.failures
    return Alone(run, bench.directory(output))


class Counting(Watched):
    """Counts predictions; at each one, tries the next of `steps`."""

    def __init__(self, *steps: Callable[[list[str]], bool]) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.steps = list(steps)

    def advanced(self, benchmark: str, done: int) -> None:
        self.counts[benchmark] += done - self.done.get(benchmark, 0)
        super().advanced(benchmark, done)
        if self.steps and self.steps[0](self.notes):
            self.steps.pop(0)


def options(
    bench: Bench, output: Path, address: str, *, workers: int = 2, patience: float = 60
) -> ResolvedConfig:
    given = bench.options(output, batch_size=8, limit=LIMIT, workers=workers)
    config = dataclasses.replace(given.config, ray=address)
    return dataclasses.replace(given, config=config, patience_seconds=patience)


def until(true: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} seconds"
        time.sleep(0.1)


def settings(bench: Bench, log: Path) -> WorkerSettings:
    return WorkerSettings(
        directory=bench.checkpoint.path,
        engine=EngineSettings(processor=bench.checkpoint.processor_path),
        log=log,
        threads=1,
    )


def said(worker: Worker) -> "queue.SimpleQueue[object]":
    """The messages of `worker`, and the error at its end."""
    heard: queue.SimpleQueue[object] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                heard.put(worker.receive())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            heard.put(error)

    threading.Thread(target=listen, daemon=True).start()
    return heard


# Without a cluster: before the first test that makes one


def test_auto_without_a_cluster_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private.services import find_gcs_addresses

    if find_gcs_addresses():
        pytest.skip("there is a Ray cluster on this machine")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert refused(tmp_path, "--ray", "auto", "--workers", "2") == 2
    assert capsys.readouterr().err == (
        "evalsuite: --ray auto: no Ray cluster on this machine; start one with 'ray start --head', "
        "or join one with 'ray start --address HOST:PORT'\n"
    )


def refused(tmp_path: Path, *arguments: str) -> int:
    from evalsuite.cli import main

    code = main(["run", "--ckpt", "demo", "--output-dir", str(tmp_path / "out"), *arguments])
    assert not (tmp_path / "out").exists(), "nothing is written"
    return code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: nothing answers at 127.0.0.1:1: Connection"),
        (["--ray", "no.such.host.invalid:6379"], "nothing answers at no.such.host.invalid:6379: "),
        (["--ray", "head"], "--ray head: expected auto or the cluster's address like head:6379"),
        (["--ray", "ray://head:10001"], "--ray ray://head:10001: expected auto or the cluster's"),
        (["--ray", "auto", "--device", "cuda:1"], "with --ray, Ray chooses the GPUs"),
        (["--ray", "auto", "--device", "gpu"], "--device gpu"),
        (["--ray", "auto", "--workers", "0"], "--workers 0"),
        (["--ray", "auto", "--shard", "1/2"], "--shard and --ray exclude each other"),
    ],
)
def test_refused_options(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_address_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert refused(tmp_path, "--ray", "auto") == 2
    assert "--ray auto: nothing answers at 127.0.0.1:1" in capsys.readouterr().err
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert refused(tmp_path, "--ray", "auto") == 2
    assert "$RAY_ADDRESS is ray://head:10001; expected" in capsys.readouterr().err


def test_ray_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # Python then raises ImportError
    assert refused(tmp_path, "--ray", "auto") == 2
    assert capsys.readouterr().err == (
        "evalsuite: --ray needs ray, which is not installed: pip install 'evalsuite[ray]'\n"
    )


@pytest.mark.parametrize(
    ("gpus", "device", "workers", "expected"),
    [
        ((2, 1), "auto", "auto", ["cuda:0"] * 3),
        ((2, 1), "cuda", "2", ["cuda:0"] * 2),
        ((2, 1), "cpu", "5", ["cpu"] * 5),
        ((0, 0), "auto", "2", ["cpu"] * 2),
        ((2, 1), "cuda", "4", "the cluster has 3 GPUs; reduce --workers"),
        ((2, 1), "cpu", "auto", "by --workers N (it has 16 CPUs)"),
        (
            (0, 0),
            "auto",
            "auto",
            "has no GPU; set the number of workers",
        ),
        ((0, 0), "auto", "17", "the cluster has 16 CPUs; reduce --workers"),
        ((0, 0), "cuda", "auto", "the cluster has no GPUs"),
    ],
)
def test_worker_devices(
    gpus: tuple[int, ...], device: str, workers: str, expected: list[str] | str
) -> None:
    nodes = [Node(str(i), f"node-{i}", gpu, 8) for i, gpu in enumerate(gpus)]
    if isinstance(expected, list):
        assert worker_devices("head:6379", nodes, device, workers) == tuple(expected)
    else:
        with pytest.raises(UsageError) as refusal:
            worker_devices("head:6379", nodes, device, workers)
        assert str(refusal.value).startswith("--ray head:6379: ")
        assert expected in str(refusal.value)


# What a machine must be like


@pytest.mark.parametrize("key", ["evalsuite", "engine", "resampling"])
def test_a_machine_must_have_the_same_version(key: str) -> None:
    here = node.traits()
    assert node.problem(here, here) is None
    other = {**here, key: "other"}
    assert (node.problem(other, here) or "").startswith(
        f"has {key} other, and this machine {here[key]}; install the same "
    )


def test_other_package_versions_are_noted() -> None:
    here = node.traits()
    other = {**here, "torch": "2.11.0", "peft": None, "decord": "0.1", "platform": "Linux"}
    assert node.problem(other, here) is None
    assert node.differences(other, here) == {"torch": "2.11.0", "peft": None}


def test_a_machine_must_see_the_checkpoint(bench: Bench, tmp_path: Path) -> None:
    right = node.required(bench.checkpoint)
    seen = tmp_path / "sign"
    seen.touch()
    assert node.check([right], [str(seen)]) == (node.traits(), [])
    _, (other,) = node.check([(*right[:3], "0" * 64)], [])
    assert other.startswith(f"has another checkpoint in {bench.checkpoint.path}; ")
    _, (none,) = node.check([(str(tmp_path / "none"), None, None, "")], [])
    assert none.startswith(f"cannot read the checkpoint: {tmp_path}/none: no such directory")


def test_a_machine_without_the_shared_files_is_refused(
    bench: Bench, cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process has its own /proc/self/cwd."""
    monkeypatch.chdir(tmp_path)
    given = options(bench, Path("/proc/self/cwd/out"), cluster.address)
    with pytest.raises(UsageError) as refusal:
        bench.evaluate(demo(*NAMES), given, Watched())
    assert str(refusal.value) == (
        f"--ray {cluster.address}: {os.uname().nodename} does not see /proc/self/cwd/out; "
        "checkpoints, the cache ($EVALSUITE_CACHE) and --output-dir must be on a file system that "
        "all machines share (and 1 more machine with problems)"
    )
    assert not list(tmp_path.glob("out/.marker*"))


# Runs


def test_two_machines_write_the_same_files_as_one_worker(
    alone: Alone, bench: Bench, cluster: RayCluster, tmp_path: Path
) -> None:
    raylets: set[int] = set()

    def look(_: list[str]) -> bool:
        raylets.update(cluster.workers().values())
        return len(raylets) == 2

    watched = Counting(look)
    given = options(bench, tmp_path, cluster.address)
    run = bench.evaluate(demo(*NAMES), given, watched)
    alone.same(run, bench.directory(tmp_path))
    assert raylets == set(cluster.raylets), "one worker on each"
    assert dict(watched.counts) == {s.benchmark: s.n for s in run.scores}, "nothing twice"
    environment = run.environment
    assert (environment["device"], environment["workers"]) == ("cpu", 2)
    assert environment["ray"] == sys.modules["ray"].__version__
    (log,) = tmp_path.glob("worker-*.log")
    assert "Loading weights" in log.read_text()
    until(lambda: not cluster.workers(), 20)


def test_a_run_survives_a_killed_worker_and_a_killed_machine(
    alone: Alone, bench: Bench, cluster: RayCluster, tmp_path: Path
) -> None:
    def on(raylet: int) -> list[int]:
        return [worker for worker, its in cluster.workers().items() if its == raylet]

    head, other = cluster.raylets

    def kill_worker(_: list[str]) -> bool:
        until(lambda: on(head) and on(other))
        os.kill(on(head)[0], signal.SIGKILL)
        return True

    def kill_machine(notes: list[str]) -> bool:
        if not any("was killed" in note for note in notes):
            return False
        until(lambda: on(head))  # a new one, which is loading; it was the other that answered
        cluster.kill()
        return True

    def add_machine(notes: list[str]) -> bool:
        if not any("left the cluster" in note for note in notes):
            return False
        machine = cluster.add()
        until(lambda: on(machine))
        return True

    watched = Counting(kill_worker, kill_machine, add_machine)
    given = options(bench, tmp_path, cluster.address)
    run = bench.evaluate(demo(*NAMES), given, watched)
    assert watched.steps == [], watched.notes
    alone.same(run, bench.directory(tmp_path))
    # Predictions on disk are not repeated: every sample is written once.
    assert dict(watched.counts) == {s.benchmark: s.n for s in run.scores}
    host = os.uname().nodename
    assert (
        f"the worker on {host} was killed (out of memory?); starting another worker"
        in watched.notes
    )
    assert (
        f"the worker on {host} left the cluster with its machine; its questions are retried"
        in watched.notes
    )


def test_an_interrupted_run_leaves_no_worker_and_can_be_resumed(
    alone: Alone, bench: Bench, cluster: RayCluster, tmp_path: Path
) -> None:
    given = options(bench, tmp_path, cluster.address, workers=1)

    def interrupt(_: list[str]) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return True

    with pytest.raises(InterruptedRun, match="every answer so far is in"):
        bench.evaluate(demo(*NAMES), given, Counting(interrupt))
    until(lambda: not cluster.workers(), 20)
    before = answers(tmp_path)
    assert before > 0

    process = subprocess.Popen(
        [*COMMAND, "--output-dir", str(tmp_path), "--ray", cluster.address, "--workers", "2",
         "--batch-size", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        until(lambda: answers(tmp_path) > before + 3)
        workers = list(cluster.workers())
        process.kill()
        _, errors = process.communicate(timeout=60)
    assert workers
    until(lambda: all(gone(pid) for pid in workers) and not cluster.workers(), 20)
    assert "on cpu with 2 workers on a Ray cluster in float32" in errors
    assert f"{tmp_path}/worker-MACHINE.log" in errors
    assert not [word for word in ("Traceback", "raylet", "ray::") if word in errors]
    assert answers(tmp_path) < 2 * int(LIMIT), "something is left to do"

    run = bench.run(tmp_path, demo(*NAMES), limit=LIMIT)
    alone.same(run, bench.directory(tmp_path))


def answers(output: Path) -> int:
    """Number of predictions in the journals, whose first lines are headers."""
    return sum(
        max(0, journal.read_bytes().count(b"\n") - 1)
        for journal in output.glob("*/*/*/predictions.jsonl")
    )


def test_a_lost_connection_ends_the_run(bench: Bench, cluster: RayCluster, tmp_path: Path) -> None:
    def kill_connection(_: list[str]) -> bool:
        (child,) = children(os.getpid(), "evalsuite.runner.workers.ray_server")
        os.kill(child, signal.SIGKILL)
        return True

    given = options(bench, tmp_path, cluster.address, workers=1)
    with pytest.raises(IncompleteError) as error:
        bench.evaluate(demo(*NAMES), given, Counting(kill_connection))
    assert str(error.value) == (
        f"--ray {cluster.address}: the connection to the cluster was lost (was killed (out of "
        f"memory?)); see {tmp_path}/ray.log. Every answer so far is kept"
    )
    assert answers(tmp_path) > 0
    until(lambda: not cluster.workers(), 20)


def children(parent: int, module: str) -> list[int]:
    """The processes that `parent` started and whose command line names `module`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "stat").read_text().rpartition(")")[2].split()
            command = (process / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        if int(words[1]) == parent and module in command:
            found.append(int(process.name))
    return found


# Workers alone


def test_messages_for_no_free_device_missing_image_and_killed_actor(
    bench: Bench, cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Connection(cluster.address, tmp_path / "ray.log", 60)) as busy:
        assert [node.cpus for node in busy.nodes] == [1, 1]
        busy.check_shared("cpu", [bench.checkpoint], [tmp_path])
        workers = [busy.start_worker(settings(bench, tmp_path / "worker.log")) for _ in range(2)]
        heard = [said(worker) for worker in workers]
        log = tmp_path / f"worker-{os.uname().nodename}.log"
        for inbox in heard:
            assert inbox.get(timeout=PATIENCE) == Assigned(os.uname().nodename, log)

        # A run on the cluster that is full now.
        given = options(bench, tmp_path / "out", cluster.address, patience=2)
        with pytest.raises(IncompleteError, match=r"no CPU of the Ray cluster was free .* is kept"):
            bench.evaluate(demo(*NAMES), given, Watched())

        for inbox in heard:
            assert isinstance(inbox.get(timeout=PATIENCE), Ready)

        # An image that is there for this process alone. One that is nowhere is an answer.
        monkeypatch.chdir(tmp_path)
        (tmp_path / "image.png").write_bytes(base64.b64decode(png((200, 0, 0))))
        for worker, path in zip(workers, ("/proc/self/cwd/image.png", "/none.png"), strict=True):
            prompt = Prompt("What color is this?<image>", (Image(path, "digest"),), split=False)
            worker.ask([Question("id", prompt, 4)])
        unseen, answered = (inbox.get(timeout=PATIENCE) for inbox in heard)
        assert isinstance(unseen, WorkerRemoved)
        assert str(unseen) == (
            "does not see /proc/self/cwd/image.png; it is not on a shared file system"
        )
        assert isinstance(answered, BatchDone)
        assert answered.answers[0].error is not None
        assert "/none.png" in answered.answers[0].error

        # An actor is killed: that is told from the worker's own death.
        for process in cluster.workers():
            parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(parent, signal.SIGKILL)
        death = heard[1].get(timeout=PATIENCE)
        assert isinstance(death, ChildDied)
        assert not isinstance(death, WorkerRemoved)
        assert str(death) == "lost its Ray actor (killed, or out of memory?)"
    until(lambda: not cluster.workers(), 20)


def test_a_machine_with_another_version_is_excluded(
    bench: Bench, cluster: RayCluster, tmp_path: Path
) -> None:
    (tmp_path / "other" / "evalsuite").mkdir(parents=True)
    (tmp_path / "other" / "evalsuite" / "__init__.py").touch()
    complaint = "has no evalsuite or another version; install the version of this machine there"
    host = os.uname().nodename
    cluster.kill()
    with contextlib.closing(Connection(cluster.address, tmp_path / "ray.log", 60)) as ours:
        ours.check_shared("cpu", [bench.checkpoint], [tmp_path])
        cluster.add(tmp_path / "other")
        heard = [
            said(ours.start_worker(settings(bench, tmp_path / "worker.log"))) for _ in range(2)
        ]
        first = [inbox.get(timeout=PATIENCE) for inbox in heard]
        (misplaced,) = [message for message in first if isinstance(message, WorkerRemoved)]
        assert str(misplaced) == f"was assigned to {host}, which {complaint}"
        (placed,) = [message for message in first if isinstance(message, Assigned)]
        # It is not sent there again: that machine's CPU stays free, and the other has none.
        third = said(ours.start_worker(settings(bench, tmp_path / "worker.log")))
        assert placed.machine == host
        time.sleep(8)
        assert third.empty(), third.get()
    with contextlib.closing(Connection(cluster.address, tmp_path / "ray.log", 60)) as ours:
        with pytest.raises(UsageError) as refusal:
            ours.check_shared("cpu", [bench.checkpoint], [tmp_path])
        assert str(refusal.value) == f"--ray {cluster.address}: {host} {complaint}"
    cluster.kill()
    cluster.add()
    until(lambda: not cluster.workers(), 20)
