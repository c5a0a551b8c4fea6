"""The process that talks to Ray. Only this module and `ray_actors` import ray.

Each worker is an actor with one GPU or one CPU, in which an ordinary worker process is started.
Ray ends the actors when the connection ends, whatever happens to this process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from evalsuite.runner.workers import ray_actors
from evalsuite.runner.workers.ray_host import unusable
from evalsuite.runner.workers.ray_messages import (
    Ask,
    CheckNodes,
    Connect,
    Connected,
    Node,
    NodesChecked,
    Refused,
    RemoteMessage,
    StartWorker,
    StopWorker,
    uses_gpu,
)
from evalsuite.runner.workers.ray_node_check import (
    NodeReport,
    Required,
    differences,
    problem,
    traits,
)
from evalsuite.runner.workers.worker import (
    Assigned,
    Message,
    NoFreeDevice,
    Ready,
    WorkerRemoved,
)
from evalsuite.system.process import ChildDied, serve, write_to
from evalsuite.system.text import one_line, slug

CONNECT_TIMEOUT = 5.0
"""Seconds the head may take to accept a connection; Ray itself would try for minutes."""
GRACE_PERIOD = 1.0
"""Seconds in which all processes of a machine may end after the first has."""
NO_NODE_SECONDS = 10.0
"""How long to wait for another machine if none is allowed."""
_GONE = "left the cluster with its machine"


class WorkerHandle:
    """A worker from its start to its end. A thread waits for its messages."""

    def __init__(self, start: StartWorker, server: RayServer) -> None:
        self._number = start.number
        self._settings = start.settings
        self._server = server
        self._gpu = uses_gpu(start.settings.engine.device)
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
        )(ray_actors.RayActor)
        self._actor = actor.remote()
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, ask: Ask) -> None:
        """Pass on questions."""
        done = self._call("ask", "in", ask.questions, ask.media)
        done.future().add_done_callback(self._asked)

    def stop(self) -> None:
        """End the actor and its worker."""
        ray.kill(self._actor, no_restart=True)

    def _work(self) -> None:
        node: Node | None = None
        try:
            node = self._find_node()
            threads = self._settings.threads or max(1, node.cpus // max(1, node.gpus))
            log = self._settings.log
            log = log.with_name(f"{log.stem}-{slug(node.name)}.log")
            self._send(Assigned(node.name, log))
            settings = dataclasses.replace(self._settings, log=log, threads=threads)
            ray.get(self._call("start", "out", settings))
            while True:
                message = ray.get(self._call("receive", "out"))
                if isinstance(message, Ready):
                    message = Ready({**message.environment, **self._server.environment(node)})
                if isinstance(message, WorkerRemoved):
                    self._server.excluded_nodes.add(node.id)  # before another worker starts there
                self._send(message)
                if isinstance(message, ChildDied):
                    return
        except ChildDied as death:
            self._send(death)
        except Exception as error:  # noqa: BLE001 - every error must be reported
            traceback.print_exc()
            self._server.exit_if_disconnected()
            self._send(_exit_reason(error, node))

    def _find_node(self) -> Node:
        """Wait for a machine on which the worker can run; raises `WorkerRemoved`."""
        seconds, allowed = self._server.patience_seconds, self._server.has_node(gpu=self._gpu)
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
        if why := self._server.problem(node):
            self._server.excluded_nodes.add(node.id)
            raise WorkerRemoved(f"was assigned to {node.name}, which {why}")
        return node

    def _call(self, method: str, group: str, *arguments: object) -> Any:
        return getattr(self._actor, method).options(concurrency_group=group).remote(*arguments)

    def _asked(self, done: Any) -> None:
        error = done.exception()
        # `_work` reports the end of the actor.
        if error is not None and not isinstance(error, RayActorError):
            self._send(unusable(error))

    def _send(self, payload: Message | ChildDied) -> None:
        self._server.send(RemoteMessage(self._number, payload))


class RayServer:
    """One connection to a cluster: handles the messages of `ray_client`."""

    def __init__(self, patience_seconds: float, send: Callable[[Any], None]) -> None:
        self.patience_seconds = patience_seconds
        self.excluded_nodes: set[str] = set()
        """Ids of machines on which no worker may run."""
        self._lock = threading.Lock()
        self._send = send
        self._node: str = ray.get_runtime_context().get_node_id()
        self._here = traits()
        self._required = Required()
        self._reports: dict[str, NodeReport | str] = {}
        """By machine: its report, or why there is none."""
        self._workers: dict[int, WorkerHandle] = {}

    def send(self, message: Any) -> None:
        """Send `message` to the client; one thread at a time."""
        with self._lock:
            self._send(message)

    def handle(self, message: CheckNodes | StartWorker | Ask | StopWorker) -> None:
        """Do what the client asks for."""
        match message:
            case CheckNodes(ids, required, required_later):
                nodes = [node for node in _nodes() if node.id in ids]
                self._check(nodes, required)
                self._required = required_later
                problems = (f"{node.name} {why}" for node in nodes if (why := self.problem(node)))
                notes = dict.fromkeys(text for node in nodes if (text := self._differences(node)))
                self.send(NodesChecked(tuple(problems), tuple(notes)))
            case StartWorker(number):
                self._workers[number] = WorkerHandle(message, self)
            case Ask(number):
                if number in self._workers:
                    self._workers[number].ask(message)
            case StopWorker(number):
                if number in self._workers:
                    self._workers.pop(number).stop()

    def problem(self, node: Node) -> str | None:
        """Why no worker may run on `node`, or None."""
        if node.id not in self._reports:
            self._check([node], self._required)
        report = self._reports[node.id]
        return report if isinstance(report, str) else problem(report, self._here)

    def has_node(self, *, gpu: bool) -> bool:
        """Whether a worker may run on any machine with a GPU, or a CPU."""
        return any(
            (node.gpus if gpu else node.cpus) and node.id not in self.excluded_nodes
            for node in _nodes()
        )

    def exit_if_disconnected(self) -> None:
        """End this process if its own machine has left the cluster: Ray no longer serves it."""
        if all(node.id != self._node for node in _nodes()):
            print("this machine has left the cluster: its raylet has died", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)

    def environment(self, node: Node) -> dict[str, str | None]:
        """Versions on `node` for run.json."""
        report = self._reports[node.id]
        assert isinstance(report, NodeReport)
        return {"ray": ray.__version__, **differences(report, self._here)}

    def _differences(self, node: Node) -> str:
        report = self._reports[node.id]
        other = {} if isinstance(report, str) else differences(report, self._here)
        parts = [f"{key} {there} and not {self._here[key]}" for key, there in other.items()]
        return f"{node.name} has {', '.join(parts)}" if parts else ""

    def _check(self, nodes: Sequence[Node], required: Required) -> None:
        check = ray.remote(ray_actors.check_node)
        started = {
            node.id: check.options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            ).remote(required.to_json())
            for node in nodes
        }
        for id_, result in started.items():
            try:
                code, output, errors = ray.get(result)
            except RayError as error:
                traceback.print_exc()
                self._reports[id_] = f"could not be checked: {one_line(error)}"
                continue
            self._reports[id_] = _failure(errors) if code else NodeReport(**json.loads(output))


def _failure(errors: str) -> str:
    last = (errors.strip().splitlines() or ["no reason given"])[-1]
    if "No module named" in last and "evalsuite" in last:
        return "has no evalsuite or another version; install the version of this machine there"
    return f"cannot run evalsuite: {last}"


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
    return unusable(error)


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


def _connect(address: str) -> Connected | Refused:
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            if not port.isdecimal() or "/" in host:
                return Refused(f"$RAY_ADDRESS is {address}; expected an address like head:6379")
            with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT):
                pass
    except OSError as error:
        return Refused(
            f"nothing answers at {address}: {error.strerror or error}; use the host and port that "
            "'ray start --head' printed"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        traceback.print_exc()
        if address == "auto":
            return Refused(
                "no Ray cluster on this machine; start one with 'ray start --head', or join one "
                "with 'ray start --address HOST:PORT'"
            )
        return Refused(f"no Ray cluster answers there: {one_line(error)}")
    except Exception as error:  # noqa: BLE001 - Ray raises many types
        traceback.print_exc()
        return Refused(" ".join(str(error).split()))
    return Connected(tuple(_nodes()))


def main() -> None:
    """Run the process."""
    connection = serve()
    first: Connect = connection.recv()
    write_to(first.log)
    answer = _connect(first.address)
    connection.send(answer)
    if isinstance(answer, Refused):
        return
    ray.cloudpickle.register_pickle_by_value(ray_actors)
    server = RayServer(first.patience_seconds, connection.send)
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            return
        server.handle(message)


if __name__ == "__main__":
    # Imported by name: messages must not be classes of `__main__`.
    from evalsuite.runner.workers import ray_server

    ray_server.main()
