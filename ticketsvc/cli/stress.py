"""`stress`: fire purchases at a service."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from ticketsvc.cli.console import complain, print_facts, progress
from ticketsvc.cli.root import FILE, Finite, as_json_option, run_async, ticketsvc
from ticketsvc.errors import UsageError
from ticketsvc.settings import ROOT, load_settings

_RETRY_S = 10.0


@ticketsvc.command()
@click.option("--url", "urls", multiple=True, help="A service; repeat for several.")
@click.option("--event", required=True, help="The event to buy of.")
@click.option("--purchases", type=click.IntRange(1, 1_000_000), default=30, show_default=True)
@click.option("--quantity", type=int, default=8, show_default=True, help="Tickets per purchase.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=30,
    show_default=True,
    help="Buyers at a time.",
)
@click.option(
    "--timeout",
    type=Finite(0.1, 3600),
    default=30.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option(
    "--keys/--no-keys",
    default=None,
    help="Send an Idempotency-Key with each; if not given, where the service says it takes them.",
)
@click.option(
    "--retry-for",
    type=Finite(0, 3600),
    help="Seconds to go on asking, after an unknown outcome; 10 with keys, 0 without.",
)
@click.option("--history", type=FILE, help="Where the history goes; runs/ if not given.")
@as_json_option
def stress(
    urls: tuple[str, ...],
    event: str,
    purchases: int,
    quantity: int,
    concurrency: int,
    timeout: float,
    keys: bool | None,
    retry_for: float | None,
    history: Path | None,
    as_json: bool,
) -> None:
    """Fire purchases at any service that speaks the API, and count what it answers."""
    from ticketsvc.lab.workload.burst import run_workload, takes_keys
    from ticketsvc.lab.workload.history import Attempt, recording, summarise
    from ticketsvc.lab.workload.plan import Workload, purchase_url

    targets = urls or (f"http://127.0.0.1:{load_settings().port}",)
    for target in targets:
        purchase_url(target)
    if keys is None:
        keys = all(bool(run_async(takes_keys(target))) for target in targets)
    if retry_for is None:
        retry_for = _RETRY_S if keys else 0.0
    if retry_for and not keys:
        complain("without keys, a purchase that is asked for again may be sold twice")
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
    summary = {**summarise(attempts), "keys": keys, "history": str(file)}
    if as_json:
        print(json.dumps(summary))
    else:
        print_facts(f"{purchases} purchases of {quantity} of {event}", summary)
    unsent = [attempt for attempt in attempts if attempt.outcome == "failed"]
    if len(unsent) == len(attempts):
        raise UsageError(f"no purchase could be sent: {unsent[0].message}")
    if unsent:
        complain(f"{len(unsent)} purchases could not be sent: {unsent[0].message}")
