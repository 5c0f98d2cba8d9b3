"""The sentence with which a measuring command ends, and what it says of the time it takes."""

import pytest

from ticketsvc.cli import bench, console, faults, overload

RANGE = {
    "candidate": "range",
    "audit": "clean",
    "connections": 64,
    "events": 1,
    "quantity": 8,
    "sold_before": 0,
    "repetitions": 3,
    "of_noop": 0.25,
    "goodput_min": 900.0,
    "goodput_per_s": 1000.0,
    "goodput_max": 1100.0,
}
GROUP = {**RANGE, "candidate": "group_commit", "goodput_per_s": 2500.0, "goodput_min": 2000.0}
NOOP = {**RANGE, "candidate": "noop", "audit": "sells nothing", "goodput_per_s": 4000.0}
FAULT = {
    "fault": "server_kill",
    "purchases": 1000,
    "retried": 20,
    "sold_twice": 0,
    "lost": 0,
    "unresolved": 0,
    "refused": 0,
    "oversold": False,
    "duplicates": 0,
    "audit": "clean",
}
OVERLOAD = {
    "peak_per_s": 1000.0,
    "of_peak_offered": 9.96,
    "goodput_per_s": 980.0,
    "of_peak": 0.98,
    "refused": 5000,
    "refused_with": "503",
    "refused_p50_ms": 1.24,
    "audit": "clean",
}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([NOOP, RANGE, GROUP], "2.5 times as many as the next, range: the difference is resolved"),
        ([RANGE, {**GROUP, "goodput_min": 1100.0}], "the difference is not resolved"),
        ([{**each, "repetitions": 1} for each in (RANGE, GROUP)], "this may be chance"),
        ([NOOP, RANGE], "range sells 1,000 purchases a second, 25% of what noop answers."),
        ([{**RANGE, "of_noop": None}], "range sells 1,000 purchases a second."),
        ([{**RANGE, "goodput_per_s": None}], "nothing has a figure."),
    ],
)
def test_bench_says_who_sells_the_most_and_whether_that_is_resolved(rows, said):
    [finding] = bench.findings(rows)
    assert said in finding


def test_bench_says_it_of_each_load():
    alone = [{**row, "connections": 1} for row in (RANGE, GROUP)]
    few, many = bench.findings([*alone, NOOP, RANGE, GROUP])
    assert few.startswith("conns 1: group_commit sells 2,500")
    assert many.startswith("conns 64: group_commit sells 2,500")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([FAULT, FAULT], "each of 2,000 purchases was sold once and acknowledged, though"),
        ([FAULT, {**FAULT, "lost": 3}], ": server kill (3 lost); 1 of 2 faults lost nothing."),
        ([{**FAULT, "sold_twice": 2, "oversold": True}], ": server kill (2 sold twice, oversold)."),
        ([{**FAULT, "audit": "unknown"}], ": server kill (audit: unknown)."),
    ],
)
def test_faults_says_what_was_lost_or_sold_twice(rows, said):
    assert said in faults.finding(rows)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "sold 980 a second (98%) and refused 5,000 with status 503, half of them within 1.2"),
        ({"refused": 0, "refused_p50_ms": None}, "and refused none."),
        ({"audit": "violated"}, "The audit of what it sold: violated."),
    ],
)
def test_overload_says_what_can_be_sold_and_what_happens_above(changes, said):
    found = overload.finding({**OVERLOAD, **changes})
    assert found.startswith("It can sell 1,000 purchases a second. Asked for 10.0 times as many")
    assert said in found


@pytest.mark.parametrize(
    ("seconds", "said"), [(3, "10 s"), (91, "100 s"), (121, "2 minutes"), (3600, "60 minutes")]
)
def test_the_time_that_a_plan_takes_is_rounded(capsys, seconds, said):
    console.announce("a plan", seconds)
    assert capsys.readouterr().err == f"a plan: about {said}\n"
