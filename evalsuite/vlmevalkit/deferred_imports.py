"""Import VLMEvalKit's datasets without the packages that few of them use.

VLMEvalKit imports the modules of all its datasets and models at its start, and with them torch,
NLTK, scikit-learn and others: 13 CPU-seconds, of which its own code is 1. Inside `deferred`, these
packages are imported when one of their names is used for the first time.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGES = (
    "datasets",
    "math_verify",
    "matplotlib",
    "nltk",
    "openai",
    "scipy",
    "sklearn",
    "sympy",
    "torch",
    "torchvision",
    # Downloads data of NLTK when it is imported.
    "vlmeval.dataset.utils.mmhelix",
    "vlmeval.tools",
    "vlmeval.vlm",
)
"""Packages and modules that are imported on first use."""


@contextlib.contextmanager
def deferred(packages: Iterable[str] = PACKAGES) -> Iterator[None]:
    """Within the block, ``import`` and ``from … import`` do not import `packages`.

    The names are `Deferred` until they are used. Their first use, or the end of the block, ends
    this for all packages: imports after it are ordinary ones.
    """
    finder = _Finder([name for name in packages if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.end()
        sys.meta_path.remove(finder)


class Deferred:
    """A class, function, module or dictionary of a package that is imported when it is used."""

    def __init__(self, finder: _Finder, module: str, name: str) -> None:
        self.__dict__.update(_finder=finder, _module=module, _name=name)

    def resolve(self) -> Any:
        """Import the package; return what the name stands for."""
        module = self._finder.import_now(self._module)
        try:
            return getattr(module, self._name)
        except AttributeError:
            return importlib.import_module(f"{self._module}.{self._name}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.resolve(), name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it."""
        return self.resolve()(*arguments, **named)

    def __getitem__(self, key: Any) -> Any:
        """Return the value of a dictionary."""
        return self.resolve()[key]

    def __contains__(self, key: Any) -> bool:
        """Return whether a dictionary has the key."""
        return key in self.resolve()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        """Let a class have a deferred class as its base."""
        return (self.resolve(),)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self.resolve())


class _DeferredModule(ModuleType):
    def __init__(self, finder: _Finder, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            # ``from package import *`` needs all names at once.
            names = vars(self._finder.import_now(self.__name__))
            return names.get(name, [public for public in names if not public.startswith("_")])
        if name.startswith("__"):
            raise AttributeError(name)
        found = Deferred(self._finder, self.__name__, name)
        return found if self._finder.packages else found.resolve()


class _Finder(MetaPathFinder, Loader):
    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = tuple(packages)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(f"{fullname}.".startswith(f"{package}.") for package in self.packages):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeferredModule(self, spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is imported on first use."""

    def import_now(self, module: str) -> ModuleType:
        """Import the module."""
        self.end()
        return importlib.import_module(module)

    def end(self) -> None:
        """Let all later imports be ordinary ones."""
        self.packages = ()
        for name, module in list(sys.modules.items()):
            if isinstance(module, _DeferredModule):
                del sys.modules[name]
