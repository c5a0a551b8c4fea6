"""The page that browses samples: its frame; `samples.js` fills it."""

from __future__ import annotations

import json

from evalsuite.report.page.skeleton import BROWSER, Style, document
from evalsuite.report.page.subject import Subject
from evalsuite.report.writers.html import escaped

_KEYS = (
    ("j or ↓", "next sample"),
    ("k or ↑", "previous sample"),
    ("Home, End, Page Up, Page Down", "move further"),
    ("Enter", "open the sample; again: go to its text"),
    ("→ or ←", "next or previous, while one is open"),
    ("Esc", "close it"),
    ("/", "search"),
    ("?", "these keys"),
)


def browser(style: Style, subject: Subject) -> str:
    """Draw the frame for the samples of `subject`."""
    keys = "".join(
        f"<div><dt>{escaped(key)}</dt><dd>{escaped(what)}</dd></div>" for key, what in _KEYS
    )
    labels = escaped(json.dumps([part.label for part in subject.browsed]))
    before, after = subject.flipped
    body = f"""<main id="browser" data-stem="{escaped(f"data/{style.stamp}/{subject.slug}")}" \
data-runs="{labels}" data-video="{int(subject.video)}" data-from="{before}" data-to="{after}">
<h1 class="hidden">{escaped(subject.name)}: samples</h1>
<noscript><p class="told">Browsing samples needs scripts; this page has only its own.</p></noscript>
<form id="filters" role="search" aria-label="Which samples">
<div class="line">
<div id="show" class="chips" role="group" aria-label="Show"></div>
<input id="search" type="search" placeholder="Search" aria-label="Search" autocomplete="off" \
spellcheck="false">
<button type="button" id="keys-button" aria-haspopup="dialog" aria-label="Keys">?</button>
</div>
<div class="line">
<p id="status" role="status" aria-live="polite">Loading …</p>
<label id="in-box" hidden>of <select id="in"></select></label>
<label id="from-box" hidden>from <select id="from"></select></label>
<label id="to-box" hidden>to <select id="to"></select></label>
<label id="category-box" hidden>category <select id="category"></select></label>
</div>
</form>
<div id="columns">
<section id="list-box" aria-label="Samples">
<div id="list-head" aria-hidden="true"></div>
<div id="list" role="listbox" tabindex="0" aria-label="Samples"><div id="spacer" \
role="presentation"></div></div>
</section>
<section id="detail" tabindex="-1" aria-label="Sample" hidden></section>
</div>
<dialog id="keys" aria-labelledby="keys-title"><h2 id="keys-title">Keys</h2><dl>{keys}</dl>
<button type="button" id="keys-close">Close</button></dialog>
</main>
"""
    return document(
        style,
        f"{subject.name}: samples",
        body,
        here="Samples",
        root="../",
        trail=[
            ("../index.html", "All runs"),
            (f"../benchmarks/{subject.slug}.html", subject.name),
        ],
        scripts=BROWSER,
        kind="browser",
    )
