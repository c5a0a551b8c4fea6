"""The page that browses samples: its frame, which `samples.js` fills."""

from __future__ import annotations

import json

from evalsuite.report.page.skeleton import BROWSER, Style, document
from evalsuite.report.page.subject import Subject


def browser(style: Style, subject: Subject) -> str:
    """Render the frame for the samples of `subject`."""
    before, after = subject.flipped
    return document(
        style,
        "browser.html.j2",
        f"{subject.name}: samples",
        here="Samples",
        root="../",
        trail=[("../index.html", "All runs"),
               (f"../benchmarks/{subject.slug}.html", subject.name)],
        scripts=BROWSER,
        kind="browser",
        stem=f"data/{style.stamp}/{subject.slug}",
        labels=json.dumps([part.label for part in subject.browsed]),
        video=int(subject.video),
        before=before,
        after=after,
    )  # fmt: skip
