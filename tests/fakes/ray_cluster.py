"""A Ray cluster on this machine, each of its machines a raylet with one CPU.

``python -m tests.fakes.ray_cluster`` prints the cluster's address and the first raylet's process
id. It answers commands on standard input: ``add`` starts another raylet and prints its process id,
``add DIRECTORY`` starts one whose Python path begins with that directory, ``kill`` kills the last
one and waits until the cluster has noticed. The cluster ends when standard input is closed.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

NOTICED_AFTER = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500,
                 "health_check_timeout_ms": 2000, "health_check_failure_threshold": 4}  # fmt: skip


class RayCluster:
    """The process's parent's end."""

    def __init__(self) -> None:
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        environment.pop("RAY_ADDRESS", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.ray_cluster"],
            cwd=Path(__file__).parents[2],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._read()
        self.raylets = [int(self._read())]

    def add(self, modules: Path | None = None) -> int:
        """Add a machine, which has other `modules` first; returns its raylet's process id."""
        self.raylets.append(int(self._tell("add" if modules is None else f"add {modules}")))
        return self.raylets[-1]

    def kill(self) -> None:
        """Kill the machine that was added last, and wait until the cluster knows."""
        assert self._tell("kill") == "killed"
        self.raylets.pop()

    def workers(self) -> dict[int, int]:
        """evalsuite's worker processes on it: of each, the raylet's process id."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and b"evalsuite.runner.workers.worker" in _command(entry):
                raylet = _parent(_parent(int(entry.name)))
                if raylet in self.raylets:
                    found[int(entry.name)] = raylet
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _tell(self, word: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the cluster's process has ended"
        return line


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def main() -> None:
    # What Ray prints goes elsewhere.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # A socket's path has to be short.
    with tempfile.TemporaryDirectory(
        prefix="ray-", dir="/tmp", ignore_cleanup_errors=True
    ) as directory:
        # It writes the address of the last cluster into a folder here that it does not make.
        os.environ["RAY_TMPDIR"] = directory
        Path(directory, "ray").mkdir()
        serve(directory, answers)


def serve(directory: str, answers: TextIO) -> None:
    import ray
    from ray.cluster_utils import Cluster

    machine = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "temp_dir": directory}
    head = {**machine, "include_dashboard": False, "_system_config": NOTICED_AFTER}
    cluster = Cluster(initialize_head=True, head_node_args=head)

    def raylet(node: "ray._private.node.Node") -> int:
        ((info,),) = [infos for kind, infos in node.all_processes.items() if kind == "raylet"]
        pid: int = info.process.pid
        return pid

    def say(text: object) -> None:
        print(text, file=answers, flush=True)

    try:
        say(cluster.address)
        say(raylet(cluster.head_node))
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        nodes = []
        search = os.environ.get("PYTHONPATH", "")
        for line in sys.stdin:
            word, _, modules = line.strip().partition(" ")
            if word == "add":
                os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [modules, search]))
                nodes.append(cluster.add_node(**machine))
                say(raylet(nodes[-1]))
            else:
                node = nodes.pop()
                cluster.remove_node(node, allow_graceful=False)
                while any(n["Alive"] and n["NodeID"] == node.node_id for n in ray.nodes()):
                    time.sleep(0.1)
                say("killed")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
