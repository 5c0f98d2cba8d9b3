"""What notebook 09 says: what buyers, services and the database keep when something breaks."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ticketsvc.lab.faults.experiment import WAL_WRITER_DELAY_S
from ticketsvc.lab.faults.overload import OverloadSpec
from ticketsvc.lab.story import Claims

ANSWER = (
    "With keys and durable commits: everything. Without keys some is sold twice, without the "
    "flush some is lost."
)


def a_key_makes_one_purchase_of_two(asked: pd.DataFrame) -> str:
    """Say what a buyer holds who asked twice, with a key and without."""
    held = asked["tickets held"]
    return (
        f"**What this shows.** With a key the second request gets the first one's answer: "
        f"{held['with a key']} tickets. Without, it is a second purchase: {held['without']}."
    )


def every_answer_is_kept(keyed: pd.DataFrame) -> str:
    """Say what the faults did while purchases had keys."""
    total = keyed.sum(numeric_only=True).astype(int)
    return (
        f"**What this shows.** With `{keyed['allocators'].iloc[0]}`, {total['injections']} "
        f"injections made {total['retried']} of {total['purchases']:,} purchases take more than "
        f"one attempt. In the end {total['unresolved']} had no answer, {total['sold_twice']} were "
        f"sold twice and {total['lost']} lost."
    )


def without_keys_some_is_sold_twice(without: pd.DataFrame) -> str:
    """Say how many purchases were sold twice without keys, fault by fault."""
    twice = without.set_index("fault")["sold_twice"]
    each = ", ".join(f"{count} after {fault.replace('_', ' ')}" for fault, count in twice.items())
    return (
        f"**What this shows.** Of {without['retried'].sum()} purchases with a second attempt "
        f"{twice.sum()} were sold twice: {each}. A transaction that a fault ends is rolled back, "
        "so the second attempt is the only sale. If only the answer is lost or late, it is a "
        "second sale. The buyer cannot tell which."
    )


def when_a_commit_reaches_the_disk() -> str:
    """Say how long a commit may be in memory only, here and otherwise."""
    return (
        "With it off, an acknowledged purchase is only in the memory of PostgreSQL until its *WAL "
        f"writer* flushes the log: by default every 0.2 s, here every {WAL_WRITER_DELAY_S} s, so "
        "that few crashes suffice. (A power cut is not tested.)"
    )


def only_the_flush_keeps_what_was_said(crashed: pd.DataFrame) -> str:
    """Say how many acknowledged purchases crashes lost, with the flush and without."""
    lost = crashed.set_index("durable")["lost"]
    crashes = crashed.set_index("durable")["injections"]
    return (
        f"**What this shows.** {crashes[False]} crashes without the flush lost {lost[False]} "
        f"acknowledged purchases, {crashes[True]} with it {lost[True]}. Either way the ledger "
        "holds no number twice; but buyers hold tickets that were then sold to others. No key "
        "helps: it is lost with the purchase."
    )


def how_much_is_offered(spec: OverloadSpec) -> str:
    """Say how the load is made, and what bounds the service."""
    return (
        f"Buyers arrive at {spec.times:g} times the rate that one server process can sustain, and "
        f"do not wait for those before them (*open-loop*). Each flush takes {spec.flush_ms} ms "
        f"longer, so that the database is the limit. At most {spec.max_waiting} purchases may be "
        "in flight; the service refuses any other at once. No buyer gives up."
    )


def it_refuses_fast_and_goes_on_selling(rate: Mapping[str, Any]) -> str:
    """Say what the service sold and refused under the overload, and how fast."""
    return (
        f"**What this shows.** Sustained with `{rate['allocator']}`: {rate['peak_per_s']:.0f} "
        f"purchases a second. While {rate['of_peak_offered']:.1f} times as many arrived, it sold "
        f"at {rate['of_peak']:.0%} of that rate. Of {rate['offered']:,} purchases it sold "
        f"{rate['sold']:,}, the last ones afterwards, and refused {rate['refused']:,} with status "
        f"{rate['refused_with']}, half of them within {rate['refused_p50_ms']:.1f} ms. Half of the "
        f"sold ones waited longer than {rate['sold_p50_ms']:,.0f} ms. Memory grew from "
        f"{rate['memory_before_mib']:.0f} to {rate['memory_most_mib']:.0f} MiB at most."
    )


def claims_of_keys(
    asked: pd.DataFrame, keyed: pd.DataFrame, without: pd.DataFrame, times: int
) -> Claims:
    """Return what is claimed of purchases with keys, and of those without."""
    killed = keyed["fault"] == "server_kill"
    twice = without.set_index("fault")["sold_twice"]
    held = asked["tickets held"]
    return {
        "asked twice, one purchase with a key, two without": (
            2 * held["with a key"] == held["without"]
        ),
        "each fault made buyers try again": (keyed["retried"] > 0).all(),
        "each fault was injected as often as asked": (keyed["injections"] >= times).all(),
        "with keys: nothing oversold": not keyed["oversold"].any(),
        "with keys: no number issued twice": not keyed["duplicates"].any(),
        "with keys: no purchase sold twice": not keyed["sold_twice"].any(),
        "with keys: no acknowledged purchase lost": not keyed["lost"].any(),
        "with keys: an answer for every buyer": not keyed["unresolved"].any(),
        "with keys: no purchase refused for good": not keyed["refused"].any(),
        "with keys: every ledger is clean and agrees with the buyers": (
            keyed["audit"] == "clean"
        ).all(),
        "only killed server processes were started again, and all of them": (
            keyed["restarts"] == keyed["injections"].where(killed, 0)
        ).all(),
        "without keys: dropped answers sell twice": twice["answer_dropped"] > 0,
        "without keys: a frozen database sells twice": twice["database_freeze"] > 0,
    }


def claims_of_the_flush(crashed: pd.DataFrame) -> Claims:
    """Return what is claimed of crashes, with the flush and without."""
    lost = crashed.set_index("durable")["lost"]
    return {
        "with the flush: crashes lose no acknowledged purchase": lost[True] == 0,
        "without the flush: they do": lost[False] > 0,
        "even then no number is held twice": not crashed["duplicates"].any(),
    }


def claims_of_overload(rate: Mapping[str, Any]) -> Claims:
    """Return what is claimed of the service under many times its load."""
    return {
        "overload: more purchases were refused than sold": (rate["refused"] > rate["sold"]),
        "overload: it went on selling": (rate["sold"] > rate["max_waiting"]),
        "overload: every refusal was a 503": rate["refused_with"] == "503",
        "overload: every purchase was sold or refused": (
            rate["sold"] + rate["refused"] == rate["offered"]
        ),
        "overload: the ledger is clean": rate["audit"] == "clean",
    }


def claims_of_speed(rate: Mapping[str, Any]) -> Claims:
    """Return what is claimed of times under many times the load."""
    return {
        "overload: a refusal took less time than a sale": (
            rate["refused_p50_ms"] < rate["sold_p50_ms"]
        )
    }
