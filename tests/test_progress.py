"""What a run shows while it goes."""

import io
import time
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.report.progress.runs import Live, Plain, make
from evalsuite.runner.events import (
    BenchmarkFinished,
    BenchmarkPlan,
    Note,
    RunPlanned,
    SamplesPredicted,
    SamplesRerun,
    ScoringStarted,
)
from tests.builders.runs import failure, score


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def benchmark(name: str) -> Benchmark:
    return Benchmark(
        name=name, dataset=name, modality="image", prompt="default", metric="choice",
        max_new_tokens=8,
    )  # fmt: skip


def checkpoint(**more: Any) -> Checkpoint:
    facts: dict[str, Any] = {
        "name": "demo", "source": "/ckpt/[bold]demo", "path": Path("/ckpt"),
        "processor_path": Path("/ckpt"), "tokenizer_path": Path("/ckpt"),
        "family": "smolvlm", "architecture": "x",
        "digest": "0123456789abcdef", "parameters": 2_012_345, "tile_size": 64,
        "tokens_per_tile": 16, "longest_edge": 128, "splits_images": True, "step": None,
        "chat_template": None,
    }  # fmt: skip
    return Checkpoint(**{**facts, **more})


PLACE = Path("results/demo-01234567/89abcdef")
PLAN = [
    BenchmarkPlan(benchmark("Scored"), 60, 60, True),
    BenchmarkPlan(benchmark("Begun"), 300, 120),
    BenchmarkPlan(benchmark("Fresh"), 1000, 0),
]


def pipe() -> Console:
    return Console(file=io.StringIO(), width=80)


def terminal() -> Console:
    return Console(file=Terminal(), force_terminal=True, color_system=None, width=100)


def written(console: Console) -> str:
    return cast(io.StringIO, console.file).getvalue()


def said(console: Console, start: int) -> list[str]:
    return written(console)[start:].splitlines()


def test_the_plan_is_printed_first() -> None:
    console = pipe()
    with make(console) as shown:
        shown(RunPlanned("", checkpoint(warnings=("no chat\ntemplate",)), PLACE, PLAN))
    assert [line.split() for line in written(console).splitlines() if "─" not in line][:9] == [
        ["checkpoint", "demo", "(/ckpt/[bold]demo)"],
        ["model", "smolvlm,", "2.0M", "parameters,", "digest", "01234567"],
        ["warning", "no", "chat", "template"],
        ["results", str(PLACE)],
        ["benchmark", "samples", "done", "left"],
        ["Scored", "60", "60", "0", "scored"],
        ["Begun", "300", "120", "180"],
        ["Fresh", "1000", "0", "1000"],
        [],
    ]
    assert "\x1b" not in written(console)


def test_plain_lines_are_few() -> None:
    console, clock = pipe(), Clock()
    with Plain(console, clock) as shown:
        shown(RunPlanned("", checkpoint(), PLACE, PLAN))
        start = len(written(console))
        for done in range(1, 1001):  # 100 a second
            clock.now += 0.01
            shown(SamplesPredicted("", "Fresh", done))
        assert said(console, start) == [
            "Fresh: 501 of 1000 (50%), 100 samples/s, 0:05 left",
        ]
        shown(ScoringStarted("", "Fresh"))
        shown(BenchmarkFinished("", score("Fresh", 61.24, failed=2, unparsed=1)))
        assert said(console, start)[1:] == ["Fresh: 61.2 ± 2.2 (300 samples, 2 failed, 1 unparsed)"]


def test_slow_work_prints_a_line_each_minute() -> None:
    console, clock = pipe(), Clock()
    with Plain(console, clock) as shown:
        shown(RunPlanned("", checkpoint(), PLACE, PLAN))
        start = len(written(console))
        for done in range(1, 6):
            clock.now += 30
            shown(SamplesPredicted("", "Fresh", done))
    assert said(console, start) == [
        "Fresh: 3 of 1000 (0%), 0.03 samples/s, 8:18:30 left",
        "Fresh: 5 of 1000 (0%), 0.03 samples/s, 8:17:30 left",
        "Begun: 120 of 300 predicted",
        "Fresh: 5 of 1000 predicted",
    ]


def test_a_failure_has_a_reason_and_a_remedy() -> None:
    console = pipe()
    with make(console) as shown:
        # A benchmark whose data cannot be read fails before anything is planned.
        shown(BenchmarkFinished("", failure("Broken", "two\nlines of [red]reason")))
        shown(Note("the worker died;\nstarting another"))
    assert said(console, 0) == [
        "Broken: failed (score): two lines of [red]reason; see kit.log",
        "note: the worker died; starting another",
    ]


