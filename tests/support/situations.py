"""Sales in one line of text: `TOTAL/AVAILABLE: LEDGER | HISTORY | EXPECTED`.

The ledger lists who holds what: `A 1-8` is a range, `A 1..8` one row per ticket. The history lists
the attempts: purchase `a` of buyer `A` (or `a by B`) was told `1-8`, asked for 16 tickets (`of
16`), had the outcome `unknown`, and was sent and answered at the times behind `@`. What is
expected is the test's own matter. A line without indentation is the title of those below it.
"""

import re

from ticketsvc.lab.ledger.records import EventLedger, Issue
from ticketsvc.lab.workload.history import Attempt

LEDGER = re.compile(r"(?P<user>\w+) (?P<first>-?\d+)(?P<how>-|\.\.)(?P<last>-?\d+)")
ATTEMPT = re.compile(
    r"(?P<name>\w+)(?: by (?P<user>\w+))?(?: (?P<first>-?\d+)-(?P<last>-?\d+))?"
    r"(?: of (?P<quantity>-?\d+))?(?: (?P<outcome>unknown|refused|failed))?"
    r"(?: @(?P<sent>[\d.]+)-(?P<answered>[\d.]+))?"
)


def situations(text):
    """Return the lines of *text*, each with the title above it."""
    title, lines = "", []
    for line in text.strip().splitlines():
        if not line.startswith(" "):
            title = line
        elif line.startswith("      "):
            lines[-1] = (title, f"{lines[-1][1]} {line.strip()}")
        else:
            lines.append((title, line.strip()))
    return lines


def read_situation(line):
    """Return the ledger and the history that *line* describes, and what it expects."""
    ledger, history, expected = (part.strip() for part in line.split("|"))
    pool, _, held = ledger.partition(":")
    total, available, *following = map(int, re.findall(r"-?\d+", pool))
    issues = [issue for part in _parts(held) for issue in _read_issues(part)]
    state = EventLedger("E", total, available, *(following or [None]), issues)
    return state, [_read_attempt(part) for part in _parts(history)], expected


def _parts(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_issues(text):
    user, first, how, last = LEDGER.fullmatch(text).groups()
    if how == "-":
        return [Issue(user, int(first), int(last))]
    return [Issue(user, number, number) for number in range(int(first), int(last) + 1)]


def _read_attempt(text):
    found = ATTEMPT.fullmatch(text).groupdict()
    told = range(int(found["first"]), int(found["last"]) + 1) if found["first"] else ()
    return Attempt(
        *(found["name"], "http://h", found["user"] or found["name"].upper(), "E"),
        *(int(found["quantity"] or 8), float(found["sent"] or 0), float(found["answered"] or 1)),
        *(found["outcome"] or "ok", None, tuple(told)),
    )
