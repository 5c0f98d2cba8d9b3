"""The tree of schedules without a database: programs are lists of effects."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ticketsvc.errors import UsageError
from ticketsvc.lab.explore.effects import (
    ANYTHING,
    Effect,
    Footprint,
    dependent,
    end_of_transaction,
    statement,
)
from ticketsvc.lab.explore.orders import count_orders, orderings
from ticketsvc.lab.explore.schedules import Step, choices_of, schedule_id
from ticketsvc.lab.explore.strategies import Exhaustive, Fixed, Reduced, Sampled


def some(*names):
    return frozenset(names)


READ = statement(Footprint(reads=some("pool")), ends=True)
INSERT = statement(Footprint(inserts=some("tickets")), ends=True)
GUARDED = statement(Footprint(writes=some("tickets"), inserts=some("tickets")), ends=True)
UPDATE = statement(Footprint(reads=some("pool"), writes=some("pool")), ends=True)
KINDS = (READ, INSERT, GUARDED, UPDATE, Effect())


def run(program, strategy):
    """Run *program*, a list of effects for each session; return None when the run is redundant."""
    strategy.begin()
    steps, done = [], [0] * len(program)
    while ready := [s for s, todo in enumerate(program) if done[s] < len(todo)]:
        chosen = strategy.choose(steps, ready)
        if chosen is None:
            break
        steps.append(Step(chosen, "step", "", program[chosen][done[chosen]]))
        done[chosen] += 1
    represents = strategy.learn(steps)
    return (tuple(step.session for step in steps), represents) if represents else None


def explore(program, strategy):
    runs = []
    while not strategy.finished:
        if found := run(program, strategy):
            runs.append(found)
    return runs


def interleavings(program):
    steps = [s for s, effects in enumerate(program) for _ in effects]
    return set(itertools.permutations(steps))


def canonical(program, choices):
    """Name a schedule's class: for each pair of dependent steps, which came first."""
    place, done = {}, [0] * len(program)
    for position, session in enumerate(choices):
        place[session, done[session]] = position
        done[session] += 1
    return frozenset(
        (a, b)
        for a in place
        for b in place
        if a[0] != b[0]
        and dependent(program[a[0]][a[1]], program[b[0]][b[1]])
        and place[a] < place[b]
    )


programs = st.lists(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), min_size=2, max_size=3
)


@given(programs)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_exhaustive_runs_every_interleaving_once(program):
    chosen = [choices for choices, _ in explore(program, Exhaustive())]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) == interleavings(program)


@given(programs)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_reduced_runs_one_of_each_class_and_knows_its_size(program):
    sizes = {}
    for choices in interleavings(program):
        name = canonical(program, choices)
        sizes[name] = sizes.get(name, 0) + 1
    found = {}
    for choices, represents in explore(program, Reduced()):
        name = canonical(program, choices)
        assert name not in found, "a class was run twice"
        found[name] = represents
    assert found == sizes


def renamed(program, found):
    """Return the size of each class that is one of *found* after its sessions are renamed."""
    sizes = {}
    for choices, represents in found:
        orders = [
            [renaming[session] for session in choices]
            for renaming in itertools.permutations(range(len(program)))
        ]
        images = {canonical(program, order) for order in orders}
        assert sizes.keys().isdisjoint(images), "a class was run twice"
        sizes |= dict.fromkeys(images, represents // len(images))
    return sizes


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), st.integers(2, 3))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_alike_sessions_run_one_of_the_classes_that_renaming_makes_equal(effects, sessions):
    program = [effects] * sessions
    sizes = {canonical(program, choices): size for choices, size in explore(program, Reduced())}
    assert renamed(program, explore(program, Reduced(sessions))) == sizes


def test_sessions_that_are_not_alike_must_not_be_renamed():
    """The negative control: one only reads."""
    program = [[READ, UPDATE], [READ, READ]]
    with pytest.raises(AssertionError, match="run twice"):
        renamed(program, explore(program, Reduced(2)))


def test_a_step_that_does_not_do_the_same_again_is_noticed():
    """Session 1 depends on the first step of session 0, and no effect says so."""
    strategy = Reduced()
    while not strategy.finished and strategy.exhaustive:
        steps, left = [], [1, 1, 2]
        while ready := [session for session in range(3) if left[session]]:
            chosen = strategy.choose(steps, ready)
            after = any(step.session == 0 for step in steps)
            effects = ([UPDATE], [GUARDED if after else READ], [GUARDED, READ])[chosen]
            steps.append(Step(chosen, "step", "", effects[-left[chosen]]))
            left[chosen] -= 1
        strategy.learn(steps)
    assert not strategy.exhaustive


