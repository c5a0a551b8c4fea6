"""Questions about one video: with shared prefixes, or with every prompt processed completely.

    python -m bench.side_by_side --video --shape 256M [--device cpu] [--dtype float32] [--rounds 2]

Both use the same engine, weights, frames and questions, all questions in one batch, in alternating
order. Text seconds are those of the text model (prefill, decode, tokenization). End-to-end seconds
also include reading, cutting and encoding the frames.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from evalsuite.sample import Frames, Text
from evalsuite.smolvlm.engine import Engine
from evalsuite.smolvlm.model import Model, load
from evalsuite.smolvlm.profiler import QUESTIONS, photo
from evalsuite.smolvlm.prompts import build
from evalsuite.smolvlm.requests import EngineSettings, Question


@dataclass(frozen=True, slots=True)
class Turn:
    """Result of answering all questions once."""

    text_seconds: float
    seconds: float
    prompt_tokens: int
    prefill_tokens: int
    texts: dict[str, str]


def video(directory: Path, frames: int, questions: int, new_tokens: int) -> list[Question]:
    """Return questions about one generated video."""
    paths = [photo(directory / f"{n}.jpg", (640, 360), n) for n in range(frames)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    medium = Frames(tuple(map(str, paths)), tuple(float(n) for n in range(frames)), digest)
    return [
        Question(
            str(n),
            build("video", [medium, Text(f"{QUESTIONS[n % len(QUESTIONS)]} ({n})")]),
            new_tokens,
        )
        for n in range(questions)
    ]


def turn(
    directory: Path, model: Model, device: str, asked: Sequence[Question], share: bool
) -> Turn:
    """Answer `asked` once."""
    with Engine(
        directory,
        EngineSettings(device=device, batch_size=len(asked)),
        model=model,
        share_prefixes=share,
        tile_bytes=sys.maxsize,
    ) as engine:
        started = time.perf_counter()
        answers = [answer for batch in engine.answer(asked) for answer in batch]
        seconds = time.perf_counter() - started
    assert not any(answer.error for answer in answers), [answer.error for answer in answers]
    return Turn(
        text_seconds=sum(
            answer.cost.seconds[stage]
            for answer in answers
            for stage in ("prefill", "decode", "other")
        ),
        seconds=seconds,
        prompt_tokens=sum(answer.cost.prompt_tokens for answer in answers),
        prefill_tokens=sum(answer.cost.prefill_tokens for answer in answers),
        texts={answer.id: answer.text for answer in answers},
    )


def measure(
    directory: Path, device: str, dtype: str, asked: Sequence[Question], rounds: int
) -> list[tuple[Turn, Turn]]:
    """Run both in alternating order; return ``(whole, shared)`` for each round."""
    model = load(directory, device, dtype)
    turn(directory, model, device, asked[:1], share=True)  # warm up kernels and page cache
    turns = []
    for number in range(rounds):
        pair = {}
        for share in (False, True) if number % 2 == 0 else (True, False):
            print(f"round {number + 1}: {'shared' if share else 'whole'} ...", file=sys.stderr)
            pair[share] = turn(directory, model, device, asked, share)
        turns.append((pair[False], pair[True]))
    return turns


def table(turns: Sequence[tuple[Turn, Turn]]) -> str:
    """All rounds as a markdown table."""
    return tabulate(
        [
            {
                "round": number,
                "questions": len(whole.texts),
                "tokens, whole / shared": f"{whole.prefill_tokens:,} / {shared.prefill_tokens:,}",
                "text, s": f"{whole.text_seconds:.2f} / {shared.text_seconds:.2f}",
                "ratio": f"{whole.text_seconds / shared.text_seconds:.1f}",
                "end to end, s": f"{whole.seconds:.2f} / {shared.seconds:.2f}",
                "ratio, end to end": f"{whole.seconds / shared.seconds:.1f}",
                "same texts": f"{same(whole, shared)} of {len(whole.texts)}",
            }
            for number, (whole, shared) in enumerate(turns, start=1)
        ],
        headers="keys",
        tablefmt="github",
    )


def same(whole: Turn, shared: Turn) -> int:
    """Return the number of equal texts."""
    return sum(shared.texts[id_] == text for id_, text in whole.texts.items())
