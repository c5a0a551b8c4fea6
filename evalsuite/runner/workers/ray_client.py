"""A Ray cluster as a place for workers: this process's end of it.

Ray stays in a child process, `evalsuite.runner.workers.ray_actors`. A process that connects to a
cluster gets Ray's signal handlers and log lines, and ends when the head is lost. A child process
can be abandoned when it does not answer.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import queue
import re
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runner.workers.ray_node_check import Wanted, weights
from evalsuite.runner.workers.worker import Message, Placed, Worker, WorkerSettings
from evalsuite.sample import Frames
from evalsuite.smolvlm.requests import Question
from evalsuite.system.files import disk_errors
from evalsuite.system.process import Child, ChildDied, ChildTimedOut

CONNECT_SECONDS = 30.0
"""How long a cluster may take to answer; a live one takes less than one."""
LOOK_SECONDS = 900.0
"""How long its machines may take to look around: each may hash the checkpoints."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
"""Nothing is sent to Ray's makers, and nodes keep the environment they have."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    gpus: int
    cpus: int


# What is said to the child


@dataclass(frozen=True, slots=True)
class Connect:
    """The first word."""

    address: str
    log: Path
    patience_seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """Find out whether machines, by their ids, will do; later ones will be looked at as well."""

    nodes: tuple[str, ...]
    wanted: Wanted
    lasting: Wanted
    """As much of it as machines that join later must see."""


@dataclass(frozen=True, slots=True)
class Hire:
    """Start a worker wherever there is room."""

    number: int
    settings: WorkerSettings


@dataclass(frozen=True, slots=True)
class Ask:
    """Questions for a worker; its machine must see the files `media`."""

    number: int
    questions: list[Question]
    media: list[str]


@dataclass(frozen=True, slots=True)
class Dismiss:
    """End a worker at once."""

    number: int


# What it says


@dataclass(frozen=True, slots=True)
class Connected:
    """To a cluster of these machines."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no connection."""

    reason: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What machines are like."""

    complaints: tuple[str, ...]
    """Why some will not do."""
    notes: tuple[str, ...]
    """What else differs."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker said, or how it died."""

    number: int
    message: Message | ChildDied


class RemoteWorker(Worker):
    """A worker on some machine of the cluster, or one that waits for room there."""

    placed = False

    def __init__(self, number: int, log: Path, send: Callable[[Ask | Dismiss], None]) -> None:
        self.where = "the Ray cluster"
        self.log = log
        self.inbox: queue.SimpleQueue[Message | Exception] = queue.SimpleQueue()
        self._number = number
        self._send = send

    def ask(self, questions: Sequence[Question]) -> None:
        """Queue `questions`. That the worker is gone, only `receive` says."""
        media = dict.fromkeys(path for q in questions for path in _paths(q))
        # What is not here either is a failed sample, and the worker will say so.
        seen = [path for path in media if Path(path).exists()]
        self._send(Ask(self._number, list(questions), seen))

    def receive(self) -> Message:
        """The next message; blocks.

        Raises `ChildDied`, and `IncompleteError` if the connection to the cluster is lost.
        """
        message = self.inbox.get()
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Placed):
            self.where, self.log = message.where, message.log
        return message

    def kill(self) -> None:
        """End the worker at once; what it was answering is lost."""
        self._send(Dismiss(self._number))
        self.inbox.put(ChildDied("was dismissed"))


def _paths(question: Question) -> Iterator[str]:
    for medium in question.prompt.media:
        yield from medium.paths if isinstance(medium, Frames) else (medium.path,)


