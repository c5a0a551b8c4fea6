"""Messages between this process (`ray_client`) and the one that talks to Ray (`ray_server`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalsuite.runner.workers.ray_node_check import Required
from evalsuite.runner.workers.worker import Message, WorkerSettings
from evalsuite.smolvlm.requests import Question
from evalsuite.system.process import ChildDied


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    gpus: int
    cpus: int


# To the server


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to a cluster. The first message."""

    address: str
    log: Path
    patience_seconds: float
    """How long a worker may wait for a free device."""


@dataclass(frozen=True, slots=True)
class CheckNodes:
    """Check whether workers can run on these machines, by id."""

    nodes: tuple[str, ...]
    required: Required
    required_later: Required
    """For machines that join the cluster later."""


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a worker on any machine with a free device."""

    number: int
    settings: WorkerSettings


@dataclass(frozen=True, slots=True)
class Ask:
    """Questions for a worker; its machine must see the files `media`."""

    number: int
    questions: list[Question]
    media: list[str]


@dataclass(frozen=True, slots=True)
class StopWorker:
    """End a worker at once."""

    number: int


# From the server


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection exists; the machines of the cluster."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no connection."""

    reason: str


@dataclass(frozen=True, slots=True)
class NodesChecked:
    """The result of `CheckNodes`."""

    problems: tuple[str, ...]
    """Why some machines cannot be used."""
    notes: tuple[str, ...]
    """Differences that do not matter for predictions."""


@dataclass(frozen=True, slots=True)
class RemoteMessage:
    """What a worker sent, or how it ended."""

    number: int
    payload: Message | ChildDied


def uses_gpu(device: str) -> bool:
    """Whether a worker on `device` needs a GPU."""
    return device.startswith("cuda")
