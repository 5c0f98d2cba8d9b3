"""`seed`: fill the database with events."""

import click

from ticketsvc.cli.console import complain
from ticketsvc.cli.db import connected
from ticketsvc.cli.root import as_json_option, chosen_schema, ticketsvc
from ticketsvc.cli.verdicts import audit_schemas, print_verdicts
from ticketsvc.errors import UsageError


@ticketsvc.command()
@click.option("--event", help="Reset only this event; needs --total.")
@click.option("--total", type=int, help="The tickets of that event, all available.")
@click.option("--schema", help="original or fixed; both by default.")
@click.option("--recreate", is_flag=True, help="Drop both schemas first, and make them again.")
@as_json_option
def seed(
    event: str | None, total: int | None, schema: str | None, recreate: bool, as_json: bool
) -> None:
    """Fill the database with the six events, or reset one event."""
    from ticketsvc.database.roles import SELLER, ensure_seller
    from ticketsvc.database.schemas import SCHEMAS
    from ticketsvc.database.seeding import reset_event, seed_six_events

    if (event is None) != (total is None):
        raise UsageError(
            "--event and --total go together: the event, and the number of its tickets"
        )
    if recreate and event is not None:
        raise UsageError("--recreate drops every event: leave out --event, or --recreate")
    chosen = SCHEMAS if schema is None else (chosen_schema(schema),)
    with connected(recreate=recreate) as connection:
        # Every time: a schema may come from a dump, which has no roles.
        if not ensure_seller(connection):
            complain(
                f"this role may not create the role {SELLER}, which gives services their rights"
            )
        for name in chosen:
            if event is not None and total is not None:
                reset_event(connection, name, event, total)
            else:
                seed_six_events(connection, name)
        verdicts = audit_schemas(connection, list(chosen), [event] if event else [])
    print_verdicts(verdicts, as_json)
