"""The process that talks to Ray, and what it sends to the cluster. Only here is ray imported.

Each worker is an actor with one GPU, or one CPU, in which an ordinary worker process is started.
Actors end with the connection, however this process goes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import re
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

from evalsuite.runner.workers.ray_client import (
    Ask,
    Connect,
    Connected,
    Dismiss,
    Hire,
    Look,
    Looked,
    Node,
    Refused,
    Told,
    on_gpu,
)
from evalsuite.runner.workers.ray_node_check import (
    Found,
    Wanted,
    complaint,
    differences,
    traits,
    unseen_files,
)
from evalsuite.runner.workers.worker import (
    Displaced,
    Message,
    NoPlace,
    Placed,
    Ready,
    Worker,
    WorkerSettings,
)
from evalsuite.smolvlm.requests import Question
from evalsuite.system.process import ChildDied, serve, write_to
from evalsuite.system.text import one_line

KNOCK_SECONDS = 5.0
"""How long the head may take to accept a connection; Ray itself would try for minutes."""
FALL_SECONDS = 1.0
"""How long all of a machine's processes may take to end once the first has."""
UNFIT_SECONDS = 10.0
"""How long to wait for another machine at most when there is none on which a worker may be."""
_GONE = "left the cluster with its machine"


class Post:
    """An actor: a place on a machine of the cluster. Sent by value, it starts on any."""

    def node(self) -> str:
        """The id of the machine."""
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def start(self, settings: WorkerSettings) -> None:
        """Start a worker."""
        from evalsuite.runner.workers.ray_actors import Desk  # which not every machine has

        self._desk = Desk(settings)

    def ask(self, questions: list[Question], media: Sequence[str]) -> None:
        """As of `Desk`."""
        self._desk.ask(questions, media)

    def receive(self) -> Message | ChildDied:
        """As of `Desk`."""
        return self._desk.receive()


