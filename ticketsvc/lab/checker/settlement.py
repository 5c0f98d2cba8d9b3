"""Hold what each buyer asked for and was told against what that buyer holds: pure functions.

Only of buyers whom the history knows: a ledger may have others. An unknown outcome is accounted
for either way, all of its tickets or none. An answer that names no numbers promises none, but
accounts for as many as were asked for.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import NamedTuple

from ticketsvc.lab.checker.purchases import Asked
from ticketsvc.lab.checker.spans import Span, count
from ticketsvc.lab.checker.verdicts import Unknowns


class Finding(NamedTuple):
    """Where one buyer's account does not come out even, and the smallest set that shows it."""

    kind: str
    tickets: int
    shown_by: tuple[Asked, ...]
    numbers: tuple[int, ...] = ()


def settle(
    buyers: Mapping[str, Sequence[Asked]], held: Mapping[str, Sequence[Span]]
) -> tuple[list[Finding], Unknowns]:
    """Settle every buyer's account; return what does not come out even, and count the unknowns."""
    findings: list[Finding] = []
    counts = [0, 0, 0]
    for user, bought in buyers.items():
        found, unknowns = _settle(bought, held.get(user, ()))
        findings += found
        if unknowns is not None:
            for place, number in enumerate(unknowns):
                counts[place] += number
    return findings, Unknowns(*counts)


def _settle(
    bought: Sequence[Asked], spans: Sequence[Span]
) -> tuple[list[Finding], tuple[int, int, int] | None]:
    """Settle one account. Held is: what was told, and of each unknown purchase all or nothing."""
    told: Counter[int] = Counter()
    findings: list[Finding] = []
    sure, pending = 0, []
    for asked in bought:
        if asked.outcome == "ok":
            told.update(asked.told)
            more = len(asked.told) - asked.wanted
            sure += asked.wanted + max(0, more)
            if more > 0:
                findings.append(Finding("issued_beyond_asked", more, (asked,)))
        elif asked.outcome == "unknown":
            pending.append(asked)
    held = count(spans)
    lacking = _lacking(told, spans) if told else {}
    as_told = told.total() - sum(lacking.values())
    # What is left for the unknown ones: at least what nothing else accounts for.
    low, high = held - sure, held - as_told
    if lacking:
        findings.append(_missing(bought, told, lacking))
    if not pending and low <= 0 <= high:
        return findings, None
    most = _largest_sum([asked.wanted for asked in pending], high)
    if most >= low:
        return findings, _turned_out(pending, max(low, 0), high)
    findings.append(_excess(bought, pending, low, high - most))
    return findings, (0, 0, len(pending)) if pending else None


def _lacking(told: Mapping[int, int], spans: Sequence[Span]) -> dict[int, int]:
    """Return the numbers that were told more often than they are held, and how much more often."""
    firsts = sorted(first for first, _ in spans)
    lasts = sorted(last for _, last in spans)
    lacking = {}
    for number, times in told.items():
        has = bisect_right(firsts, number) - bisect_left(lasts, number)
        if has < times:
            lacking[number] = times - has
    return lacking


def _missing(
    bought: Sequence[Asked], told: Mapping[int, int], lacking: Mapping[int, int]
) -> Finding:
    """Name the fewest purchases that were told a number more often, in sum, than it is held."""
    tellers: defaultdict[int, list[tuple[int, Asked]]] = defaultdict(list)
    for asked in bought:
        for number, times in Counter(asked.told).items():
            if number in lacking:
                tellers[number].append((times, asked))
    best: tuple[Asked, ...] = ()
    for number, lacks in lacking.items():
        has, chosen = told[number] - lacks, []
        for times, asked in sorted(tellers[number], key=lambda teller: -teller[0]):
            chosen.append(asked)
            has -= times
            if has < 0:
                break
        if not best or len(chosen) < len(best):
            best = tuple(chosen)
    numbers = tuple(sorted(lacking))
    return Finding("acknowledged_missing", sum(lacking.values()), best, numbers)


def _largest_sum(quantities: Iterable[int], most: int) -> int:
    """Return the largest sum, up to *most*, that some of *quantities* have.

    Sums are the bits of one number, in units of what divides all quantities; so many equal
    quantities take only as many steps as their number has digits.
    """
    times = Counter(quantities)
    everything = sum(quantity * number for quantity, number in times.items())
    if most >= everything:
        return everything
    unit = gcd(*times)
    mask = (1 << most // unit + 1) - 1
    sums = 1
    for quantity, number in times.items():
        done = 0
        while done < number:
            chunk = min(done + 1, number - done)
            sums |= (sums << quantity // unit * chunk) & mask
            done += chunk
    return (sums.bit_length() - 1) * unit


def _turned_out(pending: Sequence[Asked], low: int, high: int) -> tuple[int, int, int]:
    """Count sold, not sold, undecidable, when between *low* and *high* tickets are theirs."""
    quantities = [asked.wanted for asked in pending if asked.wanted]
    number, silent = len(quantities), len(pending) - len(quantities)  # silent: asked for none
    if not quantities:
        return 0, 0, silent
    if high < min(quantities):
        return 0, number, silent
    if low == sum(quantities):
        return number, 0, silent
    quantity = quantities[0]
    fewest, most = -(-low // quantity), min(high // quantity, number)
    if fewest == most and len(set(quantities)) == 1:
        return most, number - most, silent
    return 0, 0, len(pending)


def _excess(bought: Sequence[Asked], pending: Sequence[Asked], low: int, part: int) -> Finding:
    """Say which tickets nothing accounts for; *part* of them, if not so many as to be surplus.

    A refusal shows it alone. Else it takes all that the buyer asked for to show that it does
    not account for what is held.
    """
    surplus = low - sum(asked.wanted for asked in pending)
    if surplus <= 0:
        return Finding("issued_in_part", part, tuple(one for one in pending if one.wanted))
    refused = [asked for asked in bought if asked.outcome in ("refused", "failed")]
    if refused:
        fitting = [asked for asked in refused if asked.wanted == surplus]
        return Finding("issued_but_refused", surplus, ((fitting or refused)[0],))
    wanting = tuple(asked for asked in bought if asked.wanted)
    return Finding("issued_beyond_asked", surplus, wanting or tuple(bought[:1]))
