"""Compare each buyer's purchases and answers with the tickets that buyer holds: pure functions.

Only buyers in the history are compared: a ledger may have others. A purchase with an unknown
outcome may hold all of its tickets or none. An answer without numbers promises no number in
particular, and explains as many tickets as were asked for.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import NamedTuple

from ticketsvc.lab.checker.purchases import PurchaseRecord
from ticketsvc.lab.checker.spans import Span, count


class Discrepancy(NamedTuple):
    """A difference between one buyer's purchases and tickets, and who shows it."""

    kind: str
    tickets: int
    shown_by: tuple[PurchaseRecord, ...]
    numbers: tuple[int, ...] = ()


def find_discrepancies(
    buyers: Mapping[str, Sequence[PurchaseRecord]], held: Mapping[str, Sequence[Span]]
) -> list[Discrepancy]:
    """Compare every buyer's account with the tickets that the buyer holds."""
    return [
        found for user, bought in buyers.items() for found in _compare(bought, held.get(user, ()))
    ]


def _compare(bought: Sequence[PurchaseRecord], spans: Sequence[Span]) -> list[Discrepancy]:
    """Compare one account: it holds what was acknowledged, and each unknown purchase or not."""
    acknowledged: Counter[int] = Counter()
    discrepancies: list[Discrepancy] = []
    sure, pending = 0, []
    for record in bought:
        if record.outcome == "ok":
            acknowledged.update(record.acknowledged)
            more = len(record.acknowledged) - record.wanted
            sure += record.wanted + max(0, more)
            if more > 0:
                discrepancies.append(Discrepancy("issued_beyond_asked", more, (record,)))
        elif record.outcome == "unknown":
            pending.append(record)
    held = count(spans)
    missing_numbers = _missing_numbers(acknowledged, spans) if acknowledged else {}
    as_acknowledged = acknowledged.total() - sum(missing_numbers.values())
    # What is left for the unknown ones: at least what nothing else explains.
    low, high = held - sure, held - as_acknowledged
    if missing_numbers:
        discrepancies.append(_missing(bought, acknowledged, missing_numbers))
    most = _largest_sum([record.wanted for record in pending], high)
    if most < low:
        discrepancies.append(_excess(bought, pending, low, high - most))
    return discrepancies


def _missing_numbers(acknowledged: Mapping[int, int], spans: Sequence[Span]) -> dict[int, int]:
    """Return the numbers acknowledged more often than they are held, and how much more often."""
    firsts = sorted(first for first, _ in spans)
    lasts = sorted(last for _, last in spans)
    missing_numbers = {}
    for number, times in acknowledged.items():
        has = bisect_right(firsts, number) - bisect_left(lasts, number)
        if has < times:
            missing_numbers[number] = times - has
    return missing_numbers


def _missing(
    bought: Sequence[PurchaseRecord],
    acknowledged: Mapping[int, int],
    missing_numbers: Mapping[int, int],
) -> Discrepancy:
    """Name the fewest purchases that were answered with a number more often than it is held."""
    answered_with: defaultdict[int, list[tuple[int, PurchaseRecord]]] = defaultdict(list)
    for record in bought:
        for number, times in Counter(record.acknowledged).items():
            if number in missing_numbers:
                answered_with[number].append((times, record))
    best: tuple[PurchaseRecord, ...] = ()
    for number, lacks in missing_numbers.items():
        has, chosen = acknowledged[number] - lacks, []
        for times, record in sorted(answered_with[number], key=lambda pair: -pair[0]):
            chosen.append(record)
            has -= times
            if has < 0:
                break
        if not best or len(chosen) < len(best):
            best = tuple(chosen)
    numbers = tuple(sorted(missing_numbers))
    return Discrepancy("acknowledged_missing", sum(missing_numbers.values()), best, numbers)


def _largest_sum(quantities: Iterable[int], most: int) -> int:
    """Return the largest sum, up to *most*, that some of *quantities* have.

    Sums are the bits of one number, in units of the greatest common divisor. Equal quantities
    are added in powers of two, which takes a logarithmic number of steps.
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


def _excess(
    bought: Sequence[PurchaseRecord], pending: Sequence[PurchaseRecord], low: int, part: int
) -> Discrepancy:
    """Return the tickets that no purchase explains; *part*: those beyond the unknown ones.

    A refusal alone shows it. Otherwise it takes all of the buyer's purchases to show that they do
    not explain what is held.
    """
    surplus = low - sum(record.wanted for record in pending)
    if surplus <= 0:
        return Discrepancy("issued_in_part", part, tuple(one for one in pending if one.wanted))
    refused = [record for record in bought if record.outcome in ("refused", "failed")]
    if refused:
        fitting = [record for record in refused if record.wanted == surplus]
        return Discrepancy("issued_but_refused", surplus, ((fitting or refused)[0],))
    wanting = tuple(record for record in bought if record.wanted)
    return Discrepancy("issued_beyond_asked", surplus, wanting or tuple(bought[:1]))
