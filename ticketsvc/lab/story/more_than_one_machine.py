"""What notebook 11 says: what several instances sell, and what an on-sale needs by calculation."""

import pandas as pd

from ticketsvc.allocators.group_commit import MAX_BATCH
from ticketsvc.lab.experiments.expansion import MixedSale
from ticketsvc.lab.experiments.scale import (
    ALL,
    BATCHED,
    LARGEST,
    ONE_BY_ONE,
    REQUEST_S,
    STADIUM,
    USABLE,
    CommitCost,
)
from ticketsvc.lab.story import Claims

ANSWER = "Add instances; batch on the hot row; by calculation, requests are the limit, not sales."


def a_rewritten_ticket_counts_once(one: pd.DataFrame) -> str:
    """Say how many rows and tickets there are before and after a range becomes rows."""
    before, after = one.loc["as a range"], one.loc["expanded"]
    return (
        f"**What this shows.** {before['tickets']} tickets in {before['rows']} row, then "
        f"{after['tickets']} in {after['rows']}. One statement deletes the range and inserts its "
        "tickets, so no ticket is ever there twice."
    )


def all_instances_sold_one_event(mixed: MixedSale) -> str:
    """Say what the instances sold, and how much of it was rewritten meanwhile."""
    return (
        f"**What this shows.** {len(mixed.sold)} instances sold {mixed.sold['tickets'].sum():,} "
        f"tickets. Of these, {mixed.expanded:,} were sold in ranges and have a row each now; "
        f"{mixed.during.tickets:,} got it while the event sold."
    )


def what_a_commit_costs(cost: CommitCost, batch: int) -> str:
    """Say both parts of a commit's cost, and what they allow."""
    return (
        f"**What this shows.** Fixed: {cost.fixed_s * 1e3:.2f} ms. Each purchase: "
        f"{cost.each_s * 1e6:.1f} µs. So one event sells about {cost.per_s(1):,.0f} purchases a "
        f"second one by one, {cost.per_s(batch):,.0f} in batches of {batch}, and "
        f"{cost.per_s(MAX_BATCH):,.0f} in batches of {MAX_BATCH}, the service's most."
    )


def the_simulation_is_near(compared: pd.DataFrame) -> str:
    """Say how far simulated times are from measured ones."""
    ratio = compared["simulated_s"] / compared["measured_s"]
    return (
        f"**What this shows.** Simulated times are {ratio.min():.2f} to {ratio.max():.2f} times "
        "those measured, also of a size that was not used to find the cost."
    )


def what_is_assumed() -> str:
    """Say which on-sales are calculated, and under which assumptions."""
    return (
        f"- The stadium: {STADIUM.tickets:,} tickets in {STADIUM.events} event, "
        f"{STADIUM.requests:,} requests within {STADIUM.within_s} s.\n"
        "- The largest on-sale reported: Ticketmaster said that on 15 November 2022 more than "
        f"{LARGEST.tickets / 1e6:g} million tickets were sold and that there were "
        f"{LARGEST.requests / 1e9:g} billion system requests. Assumed: {LARGEST.events} equal "
        f"events; {LARGEST.within_s / 3600:g} hours; a peak of {LARGEST.peak:g} times the mean; "
        "every request as dear as a purchase.\n"
        f"- A purchase is {LARGEST.quantity} tickets. A core is used to {USABLE:.0%}. A request "
        f"takes {REQUEST_S * 1e6:.0f} µs of a core, without the database, as `bench` measured it "
        "(`docs/scale.md`)."
    )


def requests_break_first(plans: pd.DataFrame) -> str:
    """Say what both on-sales need, and what that means."""
    stadium, largest = plans["stadium"], plans["largest reported"]
    return (
        "**What this says.** Batched, neither needs a second PostgreSQL: one sells the stadium in "
        f"{stadium[BATCHED]:.2f} s ({stadium[ONE_BY_ONE]:,.1f} s one by one) and the largest "
        f"on-sale in {largest[ALL]:.1f} s. Its requests need "
        f"{largest['cores for requests']:,.0f} cores. So requests break first: a waiting room in "
        "front, and more instances, help before more databases do."
    )


def claims_of_the_run(
    one: pd.DataFrame, mixed: MixedSale, *, instances: int, could_be_sold: int
) -> Claims:
    """Return what is claimed of rewritten tickets, and of several instances."""
    return {
        "one purchase, rewritten: more rows, as many tickets, and clean": (
            one["rows"].iloc[0] < one["rows"].iloc[1]
            and one["tickets"].nunique() == 1
            and one["clean"].all()
        ),
        f"{instances} instances sold the event": len(mixed.sold) == instances,
        "every ticket that could be sold was sold once": (
            mixed.sold["tickets"].sum() == could_be_sold
        ),
        "the ledger is clean and agrees with every buyer": mixed.verdict.clean,
        "no range is left: each of its tickets has a row": (
            mixed.expanded > 0 and not mixed.after.ranges_left
        ),
    }


def claims_of_speed(cost: CommitCost, batch: int, compared: pd.DataFrame) -> Claims:
    """Return what is claimed of batches and of the simulation."""
    ratio = compared["simulated_s"] / compared["measured_s"]
    return {
        f"batches of {batch} sell at least 3 times what single commits do": (
            cost.per_s(batch) >= 3 * cost.per_s(1)
        ),
        "simulation and measurement agree within a factor of 3": ratio.between(1 / 3, 3).all(),
    }


def claims_of_the_calculation(plans: pd.DataFrame) -> Claims:
    """Return what is claimed of both on-sales."""
    largest = plans["largest reported"]
    return {
        "calculated: the largest on-sale's requests need more than one machine": (
            largest["cores for requests"] > 32
        ),
        "calculated: one PostgreSQL sells each in less than a tenth of its time": all(
            plans[sale.name][ALL] < sale.within_s / 10 for sale in (STADIUM, LARGEST)
        ),
    }
