"""Notebook 06: what does a purchase make the database write?"""

import pandas as pd

from ticketsvc.lab.story import Claims

ANSWER = "A range writes the same for any quantity; rows write in proportion."


def rows_write_more_than_a_range(written: pd.DataFrame) -> str:
    """Say what the two statements wrote; *written*: first the rows, then the range."""
    rows, one = written.to_dict("records")
    return (
        f"**What this shows.** The same tickets: {rows['records']} records and {rows['bytes']:,} "
        f"bytes of log as rows, {one['records']} record and {one['bytes']} bytes as a range."
    )


def _wal(volumes: pd.DataFrame) -> pd.DataFrame:
    return volumes.pivot(index="quantity", columns="allocator", values="wal_bytes")


def _growth(volumes: pd.DataFrame, small: int, large: int) -> pd.DataFrame:
    """Return what each allocator stores, and by how much its WAL grows from *small* to *large*."""
    wal = _wal(volumes)
    stores = volumes.groupby("allocator")["stores"].first()
    return pd.DataFrame({"stores": stores, "times": wal.loc[large] / wal.loc[small]})


def a_range_writes_the_same(volumes: pd.DataFrame, small: int, large: int) -> str:
    """Say how the WAL of a purchase grows from *small* to *large*, for rows and for ranges."""
    rows, ranges = (_wal(volumes).loc[large, name] for name in ("ticket_rows", "range"))
    growth = _growth(volumes, small, large)
    by_rows, by_ranges = (
        growth.loc[growth["stores"] == kind, "times"] for kind in ("rows", "ranges")
    )
    kept = volumes[volumes["quantity"] == large].set_index("allocator")
    size = kept["heap_bytes"] + kept["index_bytes"]
    return (
        f"**What this shows.** {large} tickets write {rows:,.0f} bytes of WAL with `ticket_rows` "
        f"and {ranges:,.0f} with `range`, {rows / ranges:.0f} times less; in table and index they "
        f"keep {size['ticket_rows']:,.0f} and {size['range']:,.0f}. From {small} tickets to "
        f"{large} the WAL grows at least {by_rows.min():.1f} times in the {len(by_rows)} "
        "allocators that store rows, whose lines lie on each other, and at most "
        f"{by_ranges.max():.3f} times in the {len(by_ranges)} that store ranges."
    )


def the_trigger_costs_less_than_the_chain(nets: pd.DataFrame) -> str:
    """Say what the constraints cost more than a primary key alone."""
    price = nets.pivot(index="net", columns="batch", values="wal_bytes")
    more = price.loc[["sequence_trigger", "chain"]] - price.loc["primary_key"]
    one, many = more.columns.min(), more.columns.max()
    return (
        f"**What this shows.** Per purchase the trigger writes {more[one]['sequence_trigger']:.0f} "
        f"bytes of WAL more than a primary key alone, and {more[many]['sequence_trigger']:.1f} "
        f"when {many} purchases share a statement. The chain of foreign keys writes "
        f"{more[one]['chain']:.0f} and {more[many]['chain']:.0f} more."
    )


def no_constraint_is_free(nets: pd.DataFrame) -> str:
    """Say what the trigger costs in time, against no constraint at all."""
    time = nets.pivot(index="net", columns="batch", values="microseconds")
    times = time / time.loc["none"]
    one, many = times.columns.min(), times.columns.max()
    return (
        f"**What this shows.** The flush to disk is left out, because it costs the same under "
        f"each. Where {many} purchases share a statement, the trigger takes "
        f"{times[many]['sequence_trigger']:.1f} times as long as no constraint. Where a purchase "
        f"has its own, all of them take between {times[one].min():.1f} and {times[one].max():.1f} "
        "times as long."
    )


def claims(
    volumes: pd.DataFrame,
    written: pd.DataFrame,
    nets: pd.DataFrame,
    view: pd.DataFrame,
    *,
    small: int,
    large: int,
) -> Claims:
    """Return the claims of notebook 06; *view*: the tickets that two ranges of *small* became."""
    wal, growth = _wal(volumes), _growth(volumes, small, large)
    by_rows = growth.loc[growth["stores"] == "rows", "times"]
    by_ranges = growth.loc[growth["stores"] == "ranges", "times"]
    price = nets.pivot(index="net", columns="batch", values="wal_bytes")
    stored = volumes["quantity"].where(volumes["stores"] == "rows", 1)
    return {
        "by hand: one record of WAL for a range, more for its rows": (
            written["records"].iloc[1] == 1 < written["records"].iloc[0]
        ),
        f"ranges: {large} tickets write at most 1.05 times the WAL of {small}": (
            (by_ranges <= 1.05).all()
        ),
        f"at {large} tickets, ticket_rows writes at least 40 times the WAL of range": (
            wal.loc[large, "ticket_rows"] / wal.loc[large, "range"] >= 40
        ),
        "rows: WAL grows in proportion to the quantity, within a third": (
            (by_rows / (large / small)).between(2 / 3, 4 / 3).all()
        ),
        "each stores one row per ticket, or one per purchase": (
            (volumes["ledger_rows"] == stored).all()
        ),
        "no checkpoint during a measurement": not volumes["checkpoint"].any(),
        "the view returns each ticket once": (
            view["ticket_number"].tolist() == [*range(1, 2 * small + 1)]
        ),
        "the trigger writes less than the chain, alone and in batches": (
            price.loc["sequence_trigger"] < price.loc["chain"]
        ).all(),
        "no constraint writes less than none, within one byte": (
            price.loc["none"] <= price.min() + 1
        ).all(),
        "every ledger is clean": volumes["clean"].all(),
    }
