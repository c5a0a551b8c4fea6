"""Workers on a Ray cluster: this process's side.

Ray runs in a child process, `evalsuite.runner.workers.ray_server`. A process that connects to a
cluster gets Ray's signal handlers and log lines, and ends when the head node is lost. A child
process can be killed when it does not answer.
"""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.workers import ray_nodes
from evalsuite.runner.workers.ray_nodes import Node, Required, uses_gpu
from evalsuite.runner.workers.worker import Assigned, Message, Worker, WorkerSettings
from evalsuite.smolvlm.requests import Question
from evalsuite.system import devices
from evalsuite.system.files import disk_errors
from evalsuite.system.process import Child, ChildDied, ChildTimedOut
from evalsuite.system.scratch import scratch_directory

CONNECT_SECONDS = 30.0
"""How long a cluster may take to answer; usually it takes less than one second."""
CHECK_SECONDS = 900.0
"""How long the check of the machines may take: each may hash the checkpoints."""
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""No usage statistics are sent, and machines keep their own Python environment."""


class RemoteWorker(Worker):
    """A worker on a machine of the cluster, or one that waits for a free device."""

    assigned = False

    def __init__(self, number: int, log: Path, call: Callable[..., None]) -> None:
        """`call` calls a method of `RayServer`."""
        self.location = "the Ray cluster"
        self.log = log
        self.inbox: queue.SimpleQueue[Message | Exception] = queue.SimpleQueue()
        self._number = number
        self._call = call

    def ask(self, questions: Sequence[Question]) -> None:
        """Queue `questions`. Only `receive` reports that the worker has died."""
        media = dict.fromkeys(
            path for one in questions for item in one.prompt.media for path in item.paths
        )
        # A file that is missing here too is a failed sample; the worker reports it.
        existing = [path for path in media if Path(path).exists()]
        self._call("ask", self._number, list(questions), existing)

    def receive(self) -> Message:
        """The next message; blocks.

        Raises `ChildDied`, and `IncompleteError` if the connection to the cluster is lost.
        """
        message = self.inbox.get()
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Assigned):
            self.location, self.log = message.machine, message.log
        return message

    def kill(self) -> None:
        """End the worker at once. Unfinished questions are lost."""
        self._call("stop", self._number)
        self.inbox.put(ChildDied("was stopped"))


class RayCluster:
    """A connection to a cluster. Closing it ends all workers started through it."""

    def __init__(self, address: str, log: Path, patience_seconds: float = 0) -> None:
        """Connect to `address`, ``auto`` or ``host:port``; Ray's output goes to `log`.

        A worker waits for a free device for `patience_seconds`. Raises `UsageError` if there is no
        cluster.
        """
        if importlib.util.find_spec("ray") is None:
            raise UsageError(
                "--ray needs ray, which is not installed: pip install 'evalsuite[ray]'"
            )
        self._address = address
        self._log = log.absolute()
        self._workers: list[RemoteWorker] = []
        self._lost: IncompleteError | None = None
        self._listener: threading.Thread | None = None
        self._child = Child("evalsuite.runner.workers.ray_server", _ENVIRONMENT)
        try:
            self._child.send((address, self._log, patience_seconds))
            answer: tuple[Node, ...] | str = self._child.receive(timeout=CONNECT_SECONDS)
        except ChildTimedOut:
            answer = (
                f"no Ray cluster answered within {CONNECT_SECONDS:.0f} seconds; check the address, "
                "and that 'ray status' works"
            )
        except ChildDied as death:
            answer = f"the process that connects {death}: {_last_line(self._log)}"
        except BaseException:
            self.close()
            raise
        if isinstance(answer, str):
            self.close()
            raise UsageError(f"--ray {address}: {answer}")
        self.nodes = answer

    def close(self) -> None:
        """Disconnect at once. Ray then ends everything that runs for this connection."""
        self._child.kill()

    def check_nodes(
        self, device: str, checkpoints: Sequence[Required] = (), files: Sequence[str] = ()
    ) -> Sequence[str]:
        """Check that machines with such a device see `checkpoints` and `files`; returns notes.

        Call it before starting workers. Machines that join the cluster later need not see `files`.
        Raises `UsageError`.
        """
        ids = [n.id for n in self.nodes if (n.gpus if uses_gpu(device) else n.cpus)]
        problems: list[str]
        notes: list[str]
        try:
            self._child.send(("check", ids, checkpoints, files))
            problems, notes = self._child.receive(timeout=CHECK_SECONDS)
        except (ChildDied, ChildTimedOut) as error:
            raise UsageError(
                f"--ray {self._address}: the machines of the cluster could not be checked: {error};"
                f" check that 'ray status' shows them alive ({_last_line(self._log)})"
            ) from None
        if problems:
            more = len(problems) - 1
            machines = "machine" if more == 1 else "machines"
            others = f" (and {more} more {machines} with problems)" if more else ""
            raise UsageError(f"--ray {self._address}: {problems[0]}{others}")
        return notes

    def check_shared(
        self, device: str, checkpoints: Sequence[Checkpoint], directories: Sequence[Path]
    ) -> None:
        """Check that machines see `checkpoints`, and the same `directories` as this one.

        Raises `UsageError`.
        """
        with contextlib.ExitStack() as markers:
            files = [str(markers.enter_context(_marker(path))) for path in directories]
            self.check_nodes(device, [ray_nodes.required(one) for one in checkpoints], files)

    def start_worker(self, settings: WorkerSettings) -> Worker:
        """Start a worker on any machine with a free device."""
        number = len(self._workers)
        worker = RemoteWorker(number, self._log, self._call)
        self._workers.append(worker)
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        if self._lost is not None:
            worker.inbox.put(self._lost)
        self._call("start", number, settings)
        return worker

    def _call(self, *message: object) -> None:
        # The listener reports a lost connection.
        with contextlib.suppress(ChildDied):
            self._child.send(message)

    def _listen(self) -> None:
        try:
            while True:
                number, payload = self._child.receive()
                self._workers[number].inbox.put(payload)
        except Exception as error:  # noqa: BLE001 - every error must reach the waiting threads
            self._lost = IncompleteError(
                f"--ray {self._address}: the connection to the cluster was lost ({error}); see "
                f"{self._log}. Every answer so far is kept"
            )
            for worker in list(self._workers):
                worker.inbox.put(self._lost)


def connect(
    options: ResolvedConfig, checkpoints: Sequence[Checkpoint], shared: Sequence[Path]
) -> RayCluster:
    """Connect to the cluster of `options`; its machines must see `checkpoints` and `shared`.

    Raises `UsageError`.
    """
    log = options.config.output_dir / "ray.log"
    cluster = RayCluster(str(options.config.ray), log, options.patience_seconds)
    try:
        cluster.check_shared(options.device, checkpoints, shared)
    except BaseException:
        cluster.close()
        raise
    return cluster


def survey(address: str, device: str, workers: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inspect the cluster at `address`: the device of each worker, and notes.

    `device` and `workers` are the user's options. Raises `UsageError` if there is no such cluster,
    if it is too small, or if a machine has another version of evalsuite.
    """
    if not re.fullmatch(r"auto|(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d+", address):
        raise UsageError(f"--ray {address}: expected auto or the cluster's address like head:6379")
    if re.fullmatch(r"cuda:\d+", device):
        raise UsageError(f"--device {device}: with --ray, Ray chooses the GPUs; omit the number")
    devices.read_count("--workers", workers, devices.WORKERS)
    with (
        scratch_directory() as scratch,
        contextlib.closing(RayCluster(address, scratch / "ray.log")) as cluster,
    ):
        chosen = worker_devices(address, cluster.nodes, device, workers)
        return chosen, tuple(cluster.check_nodes(chosen[0]))


def worker_devices(
    address: str, nodes: Sequence[Node], device: str, workers: str
) -> tuple[str, ...]:
    """The device of each worker: one per GPU, or the requested number with one CPU each.

    Raises `UsageError`.
    """
    gpus, cpus = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    if device == "cpu" or (device == "auto" and not gpus):
        if workers == "auto":
            why = "" if gpus else "the cluster has no GPU; "
            raise UsageError(
                f"--ray {address}: {why}set the number of workers with one CPU each by --workers N "
                f"(it has {cpus} CPUs)"
            )
        kind, available, unit = "cpu", cpus, "CPUs"
    else:
        # Ray shows a worker only its own GPU, which is then the first one.
        kind, available, unit = "cuda:0", gpus, "GPUs"
    count = available if workers == "auto" else int(workers)
    if not available:
        raise UsageError(f"--ray {address}: the cluster has no {unit}")
    if count > available:
        raise UsageError(f"--ray {address}: the cluster has {available} {unit}; reduce --workers")
    return (kind,) * count


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")


@contextlib.contextmanager
def _marker(directory: Path) -> Iterator[Path]:
    """A file in `directory` that no other directory has."""
    path = directory.absolute() / f".marker-{uuid.uuid4().hex}"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
