"""The process that talks to Ray. Only this module imports ray.

Each worker is an actor with one GPU or one CPU, in which an ordinary worker process is started.
Ray ends the actors when the connection ends, whatever happens to this process.

`RayActor` and `check_node` are sent to the machines by value. They must work on a machine without
evalsuite, or with another version, to find that out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from evalsuite.runner.workers import ray_nodes
from evalsuite.runner.workers.ray_nodes import Node, Required, uses_gpu
from evalsuite.runner.workers.worker import (
    Assigned,
    Message,
    NoFreeDevice,
    Ready,
    WorkerRemoved,
    WorkerSettings,
)
from evalsuite.smolvlm.requests import Question
from evalsuite.system.process import ChildDied, serve, write_to
from evalsuite.system.text import one_line, slug

CONNECT_TIMEOUT = 5.0
"""Seconds the head may take to accept a connection; Ray itself would try for minutes."""
GRACE_PERIOD = 1.0
"""Seconds in which all processes of a machine may end after the first has."""
NO_NODE_SECONDS = 10.0
"""How long to wait for another machine if none is allowed."""
_GONE = "left the cluster with its machine"


class RayActor:
    """A Ray actor with one GPU or one CPU, in which a worker process is started."""

    def node(self) -> str:
        """Id of the machine."""
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def start(self, settings: WorkerSettings) -> None:
        """Start a worker."""
        from evalsuite.runner.workers.worker import Worker

        self._worker = Worker(settings)

    def ask(self, questions: Sequence[Question], media: Sequence[str]) -> str | None:
        """Queue `questions`, unless this machine lacks one of the files `media`: returns that."""
        from evalsuite.runner.workers.ray_nodes import missing_files
        from evalsuite.system.process import ChildDied

        if missing := missing_files(media):
            return missing[0]
        with contextlib.suppress(ChildDied):  # `receive` reports it
            self._worker.ask(questions)
        return None

    def receive(self) -> Message | ChildDied:
        """The next message, or how the worker died; blocks."""
        from evalsuite.system.process import ChildDied

        try:
            return self._worker.receive()
        except ChildDied as death:
            return death


def check_node(wanted: str) -> tuple[int, str, str]:
    """Run `ray_nodes` as a worker is run; returns its exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "evalsuite.runner.workers.ray_nodes"],
        input=wanted,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class WorkerHandle:
    """A worker from its start to its end. A thread waits for its messages."""

    def __init__(self, number: int, settings: WorkerSettings, server: RayServer) -> None:
        self._number = number
        self._settings = settings
        self._server = server
        self._node: Node | None = None
        self._gpu = uses_gpu(settings.engine.device)
        options: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if self._gpu else {"num_cpus": 1}
        if excluded := server.excluded_nodes:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(excluded))})"}
        actor = ray.remote(
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            # One thread each: waiting for an answer blocks no question, and questions keep their
            # order.
            concurrency_groups={"in": 1, "out": 1},
            **options,
        )(RayActor)
        self._actor = actor.remote()
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, questions: Sequence[Question], media: Sequence[str]) -> None:
        """Pass on questions."""
        done = self._call("ask", "in", questions, media)
        done.future().add_done_callback(self._asked)

    def stop(self) -> None:
        """End the actor and its worker."""
        ray.kill(self._actor, no_restart=True)

    def _work(self) -> None:
        try:
            self._node = node = self._find_node()
            if why := self._server.problem(node):
                raise WorkerRemoved(f"was assigned to {node.name}, which {why}")
            threads = self._settings.threads or max(1, node.cpus // max(1, node.gpus))
            log = self._settings.log
            log = log.with_name(f"{log.stem}-{slug(node.name)}.log")
            self._send(Assigned(node.name, log))
            settings = dataclasses.replace(self._settings, log=log, threads=threads)
            ray.get(self._call("start", "out", settings))
            while True:
                message = ray.get(self._call("receive", "out"))
                if isinstance(message, Ready):
                    versions = {"ray": ray.__version__, **self._server.differences(node)}
                    message = Ready({**message.environment, **versions})
                self._send(message)
                if isinstance(message, ChildDied):
                    return
        except ChildDied as death:
            self._send(death)
        except Exception as error:  # noqa: BLE001 - every error must be reported
            traceback.print_exc()
            self._server.exit_if_disconnected()
            self._send(_exit_reason(error, self._node))

    def _find_node(self) -> Node:
        """Wait for a machine on which the worker can run; raises `WorkerRemoved`."""
        seconds = self._server.patience_seconds
        allowed = any(
            (node.gpus if self._gpu else node.cpus) and node.id not in self._server.excluded_nodes
            for node in _nodes()
        )
        if not allowed:
            seconds = min(seconds, NO_NODE_SECONDS)
        try:
            id_ = ray.get(self._call("node", "out"), timeout=seconds)
        except GetTimeoutError:
            self._server.exit_if_disconnected()
            device = f"{'GPU' if self._gpu else 'CPU'} of the Ray cluster"
            raise NoFreeDevice(
                f"no {device} was free for {seconds:.0f} seconds"
                if allowed
                else f"no usable {device} is left"
            ) from None
        node = next((node for node in _nodes() if node.id == id_), None)
        if node is None:
            raise WorkerRemoved(_GONE)
        return node

    def _call(self, method: str, group: str, *arguments: object) -> Any:
        return getattr(self._actor, method).options(concurrency_group=group).remote(*arguments)

    def _asked(self, done: Any) -> None:
        error = done.exception()
        if error is None and (missing := done.result()) is not None:
            self._send(WorkerRemoved(f"does not see {missing}; it is not on a shared file system"))
        # `_work` reports the end of the actor.
        elif error is not None and not isinstance(error, RayActorError):
            self._send(_unusable(error))

    def _send(self, payload: Message | ChildDied) -> None:
        if isinstance(payload, WorkerRemoved) and self._node is not None:
            # Before another worker starts there.
            self._server.excluded_nodes.add(self._node.id)
        self._server.send((self._number, payload))


class RayServer:
    """One connection to a cluster. `ray_client` calls `check`, `start`, `ask` and `stop`."""

    def __init__(self, patience_seconds: float, send: Callable[[Any], None]) -> None:
        """A worker waits for a free device for `patience_seconds`."""
        self.patience_seconds = patience_seconds
        self.excluded_nodes: set[str] = set()
        """Ids of machines on which no worker may run."""
        self._lock = threading.Lock()
        self._send = send
        self._node: str = ray.get_runtime_context().get_node_id()
        self._here = ray_nodes.traits()
        self._required: Sequence[Required] = ()
        self._checked: dict[str, tuple[str | None, dict[str, str | None]]] = {}
        """By the id of a machine: why no worker may run on it, and versions that differ."""
        self._workers: dict[int, WorkerHandle] = {}

    def send(self, message: Any) -> None:
        """Send `message` to the client; one thread at a time."""
        with self._lock:
            self._send(message)

    def check(self, ids: Sequence[str], required: Sequence[Required], files: Sequence[str]) -> None:
        """Send why some of these machines cannot be used, and notes about versions."""
        nodes = [node for node in _nodes() if node.id in ids]
        self._required = required
        self._check(nodes, files)
        problems = [f"{node.name} {why}" for node in nodes if (why := self.problem(node))]
        notes = []
        for node in nodes:
            other = self.differences(node).items()
            parts = [f"{key} {there} and not {self._here[key]}" for key, there in other]
            notes += [f"{node.name} has {', '.join(parts)}"] if parts else []
        self.send((problems, list(dict.fromkeys(notes))))

    def start(self, number: int, settings: WorkerSettings) -> None:
        """Start a worker on any machine with a free device."""
        self._workers[number] = WorkerHandle(number, settings, self)

    def ask(self, number: int, questions: Sequence[Question], media: Sequence[str]) -> None:
        """Pass questions on to a worker, whose machine must see the files `media`."""
        if number in self._workers:
            self._workers[number].ask(questions, media)

    def stop(self, number: int) -> None:
        """End a worker at once."""
        if number in self._workers:
            self._workers.pop(number).stop()

    def problem(self, node: Node) -> str | None:
        """Why no worker may run on `node`, or None."""
        if node.id not in self._checked:
            self._check([node])
        return self._checked[node.id][0]

    def differences(self, node: Node) -> dict[str, str | None]:
        """Versions on the checked `node` that differ from those here."""
        return self._checked[node.id][1]

    def exit_if_disconnected(self) -> None:
        """End this process if its own machine has left the cluster: Ray no longer serves it."""
        if all(node.id != self._node for node in _nodes()):
            print("this machine has left the cluster: its raylet has died", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)

    def _check(self, nodes: Sequence[Node], files: Sequence[str] = ()) -> None:
        check = ray.remote(check_node)
        started = {
            node.id: check.options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            ).remote(json.dumps([self._required, files]))
            for node in nodes
        }
        self._checked |= {id_: self._report(result) for id_, result in started.items()}

    def _report(self, result: Any) -> tuple[str | None, dict[str, str | None]]:
        try:
            code, output, errors = ray.get(result)
        except RayError as error:
            traceback.print_exc()
            return f"could not be checked: {one_line(error)}", {}
        if not code:
            there, missing = json.loads(output)
            problem = ray_nodes.problem(there, self._here) or next(iter(missing), None)
            return problem, ray_nodes.differences(there, self._here)
        last = (errors.strip().splitlines() or ["no reason given"])[-1]
        if "No module named" in last and "evalsuite" in last:
            last = "has no evalsuite or another version; install the version of this machine there"
            return last, {}
        return f"cannot run evalsuite: {last}", {}


