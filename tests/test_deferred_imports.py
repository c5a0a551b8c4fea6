"""Packages that the kit process imports on first use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from evalsuite.vlmevalkit import deferred_imports

PACKAGE = {
    "__init__.py": "TEN, TABLE = 10, {1: 2}\nclass Base:\n    kind = 'real'\n",
    "part/__init__.py": "",
    "part/tools.py": "def twice(x):\n    return 2 * x\n",
}

LOADED = """
import gc, json, sys
from evalsuite.vlmevalkit import deferred_imports
with deferred_imports.deferred():
    from evalsuite.vlmevalkit import datasets, scoring, workarounds
heavy = [name for name in deferred_imports.PACKAGES if name in sys.modules]
workarounds.apply()
import vlmeval.dataset
classes = [kind.__name__ for kind in vlmeval.dataset.DATASET_CLASSES]
names = {}
for found in [x for x in gc.get_objects() if type(x) is deferred_imports.Deferred]:
    real = found.resolve()
    names[f"{found._module}.{found._name}"] = callable(real) or type(real) in (type(sys), dict)
print(json.dumps([heavy, classes, sorted(vlmeval.dataset.SUPPORTED_DATASETS), names]))
"""


@pytest.mark.integration
@pytest.mark.usefixtures("vlmeval")
def test_the_kit_has_the_same_datasets() -> None:
    """`Deferred` can replace the four kinds of names alone."""
    import vlmeval.dataset as imported

    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    heavy, classes, datasets, names = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert classes == [kind.__name__ for kind in imported.DATASET_CLASSES]
    assert datasets == sorted(imported.SUPPORTED_DATASETS)
    assert len(names) > 10
    assert [name for name, good in names.items() if not good] == []


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a package that can be imported once in each test."""
    for name, text in PACKAGE.items():
        path = tmp_path / "slow_pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "slow_pack"
    for name in [name for name in sys.modules if name.startswith("slow_pack")]:
        del sys.modules[name]


def run(code: str, pack: str, *, after: str = "") -> dict[str, Any]:
    """Run `code` while `pack` is deferred and `after` afterwards; return the names."""
    names: dict[str, Any] = {}
    with deferred_imports.deferred([pack]):
        exec(code, names)
    exec(after, names)
    return names


def test_an_import_statement_imports_nothing(pack: str) -> None:
    names = run(f"import {pack}.part as p\nfrom {pack}.part.tools import twice", pack)
    assert pack not in sys.modules
    assert names["twice"](4) == 8
    assert pack in sys.modules
    assert names["p"].tools.twice(3) == 6


def test_later_imports_are_ordinary(pack: str) -> None:
    names = run(f"import {pack}.part.tools", pack, after=f"import {pack}.part.tools as ordinary")
    assert names["ordinary"].__file__
    assert isinstance(names["ordinary"].twice, FunctionType)


def test_the_first_use_ends_it(pack: str) -> None:
    """A package that is imported for its use never gets deferred names."""
    names = run(f"from {pack} import Base\nBase.kind\nfrom {pack} import TEN", pack)
    assert names["TEN"] == 10


def test_a_deferred_class_is_a_base(pack: str) -> None:
    names = run(f"from {pack} import Base\nclass Sub(Base): pass", pack)
    assert names["Sub"]().kind == "real"
    assert isinstance(names["Sub"](), names["Base"])
    assert not isinstance(3, names["Base"])


def test_a_deferred_dictionary_has_its_values(pack: str) -> None:
    names = run(f"from {pack} import TABLE", pack)
    assert (names["TABLE"][1], 1 in names["TABLE"], 3 in names["TABLE"]) == (2, True, False)


def test_a_star_import_imports_all_names(pack: str) -> None:
    names = run(f"from {pack} import *", pack)
    assert (names["TEN"], names["Base"].kind) == (10, "real")


def test_an_unknown_name_is_an_import_error_on_use(pack: str) -> None:
    names = run(f"from {pack} import unknown", pack)
    with pytest.raises(ImportError, match=r"slow_pack\.unknown"):
        names["unknown"]()


def test_an_imported_package_is_not_replaced() -> None:
    before = sys.modules["json"]
    assert run("import json", "json")["json"] is before
    assert sys.modules["json"] is before
