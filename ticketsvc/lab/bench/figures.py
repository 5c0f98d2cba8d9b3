"""From measurements to figures: percentiles, medians, ratios. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from ticketsvc.lab.bench.plan import REFERENCE, Case

Audit = Literal["clean", "not clean", "unaudited", "sells nothing"]

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
"""What is given per case beside the goodput: the last five per purchase, but for the last one."""


@dataclass(frozen=True)
class Fired:
    """What a generator counted: *sold* are the answers 2xx within the *seconds*.

    *late*: sold, but answered after the end; *in_flight*: sent, and the answer not waited for
    or lost: at most so many more may be sold. Latencies are those of the sold.
    """

    sold: int
    seconds: float
    late: int = 0
    refused: int = 0
    failed: int = 0
    in_flight: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One case, measured once. Costs are per purchase that the ledger holds; None: not known."""

    case: Case
    fired: Fired
    audit: Audit
    faults: tuple[str, ...] = ()
    issued_purchases: int | None = None
    costs: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def goodput_per_s(self) -> float | None:
        """Purchases sold per second; None when the run was not clean, or nothing was sold."""
        if self.audit == "not clean" or not self.fired.sold:
            return None
        return self.fired.sold / self.fired.seconds

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        shown = self.goodput_per_s is not None
        return {
            **_case_columns(self.case),
            "audit": self.audit,
            "faults": list(self.faults),
            "goodput_per_s": self.goodput_per_s,
            "sold": self.fired.sold,
            "seconds": self.fired.seconds,
            "issued_purchases": self.issued_purchases,
            "refused": self.fired.refused,
            "failed": self.fired.failed,
            "in_flight": self.fired.in_flight,
            **{name: self._figure(name) if shown else None for name in MEDIANS},
        }

    def _figure(self, name: str) -> float | None:
        value: float | None = self.costs.get(name) if name in self.costs else None
        return getattr(self.fired, name, value)


def percentile(ascending: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least *share* of them do not exceed; None of nothing."""
    if not ascending:
        return None
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def disagreement(fired: Fired, issued_purchases: int) -> str:
    """Say where the generator's count and the ledger differ by more than was in flight; or ""."""
    told = fired.sold + fired.late
    if issued_purchases < told:
        return f"{told} purchases were confirmed, the ledger holds {issued_purchases}"
    if issued_purchases > told + fired.in_flight:
        return (
            f"the ledger holds {issued_purchases} purchases, {told} were confirmed and at most "
            f"{fired.in_flight} more were in flight"
        )
    return ""


def summarise(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return one row per case: the median of its repetitions, and ratios to ceiling and reference.

    A case of which any repetition was not clean has no figure. *of_noop* compares with the
    ceiling under the same connections, quantity and workers (a foreign service's with its own);
    *of_range* with the reference under the same load, durability and workers.
    """
    by_case: dict[Case, list[Measurement]] = {}
    for one in measurements:
        by_case.setdefault(one.case, []).append(one)
    rows = {case: _row(case, several) for case, several in by_case.items()}
    for case, row in rows.items():
        row["of_noop"] = _ratio(row, _find(rows, case, _is_ceiling_of))
        row["of_range"] = _ratio(row, _find(rows, case, _is_reference_of))
    return list(rows.values())


def _row(case: Case, several: Sequence[Measurement]) -> dict[str, Any]:
    found = [one.as_dict() for one in several]
    rates = [row["goodput_per_s"] for row in found]
    known = [] if None in rates else rates
    faults = [fault for one in several for fault in one.faults]
    worst: Audit = (
        "not clean" if any(one.audit == "not clean" for one in several) else found[0]["audit"]
    )
    return {
        **_case_columns(case),
        "repetitions": len(several),
        "audit": worst,
        "faults": faults,
        "goodput_per_s": median(known) if known else None,
        "goodput_min": min(known, default=None),
        "goodput_max": max(known, default=None),
        "sold": sum(row["sold"] for row in found),
        "refused": sum(row["refused"] for row in found),
        "failed": sum(row["failed"] for row in found),
        **{name: _median(row[name] for row in found) if known else None for name in MEDIANS},
    }


def _case_columns(case: Case) -> dict[str, Any]:
    return {
        "contender": case.contender.label,
        "name": case.contender.name,
        "kind": case.contender.kind,
        "durable": case.contender.durable if case.contender.ours else None,
        "workers": case.contender.workers if case.contender.ours else None,
        "connections": case.connections,
        "events": case.events,
        "quantity": case.quantity,
        "sold_before": case.sold,
        "keys": case.contender.keys,
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _ratio(row: Mapping[str, Any], other: Mapping[str, Any] | None) -> float | None:
    if other is None or not row["goodput_per_s"] or not other["goodput_per_s"]:
        return None
    return float(row["goodput_per_s"] / other["goodput_per_s"])


def _find(rows: Mapping[Case, dict[str, Any]], case: Case, matches: Any) -> dict[str, Any] | None:
    return next((row for other, row in rows.items() if matches(other, case)), None)


def _is_ceiling_of(other: Case, case: Case) -> bool:
    ours = case.contender.ours
    return (
        other.contender.kind == ("ceiling" if ours else "peer_ceiling")
        and (other.connections, other.quantity) == (case.connections, case.quantity)
        and (not ours or other.contender.workers == case.contender.workers)
    )


def _is_reference_of(other: Case, case: Case) -> bool:
    mine, theirs = case.contender, other.contender
    return (
        theirs.name == REFERENCE
        and not theirs.keys
        and theirs.kind == "allocator"
        and other.load == case.load
        and (not mine.ours or theirs.workers == mine.workers)
        and (mine.kind != "allocator" or theirs.durable == mine.durable)
    )


def clean(row: Mapping[str, Any]) -> bool:
    """Tell whether a row has a figure that an audit stands behind, or one that needs none."""
    return row["audit"] != "not clean" and row["goodput_per_s"] is not None
