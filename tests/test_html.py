"""Tables as HTML: structure, escaping and the content security policy."""

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from evalsuite.report import format as words
from evalsuite.report.model import table
from evalsuite.report.model.table import Footnote
from evalsuite.report.tables import runs
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line
from evalsuite.report.writers.html import document, policy
from tests.builders.hostile import HOSTILE
from tests.builders.runs import one, several

KNOWN = {"div", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "sup", "ul", "li",
         "strong", "a", "span"}  # fmt: skip


def read(drawn: Grid) -> Any:
    """The elements of a grid, all of them ours."""
    [tree] = html.document_fromstring(document("t", [drawn])).find_class("grid")
    assert {element.tag for element in tree.iter()} <= KNOWN
    return tree


def shown(element: Any) -> str:
    return str(element.text_content()).strip()


def cells(tree: Any, part: str) -> list[list[str]]:
    return [[shown(cell) for cell in row] for row in tree.findall(f".//{part}/tr")]


def test_rows_columns_groups_and_notes() -> None:
    tree = read(runs.across(table.build(several())))
    assert cells(tree, "thead") == [
        ["checkpoint", "average", "image", "video"],
        ["DemoDigits", "DemoYesNo", "DemoVideo"],
    ]
    above = tree.findall(".//thead/tr")[0]
    assert [(cell.get("rowspan"), cell.get("colspan")) for cell in above] == [
        ("2", None), ("2", None), (None, "2"), (None, "1"),
    ]  # fmt: skip
    assert cells(tree, "tbody")[1] == [
        "checkpoint-1000a", "71.3", "71.3 ± 2.2b", "failedc", "30.0 ± 2.2",
    ]  # fmt: skip
    row = tree.findall(".//tbody/tr")[1]
    assert [cell.get("data-sort") for cell in row] == [None, "71.26", "71.26", None, "30.0"]
    assert [cell.get("class") for cell in row] == [None, *["number"] * 4]
    assert [cell.tag for cell in row] == ["th", *["td"] * 4]
    assert [shown(mark) for mark in row.iter("sup")] == ["a", "b", "c"]
    assert shown(tree.findall(".//li")[-1]).startswith("c checkpoint-1000 DemoYesNo: no score")


def test_groups_are_table_bodies_and_the_summary_is_the_foot() -> None:
    tree = read(runs.detail(one()))
    assert [shown(body[0]) for body in tree.findall(".//tbody")] == ["image", "video", "other"]
    assert cells(tree, "tfoot")[0][:2] == ["average", "73.2"]
    assert shown(tree.find(".//caption")).startswith("demo (01234567")


def test_the_best_is_bold_and_headings_can_be_links() -> None:
    drawn = Grid(headings=(Heading("a", numeric=False), Heading("b", link="b.html?x=1&y=2")),
                 lines=(Line((Entry("x"), Entry("1.0", ("c",), 1.0, best=True))),))  # fmt: skip
    tree = read(drawn)
    assert [shown(strong) for strong in tree.iter("strong")] == ["1.0"]
    assert tree.find(".//a").get("href") == "b.html?x=1&y=2"


def hostile(name: str) -> Grid:
    return Grid(
        title=name,
        headings=(Heading(name, numeric=False, group=name, marks=(name,)),
                  Heading("b", group=f"not {name}")),
        lines=(Line((Entry(name), Entry(name, (name,))), name),
               Line((Entry("x"), Entry("1")), f"not {name}")),
        summary=(Entry(name), Entry(name)),
        remarks=(name,),
        footnotes=(Footnote("a", name, (name,)),),
    )  # fmt: skip


def check(name: str) -> None:
    visible = words.visible(name).strip()
    tree = read(hostile(name))
    places = (".//caption", ".//thead/tr[1]/th[1]", ".//tbody[1]/tr[1]/th", ".//tbody[1]/tr[2]/th",
              ".//tfoot/tr/td", ".//ul/li[1]")  # fmt: skip
    assert [shown(tree.find(place)) for place in places] == [visible] * len(places)
    for attribute in (value for element in tree.iter() for value in element.attrib.values()):
        assert attribute in {"grid", "scroll", "group", "number", "bad", "0", "1", "2", "col",
                             "row", "colgroup", "rowgroup", "region", "Scores"}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [*HOSTILE, "<script>alert(1)</script>", "</style><script>", '" onclick="x', "' x='", "&amp;",
     "[x](javascript:alert(1))", "]]>", "-->", "x" * 5000],
)  # fmt: skip
def test_hostile_names_are_text(name: str) -> None:
    check(name)


@given(st.text(min_size=1))
def test_any_name_is_text(name: str) -> None:
    check(name)


def test_a_page_is_self_contained_and_allows_nothing_else() -> None:
    page = html.document_fromstring(document("<b>&", [runs.detail(one())]))
    assert page.findtext(".//title") == "<b>&"
    [style] = page.iter("style")
    allowed = base64.b64encode(hashlib.sha256(style.text.encode()).digest()).decode()
    allows = page.find(".//meta[@http-equiv]").get("content")
    assert allows == policy()
    assert allows.startswith("default-src 'none';")
    assert allows.endswith(f"style-src 'sha256-{allowed}'")
    assert "prefers-color-scheme: dark" in style.text
    assert not [e for e in page.iter() if e.get("src") or e.get("href") or e.get("style")]
    assert not list(page.iter("script", "link", "iframe"))
