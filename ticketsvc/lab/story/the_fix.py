"""Notebook 04: what closes it?"""

import pandas as pd

from ticketsvc.lab.experiments.by_hand import ByHand
from ticketsvc.lab.experiments.repair import Repair
from ticketsvc.lab.story import Claims

ANSWER = "One conditional UPDATE closes it, and the schema refuses every duplicate and oversell."
SIDE_BY_SIDE = (
    "Bars: tickets issued by each allocator and schema in the same burst, with the stock as a "
    "dashed line"
)


def what_they_cost(fixes: pd.DataFrame) -> str:
    """Say which fixes let a buyer wait, and which let one try again."""
    again = fixes.loc[fixes["a buyer tries again"] > 0, "allocator"]
    clean = (fixes["clean"] == fixes["schedules"]).sum()
    return (
        f"**What this shows.** {clean} of {len(fixes)} are clean in every schedule. Those at a "
        f"stricter level ({', '.join(again)}) do some of the work twice. In the others a buyer "
        "waits."
    )


def the_second_waits_and_finds_none_left(by_hand: ByHand) -> str:
    """Say what the conditional UPDATE does to the second buyer."""
    return (
        f"**What this shows.** A's UPDATE has locked the row: *{by_hand.waits}*. When A commits, "
        "PostgreSQL tests B's condition again, on the row as A left it. "
        f"{len(by_hand.tickets)} ticket is issued, the stock is {by_hand.available}."
    )


def fewer_are_told_sold_and_none_twice(last: pd.DataFrame) -> str:
    """Say how the same burst ends before and after; *last*: naive, the fixes, naive on fixed."""
    before, *after, caught = last["successes"]
    told = " or ".join(map(str, sorted({*after})))
    return (
        f"**What this shows.** Of {last['purchases'].iloc[0]} buyers, {before} were told *sold* "
        f"before, and {told} by each of {len(after)} fixes. On the fixed schema the naive code "
        f"sells {caught}: the primary key refuses its copies. Those buyers are refused for the "
        "wrong reason, but nobody holds a ticket twice."
    )


def one_statement(statement: str, last: pd.DataFrame) -> str:
    """Answer what fixes it, in one line."""
    one = last.set_index("allocator").loc["ticket_rows"]
    return (
        "One statement that checks and subtracts, in one transaction with the tickets: "
        f"`{statement}` (or read the number of changed rows). No row: sold out, answer 409. "
        "Measured with `ticket_rows`, which also moves a column with the next number: in the same "
        f"burst, {one['successes']} of {one['purchases']} buyers got tickets, "
        f"with {one['duplicates']} duplicates."
    )


def this_is_what_it_costs(costs: pd.DataFrame, buyers: int, quantity: int) -> str:
    """Answer what fixes cost beside the original, alone and with several buyers."""
    fix, retry, shared = (
        costs.loc[name] for name in ("ticket_rows", "serializable", "group_commit")
    )
    original = costs.loc["naive"]
    return (
        f"With `ticket_rows` one purchase alone takes {fix['alone_ms']:.1f} ms, with one commit. "
        f"The original takes {original['alone_ms']:.1f} ms: it commits each of its {quantity + 1} "
        f"writes. To {buyers} buyers of one event `ticket_rows` sells {fix['sold_per_s']:,.0f} "
        f"purchases a second, the original {original['sold_per_s']:,.0f}; SERIALIZABLE with a "
        f"retry {retry['sold_per_s']:,.0f}. Where waiting purchases share one commit, it is "
        f"{shared['sold_per_s']:,.0f}."
    )


def some_writes_are_allowed(tried: pd.DataFrame) -> str:
    """Say what the schema refuses, and what it cannot."""
    return (
        f"**What this shows.** {tried['refused'].sum()} of {len(tried)} writes are refused, each "
        "by a constraint that has a name. `issue_in_sequence` is a trigger: a new row may only "
        "continue the numbers that both ticket tables hold, up to the total. What the schema "
        "cannot refuse is *half a sale*: a stock that is subtracted and no ticket. For that the "
        "statements need their transaction."
    )