def _nodes() -> list[Node]:
    return [
        Node(
            node["NodeID"],
            node["NodeManagerHostname"],
            int(node["Resources"].get("GPU", 0)),
            int(node["Resources"].get("CPU", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _exit_reason(error: Exception, node: Node | None) -> ChildDied:
    if node is not None and _is_gone(node):
        return WorkerRemoved(_GONE)
    if isinstance(error, RayActorError):
        return ChildDied("lost its Ray actor (killed, or out of memory?)")
    return _unusable(error)


def _unusable(error: Exception) -> ChildDied:
    cause = getattr(error, "cause", None) or error  # Ray wraps the errors of an actor
    return ChildDied(f"could not be used: {one_line(cause, with_type=True)}")


def _is_gone(node: Node) -> bool:
    """Whether the machine is gone, and not only an actor on it.

    Ray may take half a minute to notice, so this also connects to the machine.
    """
    time.sleep(GRACE_PERIOD)
    there = next((n for n in ray.nodes() if n["NodeID"] == node.id and n["Alive"]), None)
    if there is None:
        return True
    try:
        address = there["NodeManagerAddress"], there["NodeManagerPort"]
        socket.create_connection(address, CONNECT_TIMEOUT).close()
    except OSError:
        return True
    return False


def _connect(address: str) -> str | None:
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            if not port.isdecimal() or "/" in host:
                return f"$RAY_ADDRESS is {address}; expected an address like head:6379"
            with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT):
                pass
    except OSError as error:
        return (
            f"nothing answers at {address}: {error.strerror or error}; use the host and port that "
            "'ray start --head' printed"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        traceback.print_exc()
        if address == "auto":
            return (
                "no Ray cluster on this machine; start one with 'ray start --head', or join one "
                "with 'ray start --address HOST:PORT'"
            )
        return f"no Ray cluster answers there: {one_line(error)}"
    except Exception as error:  # noqa: BLE001 - Ray raises many types
        traceback.print_exc()
        return " ".join(str(error).split())
    return None


def main() -> None:
    """Run the process."""
    connection = serve()
    address, log, patience_seconds = connection.recv()
    write_to(log)
    refusal = _connect(address)
    connection.send(refusal or tuple(_nodes()))
    if refusal is not None:
        return
    ray.cloudpickle.register_pickle_by_value(sys.modules[RayActor.__module__])
    server = RayServer(patience_seconds, connection.send)
    while True:
        try:
            method, *arguments = connection.recv()
        except (EOFError, OSError):
            return
        getattr(server, method)(*arguments)


if __name__ == "__main__":
    # Imported by name: messages must not be classes of `__main__`.
    from evalsuite.runner.workers import ray_server

    ray_server.main()
