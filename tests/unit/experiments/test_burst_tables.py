"""Which burst is shown of several."""

from ticketsvc.lab.checker.verdicts import EventVerdict
from ticketsvc.lab.experiments.bursts import Burst, Trial, most_even_of_each
from ticketsvc.lab.workload.history import Attempt
from ticketsvc.lab.workload.plan import Workload


def burst(allocator: str, *sold: int) -> Burst:
    """Return a burst in which each process answered one purchase: with this many tickets."""
    history = [
        Attempt("p", f"http://127.0.0.1:{port}/", "u", "E", 8, 0, 1, "ok", tickets=(*range(many),))
        for port, many in enumerate(sold, 3000)
    ]
    trial = Trial(allocator, "fixed", 16, Workload("E", len(sold)))
    return Burst(trial, len(sold), history, EventVerdict("E"))


def test_of_each_allocator_the_burst_is_shown_that_the_processes_shared_most_evenly() -> None:
    alone, shared = burst("range", 16, 0), burst("range", 8, 8)
    other = burst("row_lock", 0, 16)
    assert most_even_of_each([alone, shared, alone, other]) == [shared, other]
