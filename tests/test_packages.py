"""What is installed: the pinned lists, what is left out of them, and what a command asks for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from evalsuite.errors import UsageError
from evalsuite.system import packages
from evalsuite.vlmevalkit.left_out import LEFT_OUT, absent
from tests.builders.stored_runs import samples, stored

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
_GROUPS = PROJECT["dependency-groups"]
GROUP = [*_GROUPS["docs"], *(text for text in _GROUPS["dev"] if isinstance(text, str))]
"""What `make test` and `make docs` add."""
LISTS = ("requirements.txt", "requirements-dev.txt")
NAMES = {canonicalize_name(one.package) for one in LEFT_OUT}


@cache
def pinned(name: str) -> dict[str, Requirement]:
    """The packages of a list that are installed on this system, by name, each with its pin."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pin, *hashes = re.split(r"\s+--hash=sha256:", line)
            assert all(re.fullmatch(r"[0-9a-f]{64}\s*", text) for text in hashes), line
            assert hashes, f"{line} has no hash"
            requirement = Requirement(pin)
            if requirement.marker is None or requirement.marker.evaluate():
                found[canonicalize_name(requirement.name)] = requirement
    return found


def holds(pins: dict[str, Requirement], wanted: Requirement) -> bool:
    pin = pins.get(canonicalize_name(wanted.name))
    if pin is None:
        return False
    (exact,) = pin.specifier
    return exact.operator == "==" and wanted.specifier.contains(exact.version, prereleases=True)


def parsed(texts: Iterable[str]) -> list[Requirement]:
    return [Requirement(text) for text in texts]


def test_the_lists_hold_what_pyproject_asks_for() -> None:
    run = parsed([*PROJECT["project"]["dependencies"], *EXTRAS["run"], *EXTRAS["vlmevalkit"]])
    assert [str(one) for one in run if not holds(pinned(LISTS[0]), one)] == []
    dev = parsed([*GROUP, *EXTRAS["lora"], *EXTRAS["ray"]])
    both = {**pinned(LISTS[0]), **pinned(LISTS[1])}
    assert [str(one) for one in dev if not holds(both, one)] == []
    assert not pinned(LISTS[0]).keys() & pinned(LISTS[1]).keys(), "a package is in one list only"


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """The names of `wanted` and of everything that they ask for here, as they are installed."""
    found: set[str] = set()
    todo = [(one, "") for one in wanted]
    seen = set()
    while todo:
        one, extra = todo.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(one.name)
        for wanted_extra in ("", *one.extras):
            if (name, wanted_extra) not in seen and name not in NAMES:
                seen.add((name, wanted_extra))
                found.add(name)
                requirements = parsed(metadata.requires(name) or ())
                if name == "ms-vlmeval":
                    requirements = []  # the extra `run` has those of them that are needed
                todo += [(other, wanted_extra) for other in requirements]
    return found


def test_the_lists_hold_nothing_else() -> None:
    extras = (text for name in ("run", "vlmevalkit", "lora", "ray") for text in EXTRAS[name])
    asked = [*PROJECT["project"]["dependencies"], *extras, *GROUP]
    here = pinned(LISTS[0]).keys() | pinned(LISTS[1]).keys()
    # The tests themselves use lxml, and ray and peft need protobuf and others: those are of dev.
    wanted = closure(parsed(asked)) | {
        name for name in NAMES & pinned(LISTS[1]).keys() if metadata.version(name)
    }
    assert here == wanted


def test_the_lists_name_no_registry_and_no_package_that_does_not_work() -> None:
    for name in LISTS:
        text = (ROOT / name).read_text()
        assert not re.search(r"://|--(extra-)?index|--find-links", text), name
    assert str(pinned(LISTS[0])["torch"].specifier) != "==2.13.0"
    assert NAMES & pinned(LISTS[0]).keys() == set()
    for text in EXTRAS["run"]:
        if Requirement(text).name == "torch":
            assert not Requirement(text).specifier.contains("2.13.0")


@pytest.mark.parametrize("name", ["action.yml", "docs/installation.md", "tools/bare_parts.sh"])
def test_every_recipe_installs_the_same_vlmevalkit(name: str) -> None:
    (pin,) = EXTRAS["vlmevalkit"]
    assert set(re.findall(r"ms-vlmeval==[\w.]+", (ROOT / name).read_text())) == {pin}


def test_what_vlmevalkit_asks_for_is_installed_or_left_out() -> None:
    asked = {canonicalize_name(one.name) for one in parsed(metadata.requires("ms-vlmeval") or ())}
    assert asked >= NAMES
    assert asked - NAMES <= pinned(LISTS[0]).keys()


def test_each_package_is_left_out_once() -> None:
    assert len(NAMES) == len(LEFT_OUT)


# Which code of VLMEvalKit's datasets imports what is left out.

OWNERS = {
    "OmniDocBench/": "OmniDocBench",
    "SGI_Bench_1_0/idea_generation.py": "SGI_Bench_Idea_Generation",
    "chartcap.py": "ChartCapDataset",
    "chartmimic.py": "ChartMimic",
    "sarena.py": "SArena",
    "utils/Ocrbench_v2/": "OCRBench_v2",
    "utils/SArena/": "SArena",
    "utils/ccocr_evaluator/": "CCOCRDataset",
    "utils/chartmimic/": "ChartMimic",
    "utils/chartqapro.py": "ChartQAPro",
    "utils/design2code/": "Design2Code",
    "utils/ocrbrnch_v2_eval.py": "OCRBench_v2",
    "utils/sarena.py": "SArena",
    "utils/uni_svg.py": "UniSVG",
}
"""The dataset class that uses each file of ``vlmeval/dataset``."""
INSTALLED = {"cv2", "dotenv"}
"""Modules that another package brings."""


