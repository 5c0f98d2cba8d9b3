"""`stress`: let buyers, or the clients of a scenario, act at the same time; count the answers."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ticketsvc.cli.console import complain, print_facts, printable, progress
from ticketsvc.cli.exit_codes import CLEAN, COULD_NOT_TELL, VIOLATION
from ticketsvc.cli.root import (
    FILE,
    Finite,
    as_json_option,
    count_option,
    refuse_options,
    run_async,
    scenario_argument,
    ticketsvc,
)
from ticketsvc.errors import UsageError
from ticketsvc.settings import ROOT, ListenSettings

if TYPE_CHECKING:
    from ticketsvc.lab.workload.history import Attempt

_RETRY_S = 10.0


_OF_SCENARIOS = ("clients", "repeat")


@ticketsvc.command()
@scenario_argument
@click.option("--url", "urls", multiple=True, help="A service; repeat for several.")
@click.option("--event", help="The event to buy tickets for; needed without a scenario.")
@count_option("--purchases", 1, 1_000_000, default=30)
@click.option("--quantity", type=int, default=8, help="Tickets per purchase.")
@count_option("--concurrency", 1, 10_000, default=30, help="Purchases in flight at a time.")
@click.option(
    "--timeout", type=Finite(0.1, 3600), default=30.0, help="Seconds to wait for an answer."
)
@click.option(
    "--keys/--no-keys",
    default=None,
    help="Send an Idempotency-Key with each purchase. Default: if every service that answers "
    "lists the header in its /openapi.json.",
)
@click.option(
    "--retry-for",
    type=Finite(0, 3600),
    help="Seconds to send a purchase again while its outcome is unknown. Default: 10 with keys, "
    "0 without.",
)
@click.option("--history", type=FILE, help="The file for the history. Default: one in runs/.")
@count_option(
    "--clients",
    1,
    1000,
    help="Scenario: the number of clients of its first [[client]]. Default: as the file says.",
)
@count_option("--repeat", 1, 1000, default=1, help="Scenario: bursts, each on fresh data.")
@as_json_option
def stress(
    scenario: Path | None,
    urls: tuple[str, ...],
    event: str | None,
    purchases: int,
    quantity: int,
    concurrency: int,
    timeout: float,
    keys: bool | None,
    retry_for: float | None,
    history: Path | None,
    clients: int | None,
    repeat: int,
    as_json: bool,
) -> None:
    """Send purchases to a service at the same time, and count its answers.

    With FILE.toml, a scenario, its service is started, its clients act all at once, and its
    invariants are judged before and after (exit 1: one is violated).

    A purchase is POST URL/purchase with userId, eventId and quantity in JSON. Any 2xx means sold;
    the numbers are taken from the answer's field "tickets".

    \b
    Exit code:
      0  something was sold, every purchase has an answer, and no number was sold twice
      1  a number was sold twice, or nothing was sold: every purchase was refused
      2  wrong arguments, or no purchase could be sent
      3  could not tell: some could not be sent, have no answer, or were sold without numbers
    """
    context = click.get_current_context()
    if scenario is not None:
        from ticketsvc.cli.scenarios import stress_file

        kept = {"scenario", "as_json", *_OF_SCENARIOS}
        refuse_options(context.params.keys() - kept, "does not go with a scenario: leave it out")
        stress_file(scenario, clients=clients, repeat=repeat, as_json=as_json)
    refuse_options(_OF_SCENARIOS, "belongs to a scenario: name its file")
    if event is None:
        raise UsageError("stress needs the file of a scenario, or --event and --url")
    from ticketsvc.lab.workload.burst import run_workload, takes_keys
    from ticketsvc.lab.workload.history import Attempt, recording, summarise
    from ticketsvc.lab.workload.plan import Workload, purchase_url

    targets = urls or (f"http://127.0.0.1:{ListenSettings.load().port}",)
    for target in targets:
        purchase_url(target)
    if keys is None:
        known = [
            takes for target in targets if (takes := run_async(takes_keys(target))) is not None
        ]
        keys = bool(known) and all(known)
    if retry_for is None:
        retry_for = _RETRY_S if keys else 0.0
    if retry_for and not keys:
        complain("without keys, a purchase that is sent again may be sold twice")
    workload = Workload(
        event, purchases, quantity, concurrency, timeout, keys=keys, retry_s=retry_for
    )
    file = history or ROOT / "runs" / f"stress-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.jsonl"
    with recording(file) as record, progress("purchases", purchases) as advance:
        begun: set[str] = set()

        def on_answer(attempt: Attempt) -> None:
            record(attempt)
            if attempt.purchase not in begun:
                begun.add(attempt.purchase)
                advance()

        attempts = run_async(run_workload(targets, workload, on_answer=on_answer))
    counts = summarise(attempts)
    summary = {**counts, "first_refusal": _first_refusal(attempts), "keys": keys}
    summary["history"] = str(file)
    if as_json:
        print(json.dumps(summary))
    else:
        print_facts(f"{purchases} purchases of {quantity} tickets for {event}", summary)
    missing = _missing(attempts, failed=counts["failed"], unknown=counts["unknown"])
    if counts["failed"] == counts["purchases"]:
        raise UsageError(f"no purchase could be sent: {attempts[0].message}")
    for what in missing:
        complain(f"could not tell: {what}")
    if not counts["successes"]:
        complain(f"nothing was sold; the first refusal: {summary['first_refusal']}")
    if counts["duplicates"]:
        complain(f"violated: {counts['duplicates']:,} of the numbers sold had been sold before")
    bad = counts["duplicates"] or not (counts["successes"] or missing)
    code = VIOLATION if bad else COULD_NOT_TELL if missing else CLEAN
    raise click.exceptions.Exit(code)


def _first_refusal(attempts: "Sequence[Attempt]") -> str | None:
    """Return address, status and text of the first refusal; None when nothing was refused."""
    for attempt in attempts:
        if attempt.outcome == "refused":
            said = printable(attempt.message) if attempt.message else "(no text)"
            return f"{attempt.url} answered {attempt.status}: {said}"
    return None


def _missing(attempts: "Sequence[Attempt]", *, failed: int, unknown: int) -> list[str]:
    """Return what keeps the counts from being the whole truth: *failed* and *unknown* purchases."""
    missing = []
    if failed:
        why = next(attempt.message for attempt in attempts if attempt.outcome == "failed")
        missing.append(f"{failed} purchases could not be sent: {why}")
    if unknown:
        missing.append(f"{unknown} purchases have no answer: each may have been sold, or not")
    numberless = [one for one in attempts if one.outcome == "ok" and not one.tickets]
    if numberless:
        missing.append(f'{len(numberless)} purchases were sold without numbers in "tickets"')
    return missing
