"""Which of the schedules that were executed one by one form a class."""

from types import SimpleNamespace

from tests.support.sample_runs import run, step
from ticketsvc.lab.explore.effects import Footprint, statement
from ticketsvc.lab.explore.reduction_check import BothWays, in_classes
from ticketsvc.lab.explore.schedules import Step

READ = statement(Footprint(reads=frozenset({"pool"})), ends=True)
UPDATE = statement(Footprint(writes=frozenset({"pool"})), ends=True)


def schedule(*order):
    """Return a run of two buyers who read and update, in this *order*."""
    effects = {session: [("read", READ), ("update", UPDATE)] for session in (0, 1)}
    done: list[Step] = []
    for session in order:
        name, effect = effects[session].pop(0)
        done.append(Step(session, name, "", effect, after=step(session, name).after))
    return run(done, [], available=8)


def test_schedules_that_differ_only_in_reads_are_one_class():
    serial, read_first, read_later = (
        schedule(*order) for order in ((0, 0, 1, 1), (0, 1, 0, 1), (1, 0, 0, 1))
    )
    reduced = SimpleNamespace(runs=[serial, read_later])
    found = in_classes(BothWays(reduced, SimpleNamespace(runs=[serial, read_first, read_later])))
    assert list(found["class"]) == [1, 2, 2]
    assert list(found["executed"]) == [True, False, True]
    assert found["steps"][1] == [(0, "read"), (1, "read"), (0, "update"), (1, "update")]
