"""The folder of a page: data, images, ownership and interruption."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evalsuite.errors import DiskError, UsageError
from evalsuite.report.model.join_samples import join, known
from evalsuite.report.page import data, pictures
from evalsuite.report.page.data import Picture, scripts, shown, to_script
from evalsuite.report.page.folder import MARKER, claim, opened
from evalsuite.report.page.subject import groups
from evalsuite.report.page.write import write
from evalsuite.runs.records import FoundRun, SampleScore
from tests.builders.pages import HOSTILE, Watched, changed, hostile, picture, written
from tests.builders.runs import failure
from tests.builders.stored_runs import failed, sample, samples, stored


def taken(script: str) -> tuple[str, Any]:
    """What the page gets from a script: the string as a browser reads it, then its JSON."""
    match = re.fullmatch(r"evalsuite\.take\('([\w./-]+)','([^']*)'\);\n", script)
    assert match, script[:200]
    text = re.sub(
        r"\\(u[0-9a-f]{4}|\\)",
        lambda m: "\\" if m[1] == "\\" else chr(int(m[1][1:], 16)),
        match[2],
    )
    return match[1], json.loads(text)


def loaded(page: Path, slug: str) -> dict[str, Any]:
    """Everything a browser could load of a benchmark, by file."""
    (folder,) = (page / "data").iterdir()
    return {path.stem: taken(path.read_text("utf-8"))[1] for path in (folder / slug).glob("*.js")}


def files(page: Path) -> set[str]:
    return {path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file()}


# Scripts


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_script_holds_any_text_and_nothing_that_ends_it(text: str) -> None:
    script = to_script("a/index", {"rows": [text]})
    assert taken(script) == ("a/index", {"rows": [text]})
    assert not set("<>&\u2028\u2029") & set(script)
    script.encode()  # no half of a character is left


@given(st.text(st.characters(), max_size=40))
def test_any_text_comes_back(text: str) -> None:
    assert taken(to_script("x", text)) == ("x", text)


# Samples of several runs side by side


def test_samples_are_joined_by_id_and_prompt() -> None:
    first = [sample(0, 1), sample(1, 0), sample(2, 1)]
    second = [sample(2, 0), sample(1, 1, prompt_digest="other"), sample(3, 1)]
    rows = join([first, second])
    assert [[s and (s.id, s.value) for s in row] for row in rows] == [
        [("0", 1), None],
        [("1", 0), None],
        [("2", 1), ("2", 0)],
        [None, ("1", 1)],
        [None, ("3", 1)],
    ]


def test_samples_without_a_prompt_join_their_id() -> None:
    lost = failed(sample(1, 0), prompt_digest="")
    rows = join([[sample(0, 1), lost], [sample(0, 1), sample(1, 1, question="what?")]])
    assert len(rows) == 2
    assert known(rows[1]).question == "what?"


def test_a_blind_run_joins_runs_with_images() -> None:
    seen, unseen = samples([1, 0]), samples([0, 0], prompt_digest="blind")
    for tables, blind in (([seen, unseen], [False, True]), ([unseen, seen], [True, False])):
        rows = join(tables, blind)
        assert [[s.value for s in row if s] for row in rows] == [
            [table[i].value for table in tables] for i in range(2)
        ]
    assert len(join([seen, unseen])) == 4, "different prompts, if neither run is blind"


# Data


def made(rows: list[tuple[SampleScore | None, ...]], **more: Any) -> dict[str, Any]:
    labels = [f"run {index}" for index in range(len(rows[0]))]
    facts = {"pictures": {}, "video": False, **more}
    out = {}
    for expected, text in scripts(rows, labels, stem="a", **facts):
        name, value = taken(text)
        assert name == expected
        out[name.removeprefix("a/")] = value
    return out


def test_the_index_has_the_fields_of_the_filters() -> None:
    rows = [
        (sample(0, 1, labels=(("split", "val"),)), sample(0, 0, parsed=False)),
        (sample(1, 0.25, ended="length"), None),
        (sample(2, 0, prediction=" "), failed(sample(2, 1))),
        (sample(3, 0, counts=False), sample(3, 1)),
    ]
    index = made(rows)["index"]
    assert index["runs"] == ["run 0", "run 1"]
    assert index["ids"] == ["0", "1", "2", "3"]
    assert index["values"] == [[1, 0.25, 0, 0], [0, 0, 0, 1]]
    assert index["flags"] == [
        [0, data.TRUNCATED, data.EMPTY, data.UNSCORED],
        [data.UNPARSED, data.BLANK, data.FAILED, 0],
    ]
    assert index["facets"] == [
        {"name": "category", "values": ["even", "odd"], "codes": [0, 1, 0, 1]},
        {"name": "split", "values": ["none", "val"], "codes": [1, 0, 0, 0]},
    ]


def test_texts_are_split_into_small_files() -> None:
    rows = [(sample(index, 1, question=f"q{index}"),) for index in range(1203)]
    out = made(rows)
    assert out["index"]["starts"] == [0, 500, 1000]
    assert [len(out[f"{number:04}"]["rows"]) for number in (1, 2, 3)] == [500, 500, 203]
    assert out["0003"]["rows"][2][:3] == ["q1002", "A", [["A", ""]]]
    long = [(sample(index, 1, question="x" * 40_000),) for index in range(5)]
    assert made(long)["index"]["starts"] == [0, 2, 4]
    huge = [(sample(index, 1, question="x" * 300_000),) for index in range(2)]
    assert made(huge)["index"]["starts"] == [0, 1]


def test_the_search_index_counts_truncated_rows() -> None:
    rows = [
        (
            sample(0, 1, question="Is  THIS\na Dog?", prediction="Yes"),
            sample(0, 0, prediction="NO"),
        ),
        (sample(1, 1, question="x" * 1001), failed(sample(1, 0))),
    ]
    out = made(rows)
    assert out["search-0001"] == [
        "0\nis this a dog?\na\nyes\nno",
        f"1\n{'x' * 1000}\na\nout of memory",
    ]
    assert (out["index"]["searched"], out["index"]["cut"]) == (1, 1)


def test_frames_of_a_video_are_spread_over_it() -> None:
    media = [str(number) for number in range(64)]
    assert shown(media, video=True) == ["0", "13", "25", "38", "50", "63"]
    assert shown(media[:3], video=True) == ["0", "1", "2"]
    assert len(shown(media, video=False)) == data.SHOWN_IMAGES


def test_shared_images_are_listed_once() -> None:
    there = {"a.png": Picture("media/a.webp"), "b.png": Picture("", "gone")}
    rows = [(sample(i, 1, media=("a.png", "b.png")),) for i in range(3)]
    chunk = made(rows, pictures=there)["0001"]
    assert chunk["images"] == [["media/a.webp", ""], ["", "gone"]]
    assert [row[3:5] for row in chunk["rows"]] == [[[0, 1], 2]] * 3
    assert made(rows)["0001"]["rows"][0][3:5] == [[], 2], "there, and not shown"


# Pictures


def test_thumbnails_are_small_and_one_an_image(tmp_path: Path) -> None:
    page = tmp_path / "page"
    big = picture(tmp_path / "big.png", "blue", (1000, 500))
    twin = picture(tmp_path / "twin.png", "blue", (1000, 500))
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(clear)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    paths = [big, twin, str(clear), str(broken), str(tmp_path / "gone.png"), str(tmp_path)]
    steps = Watched()
    found = pictures.prepare(paths, "thumbnails", page, steps.advance)
    assert steps.advanced == 6
    assert found[big] == found[twin]
    with Image.open(page / found[big].source) as image:
        assert (image.format, image.size) == ("WEBP", (256, 128))
    with Image.open(page / found[str(clear)].source) as image:
        assert image.convert("RGBA").getpixel((5, 5))[3] == 0
    assert found[str(broken)].source == ""
    assert "cannot be read" in found[str(broken)].why
    assert found[paths[4]] == found[paths[5]] == Picture("", pictures.GONE)
    assert len([name for name in files(page) if name.endswith(".webp")]) == 2


def test_references_are_addresses_of_the_originals(tmp_path: Path) -> None:
    page = tmp_path / "page"
    inside = picture(page / "own" / "in side#1.png")
    outside = picture(tmp_path / "out side?.png")
    found = pictures.prepare([inside, outside, "/no/such.png"], "reference", page, lambda: None)
    assert found[inside] == Picture("own/in%20side%231.png")
    assert found[outside] == Picture(Path(outside).as_uri())
    assert found["/no/such.png"] == Picture("", pictures.GONE)
    assert pictures.prepare([inside], "none", page, lambda: None) == {}


# Whole pages


class Texts(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_hostile_texts_add_no_markup_to_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page"
    written(hostile(tmp_path / "results"), page)
    plain = tmp_path / "plain"
    written([stored(tmp_path / "results", name, {"Bench": samples([1, 0])})
             for name in ("third", "fourth")], plain)  # fmt: skip
    for name in ("index.html", "benchmarks/Bench.html", "samples/Bench.html"):
        ours, theirs = (Texts((root / name).read_text()) for root in (plain, page))
        assert set(theirs.tags) == set(ours.tags), name
        assert {a for a in theirs.attributes if a.startswith("on")} == set()
        for link in theirs.links:
            assert re.fullmatch(r"(\.\./)?[\w./-]+(#[\w=&%+.-]*)?", link), link
    assert "<b>bold</b>" in "".join(Texts((page / "index.html").read_text()).texts)
    rows = loaded(page, "Bench")["0001"]["rows"]
    assert [row[2][0][0] for row in rows] == list(HOSTILE.values())


def test_the_policy_lets_only_our_scripts_run(tmp_path: Path) -> None:
    found = [stored(tmp_path / "results", "a", {"Bench": samples([1, 0])})]
    nonces = set()
    for _ in range(2):
        written(found, tmp_path / "page")
        for name in ("index.html", "benchmarks/Bench.html", "samples/Bench.html"):
            text = (tmp_path / "page" / name).read_text()
            head = text[: text.index("</head>")]
            policy = re.search(r'Content-Security-Policy" content="([^"]*)"', head)
            assert policy
            assert policy.start() < head.index("<link")
            assert policy.start() < head.index("<script")
            assert "unsafe" not in policy[1]
            for part in ("default-src 'none'", "base-uri 'none'", "form-action 'none'"):
                assert part in unescape(policy[1])
            nonces |= set(re.findall(r"nonce-([\w-]+)", policy[1]))
            assert set(re.findall(r'nonce="([\w-]+)"', text)) <= nonces
    assert len(nonces) == 2, "a new word each time"


def test_a_page_has_no_path_of_this_machine(tmp_path: Path) -> None:
    image = picture(tmp_path / "images" / "a.png")
    rows = [sample(0, 1, media=(image, str(tmp_path / "gone.png")))]
    found = [stored(tmp_path / "results", "a", {"Bench": rows}, source=str(tmp_path / "a"))]
    made = written(found, tmp_path / "page")
    assert made.missing == 1
    for name in files(tmp_path / "page"):
        if not name.endswith(".webp"):
            assert str(tmp_path) not in (tmp_path / "page" / name).read_text("utf-8"), name
    assert made.bytes == sum(
        p.stat().st_size for p in (tmp_path / "page").rglob("*") if p.is_file()
    )


def test_a_benchmark_page_shows_scores_and_errors(tmp_path: Path) -> None:
    values = [1.0, 1.0, 0.0, 1.0]
    first = stored(
        tmp_path, "first", {"Bench": samples(values)},
        scores={"Bench": {"unparsed": 3, "breakdown": {"even": 50.0, "odd": 100.0}, "stderr": 25.0,
                          "clusters": 4}},
    )  # fmt: skip
    second = stored(tmp_path, "second", {"Bench": samples([0, 1, 1, 1])})
    second.samples("Bench").unlink()
    third = stored(tmp_path, "third", {})
    third = FoundRun(third.path, type(third.run)(**{
        **{f: getattr(third.run, f) for f in third.run.__dataclass_fields__},
        "outcomes": (failure("Bench", "a < b"),)}))  # fmt: skip
    written([first, second, third], tmp_path / "page")
    text = "".join(Texts((tmp_path / "page/benchmarks/Bench.html").read_text()).texts)
    assert "Browse 4 samples" in text
    html = (tmp_path / "page/benchmarks/Bench.html").read_text()
    assert '<td class="number" data-sort="75.0">75.0</td>' in html, "bold means really the best"
    assert "13.1 to 98.4" in text  # Wilson of 75 % of 3 answers, with t of 3
    assert "50.0 ± 50.0" in text
    assert "second: no samples samples.jsonl is missing" in text
    assert "third: no score score: a < b. see kit.log" in text
    for fact in ("choice", "default", "exact", "token limit", "dddddddd"):
        assert fact in text


def test_the_overview_has_a_table_for_each_prompt_style(tmp_path: Path) -> None:
    runs = [stored(tmp_path, name, {"Bench": samples([1, 0])}) for name in ("a", "b", "c")]
    runs[1] = changed(runs[1], prompts="native")
    runs[2] = changed(runs[2], blind=True)
    written(runs, tmp_path / "page")
    page = Texts((tmp_path / "page/index.html").read_text())
    assert page.tags.count("table") == 3, "one a profile, and one of runs"
    assert {link for link in page.links if "benchmarks/" in link} == {
        "benchmarks/Bench.html", "benchmarks/Bench-native.html",
    }  # fmt: skip
    assert "c (blind)" in page.texts
    assert loaded(tmp_path / "page", "Bench")["index"]["runs"] == ["a", "c (blind)"]
    assert loaded(tmp_path / "page", "Bench-native")["index"]["runs"] == ["b"]


def test_changes_are_between_runs_with_images(tmp_path: Path) -> None:
    def flipped(*blind: bool) -> tuple[int, int]:
        runs = [changed(stored(tmp_path, f"run-{index}", {"Bench": samples([1, 0])}), blind=value)
                for index, value in enumerate(blind)]  # fmt: skip
        return groups(runs)[0].subjects[0].flipped

    assert flipped(False, False, False) == (0, 2)
    assert flipped(False, False, True) == (0, 1)
    assert flipped(False, True) == (0, 1)
    assert flipped(False) == (0, 0)


def test_file_names_are_safe(tmp_path: Path) -> None:
    names = ["../../up", "a/b", "a b", "A-B", "<>", "index", "x" * 300]
    found = [stored(tmp_path, "run", {})]
    outcomes = tuple(failure(name) for name in names)
    run = found[0].run
    whole = type(run)(**{**{f: getattr(run, f) for f in run.__dataclass_fields__},
                         "outcomes": outcomes})  # fmt: skip
    slugs = [s.slug for s in groups([FoundRun(found[0].path, whole)])[0].subjects]
    assert slugs == ["up", "a-b", "a-b-2", "A-B-3", "benchmark", "index", "x" * 100]


def test_a_limited_run_has_its_own_samples(tmp_path: Path) -> None:
    found = stored(tmp_path, "a", {"Bench": samples([1, 0, 1])}, limit="3")
    assert written([found], tmp_path / "page").samples == 3
    text = (tmp_path / "page/benchmarks/Bench.html").read_text()
    assert "only part of the samples, with --limit: 3" in text


# Whose folder it is


@pytest.fixture
def one(tmp_path: Path) -> list[FoundRun]:
    image = picture(tmp_path / "images" / "a.png")
    rows = [sample(i, 1, media=(image,)) for i in range(3)]
    return [stored(tmp_path / "results", "a", {"Bench": rows, "Other": samples([1, 0])})]


def test_a_new_page_replaces_the_old_one(one: list[FoundRun], tmp_path: Path) -> None:
    page = tmp_path / "page"
    written(one, page)
    before = files(page)
    other = stored(tmp_path / "results", "b", {"Bench": samples([1, 0])})
    written([other], page)
    after = files(page)
    assert "benchmarks/Other.html" in before
    assert not [name for name in after if "Other" in name or name.startswith("media")]
    assert len(list((page / "data").iterdir())) == 1
    assert not {name for name in before & after if name.startswith("data/")}


def test_foreign_files_are_neither_changed_nor_removed(one: list[FoundRun], tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        written(one, theirs)
    assert files(theirs) == {"index.html"}
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="is a file"):
        written(one, file)

    page = tmp_path / "page"
    written(one, page)
    (stamp,) = (page / "data").iterdir()
    mine = ["notes.txt", "benchmarks/mine.html", f"data/{stamp.name}/notes.js", "media/me.webp"]
    for name in mine:
        (page / name).write_text("mine")
    outside = tmp_path / "outside.html"
    outside.write_text("mine")
    marker = json.loads((page / MARKER).read_text())
    marker["pages"] += ["../outside.html", "/etc/hostname", "benchmarks/../../outside.html"]
    (page / MARKER).write_text(json.dumps(marker))
    written(one, page)
    assert set(mine) <= files(page)
    assert outside.exists()


@pytest.mark.parametrize(
    ("marker", "said"),
    [("{", "is not valid JSON"), ('{"schema": 9, "pages": []}', "newer evalsuite")],
)
def test_a_damaged_or_newer_marker(tmp_path: Path, marker: str, said: str) -> None:
    (tmp_path / MARKER).write_text(marker)
    with pytest.raises(UsageError, match=said):
        claim(tmp_path)


def test_an_interrupted_page_leaves_the_earlier_one(one: list[FoundRun], tmp_path: Path) -> None:
    page = tmp_path / "page"
    written(one, page)
    before = {name: (page / name).read_bytes() for name in files(page)}
    more = [sample(9, 1, media=(picture(tmp_path / "images" / "b.png", "green"),))]
    found = [*one, stored(tmp_path / "results", "b", {"New": more})]
    with pytest.raises(KeyboardInterrupt):
        write(found, page, "thumbnails", Watched(stop=1))
    after = {name: (page / name).read_bytes() for name in files(page)}
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in set(after) - set(before)} <= {"media"}
    # Killed, it has no chance to clean up; the next one does.
    left = page / "data" / ("0" * 16) / "Bench"
    left.mkdir(parents=True)
    (left / "0001.js").write_text("half")
    written(found, page)
    assert len(list((page / "data").iterdir())) == 1
    assert "benchmarks/New.html" in files(page)


def test_an_interrupted_replacement_leaves_complete_pages(
    one: list[FoundRun], tmp_path: Path
) -> None:
    page = tmp_path / "page"
    written(one, page)
    (page / "samples/Bench.html").unlink()
    (page / "samples/Bench.html").mkdir()
    with pytest.raises(DiskError, match=r"samples/Bench\.html: cannot be written"):
        written(one, page)
    stamps = set()
    for path in (path for path in page.rglob("*.html") if path.is_file()):
        (stamp,) = set(re.findall(r"data/([0-9a-f]{16})/", path.read_text()))
        stamps.add(stamp)
        assert (page / "data" / stamp / "Bench" / "index.js").exists()
    assert len(stamps) == 2, "old ones and new ones"
    (page / "samples/Bench.html").rmdir()
    written(one, page)
    assert len(list((page / "data").iterdir())) == 1


def test_two_processes_cannot_write_one_page(one: list[FoundRun], tmp_path: Path) -> None:
    with opened(tmp_path / "page"), pytest.raises(UsageError, match="another process"):
        written(one, tmp_path / "page")


def test_each_samples_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = {"a": [1, 0, 1, 1], "b": [0, 1, 1, 0], "c": [1, 1, 1, 1]}
    found = [stored(tmp_path / "results", name, {"Bench": samples(right), "Other": samples(right)})
             for name, right in rights.items()]  # fmt: skip
    opened_files: list[Path] = []
    system_open = os.open

    def counted(path: Any, *args: Any, **kwargs: Any) -> int:
        opened_files.append(Path(path))
        return system_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", counted)
    written(found, tmp_path / "page")
    read = [path for path in opened_files if path.suffix == ".jsonl"]
    assert sorted(read) == sorted(f.samples(name) for f in found for name in ("Bench", "Other"))


# The command


def evalsuite(*arguments: str, most: int | None = None) -> subprocess.CompletedProcess[str]:
    def limited() -> None:
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return subprocess.run(
        [sys.executable, "-m", "evalsuite", *arguments],
        capture_output=True, text=True, check=False, preexec_fn=limited,
    )  # fmt: skip


@pytest.mark.usefixtures("one")
def test_the_command(tmp_path: Path) -> None:
    results = str(tmp_path / "results")
    done = evalsuite("page", "--output-dir", results)
    assert (done.returncode, done.stderr) == (0, "")
    said = re.fullmatch(r"(.*): 5 samples, ([\d.]+ kB)\n", done.stdout)
    assert said
    assert said[1] == f"{results}/page/index.html"
    assert evalsuite("report", "--output-dir", results).returncode == 0, "no run, and no harm"


@pytest.mark.usefixtures("one")
def test_wrong_arguments_are_one_line(tmp_path: Path) -> None:
    results = str(tmp_path / "results")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("")
    for arguments, said in (
        (["--images", "thumbnail"], "did you mean 'thumbnails'"),
        (["-o", str(mine)], "is not empty"),
        (["nothing"], "no such run"),
        (["--output-dir", str(mine)], "contains no runs"),
    ):
        done = evalsuite("page", "--output-dir", results, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("one")
def test_a_full_disk(tmp_path: Path) -> None:
    done = evalsuite("page", "--output-dir", str(tmp_path / "results"), most=4000)
    assert done.returncode == 4
    assert "the disk is full" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("one")
def test_memory_and_size_of_a_large_page(tmp_path: Path) -> None:
    code = (
        "import sys; from evalsuite.cli import main;"
        f"code = main(['page', '--output-dir', {str(tmp_path / 'results')!r}]);"
        "heavy = {'torch', 'transformers', 'vlmeval', 'pandas'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ})  # fmt: skip
    assert done.returncode == 0, done.stderr