class Cluster:
    """A connection to a cluster, and the workers hired through it; closing it ends them."""

    def __init__(self, address: str, log: Path, patience_seconds: float = 0) -> None:
        """Connect to `address`, ``auto`` or ``host:port``; Ray's chatter goes to `log`.

        A worker waits for room for `patience_seconds`. Raises `UsageError` if there is no cluster.
        """
        _check_installed()
        self._address = address
        self._log = log.absolute()
        self._inboxes: dict[int, queue.SimpleQueue[Message | Exception]] = {}
        self._numbers = itertools.count()
        self._lost: IncompleteError | None = None
        self._listener: threading.Thread | None = None
        self._child = Child("evalsuite.runner.workers.ray_actors", _QUIET)
        try:
            self._child.send(Connect(address, self._log, patience_seconds))
            said = self._child.receive(timeout=CONNECT_SECONDS)
        except ChildTimedOut:
            said = Refused(
                f"no Ray cluster answered within {CONNECT_SECONDS:.0f} seconds; check the address, "
                "and that 'ray status' works"
            )
        except ChildDied as death:
            said = Refused(f"the process that connects {death}: {_last_line(self._log)}")
        except BaseException:
            self.close()
            raise
        if isinstance(said, Refused):
            self.close()
            raise UsageError(f"--ray {address}: {said.reason}")
        assert isinstance(said, Connected)
        self.nodes = said.nodes

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect at once: whatever runs on the cluster for this connection is ended by Ray."""
        self._child.kill()

    def look(self, kind: str, wanted: Wanted, lasting: Wanted | None = None) -> tuple[str, ...]:
        """Make sure that machines with a device of `kind` see what is `wanted`; to be noted.

        Before any is hired. Raises `UsageError`.
        """
        ids = tuple(node.id for node in self.nodes if _room(node, kind))
        try:
            self._child.send(Look(ids, wanted, lasting or wanted))
            looked = self._child.receive(timeout=LOOK_SECONDS)
        except (ChildDied, ChildTimedOut) as error:
            raise UsageError(
                f"--ray {self._address}: the cluster's machines could not be looked at: {error}; "
                f"check that 'ray status' shows them alive ({_last_line(self._log)})"
            ) from None
        assert isinstance(looked, Looked)
        if looked.complaints:
            more = len(looked.complaints) - 1
            machines = "machine" if more == 1 else "machines"
            others = f" (and {more} more {machines} will not do)" if more else ""
            raise UsageError(f"--ray {self._address}: {looked.complaints[0]}{others}")
        return looked.notes

    def check(
        self, kind: str, checkpoints: Sequence[Checkpoint], directories: Sequence[Path]
    ) -> None:
        """Make sure that machines see `checkpoints`, and the same `directories` as this one.

        Raises `UsageError`.
        """
        lasting = Wanted(tuple(weights(checkpoint) for checkpoint in checkpoints))
        with contextlib.ExitStack() as signs:
            files = tuple(str(signs.enter_context(_sign(directory))) for directory in directories)
            self.look(kind, Wanted(lasting.checkpoints, files), lasting)

    def hire(self, settings: WorkerSettings) -> Worker:
        """Have a worker started wherever there is room."""
        number = next(self._numbers)
        worker = RemoteWorker(number, self._log, self._send)
        self._inboxes[number] = worker.inbox
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        if self._lost is not None:
            worker.inbox.put(self._lost)
        self._send(Hire(number, settings))
        return worker

    def _send(self, message: Hire | Ask | Dismiss) -> None:
        if isinstance(message, Dismiss):
            self._inboxes.pop(message.number, None)
        # A loss is reported by the listener.
        with contextlib.suppress(ChildDied):
            self._child.send(message)

    def _listen(self) -> None:
        try:
            while True:
                told: Told = self._child.receive()
                if (inbox := self._inboxes.get(told.number)) is not None:
                    inbox.put(told.message)
        except Exception as error:  # noqa: BLE001 - also a defect must reach those who wait
            self._lost = IncompleteError(
                f"--ray {self._address}: the connection to the cluster was lost ({error}); "
                f"{self._log} has its last words. Every answer so far is kept"
            )
            for inbox in list(self._inboxes.values()):
                inbox.put(self._lost)


def survey(address: str, device: str, workers: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Look at the cluster at `address`: the device of each worker it is to have, and notes.

    `device` and `workers` are what the user asked for. Raises `UsageError` if there is no such
    cluster, it has too little, or one of its machines another evalsuite.
    """
    if not re.fullmatch(r"auto|(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d+", address):
        raise UsageError(f"--ray {address}: expected auto or the cluster's address like head:6379")
    if re.fullmatch(r"cuda:\d+", device):
        raise UsageError(
            f"--device {device}: with --ray, Ray chooses the GPUs; leave out the number"
        )
    if workers != "auto" and not (workers.isdecimal() and int(workers) > 0):
        raise UsageError(f"--workers {workers}: expected auto or a number of processes like 2")
    with (
        tempfile.TemporaryDirectory(prefix="evalsuite-") as scratch,
        Cluster(address, Path(scratch) / "ray.log") as cluster,
    ):
        devices = seats(address, cluster.nodes, device, workers)
        return devices, cluster.look(devices[0], Wanted())


def seats(address: str, nodes: Sequence[Node], device: str, workers: str) -> tuple[str, ...]:
    """The device of each worker: one a GPU, or so many as were asked for of one CPU each.

    Raises `UsageError`.
    """
    gpus, cpus = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    if device == "cpu" or (device == "auto" and not gpus):
        if workers == "auto":
            why = "" if gpus else "the cluster has no GPU; "
            raise UsageError(
                f"--ray {address}: {why}say how many workers of one CPU each with --workers N "
                f"(it has {cpus} CPUs)"
            )
        what, there, here = "cpu", cpus, "CPUs"
    else:
        # Ray shows a worker its own GPU alone, which is then the first.
        what, there, here = "cuda:0", gpus, "GPUs"
    count = there if workers == "auto" else int(workers)
    if not there or count > there:
        raise UsageError(
            f"--ray {address}: the cluster has {there} {here}; take fewer --workers"
            if there
            else f"--ray {address}: the cluster has no {here}"
        )
    return (what,) * count


def on_gpu(kind: str) -> bool:
    """Whether a worker on the device `kind` needs a GPU."""
    return kind.startswith("cuda")


def _room(node: Node, kind: str) -> int:
    return node.gpus if on_gpu(kind) else node.cpus


def _check_installed() -> None:
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--ray needs ray, which is not installed: pip install 'evalsuite[ray]'")


def _last_line(log: Path) -> str:
    """What Ray said last, for one who cannot know what went wrong."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")


@contextlib.contextmanager
def _sign(directory: Path) -> Iterator[Path]:
    """A file in `directory` that no other directory has."""
    path = directory.absolute() / f".sign-{uuid.uuid4().hex}"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
