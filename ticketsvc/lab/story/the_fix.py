"""Notebook 04: what closes it?"""

import re

import pandas as pd

from ticketsvc.database.statements import source
from ticketsvc.lab.experiments.by_hand import ByHand
from ticketsvc.lab.experiments.repair import Repair
from ticketsvc.lab.story import Claims

ANSWER = "One conditional UPDATE closes it, and the schema refuses every duplicate and oversell."


def where_a_buyer_tries_again(fixes: pd.DataFrame) -> str:
    """Say which fixes let a buyer wait, and which let one try again."""
    again = fixes.loc[fixes["a buyer tries again"] > 0, "allocator"]
    clean = (fixes["clean"] == fixes["schedules"]).sum()
    return (
        f"**What this shows.** {clean} of {len(fixes)} are clean in every schedule. A buyer tries "
        f"again in {', '.join(again)}: after an error, in `group_commit` after the answer `busy` "
        "(another purchase has locked the row). In the others a buyer only waits."
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


def the_statement() -> str:
    """Return the conditional UPDATE of `ticket_rows` in one line, for tables of any schema."""
    text = re.sub(r"--.*|\{schema\}\.", "", source("ticket_rows")["reserve"])
    return " ".join(re.sub(r"%\((\w+)\)s", r":\1", text).split())


def one_statement(last: pd.DataFrame) -> str:
    """Answer what fixes it, in one line."""
    one = last.set_index("allocator").loc["ticket_rows"]
    return (
        "One statement that checks and subtracts, in one transaction with the tickets: "
        f"`{the_statement()}`. Your numbers start at `first`. No row: too few are left (409), or "
        "there is no such event (404). The allocator `ticket_rows` (an *allocator* decides which "
        f"tickets a purchase gets) runs it on the tables of `{one['schema']}`: in the same burst, "
        f"{one['successes']} of {one['purchases']} buyers got tickets, with {one['duplicates']} "
        "duplicates."
    )


def this_is_what_it_costs(costs: pd.DataFrame, buyers: int, quantity: int) -> str:
    """Answer what fixes cost beside the original, alone and with several buyers."""
    fix, retry, shared = (
        costs.loc[name] for name in ("ticket_rows", "serializable", "group_commit")
    )
    original = costs.loc["naive"]
    return (
        f"With `ticket_rows` one purchase of {quantity} tickets alone takes {fix['alone_ms']:.1f} "
        f"ms, with one commit. The original takes {original['alone_ms']:.1f} ms: it commits each "
        f"of its {quantity + 1} writes. The price: purchases of one event wait for its row. To "
        f"{buyers} buyers `ticket_rows` sells {fix['sold_per_s']:,.0f} purchases a second, the "
        f"original {original['sold_per_s']:,.0f}, SERIALIZABLE with a retry "
        f"{retry['sold_per_s']:,.0f}; `group_commit`, where those that wait share a commit, "
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
        f"not. The slowest took {1000 * repaired.longest_wait_s:.0f} ms. The event went from "
        f"{repaired.before.duplicates} duplicates to {repaired.after.duplicates}."
    )


def some_holders_have_two_rows(repaired: Repair) -> str:
    """Say how many holders are in the plan, and why its rows count more."""
    both = repaired.plan["holders"].sum() - len(repaired.planned)
    return (
        f"**What this shows.** The plan goes ticket by ticket: {len(repaired.planned)} holders, "
        f"and {both} of them keep some of their tickets and get other numbers for the rest."
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
