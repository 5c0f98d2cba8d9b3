"""What is measured: candidates, loads, their order, and how a load is shared."""

import pytest

from ticketsvc.allocators import ALLOCATORS, SAFE
from ticketsvc.errors import UsageError
from ticketsvc.lab.bench.candidates import our_candidates, peer_candidates
from ticketsvc.lab.bench.load_pool import add_up, split
from ticketsvc.lab.bench.load_spec import LoadResult, LoadSpec
from ticketsvc.lab.bench.plan import Candidate, plan

NOOP, RANGE = Candidate("noop", "noop"), Candidate("range")


def test_the_noop_is_measured_once_per_answer_it_gives() -> None:
    cases = plan([NOOP, RANGE], [64], events=[1, 10], quantities=[8, 16], sold=[0, 80])
    assert [(one.quantity, one.events) for one in cases if one.candidate == NOOP] == [
        (8, 1),
        (16, 1),
    ]
    assert len([one for one in cases if one.candidate == RANGE]) == 8


@pytest.mark.parametrize(
    ("option", "load"),
    [
        ("--quantity", {"quantities": [12]}),
        ("--quantity", {"quantities": [-8]}),
        ("--quantity", {"quantities": [8008]}),
        ("--sold-before", {"sold": [4]}),
    ],
)
def test_a_load_out_of_range_is_refused_by_its_option(
    option: str, load: dict[str, list[int]]
) -> None:
    with pytest.raises(UsageError, match=option):
        plan([RANGE], **{"connections": [1], **load})


def test_ours_begin_with_the_two_noops() -> None:
    names = [one.name for one in our_candidates(SAFE)]
    assert names[:2] == ["bare noop", "noop"]
    assert {"range", "ticket_rows"} <= set(names)
    assert all(ALLOCATORS[name].mechanism.safe for name in names[2:])


def test_one_bare_process_is_not_compared_with_several_workers() -> None:
    assert [one.name for one in our_candidates(["range"], workers=2)] == ["noop", "range"]


def test_an_unknown_allocator_is_refused() -> None:
    with pytest.raises(UsageError, match="must be one of"):
        our_candidates(["fastest"])


def test_peers_are_named_by_their_address_or_as_given() -> None:
    found = peer_candidates(["http://127.0.0.1:3100/", "node=http://localhost:3101"])
    assert [one.name for one in found] == ["peer 127.0.0.1:3100", "node"]


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1:3000", "http://0.0.0.0:1", "https://127.0.0.1", "ftp://127.0.0.1", "x", ""],
)
def test_load_stays_on_this_machine(url: str) -> None:
    with pytest.raises(UsageError, match="--peer-url"):
        peer_candidates([url])


@pytest.mark.parametrize(
    "given", [["a=http://127.0.0.1:1", "a=http://127.0.0.1:2"], ["range=http://127.0.0.1:1"]]
)
def test_a_name_used_twice_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="NAME=URL"):
        peer_candidates(given)


def test_shares_are_even_and_complete() -> None:
    spec = LoadSpec("http://h/purchase", ("A", "B", "C"), 8, connections=5, seconds=1.0, limit=7)
    parts = split(spec, 2)
    assert [part.connections for part in parts] == [2, 3]
    assert [part.limit for part in parts] == [3, 4]
    assert [part.events for part in parts] == [("A", "B", "C"), ("B", "C", "A")]


def test_what_workers_count_adds_up() -> None:
    counted = {"sold": 1, "late": 2, "refused": 3, "failed": 4, "in_flight": 5}
    both = [
        {**counted, "seconds": 1.0, "latencies_ms": latencies} for latencies in ([3.0, 1.0], [2.0])
    ]
    assert add_up(both) == LoadResult(2, 1.0, 4, 6, 8, 10, 2.0, 3.0, 3.0)