class Desk:
    """A worker process, and what it says, on a machine of the cluster."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._said: queue.SimpleQueue[Message | ChildDied] = queue.SimpleQueue()
        self._worker = Worker(settings)
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, questions: list[Question], media: Sequence[str]) -> None:
        """Queue `questions`, whose `media` this machine should see."""
        if unseen := unseen_files(media):
            self._said.put(
                Displaced(f"does not see {unseen[0]}, which is on no shared file system")
            )
            return
        with contextlib.suppress(ChildDied):  # the listener says so
            self._worker.ask(questions)

    def receive(self) -> Message | ChildDied:
        """The next message, or how the worker died; blocks."""
        return self._said.get()

    def _listen(self) -> None:
        try:
            while True:
                self._said.put(self._worker.receive())
        except ChildDied as death:
            self._said.put(death)
        except Exception as error:  # noqa: BLE001 - a thread's defect must not leave others waiting
            self._said.put(_failed(error))


class Employment:
    """A worker from being hired to its end. A thread of its own waits for what it says."""

    def __init__(self, hire: Hire, office: Office) -> None:
        self._number = hire.number
        self._settings = hire.settings
        self._office = office
        gpu = on_gpu(hire.settings.device)
        place: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if gpu else {"num_cpus": 1}
        if office.shunned:
            place["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(office.shunned))})"}
        post = ray.remote(
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            # Of one thread each: whoever waits for an answer blocks no question, and those come in
            # the order they were sent.
            concurrency_groups={"in": 1, "out": 1},
            **place,
        )(Post)
        self._actor = post.remote()
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, ask: Ask) -> None:
        """Pass on questions."""
        done = self._call("ask", "in", ask.questions, ask.media)
        done.future().add_done_callback(self._asked)

    def end(self) -> None:
        """End the actor, and the worker with it."""
        ray.kill(self._actor, no_restart=True)

    def _work(self) -> None:
        node: Node | None = None
        try:
            node = self._find_place()
            threads = self._settings.threads or max(1, node.cpus // max(1, node.gpus))
            log = self._settings.log
            log = log.with_name(f"{log.stem}-{re.sub(r'[^A-Za-z0-9._-]', '-', node.name)}.log")
            self._say(Placed(node.name, log))
            settings = dataclasses.replace(self._settings, log=log, threads=threads)
            ray.get(self._call("start", "out", settings))
            while True:
                said = ray.get(self._call("receive", "out"))
                if isinstance(said, Ready):
                    said = Ready({**said.environment, **self._office.remarks(node)})
                if isinstance(said, Displaced):
                    self._office.shunned.add(node.id)  # before another is sent there
                self._say(said)
                if isinstance(said, ChildDied):
                    return
        except ChildDied as death:
            self._say(death)
        except Exception as error:  # noqa: BLE001 - whatever became of it, the driver must know
            traceback.print_exc()
            self._office.leave_if_cut_off()
            self._say(_epitaph(error, node))

    def _find_place(self) -> Node:
        """Wait for a machine that will do; raises `Displaced`."""
        gpu = on_gpu(self._settings.device)
        patience, fit = self._office.patience_seconds, self._office.fit(gpu=gpu)
        if not fit:
            patience = min(patience, UNFIT_SECONDS)
        try:
            id_ = ray.get(self._call("node", "out"), timeout=patience)
        except GetTimeoutError:
            self._office.leave_if_cut_off()
            what = f"{'GPU' if gpu else 'CPU'} of the Ray cluster"
            raise NoPlace(
                f"no {what} was free for {patience:.0f} seconds"
                if fit
                else f"no {what} is left that will do"
            ) from None
        node = next((node for node in _nodes() if node.id == id_), None)
        if node is None:
            raise Displaced(_GONE)
        if why := self._office.complaint(node):
            self._office.shunned.add(node.id)
            raise Displaced(f"was sent to {node.name}, which {why}")
        return node

    def _call(self, method: str, group: str, *arguments: object) -> Any:
        return getattr(self._actor, method).options(concurrency_group=group).remote(*arguments)

    def _asked(self, done: Any) -> None:
        error = done.exception()
        # That the actor is gone, whoever waits for what it says will learn.
        if error is not None and not isinstance(error, RayActorError):
            self._say(_failed(error))

    def _say(self, message: Message | ChildDied) -> None:
        self._office.say(Told(self._number, message))


class Office:
    """All that goes through one connection."""

    def __init__(self, patience_seconds: float, say: Callable[[Any], None]) -> None:
        self.patience_seconds = patience_seconds
        self.shunned: set[str] = set()
        """The ids of machines that will not do."""
        self._lock = threading.Lock()
        self._send = say
        self._node: str = ray.get_runtime_context().get_node_id()
        self._here = traits()
        self._wanted = Wanted()
        self._found: dict[str, Found | str] = {}
        self._employed: dict[int, Employment] = {}

    def say(self, message: Any) -> None:
        """Send `message` to the driver; threads take turns."""
        with self._lock:
            self._send(message)

    def heed(self, message: Look | Hire | Ask | Dismiss) -> None:
        """Do what the driver says."""
        match message:
            case Look(ids, wanted, lasting):
                nodes = [node for node in _nodes() if node.id in ids]
                self._look(nodes, wanted)
                self._wanted = lasting
                self.say(
                    Looked(
                        tuple(f"{n.name} {why}" for n in nodes if (why := self.complaint(n))),
                        tuple(dict.fromkeys(t for n in nodes if (t := self._differences(n)))),
                    )
                )
            case Hire(number):
                self._employed[number] = Employment(message, self)
            case Ask(number):
                if number in self._employed:
                    self._employed[number].ask(message)
            case Dismiss(number):
                if number in self._employed:
                    self._employed.pop(number).end()

    def complaint(self, node: Node) -> str | None:
        """Why no worker may be on `node`, if so."""
        if node.id not in self._found:
            self._look([node], self._wanted)
        found = self._found[node.id]
        return found if isinstance(found, str) else complaint(found, self._here)

    def fit(self, *, gpu: bool) -> bool:
        """Whether there is any machine with a GPU, or a CPU, on which a worker may be."""
        return any(
            (node.gpus if gpu else node.cpus) and node.id not in self.shunned for node in _nodes()
        )

    def leave_if_cut_off(self) -> None:
        """End this process if its own machine has left the cluster: Ray serves it no more."""
        if all(node.id != self._node for node in _nodes()):
            print("this machine has left the cluster: its raylet has died", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)

    def remarks(self, node: Node) -> dict[str, str | None]:
        """What belongs into the record of a run that `node` takes part in."""
        found = self._found[node.id]
        assert isinstance(found, Found)
        return {"ray": ray.__version__, **differences(found, self._here)}

    def _differences(self, node: Node) -> str:
        found = self._found[node.id]
        other = {} if isinstance(found, str) else differences(found, self._here)
        parts = [f"{key} {there} and not {self._here[key]}" for key, there in other.items()]
        return f"{node.name} has {', '.join(parts)}" if parts else ""

    def _look(self, nodes: Sequence[Node], wanted: Wanted) -> None:
        look_there = ray.remote(look)
        asked = {
            node.id: look_there.options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            ).remote(wanted.to_json())
            for node in nodes
        }
        for id_, answer in asked.items():
            try:
                code, output, errors = ray.get(answer)
            except RayError as error:
                traceback.print_exc()
                self._found[id_] = f"could not be looked at: {one_line(error)}"
                continue
            self._found[id_] = _why_not(errors) if code else Found(**json.loads(output))


def look(wanted: str) -> tuple[int, str, str]:
    """Run `ray_node_check` as a worker is run; return its exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "evalsuite.runner.workers.ray_node_check"],
        input=wanted,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _why_not(errors: str) -> str:
    last = (errors.strip().splitlines() or ["no reason given"])[-1]
    if "No module named" in last and "evalsuite" in last:
        return "has no evalsuite, or another one; install the version of this machine there"
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


