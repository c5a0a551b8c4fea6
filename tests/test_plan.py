"""Which samples a limit chooses, and where a run lives."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from evalsuite.errors import UsageError
from evalsuite.runner.plan import choose, choose_scorable, cut, part_of
from evalsuite.runs.layout import Limit, Shard, read_limit, read_shard
from evalsuite.vlmevalkit.client import SampleOutline as Item

DATA = [Item(str(i), f"image {i % 40}") for i in range(200)]  # 40 clusters of 5, interleaved


def test_read_a_limit() -> None:
    assert read_limit("50") == Limit(count=50)
    assert read_limit("1") == Limit(count=1)
    assert read_limit("0.1") == Limit(share=0.1)
    assert read_limit("1.0") is None
    assert read_limit(None) is None
    assert str(read_limit("50")) == "50"
    assert str(read_limit(".25")) == "0.25"


def test_edges_of_limits() -> None:
    assert read_limit("1.") is None
    assert read_limit("0.999") == Limit(share=0.999)
    assert read_limit("0.001") == Limit(share=0.001)
    with pytest.raises(UsageError):
        read_limit("1.001")


@pytest.mark.parametrize("text", ["0", "abc", "-5", "0.0", "1.5", "", "1e3", "nan"])
def test_refused_limits(text: str) -> None:
    with pytest.raises(UsageError, match=r"--limit .*like 50"):
        read_limit(text)


def test_limits_are_nested_and_exact() -> None:
    chosen = {n: choose(DATA, Limit(count=n)) for n in (1, 3, 50, 100, 199, 200, 1000)}
    for n, ids in chosen.items():
        assert len(ids) == min(n, 200)
    assert set(chosen[1]) < set(chosen[3]) < set(chosen[50]) < set(chosen[100]) < set(chosen[200])
    assert chosen[100][:50] == chosen[50]


def test_clusters_are_whole_and_their_samples_neighbours() -> None:
    cluster = {item.id: item.cluster for item in DATA}
    ids = choose(DATA, Limit(count=50))
    runs = [cluster[i] for i in ids]
    assert [runs[i : i + 5] for i in range(0, 50, 5)] == [[r] * 5 for r in runs[::5]]
    everything = [cluster[i] for i in choose(DATA, None)]
    assert len([1 for a, b in itertools.pairwise(everything) if a != b]) == 39


def test_a_limit_chooses_from_all_of_the_data() -> None:
    ids = {int(i) % 40 for i in choose(DATA, Limit(count=50))}
    assert min(ids) < 20 < max(ids)
    assert ids != set(range(10))


def test_a_choice_does_not_depend_on_the_order_of_the_data() -> None:
    again = sorted(DATA, key=lambda item: (item.cluster[::-1], int(item.id)))
    assert set(choose(again, Limit(count=50))) == set(choose(DATA, Limit(count=50)))


def test_a_fraction() -> None:
    assert len(choose(DATA, Limit(share=0.1))) == 20
    assert len(choose(DATA, Limit(share=0.0001))) == 1


def test_the_order_of_clusters_is_that_of_their_sha256() -> None:
    """A run with a limit is compared with one of another version: both have the same samples.

    SHA-256 of c, b and a starts with 2e, 3e and ca.
    """
    data = [Item(f"{name}{i}", name) for name in "abc" for i in (1, 2)]
    assert choose(data, Limit(count=5)) == ["c1", "c2", "b1", "b2", "a1"]
    chosen = choose(data, None)
    shards = [part_of(data, chosen, Shard(i, 2)) for i in (1, 2)]
    assert shards == [["a1", "a2", "c1", "c2"], ["b1", "b2"]]


def test_samples_for_a_judge_are_left_out_after_the_choice() -> None:
    data = [Item(f"{name}{i}", name, "open" if i == 2 else "") for name in "abc" for i in (1, 2)]
    benchmark: Any = SimpleNamespace(scorable=lambda part: part != "open")
    for mode, shard, asked, left_out in (
        ("all", None, ["c1", "b1"], 2),
        ("eval", None, ["c1", "b1"], 2),
        ("infer", None, ["c1", "c2", "b1", "b2"], 0),
        ("all", Shard(1, 2), ["c1"], 2),
        ("all", Shard(2, 2), ["b1"], 2),
    ):
        options: Any = SimpleNamespace(
            limit=Limit(count=4), shard=shard, config=SimpleNamespace(mode=mode)
        )
        found = choose_scorable(benchmark, data, options)
        assert (found.asked, found.left_out) == (asked, left_out)
        assert shard is None or found.whole == ["c1", "b1"]


def test_read_a_shard() -> None:
    assert read_shard("2/8") == Shard(2, 8)
    assert read_shard("1/1") == Shard(1, 1)
    assert read_shard("8/8") == Shard(8, 8)
    assert read_shard(None) is None
    assert str(Shard(2, 8)) == "2/8"


@pytest.mark.parametrize(
    "text", ["", "3", "0/3", "0/0", "2/1", "4/3", "1/0", "-1/3", "1/3/5", "a/b"]
)
def test_refused_shards(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard .*from 1/8 to 8/8"):
        read_shard(text)


def test_shards_have_whole_clusters() -> None:
    cluster = {item.id: item.cluster for item in DATA}
    for limit in (None, Limit(count=60)):
        chosen = choose(DATA, limit)
        parts = [part_of(DATA, chosen, Shard(i, 3)) for i in (1, 2, 3)]
        assert sorted(itertools.chain(*parts)) == sorted(chosen)
        assert max(map(len, parts)) - min(map(len, parts)) <= 5
        clusters = [{cluster[i] for i in part} for part in parts]
        assert not clusters[0] & clusters[1] | clusters[1] & clusters[2] | clusters[0] & clusters[2]
        assert part_of(DATA, chosen, Shard(1, 1)) == chosen
    assert part_of(DATA, choose(DATA, Limit(count=3)), Shard(2, 2)) == []


def test_pieces_have_whole_clusters_in_order() -> None:
    chosen = choose(DATA, None)
    pieces = list(cut(DATA, chosen, 12, 48))
    assert [len(piece) for piece in pieces] == [10] * 20
    assert list(itertools.chain(*pieces)) == chosen
    assert [len(piece) for piece in cut(DATA, chosen, 10, 48)] == [10] * 20
    assert [len(piece) for piece in cut(DATA, chosen, 9, 48)] == [5] * 40
    assert [len(piece) for piece in cut(DATA[:1], ["0"], 1, 1)] == [1]
    large = [Item(str(i), "one") for i in range(45)] + [Item("x", "other"), Item("y", "third")]
    assert [len(p) for p in cut(large, [i.id for i in large], 10, 40)] == [10, 35, 2]
    whole = [i.id for i in large[5:]]
    assert [len(p) for p in cut(large, whole, 10, 40)] == [40, 2]
    # Pieces small enough for many workers keep what is asked about one image together.
    assert [len(p) for p in cut(large, whole, 1, 40)] == [40, 1, 1]
    assert list(cut([], [], 10, 40)) == []
