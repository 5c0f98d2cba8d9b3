"""The benchmark's pure parts: order, percentiles, ratios, the model, what a generator counted."""

from dataclasses import replace

import pandas as pd
import pytest

from ticketsvc.allocators import ALLOCATORS
from ticketsvc.errors import UsageError
from ticketsvc.lab import charts
from ticketsvc.lab.bench import contenders, growth, model, wrk
from ticketsvc.lab.bench import load_pool as buying
from ticketsvc.lab.bench.figures import Fired, Measurement, disagreement, percentile, summarise
from ticketsvc.lab.bench.load_spec import Shot
from ticketsvc.lab.bench.plan import Case, Contender, fault_of_load, interleaved

NOOP = Case(Contender("noop", "ceiling"))
RANGE = Case(Contender("range"))
GROUP = Case(Contender("group_commit"))
PEER = Case(Contender("theirs", "peer", url="http://127.0.0.1:1"))


def measured(case: Case, sold: int, **changes: object) -> Measurement:
    audit = "clean" if case.contender.sells else "sells nothing"
    one = Measurement(case, Fired(sold, 2.0, p50_ms=1.0), audit, costs={"wal_bytes": 10.0})
    return replace(one, **changes)  # type: ignore[arg-type]


# Order and loads


def test_repetitions_take_turns() -> None:
    assert interleaved([NOOP, RANGE], 2) == [NOOP, RANGE, NOOP, RANGE]


@pytest.mark.parametrize(
    ("fault", "load"),
    [
        ("", {}),
        ("connections 0", {"connections": 0}),
        ("connections 513", {"connections": 513}),
        ("events 10001", {"events": 10_001}),
        ("quantity 12", {"quantity": 12}),
        ("quantity -8", {"quantity": -8}),
        ("quantity 8008", {"quantity": 8008}),
        ("tickets 4", {"sold": 4}),
    ],
)
def test_loads(fault: str, load: dict[str, int]) -> None:
    usual = {"connections": 64, "events": 1, "quantity": 8, "sold": 0}
    said = fault_of_load(**{**usual, **load})
    assert said.startswith(fault)
    assert bool(said) == bool(fault)


# Figures


def test_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7.0], 0.99) == 7.0
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]


def test_the_median_of_repetitions_and_its_ratios() -> None:
    runs = [
        *(measured(NOOP, sold) for sold in (400, 100, 200)),
        *(measured(RANGE, sold) for sold in (20, 40, 50)),
        *(measured(GROUP, sold) for sold in (160, 100, 170)),
        measured(PEER, 10),
    ]
    noop, alone, group, peer = summarise(runs)
    assert (alone["goodput_per_s"], alone["goodput_min"], alone["goodput_max"]) == (20, 10, 25)
    assert (alone["of_noop"], alone["of_range"], noop["of_noop"]) == (0.2, 1.0, 1.0)
    assert (group["of_noop"], group["of_range"]) == (0.8, 4.0)
    assert (peer["of_noop"], peer["of_range"]) == (None, 0.25)  # its own ceiling was not measured
    assert alone["wal_bytes"] == 10.0


def test_another_load_is_not_compared() -> None:
    other = replace(GROUP, connections=1)
    [_, row] = summarise([measured(RANGE, 10), measured(other, 10)])
    assert row["of_range"] is None


def test_one_run_that_was_not_clean_takes_the_figure_away() -> None:
    runs = [
        measured(RANGE, 10),
        measured(RANGE, 10, audit="not clean", faults=("oversold: by 8",)),
        measured(GROUP, 10),
    ]
    bad, good = summarise(runs)
    assert bad["goodput_per_s"] is bad["p50_ms"] is bad["wal_bytes"] is None
    assert (bad["audit"], bad["faults"]) == ("not clean", ["oversold: by 8"])
    assert (good["goodput_per_s"], good["of_range"]) == (5.0, None)


def test_nothing_sold_is_no_figure() -> None:
    [row] = summarise([measured(RANGE, 0)])
    assert row["goodput_per_s"] is None


