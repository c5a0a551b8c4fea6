"""A model card with our scores in its front matter; all other bytes do not change."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.report.export.markers import read_document, renewed
from evalsuite.report.export.model_index import KEY, with_ours
from evalsuite.report.format import counted, plus_minus, points
from evalsuite.report.model.column import Column
from evalsuite.report.model.table import prompts_of
from evalsuite.report.tables.grid import STANDARD_ERROR, Grid, lay_out
from evalsuite.report.writers.markdown import escaped, grid_markdown
from evalsuite.runs.records import Run
from evalsuite.stats import mean
from evalsuite.system.files import write_output

BEGIN = "<!-- evalsuite:card:begin -->"
END = "<!-- evalsuite:card:end -->"
_BLOCK = re.compile(r"(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$))")
"""The front matter, as huggingface_hub and the Hub recognise it."""
_BOM = "\ufeff"


def write(run: Run, path: Path | None) -> None:
    """Write the card of `run` to `path`, or print a new one if it is None.

    Raises `UsageError` for an unsuitable run or front matter; the file then does not change.
    """
    if path is None:
        sys.stdout.write(_new(run))
    else:
        write_output(path, updated(read_document(path), run, path))


def updated(known: str, run: Run, path: Path) -> str:
    """Return `known` with the scores of `run` in its front matter and between our markers."""
    if not known.strip(_BOM + " \t\r\n"):
        return _new(run)
    bom, text = (_BOM, known[1:]) if known.startswith(_BOM) else ("", known)
    try:
        found = _BLOCK.match(text)
        if found is None:
            if re.match(r"\s*---[ \t]*(\r|\n|$)", text):
                raise UsageError("the front matter has no closing line '---'; add it")
            line = "\r\n" if "\r\n" in text else "\n"
            head = f"---{line}{_dumped(with_ours(None, run), line)}---{line}{line}"
            return bom + head + (renewed(text, BEGIN, END, _table(run)) or text)
        line = found[1].lstrip().removeprefix("---")
        head = _front_matter(found[2], line, run)
        rest = text[found.end() :]
        return bom + found[1] + head + found[3] + (renewed(rest, BEGIN, END, _table(run)) or rest)
    except UsageError as error:
        raise UsageError(f"{path}: {error}; the file was not changed") from None


def _new(run: Run) -> str:
    index = _dumped(with_ours(None, run), "\n")
    title = f"# {escaped(run.checkpoint.name)}"
    return f"---\n{index}---\n\n{title}\n\n## Evaluation\n\n{BEGIN}\n{_table(run)}{END}\n"


def _table(run: Run) -> str:
    return f"\nWritten by `evalsuite card`.\n\n{grid_markdown(_grid(run))}\n"


def _grid(run: Run) -> Grid:
    """Lay out the scores: a line a benchmark."""
    whole = [score for score in run.scores if not score.partial]
    over = f"mean over {counted(len(whole), 'benchmark')} with equal weight"
    average = (
        (f"average {points(mean([score.value for score in whole]))}: {over}",) if whole else ()
    )
    return lay_out(
        [
            Column("", "benchmark", attrgetter("benchmark"), numeric=False),
            Column("", "score, 0 to 100", lambda score: score, plus_minus),
            Column("", "samples", attrgetter("n")),
            Column("", "rule", attrgetter("conditions.metric"), numeric=False),
        ],
        run.scores,
        remarks=(
            STANDARD_ERROR,
            *average,
            *(f"{failure.benchmark}: no score" for failure in run.failures),
            *(f"{s.benchmark}: data modified" for s in run.scores if s.modified_data),
            f"prompts: {prompts_of(run)}; evalsuite {run.evalsuite}",
        ),
    )


# Front matter


def _front_matter(block: str, line: str, run: Run) -> str:
    """Return `block` with the new model-index; the text of other keys does not change."""
    known = _loaded(block)
    index = with_ours(known.get(KEY), run)
    text = _dumped(index, line)
    place = _place(block)
    if place is None:
        gap = "" if not block or block.endswith(("\n", "\r")) else line
        new = block + gap + text.removesuffix(line)
    else:
        start, end = place
        rest = block[end:]
        new = block[:start] + (text if rest else text.removesuffix(line)) + rest
    if _loaded(new) != {**known, KEY: index}:  # for example an alias of the replaced text
        raise UsageError(f"'{KEY}' cannot be replaced on its own; write it as a plain list")
    return new


def _loaded(block: str) -> dict[Any, Any]:
    import yaml

    try:
        known = yaml.safe_load(block)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 2}"
        raise UsageError(f"the front matter is not valid YAML{where}; fix it first") from None
    if known is None:
        return {}
    if not isinstance(known, dict):
        raise UsageError(
            "the front matter has no keys; add one, such as 'license: …', or remove it"
        )
    return known


def _place(block: str) -> tuple[int, int] | None:
    """Return the lines of the model-index in `block`; None if it has none."""
    import yaml

    root = yaml.compose(block, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return None
    if root.flow_style:
        raise UsageError("the front matter is a flow mapping {…}; write one key a line")
    pairs = [(key, value) for key, value in root.value if key.value == KEY]
    if len(pairs) > 1:
        raise UsageError(f"the front matter has '{KEY}' twice; remove one")
    if not pairs:
        return None
    (key, value) = pairs[0]
    start, end = key.start_mark.index, value.end_mark.index
    # PyYAML ends a block where the next key starts; blank lines and comments before it are kept.
    lines = list(_lines(block[start:end]))
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    end = start + len("".join(lines))
    # The rest of the last line (after [] for example): its line break and comment.
    if not block[start:end].endswith(("\n", "\r")):
        rest = next(_lines(block[end:]), "")
        end += len(rest)
    return start, end


def _lines(text: str) -> Iterator[str]:
    """Split into lines as YAML does, with their line ends."""
    yield from re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)


def _dumped(index: list[dict[str, Any]], line: str) -> str:
    from huggingface_hub import CardData

    data = CardData()
    data[KEY] = index
    return f"{data.to_yaml()}\n".replace("\n", line)
