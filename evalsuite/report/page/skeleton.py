"""What all pages have: the policy, the style and scripts, the head and the way back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from evalsuite.report.writers.html import render
from evalsuite.system.environment import VERSION

BROWSER = ("page.js", "list.js", "data.js", "filter.js", "detail.js", "address.js", "controls.js",
           "keys.js", "samples.js")  # fmt: skip
"""Scripts of the page that browses samples, in the order in which they need each other. All pages
have the first."""
ASSETS = ("page.css", *BROWSER)


@dataclass(frozen=True, slots=True)
class Style:
    """What the pages of one writing share."""

    stamp: str
    """Name of the folder with scripts, style and data."""
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    """Random text that a script or style must carry to be used."""

    @property
    def policy(self) -> str:
        """What a page may load or run.

        ``'self'`` would allow every file of the disk when a page is opened from disk. With trusted
        types, where a browser has them, no text can be turned into markup by mistake.
        """
        return (
            f"default-src 'none'; script-src 'nonce-{self.nonce}'; style-src 'nonce-{self.nonce}'; "
            "img-src 'self' file:; base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types evalsuite"
        )


def assets() -> Iterator[tuple[str, str]]:
    """Yield name and text of the scripts and the style."""
    for name in ASSETS:
        yield name, files(__package__).joinpath(name).read_text(encoding="utf-8")


def document(
    style: Style,
    template: str,
    title: str,
    *,
    here: str = "",
    root: str = "",
    trail: Sequence[tuple[str, str]] = (),
    scripts: Sequence[str] = BROWSER[:1],
    kind: str = "report",
    **values: Any,
) -> str:
    """Render `template` with `values` as a page about `title`.

    `here` is a shorter title for the navigation; `root` is the relative address of the page's
    folder; `trail` has the pages above this one, as address and name.
    """
    return render(
        template,
        title=title,
        here=here,
        files=f"{root}data/{style.stamp}/",
        trail=trail,
        scripts=scripts,
        kind=kind,
        policy=style.policy,
        nonce=style.nonce,
        version=VERSION,
        **values,
    )