@pytest.mark.parametrize(
    ("fired", "issued", "agrees"),
    [
        (Fired(10, 1.0), 10, True),
        (Fired(10, 1.0, late=2), 12, True),
        (Fired(10, 1.0, in_flight=3), 13, True),
        (Fired(10, 1.0), 11, False),
        (Fired(10, 1.0, in_flight=3), 14, False),
        (Fired(10, 1.0, in_flight=3), 9, False),
    ],
)
def test_generator_and_ledger_agree_up_to_what_was_in_flight(
    fired: Fired, issued: int, agrees: bool
) -> None:
    assert (disagreement(fired, issued) == "") == agrees


# Generators


def test_shares_are_even_and_complete() -> None:
    shot = Shot("http://h/purchase", ("A", "B", "C"), 8, connections=5, seconds=1.0, limit=7)
    parts = buying.shares(shot, 2)
    assert [part["connections"] for part in parts] == [2, 3]
    assert sum(part["limit"] for part in parts) == 7
    assert sorted(parts[0]["bodies"]) == sorted(parts[1]["bodies"]) == sorted(shot.bodies())
    assert parts[0]["bodies"][0] != parts[1]["bodies"][0]


def test_what_processes_say_adds_up() -> None:
    said = {"sold": 1, "late": 2, "refused": 3, "failed": 4, "in_flight": 5, "seconds": 1.0}
    both = [{**said, "latencies_us": [3000, 1000]}, {**said, "latencies_us": [2000]}]
    fired = buying.add_up(both)
    assert fired == Fired(2, 1.0, 4, 6, 8, 10, p50_ms=2.0, p95_ms=3.0, p99_ms=3.0)


def test_the_script_for_wrk_holds_every_event_once() -> None:
    shot = Shot("http://h/purchase", ("A", "B"), 16, connections=1, seconds=1.0)
    script = wrk.script_for(shot)
    assert [script.count(f'"eventId": "{event}"') for event in "AB"] == [1, 1]
    written = script.partition("function done")[0]
    assert "%" not in written.replace("% #requests", "").replace("%08x", "")


def test_what_wrk_says() -> None:
    said = {"sold": 90, "requests": 100, "duration_us": 2_000_000, "failed": 1, "lost": 2}
    fired = wrk.read_summary({**said, "p50_us": 500, "p95_us": 900, "p99_us": 950}, 8)
    assert fired == Fired(90, 2.0, 0, 10, 1, 10, 0.5, 0.9, 0.95)


# Contenders


def test_ours_begin_with_the_ceiling() -> None:
    names = [one.name for one in contenders.ours(contenders.right_allocators())]
    assert names[0] == "noop"
    assert "naive" not in names
    assert {"range", "ticket_rows"} <= set(names)
    assert all(ALLOCATORS[name].mechanism.safe for name in names[1:])


def test_an_unknown_allocator_is_refused() -> None:
    with pytest.raises(UsageError, match="must be one of"):
        contenders.ours(["fastest"])


def test_peers_are_named_by_their_address_or_as_told() -> None:
    found = contenders.foreign(["http://127.0.0.1:3100/", "node=http://localhost:3101"], None)
    assert [one.name for one in found] == ["peer 127.0.0.1:3100", "node"]


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1:3000", "http://0.0.0.0:1", "https://127.0.0.1", "ftp://127.0.0.1", "x", ""],
)
def test_load_stays_on_this_machine(url: str) -> None:
    with pytest.raises(UsageError, match="--peer-url"):
        contenders.foreign([url], None)
    with pytest.raises(UsageError, match="--peer-noop-url"):
        contenders.foreign(["http://127.0.0.1:1"], url or "x")


@pytest.mark.parametrize(
    "given", [["a=http://127.0.0.1:1", "a=http://127.0.0.1:2"], ["range=http://127.0.0.1:1"]]
)
def test_two_of_one_name_are_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="NAME=URL"):
        contenders.foreign(given, None)


# Growth and the model


def test_growth_changes_one_thing() -> None:
    chosen = [NOOP.contender, RANGE.contender]
    cases = growth.cases_along("tickets", chosen, NOOP, (8, 80))
    assert [(case.contender.name, case.sold) for case in cases] == [
        ("noop", 0),
        ("range", 8),
        ("range", 80),
    ]
    cases = growth.cases_along("quantity", chosen, NOOP, (8, 16))
    assert [case.quantity for case in cases] == [8, 8, 16, 16]
    with pytest.raises(UsageError, match="--size"):
        growth.cases_along("connections", chosen, NOOP, (1, 1000))


