"""Change one token of a module at a time, and count the changes that its tests notice.

    python -m tools.mutants [--count 300] [--seed 0] [--room ROOM] [--all]

pyproject.toml lists the rooms: modules, the tests that judge them, and mutants without effect.
Cosmic Ray makes the mutants. A mutant is never written to disk: a forked process imports it in
place of the module, then runs the tests. A sample has one mutant per place in the code.
Annotations and class decorators are not mutated.
"""

from __future__ import annotations

import argparse
import ast
import collections
import difflib
import importlib
import itertools
import os
import random
import resource
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
SAME = ("Eq_Is", "NotEq_IsNot", "Is_Eq", "IsNot_NotEq")
"""Comparisons with equal results for None, short texts and small numbers."""
PRELOADED = (
    "pytest",
    "hypothesis",
    "scipy.stats",
    "statsmodels.api",
    "pydantic",
    "torch",
    "transformers",
)
Mutant = tuple[Any, Path, str]
"""A room, a module of it and its new code."""
MEMORY = 16 * 2**30


def without_annotations(code: str) -> str:
    """The syntax tree of `code` without annotations and class decorators; empty if invalid."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if hasattr(node, name):
                setattr(node, name, None)
        if isinstance(node, ast.ClassDef):
            node.decorator_list = []
        if isinstance(node, ast.arguments):  # Cosmic Ray takes the * between them for an operator.
            node.args, node.posonlyargs = [*node.posonlyargs, *node.args, *node.kwonlyargs], []
            node.defaults = [one for one in [*node.defaults, *node.kw_defaults] if one]
            node.kwonlyargs, node.kw_defaults = [], []
    return ast.dump(tree)


def mutants(rooms: list[Any], rng: random.Random, *, every: bool) -> Iterator[Mutant]:
    """Yield mutants in random order: one for each place, or `every` one."""
    places = collections.defaultdict(list)
    for number, room in enumerate(rooms):
        for path in (path for pattern in room["modules"] for path in ROOT.glob(pattern)):
            nodes = list(ast_nodes(get_ast(path.read_text())))
            for operator in map(get_operator, operator_names()):
                if operator.arguments() or operator.__name__.endswith(SAME):
                    continue
                found = (place for node in nodes for place in operator().mutation_positions(node))
                for occurrence, place in enumerate(found):
                    places[number, path, place].append((operator(), occurrence))
    for number, path, place in rng.sample(sorted(places), len(places)):
        original, changes = path.read_text(), places[number, path, place]
        for operator, occurrence in rng.sample(changes, len(changes)):
            code = mutate_code(original, operator, occurrence)
            if code and without_annotations(code) not in ("", without_annotations(original)):
                yield rooms[number], path, code
                if not every:
                    break


def changed(path: Path, code: str) -> list[str]:
    """The lines that `code` removes and adds."""
    old, new = path.read_text().splitlines(), code.splitlines()
    return [line for line in difflib.ndiff(old, new) if line[0] in "+-"]


def cpu_seconds() -> float:
    """CPU time of all processes that ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def exit_code(room: Any, path: Path, code: str, seconds: int, log: Path) -> int:
    """Run the tests of `room` on the new `code` of a module, for at most `seconds` of CPU time."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        os.setsid()
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(20 * seconds)
        get_code = SourceFileLoader.get_code

        def mutated(loader: SourceFileLoader, name: str) -> Any:
            if Path(loader.path) != path:
                return get_code(loader, name)
            return compile(code, path, "exec", dont_inherit=True)

        SourceFileLoader.get_code = mutated  # type: ignore[method-assign,assignment]
        import hypothesis
        import pytest

        hypothesis.settings.register_profile("mutants", database=None, derandomize=True)
        hypothesis.settings.load_profile("mutants")
        if "vlmevalkit" in room:
            importlib.import_module("tests.fakes.kit_here").install()
            options = ["-k", room["vlmevalkit"], "-m", "not slow"]
        else:
            options = ["-m", "not integration and not slow and not browser"]
        status = pytest.main(["-x", "-p", "no:cacheprovider", *options, *room["tests"]])
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    """Print each mutant that no test notices, then a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--room", help="only this one")
    parser.add_argument("--all", action="store_true", help="every mutant: many hours")
    asked = parser.parse_args()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
    rooms = [room for room in settings["rooms"] if asked.room in (None, room["name"])]
    made = mutants(rooms, random.Random(asked.seed), every=asked.all)
    chosen = list(made if asked.all else itertools.islice(made, asked.count))
    log = Path(tempfile.mkdtemp()) / "log"
    noticed = collections.defaultdict(list)
    for module in PRELOADED:
        importlib.import_module(module)
    for room in sorted(rooms, key=lambda room: "vlmevalkit" in room):
        if "vlmevalkit" in room:
            importlib.import_module("vlmeval.dataset")
        before = cpu_seconds()
        if exit_code(room, ROOT, "", 600, log):
            sys.exit(f"{log.read_text()}\nthe tests of {room['name']} fail without a mutant")
        seconds = 20 + int(5 * (cpu_seconds() - before))
        for path, code in [(path, code) for of, path, code in chosen if of is room]:
            lines = changed(path, code)
            added = " ".join(line[1:].strip() for line in lines if line[0] == "+")
            name = f"{path.relative_to(ROOT)}: {added or lines[0]}"
            if name not in settings["equivalent"]:
                noticed[room["name"]].append(exit_code(room, path, code, seconds, log) != 0)
                if not noticed[room["name"]][-1]:
                    print(name, *lines, "", sep="\n", flush=True)
    noticed["all"] = [one for several in noticed.values() for one in several]
    print(f"{'room':12} {'mutants':>8} {'noticed':>8} {'share':>6}")
    for name, results in noticed.items():
        share = sum(results) / len(results)
        print(f"{name:12} {len(results):8} {sum(results):8} {share:6.0%}")
    print(f"{cpu_seconds() / len(noticed['all']):.1f} CPU seconds for a mutant")


if __name__ == "__main__":
    main()