def test_several_checkpoints_at_once() -> None:
    console = pipe()
    second = [BenchmarkPlan(benchmark("Fresh"), 1000, 0)]
    with make(console) as shown:
        shown(RunPlanned("", checkpoint(), PLACE, PLAN))
        shown(RunPlanned("second", checkpoint(name="second"), PLACE, second))
        start = len(written(console))
        shown(SamplesPredicted("", "Fresh", 10))
        shown(SamplesPredicted("second", "Fresh", 1))
    assert said(console, start) == [
        "Begun: 120 of 300 predicted",
        "Fresh: 10 of 1000 predicted",
        "second Fresh: 1 of 1000 predicted",
    ]


def drawn(shown: Live) -> list[list[str]]:
    probe = Console(file=io.StringIO(), width=100)
    probe.print(shown._drawn())
    return [line.split() for line in written(probe).splitlines()]


def test_bars() -> None:
    console, clock = terminal(), Clock()
    shown = Live(console, clock)
    shown(RunPlanned("", checkpoint(), PLACE, PLAN))
    assert drawn(shown)[0][0] == "Begun"
    assert drawn(shown)[0][-2:] == ["120/300", "starting"]
    assert drawn(shown)[1] == ["and", "1", "more", "benchmark"]
    shown(SamplesPredicted("", "Begun", 130))
    clock.now += 10
    shown(SamplesPredicted("", "Begun", 230))
    assert drawn(shown)[0][-5:] == ["230/300", "10.0", "samples/s,", "0:07", "left"]
    shown(ScoringStarted("", "Begun"))
    assert drawn(shown)[0][-1] == "scoring"
    assert drawn(shown)[1][0] == "Fresh"
    shown(BenchmarkFinished("", score("Begun", 61.24)))
    assert [line[0] for line in drawn(shown)] == ["Fresh"]
    assert "Begun: 61.2 ± 2.2 (300 samples)\n" in written(console)


def test_reruns_have_their_own_bar() -> None:
    console, clock = terminal(), Clock()
    shown = Live(console, clock)
    shown(RunPlanned("", checkpoint(), PLACE, PLAN))
    shown(BenchmarkFinished("", score("Fresh", 61.24)))
    shown(SamplesRerun("", 8, 32))
    clock.now += 4
    shown(SamplesRerun("", 16, 64))
    assert [line[:3] for line in drawn(shown)] == [
        ["reruns", "at", "batch"],
        ["and", "1", "more"],
    ]
    assert drawn(shown)[0][-5:] == ["16/64", "2.00", "samples/s,", "0:24", "left"]
    shown(SamplesRerun("", 64, 64))
    assert [line[0] for line in drawn(shown)] == ["Begun"]
    console = pipe()
    with Plain(console, clock) as plain:
        plain(SamplesRerun("second", 8, 64))
        clock.now += 10
        plain(SamplesRerun("second", 40, 64))
    assert said(console, 0) == [
        "second reruns at batch size 1: 40 of 64 (62%), 3.20 samples/s, 0:08 left",
        "second reruns at batch size 1: 40 of 64 predicted",
    ]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_terminal_is_left_as_it_was(error: type[BaseException]) -> None:
    def work() -> None:
        with make(console) as shown:
            assert isinstance(shown, Live)
            shown(RunPlanned("", checkpoint(), PLACE, PLAN))
            shown(SamplesPredicted("", "Fresh", 10))
            raise error

    console = terminal()
    with pytest.raises(error):
        work()
    output = written(console)
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l"), "the cursor is back"
    assert output.endswith("Begun: 120 of 300 predicted\nFresh: 10 of 1000 predicted\n")
    assert console._live_stack == []


def test_a_log_with_colours_has_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert type(make(Console(file=io.StringIO()))) is Plain
    monkeypatch.setenv("TERM", "dumb")
    assert type(make(Console(file=Terminal()))) is Plain


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with make() as shown:
        shown(RunPlanned("", checkpoint(), PLACE, PLAN))
        shown(Note("hello"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


@pytest.mark.parametrize("make_display", [lambda: Plain(pipe()), lambda: Live(terminal())])
def test_advancing_is_cheap(make_display: Any) -> None:
    with make_display() as shown:
        shown(RunPlanned("", checkpoint(), PLACE, PLAN))
        start = time.perf_counter()
        for done in range(10_000):
            shown(SamplesPredicted("", "Fresh", done % 1000))
        assert (time.perf_counter() - start) / 10_000 < 500e-6
