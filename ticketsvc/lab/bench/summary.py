"""From measurements to figures: percentiles, medians, ratios. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from ticketsvc.lab.bench.load_spec import LoadResult
from ticketsvc.lab.bench.plan import REFERENCE, BenchCase

MEDIANS = (
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "server_cpu_us",
    "database_cpu_us",
    "wal_bytes",
    "transactions",
    "at_risk_purchases",
)
"""The columns beside the goodput. CPU, WAL and transactions are per purchase."""


@dataclass(frozen=True)
class Measurement:
    """One case, measured once. Costs are per purchase in the ledger; None: not known."""

    case: BenchCase
    result: LoadResult
    violations: tuple[str, ...] = ()
    issued_purchases: int | None = None
    costs: Mapping[str, float | None] = field(default_factory=dict)
    events: tuple[str, ...] = ()

    @property
    def goodput_per_s(self) -> float | None:
        """Purchases sold per second; None when the audit found a violation or nothing was sold."""
        if self.violations or not self.result.sold:
            return None
        return self.result.sold / self.result.seconds

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        found = {**asdict(self.result), **self.costs}
        shown = self.goodput_per_s is not None
        return {
            **_case_columns(self.case),
            **found,
            "audit": _audit(self.case, self.violations),
            "violations": list(self.violations),
            "goodput_per_s": self.goodput_per_s,
            "issued_purchases": self.issued_purchases,
            **{name: found.get(name) if shown else None for name in MEDIANS},
        }


def percentile(ascending: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least *share* of the values do not exceed.

    None when there are no values.
    """
    if not ascending:
        return None
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def disagreement(result: LoadResult, issued_purchases: int) -> str:
    """Return how clients and ledger disagree, beyond what was in flight; "" when they agree."""
    confirmed = result.sold + result.late
    if issued_purchases < confirmed:
        return f"{confirmed} purchases were confirmed, the ledger holds {issued_purchases}"
    if issued_purchases > confirmed + result.in_flight:
        return (
            f"the ledger holds {issued_purchases} purchases, {confirmed} were confirmed and at "
            f"most {result.in_flight} more were in flight"
        )
    return ""


def summarise(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return one row per case: the medians of its repetitions, and three ratios of goodput.

    A case has no figure when any of its repetitions has a violation. *of_noop*: to our service
    without a database; *of_bare*: to the least that aiohttp can do; both under the same
    connections and quantity. *of_range*: to the allocator `range` under the same load and
    durability.
    """
    by_case: dict[BenchCase, list[Measurement]] = {}
    for one in measurements:
        by_case.setdefault(one.case, []).append(one)
    rows = {case: _row(case, several) for case, several in by_case.items()}
    for case, row in rows.items():
        bases: dict[str, float | None] = {}
        for other, its in rows.items():
            if (base := _compared(case, other)) is not None:
                bases.setdefault(base, its["goodput_per_s"])
        for base in ("noop", "bare", "range"):
            mine, rate = row["goodput_per_s"], bases.get(base)
            row[f"of_{base}"] = mine / rate if mine and rate else None
    return list(rows.values())


def _compared(case: BenchCase, other: BenchCase) -> str | None:
    """Return as what the rate of *other* is a base for that of *case*, or None."""
    mine, theirs = case.candidate, other.candidate
    same_answers = (other.connections, other.quantity) == (case.connections, case.quantity)
    if theirs.kind == "noop" and same_answers and mine.ours:
        return "noop"
    if theirs.kind == "bare_noop" and same_answers:
        return "bare"
    is_reference = (theirs.name, theirs.kind, theirs.keys) == (REFERENCE, "allocator", False)
    same_promise = mine.kind != "allocator" or theirs.durable == mine.durable
    return "range" if is_reference and other.load == case.load and same_promise else None


def resolved(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether every repetition of one row sold more than every repetition of the other.

    False where a row has no figure.
    """
    return bool(
        one["goodput_min"] > other["goodput_max"] or other["goodput_min"] > one["goodput_max"]
    )


def _row(case: BenchCase, several: Sequence[Measurement]) -> dict[str, Any]:
    found = [one.as_dict() for one in several]
    rates = [row["goodput_per_s"] for row in found]
    known = [] if None in rates else rates
    violations = [each for one in several for each in one.violations]
    return {
        **_case_columns(case),
        "repetitions": len(several),
        "audit": _audit(case, violations),
        "violations": violations,
        "goodput_per_s": median(known) if known else None,
        "goodput_min": min(known, default=None),
        "goodput_max": max(known, default=None),
        "sold": sum(row["sold"] for row in found),
        "refused": sum(row["refused"] for row in found),
        "failed": sum(row["failed"] for row in found),
        **{name: _median(row[name] for row in found) if known else None for name in MEDIANS},
    }


def _case_columns(case: BenchCase) -> dict[str, Any]:
    return {
        "candidate": case.candidate.label,
        "name": case.candidate.name,
        "kind": case.candidate.kind,
        "durable": case.candidate.durable if case.candidate.ours else None,
        "workers": case.candidate.workers if case.candidate.ours else None,
        "connections": case.connections,
        "events": case.events,
        "quantity": case.quantity,
        "sold_before": case.sold,
        "keys": case.candidate.keys,
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _audit(case: BenchCase, violations: Sequence[str]) -> str:
    return "violated" if violations else "clean" if case.candidate.sells else "sells nothing"
