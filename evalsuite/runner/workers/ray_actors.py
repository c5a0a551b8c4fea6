"""What is sent to the machines of a Ray cluster by value.

It must work on a machine without evalsuite, or with another version, to find that out. So this
module imports nothing of evalsuite at its top.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import ray


class RayActor:
    """A Ray actor with one GPU or one CPU, in which a worker process is started."""

    def node(self) -> str:
        """Id of the machine."""
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def start(self, settings: Any) -> None:
        """Start a worker with these `WorkerSettings`."""
        from evalsuite.runner.workers.ray_host import WorkerHost

        self._host = WorkerHost(settings)

    def ask(self, questions: list[Any], media: Sequence[str]) -> None:
        """Call `WorkerHost.ask`."""
        self._host.ask(questions, media)

    def receive(self) -> Any:
        """Call `WorkerHost.receive`."""
        return self._host.receive()


def check_node(required: str) -> tuple[int, str, str]:
    """Run `ray_node_check` as a worker is run; returns its exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "evalsuite.runner.workers.ray_node_check"],
        input=required,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