def _epitaph(error: Exception, node: Node | None) -> ChildDied:
    if node is not None and _lost(node):
        return Displaced(_GONE)
    if isinstance(error, RayActorError):
        return ChildDied("lost its Ray actor (killed, or out of memory?)")
    return _failed(error)


def _failed(error: BaseException) -> ChildDied:
    return ChildDied(f"could not be used: {one_line(error, with_type=True)}")


def _lost(node: Node) -> bool:
    """Whether the machine is gone, and not just an actor on it.

    Ray may take half a minute to notice, so the machine itself is asked, too.
    """
    time.sleep(FALL_SECONDS)
    there = next((n for n in ray.nodes() if n["NodeID"] == node.id and n["Alive"]), None)
    if there is None:
        return True
    try:
        address = there["NodeManagerAddress"], there["NodeManagerPort"]
        socket.create_connection(address, KNOCK_SECONDS).close()
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
            with socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS):
                pass
    except OSError as error:
        return Refused(
            f"nothing answers at {address}: {error.strerror or error}; name the host and port that "
            "'ray start --head' printed"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        traceback.print_exc()
        if address == "auto":
            return Refused(
                "no Ray cluster on this machine; begin one with 'ray start --head', or join one "
                "with 'ray start --address HOST:PORT'"
            )
        return Refused(f"no Ray cluster answers there: {one_line(error)}")
    except Exception as error:  # noqa: BLE001 - Ray raises what it likes: RuntimeError, ValueError…
        traceback.print_exc()
        return Refused(one_line(error))
    return Connected(tuple(_nodes()))


def main() -> None:
    """The process."""
    connection = serve()
    first: Connect = connection.recv()
    write_to(first.log)
    answer = _connect(first.address)
    connection.send(answer)
    if isinstance(answer, Refused):
        return
    # What is sent from here works where evalsuite is missing or another, and finds that out.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    office = Office(first.patience_seconds, connection.send)
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            return
        office.heed(message)


if __name__ == "__main__":
    # By its own name, or Ray would send its classes as those of a `__main__`.
    from evalsuite.runner.workers import ray_actors

    ray_actors.main()