def it_sold_meanwhile(repaired: Repair) -> str:
    """Say how many purchases were sold while the scripts ran, and how long they took."""
    return (
        f"**What this shows.** While the four scripts ran, "
        f"{len(repaired.during) - repaired.errors} purchases were sold and {repaired.errors} were "
        f"not. The slowest took {1000 * repaired.longest_wait_s:.0f} ms. Their event went from "
        f"{repaired.before.duplicates} duplicates to {repaired.after.duplicates}; its "
        f"{len(repaired.planned)} affected holders are in the plan."
    )


def claims_of_the_statement(by_hand: ByHand, before: pd.DataFrame, after: pd.DataFrame) -> Claims:
    """Claim that the same burst, damaged *before*, ends *after* as the stock allows."""
    one = after.iloc[0]
    sold = one["total"] // one["quantity"]
    return {
        "by hand: the second UPDATE waits, and then changes no row": (
            {"waits for A", "goes on: no row"} <= {*by_hand.results}
        ),
        "by hand: one ticket, and none left": (
            by_hand.tickets["number"].tolist() == [1] and by_hand.available == 0
        ),
        "before: every burst oversells, with duplicates": (
            before["oversold"] & (before["duplicates"] > 0)
        ).all(),
        f"after: as many successes as the stock allows, {sold} in every burst": (
            after["successes"] == sold
        ).all(),
        "after: all other buyers are refused": (after["refused"] == one["purchases"] - sold).all(),
        "after: every ledger is clean": after["clean"].all(),
        "after: the stock ends where it should": (
            after["available"] == one["total"] % one["quantity"]
        ).all(),
    }


def claims_of_the_choice(fixes: pd.DataFrame, costs: pd.DataFrame) -> Claims:
    """Claim that each fix is clean, was tested by a conflict, and sells to every buyer."""
    tested = fixes["a buyer waits"] + fixes["a buyer tries again"]
    sold = costs.drop(index="naive")
    return {
        "each fix: clean in every schedule of two purchases": (
            fixes["clean"] == fixes["schedules"]
        ).all(),
        "each fix: in some of them a buyer waits or tries again": (tested > 0).all(),
        "each fix: no buyer refused with tickets for all": (sold["refused"] == 0).all(),
        "each fix: clean after all sales": sold["clean"].all(),
    }


def claims_of_the_schema(
    caught: pd.DataFrame, answers: pd.DataFrame, tried: pd.DataFrame
) -> Claims:
    """Claim what the fixed schema refuses: the naive code's copies, and writes by hand."""
    allowed, refused = tried["allowed"], tried["refused"]
    return {
        "naive on the fixed schema: no duplicate, no oversell": (
            (caught["duplicates"] == 0)
            & ~caught["oversold"]
            & (caught["issued"] <= caught["total"])
        ).all(),
        "the primary key refuses its copies": (
            answers["message"].str.contains("issued_tickets_pkey").any()
        ),
        "every forbidden write is refused, by a constraint with a name": (
            refused & (tried["constraint"] != "")
        )[~allowed].all(),
        "only the control and half a sale are accepted": (refused == ~allowed).all(),
    }


def claims_of_the_repair(repaired: Repair) -> Claims:
    """Claim that the damaged event was repaired while it sold, and nobody lost a ticket."""
    return {
        "the damaged event is clean after its repair": (
            repaired.after.clean and not repaired.before.clean
        ),
        "every constraint is valid": repaired.guards["valid"].eq("t").all(),
        "meanwhile purchases were sold, and none got an error": (
            len(repaired.during) > 0 and repaired.errors == 0
        ),
        "every holder of a shared number is in the plan": not repaired.unplanned,
        "all tickets that were sold are issued": (repaired.tickets_sold == repaired.after.issued),
    }
