"""Notebook 06: what does a purchase make the database write?"""

import pandas as pd

from ticketsvc.lab.story import Claims

ANSWER = "A range writes the same for any quantity; rows write in proportion."
WAL = (
    "Two panels: WAL bytes per purchase, and per ticket, against the quantity, for one row per "
    "ticket and one row per purchase"
)
NETS = "Bars: WAL bytes per purchase under each constraint, one purchase per statement and fifty"
NETS_IN_TIME = (
    "Bars: time per purchase under each constraint as a multiple of that under none, one purchase "
    "per statement and fifty"
)


def rows_write_more_than_a_range(written: pd.DataFrame) -> str:
    """Say what the two statements wrote; *written*: first the rows, then the range."""
    rows, one = written.to_dict("records")
    return (
        f"**What this shows.** The same tickets: {rows['records']} records and {rows['bytes']:,} "
        f"bytes of log as rows, {one['records']} record and {one['bytes']} bytes as a range."
    )


def _wal(volumes: pd.DataFrame) -> pd.DataFrame:
    return volumes.pivot(index="quantity", columns="allocator", values="wal_bytes")


def a_range_writes_the_same(volumes: pd.DataFrame, small: int, large: int) -> str:
    """Say how the WAL of a purchase grows from *small* to *large*, for rows and for ranges."""
    wal = _wal(volumes)
    rows, ranges = wal["ticket_rows"], wal["range"]
    kept = volumes[volumes["quantity"] == large].set_index("allocator")
    size = kept["heap_bytes"] + kept["index_bytes"]
    return (
        f"**What this shows.** A purchase of {large} tickets writes {rows[large]:,.0f} bytes of "
        f"WAL with one row per ticket, and {ranges[large]:,.0f} with one row for the range: "
        f"{rows[large] / ranges[large]:.0f} times less. With rows, {large} tickets write "
        f"{rows[large] / rows[small]:.1f} times what {small} do; as a range, "
        f"{ranges[large] / ranges[small]:.3f} times. Table and index grow alike: {large} tickets "
        f"keep {size['ticket_rows']:,.0f} bytes as rows and {size['range']:,.0f} as a range."
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
    wal = _wal(volumes)
    rows, ranges = wal["ticket_rows"], wal["range"]
    price = nets.pivot(index="net", columns="batch", values="wal_bytes")
    by_rows = volumes["allocator"] == "ticket_rows"
    return {
        "by hand: one record of WAL for a range, more for its rows": (
            written["records"].iloc[1] == 1 < written["records"].iloc[0]
        ),
        f"range: {large} tickets write at most 1.05 times the WAL of {small}": (
            ranges[large] / ranges[small] <= 1.05
        ),
        f"at {large} tickets, rows write at least 40 times the WAL of a range": (
            rows[large] / ranges[large] >= 40
        ),
        "rows: WAL grows in proportion to the quantity, within a fifth": (
            0.8 <= rows[large] / rows[small] / (large / small) <= 1.2
        ),
        "rows: one row per ticket; range: one row per purchase": (
            volumes["ledger_rows"] == volumes["quantity"].where(by_rows, 1)
        ).all(),
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
