"""What all pages have: the policy, the style and scripts, the head and the way back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from evalsuite.report.writers.html import escaped
from evalsuite.system.environment import VERSION

BROWSER = ("page.js", "list.js", "data.js", "filter.js", "detail.js", "samples.js")
"""Scripts of the page that browses samples, each before what needs it. All pages have the first."""
ASSETS = ("page.css", *BROWSER)


@dataclass(frozen=True, slots=True)
class Style:
    """What the pages of one writing share."""

    stamp: str
    """Names the folder with scripts, style and data."""
    nonce: str
    """Whatever has not this word does not run: nobody whose text is shown could know it."""

    @property
    def policy(self) -> str:
        """What a page may load or run.

        ``'self'`` would let every file of the disk run where a page is opened from one. Trusted
        types are for browsers that know them: there no text can be made markup, by no mistake.
        """
        return (
            f"default-src 'none'; script-src 'nonce-{self.nonce}'; style-src 'nonce-{self.nonce}'; "
            "img-src 'self' file:; base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types evalsuite"
        )


def new_style(stamp: str) -> Style:
    """Choose a word for the writing `stamp`."""
    return Style(stamp, secrets.token_urlsafe(18))


def assets() -> Iterator[tuple[str, str]]:
    """Name and text of the scripts and the style."""
    for name in ASSETS:
        yield name, files(__package__).joinpath(name).read_text(encoding="utf-8")


def document(
    style: Style,
    title: str,
    body: str,
    *,
    here: str = "",
    root: str = "",
    trail: Sequence[tuple[str, str]] = (),
    scripts: Sequence[str] = BROWSER[:1],
    kind: str = "report",
) -> str:
    """Return a whole page about `title`, which is escaped here; `body` is markup.

    `here` is a shorter title, where that will do; `root` leads to the page's folder; `trail` has
    the pages above this one, as address and name.
    """
    base = f"{root}data/{style.stamp}/"
    # The first sets the colours before anything is drawn.
    links = "".join(
        f'<script src="{base}{name}" nonce="{style.nonce}"{" defer" if number else ""}></script>\n'
        for number, name in enumerate(scripts)
    )
    above = "".join(
        f'<a href="{escaped(address)}">{escaped(name)}</a><span aria-hidden="true">/</span>'
        for address, name in trail
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escaped(style.policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<link rel="stylesheet" href="{base}page.css" nonce="{style.nonce}">
{links}</head>
<body class="{kind}">
<header class="top">
<nav aria-label="Where this is">{above}\
<span aria-current="page">{escaped(here or title)}</span></nav>
<button type="button" id="theme" hidden>Dark</button>
</header>
{body}<footer>evalsuite {escaped(VERSION)}</footer>
</body>
</html>
"""
