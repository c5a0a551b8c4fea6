"""Write requirements.txt and requirements-dev.txt: every package pinned, with hashes. `make lock`.

    python -m tools.lock [--upgrade]

requirements.txt is what `evalsuite run` needs: the extra `run` and VLMEvalKit without the packages
of `evalsuite.vlmevalkit.left_out`. requirements-dev.txt is what the tests need beside that. Both
are for Python 3.11 to 3.13. Versions stay as they are where they can; --upgrade takes the newest.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from evalsuite.vlmevalkit.left_out import LEFT_OUT

ROOT = Path(__file__).parents[1]
RUN, DEV = "requirements.txt", "requirements-dev.txt"
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORM = "x86_64-manylinux_2_28"
SOURCE_ONLY = ("docopt", "jieba", "pylatexenc", "timeout-decorator", "yattag")
"""Pure Python without a wheel: these build without a compiler."""
_HEADER = "# Written by `make lock` from pyproject.toml. Do not edit.\n"


def main(options: list[str]) -> None:
    """Write both lists, and check that no package of them needs a compiler."""
    with tempfile.TemporaryDirectory() as scratch:
        excludes = Path(scratch) / "excludes.txt"
        excludes.write_text("".join(f"{one.package}\n" for one in LEFT_OUT))
        _compile(RUN, "--extra=run", "--extra=vlmevalkit", f"--excludes={excludes}", *options)
    # A package that the first list has for other systems alone may be needed on this one, too.
    pins = map(Requirement, re.findall(r"^(\S+==.*) \\$", (ROOT / RUN).read_text(), re.MULTILINE))
    here = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate()]
    _compile(
        DEV,
        *("--extra=run", "--extra=lora", "--extra=ray", "--group=dev", f"--constraints={RUN}"),
        *(f"--no-emit-package={name}" for name in here),
        *options,
    )
    for python in PYTHONS:
        for name in (RUN, DEV):
            _check_wheels(name, python)


def _compile(output: str, *options: str) -> None:
    _uv(
        "pyproject.toml",
        *("--universal", f"--python-version={PYTHONS[0]}", "--generate-hashes"),
        *("--no-annotate", "--no-header", f"--output-file={output}", *options),
    )
    path = ROOT / output
    path.write_text(_HEADER + path.read_text())


def _check_wheels(name: str, python: str) -> None:
    """Fail if a package of the list `name` has no wheel for `python`."""
    _uv(
        name,
        *("--no-deps", "--only-binary=:all:", f"--python-version={python}"),
        *(f"--no-binary={package}" for package in SOURCE_ONLY),
        *(f"--python-platform={PLATFORM}", "--output-file=/dev/null"),
    )


def _uv(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", *arguments]
    if code := subprocess.run(command, cwd=ROOT).returncode:
        sys.exit(code)  # uv has said why


if __name__ == "__main__":
    main(sys.argv[1:])
