"""Schedules written by hand, to draw: what is in them is what the pictures have to show."""

from ticketsvc.lab.checker.check import check_event
from ticketsvc.lab.explore.effects import Effect
from ticketsvc.lab.explore.schedules import Answer, Event, Run
from ticketsvc.lab.ledger.records import EventLedger, Issue

HOSTILE = "</style><script>alert(1)</script><b>\"'&"


def event(session, name, **more):
    more = {"rows": 1, "tells": "available 8, issued 0", **more}
    return Event(session, name, more.pop("text", f"SELECT '{name}'"), Effect(), **more)


def run(events, issues, *, available, answers=None, total=8, sessions=2, stands_for=1):
    """Return a run of two buyers of eight, judged by the checker itself."""
    held = [Issue(*issue) for issue in issues]
    ledger = EventLedger("E", total, available, None, held)
    told = answers or tuple(Answer(issue.user, issue.first, issue.last) for issue in held)
    return Run(sessions, tuple(events), told, ledger, check_event(ledger), 8, stands_for)


def steps(*order, read="read_pool", tells="available 8, issued 0"):
    """Return a read, an insert and a subtraction of each session, in *order*."""
    names = {0: [read, "insert", "subtract"], 1: [read, "insert", "subtract"]}
    return [event(session, names[session].pop(0), tells=tells) for session in order]


def clean(**more):
    """One purchase after the other."""
    answers = (Answer("A", 1, 8), Answer("B", code="sold_out"))
    serial = steps(0, 0, 0, 1)
    return run(serial, [("A", 1, 8)], available=0, answers=answers, **more)


def oversold(*order, **more):
    """Two buyers with the same numbers."""
    done = steps(*(order or (0, 1, 0, 1, 0, 1)))
    done[-1].tells = "available -8, issued 16"
    return run(done, [("A", 1, 8), ("B", 1, 8)], available=-8, **more)


def duplicate():
    """The same, with enough for both."""
    return run(steps(0, 1, 1, 0, 0, 1), [("A", 1, 8), ("B", 1, 8)], available=0, total=16)


def blocked():
    """B waits for A, and fails when A commits; it is turned away with tickets left."""
    events = [
        event(0, "read_pool", read={"total": 16, "available": 16}),
        event(1, "read_pool", read={"total": 16, "available": None}),
        event(0, "insert", rows=8),
        event(1, "insert", rows=-1, waited_for=(0,), released_by=4, error="40001"),
        event(0, "COMMIT", rows=-1, tells="available 8, issued 8"),
    ]
    answers = (Answer("A", 1, 8), Answer("B", code="unavailable", sqlstate="40001"))
    return run(events, [("A", 1, 8)], available=8, total=16, answers=answers)


def hostile():
    """All that comes from outside is markup."""
    events = [
        event(0, HOSTILE, text=HOSTILE, read={HOSTILE: HOSTILE}, tells=HOSTILE),
        event(1, HOSTILE, text=HOSTILE, error=HOSTILE, tells=HOSTILE),
    ]
    answers = (Answer(HOSTILE, 1, 8), Answer("B", code=HOSTILE, sqlstate=HOSTILE))
    return run(events, [(HOSTILE, 1, 8)], available=0, answers=answers)


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
        "range": [clean(stands_for=6), clean(stands_for=1204)],
    }