def test_a_relation_that_hides_a_conflict_loses_classes():
    """The negative control: with the update independent of the read, damage is not found."""
    blind = Effect()
    truth = [[READ, INSERT, UPDATE]] * 2
    assert len(explore(truth, Reduced())) == 4
    assert len(explore([[blind, INSERT, UPDATE]] * 2, Reduced())) == 2


def test_the_faithful_naive_has_four_classes():
    program = [[READ, *[INSERT] * 8, UPDATE]] * 2
    runs = explore(program, Reduced())
    assert len(runs) == 4
    assert sum(represents for _, represents in runs) == math.comb(20, 10)


def test_steps_after_a_release_come_after_it():
    steps = [
        Step(0, "lock", "", UPDATE),
        Step(1, "lock", "", UPDATE, waited_for=(0,), released_by=2),
        Step(0, "commit", "", end_of_transaction(some("pool"))),
        Step(1, "commit", "", Effect()),
    ]
    assert orderings(steps)[3] & 1 << 2
    assert count_orders(orderings(steps)) == 1
    steps[1] = replace(steps[1], released_by=None)
    assert count_orders(orderings(steps)) > 1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (READ, READ, False),
        (READ, UPDATE, True),
        (UPDATE, UPDATE, True),
        (INSERT, INSERT, False),
        (GUARDED, GUARDED, True),
        (INSERT, statement(Footprint(reads=some("tickets")), ends=True), True),
        (Effect(), UPDATE, False),
        # In a transaction nothing is seen until it ends.
        (READ, statement(Footprint(writes=some("pool")), ends=False), False),
        (READ, end_of_transaction(some("pool")), True),
        (READ, end_of_transaction(some("tickets")), False),
        # A snapshot is of everything.
        (statement(Footprint(reads=some("pool")), ends=False, snapshot=True),
         end_of_transaction(some("tickets")), True),
        # SERIALIZABLE tracks what is read and written before anything is committed.
        (statement(Footprint(reads=some("pool")), ends=False, serializable=True),
         statement(Footprint(writes=some("pool")), ends=False, serializable=True), True),
        (end_of_transaction(some("a"), serializable=True),
         end_of_transaction(some("b"), serializable=True), True),
        (end_of_transaction(some("a")), end_of_transaction(some("b")), False),
        (statement(Footprint(writes=some(ANYTHING)), ends=True), READ, True),
        (statement(Footprint(writes=some(ANYTHING)), ends=True), Effect(), False),
    ],
)  # fmt: skip
def test_what_depends_on_what(one, other, expected):
    assert dependent(one, other) is expected
    assert dependent(other, one) is expected


@given(st.integers(2, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1)))))
def test_an_id_names_its_schedule(drawn):
    sessions, choices = drawn
    assert choices_of(schedule_id(tuple(choices), sessions), sessions) == tuple(choices)


@pytest.mark.parametrize("word", ["", "0", "uu", "-1", "a b", "l"])
def test_no_id(word):
    with pytest.raises(UsageError, match="--replay"):
        choices_of(word, 2)


def test_a_sample_is_the_same_for_the_same_seed_and_covers_both_orders():
    program = [[READ, UPDATE]] * 2
    one, again, other = (
        [choices for choices, _ in explore(program, Sampled(200, seed, 2))] for seed in (1, 1, 2)
    )
    assert one == again != other
    assert set(one) == interleavings(program)


def test_an_unfinished_run_is_drawn_again():
    program = [[READ, UPDATE]] * 3
    strategy = Sampled(2, 1, 2)
    strategy.begin()
    drawn = [strategy.choose([], [0, 1, 2]) for _ in range(5)]
    strategy.begin()
    assert drawn == [strategy.choose([], [0, 1, 2]) for _ in range(5)]
    for tree in (Exhaustive(), Reduced()):
        tree.begin()
        tree.choose([], [2])
        assert [c for c, _ in explore(program[:1], tree)] == [(0, 0)]


def test_a_fixed_schedule_says_when_it_cannot_be_followed():
    program = [[READ, UPDATE]] * 2
    for choices, expected in (((0, 1, 1, 0), True), ((0, 0, 0, 1), False), ((0, 1), False)):
        strategy = Fixed(choices)
        run(program, strategy)
        assert strategy.followed is expected
