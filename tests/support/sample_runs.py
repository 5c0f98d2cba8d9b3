"""Runs written by hand: what is in them is what the pictures must show."""

from dataclasses import replace

from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.explore.schedules import Answer, ScheduleRun, Step
from ticketsvc.lab.explore.wire_scheduler import ScenarioRun
from ticketsvc.lab.ledger.records import EventLedger, Issue
from ticketsvc.lab.scenarios.clients import ClientResult
from ticketsvc.lab.scenarios.sandbox import ViolatedInvariant

HOSTILE = "</style><script>alert(1)</script><b>\"'&"


NOTHING_ISSUED = check_event(EventLedger("E", 8, 8))


def step(session, name, **more):
    more = {"rows": 1, "after": NOTHING_ISSUED, **more}
    return Step(session, name, more.pop("text", f"SELECT '{name}'"), Effect(), **more)


def run(done, issues, *, available, answers=None, total=8, represents=1):
    """Return a run of two buyers of eight, judged by the checker itself."""
    held = [Issue(*issue) for issue in issues]
    ledger = EventLedger("E", total, available, None, held)
    answered = answers or tuple(Answer(issue.user, issue.first, issue.last) for issue in held)
    verdict = check_event(ledger)
    return ScheduleRun(("A", "B"), tuple(done), answered, ledger, verdict, 8, represents=represents)


def steps(*order):
    """Return a read, an insert and a subtraction of each session, in *order*."""
    names = {session: ["read_pool", "insert", "subtract"] for session in (0, 1)}
    return [step(session, names[session].pop(0)) for session in order]


def clean(**more):
    """One purchase after the other."""
    answers = (Answer("A", 1, 8), Answer("B", code="sold_out"))
    serial = steps(0, 0, 0, 1)
    return run(serial, [("A", 1, 8)], available=0, answers=answers, **more)


def oversold(*order, **more):
    """Two buyers with the same numbers."""
    *begun, last = steps(*(order or (0, 1, 0, 1, 0, 1)))
    ended = run([*begun, last], [("A", 1, 8), ("B", 1, 8)], available=-8, **more)
    return replace(ended, steps=(*begun, replace(last, after=ended.verdict)))


def duplicate():
    """The same, with enough for both."""
    return run(steps(0, 1, 1, 0, 0, 1), [("A", 1, 8), ("B", 1, 8)], available=0, total=16)


def blocked():
    """B waits for A, fails when A commits, and is refused with tickets left."""
    sold = check_event(EventLedger("E", 16, 8, None, [Issue("A", 1, 8)]))
    done = [
        step(0, "read_pool", read={"total": 16, "available": 16}),
        step(1, "read_pool", read={"total": 16, "available": None}),
        step(0, "insert", rows=8),
        step(1, "insert", rows=-1, waited_for=(0,), released_by=4, error="40001"),
        step(0, "COMMIT", rows=-1, after=sold),
    ]
    answers = (Answer("A", 1, 8), Answer("B", code="unavailable", sqlstate="40001"))
    return run(done, [("A", 1, 8)], available=8, total=16, answers=answers)


def hostile():
    """Everything that comes from outside is markup."""
    done = [
        step(0, HOSTILE, text=HOSTILE, read={HOSTILE: HOSTILE}),
        step(1, HOSTILE, text=HOSTILE, error=HOSTILE),
    ]
    answers = (Answer(HOSTILE, 1, 8), Answer("B", code=HOSTILE, sqlstate=HOSTILE))
    return run(done, [(HOSTILE, 1, 8)], available=0, answers=answers)


def panels():
    """One panel with some of each, and one of classes."""
    return {
        "naive_bulk": [
            clean(),
            oversold(),
            oversold(0, 1, 1, 0, 0, 1),
            duplicate(),
            blocked(),
        ],
        "range": [clean(represents=6), clean(represents=1204)],
    }


def scenario_run(violated=""):
    """Return a schedule of a scenario: the counter's step waits for the web's."""
    done = (
        step(0, "UPDATE seats", after=None),
        step(1, "UPDATE seats", after=None, waited_for=(0,), released_by=2, rows=0),
        step(0, "COMMIT", after=None, rows=-1),
    )
    results = (ClientResult("success", "200 OK"), ClientResult("refused", "409"))
    found = (ViolatedInvariant(violated, ("seat",), ((1,),), 2),) if violated else ()
    return ScenarioRun(("web", "counter"), done, results, found)
