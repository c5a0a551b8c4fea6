"""Children answer, can be killed, and never outlive the process that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalsuite.system.process import Child, ChildDied, ChildTimedOut
from tests.builders.commands import gone

ECHO = """
import os, time
from evalsuite.system.process import serve
connection = serve()
while True:
    message = connection.recv()
    if message == "hang":
        time.sleep(60)
    if message == "crash":
        os._exit(7)
    connection.send((os.getpid(), message))
"""


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "echo_child.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "echo_child"


def test_messages_go_both_ways_and_the_environment_is_ours(echo: str) -> None:
    child = Child(echo)
    child.send({"a": [1, 2]})
    assert child.receive(timeout=30) == (child.pid, {"a": [1, 2]})
    child.kill()
    assert gone(child.pid)


def test_a_child_that_hangs_is_killed(echo: str) -> None:
    child = Child(echo)
    child.send("hello")
    child.receive(timeout=30)
    child.send("hang")
    started = time.monotonic()
    with pytest.raises(ChildTimedOut, match="within 1 seconds"):
        child.receive(timeout=1)
    assert time.monotonic() - started < 10
    assert gone(child.pid)


@pytest.mark.parametrize(("how", "reason"), [("crash", "exit code 7"), ("kill", "was killed")])
def test_the_reason_why_a_child_ended(echo: str, how: str, reason: str) -> None:
    child = Child(echo)
    child.send("hello")
    child.receive(timeout=30)
    if how == "crash":
        child.send("crash")
    else:
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChildDied, match=reason):
        child.receive(timeout=30)
    child.kill()


PARENT = """
import sys, time
from evalsuite.system.process import Child
child = Child("echo_child")
child.send("hello")
child.receive(timeout=30)
child.send("hang")
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_busy_child_ends_with_its_parent(echo: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(pid)
    assert echo == "echo_child"


def test_only_the_parent_handles_ctrl_c(echo: str) -> None:
    """A terminal's Ctrl-C goes to a process group; a child has its own from the start."""
    child = Child(echo)
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.kill()


def test_modules_of_the_current_directory_are_not_imported(
    echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone of another VLMEvalKit, or a file called random.py, must not be what a child runs."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "random.py").write_text("raise SystemExit('the wrong module')")
    (here / "evalsuite").mkdir()
    (here / "evalsuite" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    monkeypatch.chdir(here)
    child = Child(echo)
    child.send(1)
    assert child.receive(timeout=30) == (child.pid, 1)
    child.kill()