def dataset_files() -> Iterator[tuple[str, str]]:
    spec = find_spec("vlmeval")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "dataset"
    for path in sorted(folder.rglob("*.py")):
        yield str(path.relative_to(folder)), path.read_text()


def imported(text: str) -> set[str]:
    with warnings.catch_warnings(action="ignore"):  # of escapes in strings
        tree = ast.parse(text)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_each_dataset_names_the_packages_that_its_scoring_imports() -> None:
    users: dict[str, set[str]] = {one.module: set() for one in LEFT_OUT}
    classes = set()
    word = re.compile("|".join(sorted(users)))
    for name, text in dataset_files():
        classes |= set(re.findall(r"^class (\w+)", text, re.MULTILINE))
        names = imported(text) if word.search(text) else set()
        for module in users.keys() - INSTALLED:
            if any(f"{other}.".startswith(f"{module}.") for other in names):
                owners = [owner for prefix, owner in OWNERS.items() if name.startswith(prefix)]
                assert len(owners) == 1, f"which dataset uses {name}, which imports {module}?"
                users[module] |= set(owners)
    # It is imported by a name in a table: spotting_eval/script.py.
    users["Polygon"].add("OCRBench_v2")
    assert {one.module: set(one.datasets) for one in LEFT_OUT} == users
    assert {name for one in LEFT_OUT for name in one.datasets} <= classes


def test_what_is_installed_in_another_way_is_not_absent() -> None:
    missing = {one.package for one in absent()}
    assert "opencv-python" not in missing, "opencv-python-headless has its module"
    assert "polygon3" in missing


# What a command says that needs more than is installed.


def versions(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> None:
    real = packages.installed
    names = {name.replace("_", "-"): version for name, version in changed.items()}
    monkeypatch.setattr(packages, "installed", lambda name: names.get(name, real(name))
                        if name in names else real(name))  # fmt: skip


def refused() -> str:
    with pytest.raises(UsageError) as raised:
        packages.require_run()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_everything_that_a_run_needs_is_installed() -> None:
    packages.require_run()


def test_missing_packages_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions(monkeypatch, torch=None, sty=None)
    said = refused()
    assert said.startswith("running a checkpoint needs torch")
    assert "sty>=1.0.6" in said
    assert said.endswith("pip install 'evalsuite[run]'")
    versions(monkeypatch, jieba=None, rouge=None)
    assert "torch" in refused()
    assert "and 1 more packages" in refused()


@pytest.mark.parametrize("there", [None, "0.0.21"])
def test_vlmevalkit_is_installed_apart_and_in_one_version(
    monkeypatch: pytest.MonkeyPatch, there: str | None
) -> None:
    versions(monkeypatch, ms_vlmeval=there)
    assert refused().endswith(": pip install --no-deps ms-vlmeval==0.0.20")
    assert ("not 0.0.21" in refused()) == (there is not None)


@pytest.mark.parametrize("other", ["opencv_python", "opencv_contrib_python"])
def test_another_opencv_will_do(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    versions(monkeypatch, opencv_python_headless=None, opencv_python=None)
    assert "opencv-python-headless" in refused()
    versions(monkeypatch, **{other: "4.12.0.88"})
    packages.require_run()


def test_one_package_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    packages.require("pandas", "it")
    versions(monkeypatch, pandas=None)
    with pytest.raises(UsageError, match=r"it needs pandas>=\S+: pip install 'evalsuite\[run\]'"):
        packages.require("pandas", "it")


# What only reads results does without the rest.

LIGHT = """
import re
import sys
from importlib import metadata
allowed = set(sys.argv[1].split())
modules = metadata.packages_distributions()

class Finder:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        owners = {re.sub("[-_.]+", "-", owner).lower() for owner in modules.get(top, ())}
        if owners and not owners & allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Finder())
from evalsuite.cli import main
for line in sys.stdin.read().splitlines():
    code = main(line.split())
    assert code == 0, f"evalsuite {line}: exit code {code}"
"""
COMMANDS = """
list
report
report --format html -o report.html
report --format markdown --reference
report --format csv
report --format json
compare old-6f6c646f new-6e65776e
gate --baseline old-6f6c646f --candidate new-6e65776e --margin 20 --cliff 40 --junit gate.xml
power old-6f6c646f
curve
plot
page
leaderboard
card new-6e65776e -o README.md
export new-6e65776e --format lm-eval -o exported
show new-6e65776e -b MMStar --wrong
promote old-6f6c646f
cache
"""


def test_commands_that_read_results_need_the_light_packages_alone(tmp_path: Path) -> None:
    values = [1.0, 0.0] * 60
    for name, step in (("old", 500), ("new", 1000)):
        stored(tmp_path / "results", name, {"MMStar": samples(values)}, step=step)
    light = closure(parsed(PROJECT["project"]["dependencies"])) | {"evalsuite"}
    assert not light & {"torch", "transformers", "ms-vlmeval", "pandas"}
    ended = subprocess.run(
        [sys.executable, "-c", LIGHT, " ".join(light)],
        input=COMMANDS.strip(),
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
