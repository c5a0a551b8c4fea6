"""Data goes one way: no module imports a later one, and heavy packages stay in their rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "evalsuite"

# A room may import only from lines above its own, and from itself.
ORDER = [
    {"errors", "sample"},
    {"system", "stats"},
    {"checkpoint"},
    {"smolvlm", "runs"},
    {"benchmarks"},
    {"comparison"},
    {"vlmevalkit"},
    {"runner"},
    {"report"},
    {"api"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

# The same for the rooms inside a room.
INSIDE = {
    "report": [
        {"format"},
        {"model"},
        {"tables"},
        {"writers", "plots"},
        {"export", "page", "progress"},
    ],
}

HEAVY = {
    # worker.py is a worker's own process; unpatched.py is VLMEvalKit's model for comparison.
    "torch": {"smolvlm", "runner/workers/worker.py", "vlmevalkit/unpatched.py"},
    "torchvision": {"smolvlm", "runner/workers/worker.py"},
    "transformers": {"smolvlm", "runner/workers/worker.py", "vlmevalkit/unpatched.py"},
    "ray": {"runner/workers/ray_server.py"},
    "peft": {"smolvlm", "vlmevalkit/unpatched.py"},
    "vlmeval": {"vlmevalkit"},
    "decord": {"vlmevalkit"},
    "pandas": {"vlmevalkit", "report/writers/csv.py", "benchmarks/data/make_tables.py"},
    "matplotlib": {"report"},
    "scipy": {"stats"},
}


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "demo" not in p.relative_to(PACKAGE).parts)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    mine = room(path)
    where = path.relative_to(PACKAGE).as_posix()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "evalsuite" and len(parts) > 1 and parts[1] in LEVEL:
            theirs = parts[1]
            assert theirs == mine or LEVEL[theirs] < LEVEL[mine], f"{where} imports {name}"
        if parts[0] in HEAVY:
            allowed = HEAVY[parts[0]]
            assert mine in allowed or where in allowed, f"{where} imports {name}"


@pytest.mark.parametrize("outer", INSIDE)
def test_rooms_inside_a_room_import_one_way(outer: str) -> None:
    level = {inner: at for at, rooms in enumerate(INSIDE[outer]) for inner in rooms}
    inside = [p for p in modules() if room(p) == outer and p.parent != PACKAGE]
    inside = [p for p in inside if p.relative_to(PACKAGE / outer).as_posix() != "__init__.py"]
    assert {inner_room(p, outer) for p in inside} == set(level)
    for path in inside:
        mine = inner_room(path, outer)
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] == ["evalsuite", outer] and len(parts) > 2:
                theirs = parts[2]
                assert theirs == mine or level[theirs] < level[mine], f"{path} imports {name}"


def inner_room(path: Path, outer: str) -> str:
    return path.relative_to(PACKAGE / outer).parts[0].removesuffix(".py")


def graph() -> dict[str, set[str]]:
    """Each module with the modules of ours that it imports."""
    names = {dotted(p): p for p in modules()}
    edges: dict[str, set[str]] = {}
    for module, path in names.items():
        targets = set()
        for name in imports(path):
            parent = name.rpartition(".")[0]
            targets |= {found for found in (name, parent) if found in names} - {module}
        # A package's own __init__ is imported by each of its modules; that is no circle.
        edges[module] = {t for t in targets if names[t].name != "__init__.py"}
    return edges


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_circle_of_modules() -> None:
    edges = graph()
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " → ".join((*above[above.index(module) :], module))
        if module not in done:
            for target in sorted(edges[module]):
                visit(target, (*above, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_every_room_has_its_place() -> None:
    assert {room(p) for p in modules()} == set(LEVEL)


def test_few_files_in_the_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_are_small(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 80, node.name
            names = [
                a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            ]
            # A command of the command line has a parameter for each option.
            if room(path) != "cli":
                assert len([name for name in names if name not in ("self", "cls")]) <= 12, node.name


def test_public_names() -> None:
    code = (
        "import evalsuite, sys; print(sorted(evalsuite.__all__));"
        "assert not {'torch', 'vlmeval', 'pandas', 'numpy'} & set(sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert ast.literal_eval(out) == [
        "Benchmark",
        "Checkpoint",
        "Comparison",
        "EvalsuiteError",
        "Failure",
        "GateResult",
        "Run",
        "Score",
        "__version__",
        "compare",
        "gate",
        "load_run",
        "register",
        "run",
        "to_dataframe",
    ]