@pytest.mark.parametrize(("rates", "flat"), [((100, 90), True), ((100, 50), False)])
def test_growth_is_flat_or_explained(rates: tuple[int, int], flat: bool) -> None:
    cases = growth.cases_along("events", [RANGE.contender], RANGE, (1, 100))
    runs = [measured(case, sold) for case, sold in zip(cases, rates, strict=True)]
    [judged] = growth.read_growth("events", summarise(runs))
    assert judged["flat"] == flat
    assert bool(judged["because"]) != flat
    assert judged["goodput"] == rates[1] / rates[0]
    assert (judged["from_size"], judged["to_size"], judged["wal_bytes"]) == (1, 100, 1.0)


def test_growth_within_what_repetitions_vary_by_is_flat() -> None:
    cases = growth.cases_along("events", [RANGE.contender], RANGE, (1, 100))
    runs = [measured(cases[0], sold) for sold in (50, 100, 100)]
    runs += [measured(cases[1], sold) for sold in (50, 50, 100)]
    [judged] = growth.read_growth("events", summarise(runs))
    assert judged["flat"]


def test_the_model_of_the_lock() -> None:
    rows = model.hold("ticket_rows", purchases=1, round_trip_s=0.1, alone_s=0.6, flush_s=0.5)
    assert (rows.trips_s, round(rows.work_s, 9), rows.flush_s) == (0.2, 0.2, 0.5)
    assert rows.seconds == pytest.approx(0.9)
    group = model.hold("group_commit", purchases=20, round_trip_s=0.1, alone_s=0.6, flush_s=0.5)
    assert group.predicted_per_s == pytest.approx(20 / 1.0)


# Charts


def labelled(figure: object) -> bool:
    axes = figure.axes  # type: ignore[attr-defined]
    return all(one.get_xlabel() and one.get_ylabel() and one.get_title(loc="left") for one in axes)


def test_charts_say_what_they_show() -> None:
    names = ["ticket_rows", "range", "group_commit"]
    rates = pd.DataFrame(
        {
            "name": ["noop", *names] * 2,
            "kind": ["ceiling", *["allocator"] * 3] * 2,
            "connections": [1] * 4 + [64] * 4,
            "goodput_per_s": [9.0, 1.0, 2.0, 2.0, 90.0, 1.0, 2.0, 70.0],
            "repetitions": 3,
            "sold": 10,
        }
    )
    figure = charts.by_connections(rates)
    assert (
        figure.axes[0]
        .get_title(loc="left")
        .startswith("At 64 connections group_commit sells 70 times what ticket_rows does")
    )
    predictions = pd.DataFrame(
        {
            "allocator": names,
            "purchases_per_commit": [1, 1, 30],
            "trips_ms": [0.4, 0.0, 0.0],
            "work_ms": 0.2,
            "flush_ms": 0.5,
            "predicted_per_s": [900.0, 1400.0, 40000.0],
            "measured_per_s": [450.0, 1400.0, 10000.0],
        }
    )
    holds = charts.lock_hold(predictions)
    assert holds.axes[0].get_title(loc="left") == "A commit holds the row 0.7 to 1.1 ms"
    batches = pd.DataFrame(
        {"allocator": ["range", "group_commit"], "purchases": [1, 30], "commits": [10, 10]}
    )
    sizes = charts.batch_sizes(batches, 64)
    assert "range 1.0, group_commit 30.0" in sizes.axes[0].get_title(loc="left")
    pairs = pd.DataFrame(
        {
            "name": names * 2,
            "durable": [True] * 3 + [False] * 3,
            "goodput_per_s": [1.0, 2.0, 3.0, 2.0, 8.0, 3.0],
            "at_risk_purchases": [1.0, 1.0, 9.0, 100.0, 1000.0, 3000.0],
        }
    )
    durable = charts.durability(pairs)
    assert "1.0 to 4.0 times" in durable.axes[0].get_title(loc="left")
    assert "3,000" in durable.axes[1].get_title(loc="left")
    nets = pd.DataFrame(
        {
            "net": ["none", "chain"] * 2,
            "batch": [1, 1, 50, 50],
            "microseconds": [9.0, 9.0, 2.0, 5.0],
        }
    )
    price = charts.price_of_nets_in_time(nets)
    assert "chain: 2.5 times" in price.axes[0].get_title(loc="left")
    assert all(labelled(one) for one in (figure, holds, sizes, durable, price))
