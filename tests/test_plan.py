"""Which samples a limit chooses, and where a run lives."""

import itertools
from dataclasses import dataclass

import pytest

from evalsuite.errors import UsageError
from evalsuite.runner.plan import Limit, choose, read_limit


@dataclass(frozen=True)
class Item:
    id: str
    cluster: str


DATA = [Item(str(i), f"image {i % 40}") for i in range(200)]  # 40 clusters of 5, interleaved


def test_reading_a_limit() -> None:
    assert read_limit("50") == Limit(count=50)
    assert read_limit("1") == Limit(count=1)
    assert read_limit("0.1") == Limit(share=0.1)
    assert read_limit("1.0") is None
    assert read_limit(None) is None
    assert str(read_limit("50")) == "50"
    assert str(read_limit(".25")) == "0.25"


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


def test_clusters_are_taken_whole_and_side_by_side() -> None:
    cluster = {item.id: item.cluster for item in DATA}
    ids = choose(DATA, Limit(count=50))
    runs = [cluster[i] for i in ids]
    assert [runs[i : i + 5] for i in range(0, 50, 5)] == [[r] * 5 for r in runs[::5]]
    everything = [cluster[i] for i in choose(DATA, None)]
    assert len([1 for a, b in itertools.pairwise(everything) if a != b]) == 39


def test_a_limit_does_not_lean_on_the_front_of_the_data() -> None:
    ids = {int(i) % 40 for i in choose(DATA, Limit(count=50))}
    assert min(ids) < 20 < max(ids)
    assert ids != set(range(10))


def test_a_choice_does_not_depend_on_the_order_of_the_data() -> None:
    again = sorted(DATA, key=lambda item: (item.cluster[::-1], int(item.id)))
    assert set(choose(again, Limit(count=50))) == set(choose(DATA, Limit(count=50)))


def test_a_share() -> None:
    assert len(choose(DATA, Limit(share=0.1))) == 20
    assert len(choose(DATA, Limit(share=0.0001))) == 1
