"""`serve`: sell tickets over HTTP."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ticketsvc.cli.db import prepare_schemas
from ticketsvc.cli.root import (
    FILE,
    Command,
    as_json_option,
    chosen_mechanism,
    count_option,
    run_async,
    schema_of,
    ticketsvc,
)
from ticketsvc.settings import Settings


class _Serve(Command):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the allocators below the options."""
        from ticketsvc.allocators import SERVABLE

        every = [one.mechanism for one in SERVABLE.values()]
        with formatter.section("Allocators"):
            formatter.write_dl(
                [(one.name, f"{'safe: ' if one.safe else ''}{one.summary}") for one in every]
            )


@ticketsvc.command(cls=_Serve)
@click.option("--allocator", help="How tickets are allocated; group_commit by default.")
@click.option("--host", help="Address to listen on; 127.0.0.1 by default.")
@count_option("--port", 0, 65535, help="Port; 3000 by default, 0 for any free one.")
@click.option("--schema", help="original or fixed; the allocator's own by default.")
@count_option("--pool-size", 1, 1000, help="Database connections of each process; 10 by default.")
@count_option(
    "--workers",
    1,
    64,
    default=1,
    help="Server processes; they share the port, and each has its own connections.",
)
@click.option("--access-log/--no-access-log", default=True, help="Log each request.")
@click.option("--trace", type=FILE, help="Append every statement to this file, as JSON lines.")
@click.option("--end-with-input", is_flag=True, hidden=True)
@click.option("--share-port", is_flag=True, hidden=True)
@as_json_option
def serve(
    allocator: str | None,
    host: str | None,
    port: int | None,
    schema: str | None,
    pool_size: int | None,
    workers: int,
    access_log: bool,
    trace: Path | None,
    end_with_input: bool,
    share_port: bool,
    as_json: bool,
) -> None:
    """Sell tickets over HTTP."""
    from ticketsvc.allocators import DEFAULT_ALLOCATOR
    from ticketsvc.database.locate import kept_database
    from ticketsvc.database.pooler import check_pooler
    from ticketsvc.database.roles import as_service
    from ticketsvc.service.server import serve as run_server
    from ticketsvc.service.workers import supervise

    mechanism = chosen_mechanism(allocator or DEFAULT_ALLOCATOR)
    served = schema_of(mechanism, schema)
    settings = Settings.load(host=host, port=port, pool_size=pool_size)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("ticketsvc").setLevel(logging.INFO)
    logging.getLogger("ticketsvc.access").setLevel(logging.INFO if access_log else logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

    def announce(url: str, pids: Sequence[int] = ()) -> None:
        if as_json:
            facts = {"url": url, "allocator": mechanism.name, "schema": served, "pid": os.getpid()}
            print(json.dumps({**facts, "workers": list(pids)} if pids else facts), flush=True)
            return
        print(f"ticketsvc listens on {url} (allocator {mechanism.name}, schema {served})")
        if not mechanism.safe:
            print(
                f"WARNING: {mechanism.name} is unsafe on purpose: {mechanism.summary}. "
                "Never sell real tickets with it.",
                file=sys.stderr,
            )
        sys.stdout.flush()

    with kept_database() as owner:
        if settings.database_url is not None:
            check_pooler(owner, settings.pooler)
        prepare_schemas(owner)
        conninfo = owner
        if settings.database_url is None:
            conninfo = as_service(owner)
        elif not share_port:  # the parent of a worker has warned already
            _warn_of_privileges(owner, served)
        if workers > 1:
            options = ["--allocator", mechanism.name, "--schema", served, "--host", settings.host]
            options += ["--pool-size", str(settings.pool_size)]
            options += ["--access-log" if access_log else "--no-access-log"]
            options += ["--trace", str(trace)] if trace else []
            serving = supervise(
                options,
                settings,
                conninfo,
                workers=workers,
                announce=announce,
                end_with_input=end_with_input,
            )
        else:
            serving = run_server(
                conninfo=conninfo,
                settings=settings,
                allocator=mechanism.name,
                schema=served,
                announce=announce,
                trace=trace,
                end_with_input=end_with_input,
                share_port=share_port,
            )
        run_async(serving)


def _warn_of_privileges(conninfo: str, schema: str) -> None:
    import psycopg

    from ticketsvc.database.roles import SELLER, is_more_than_a_seller

    with psycopg.connect(conninfo, autocommit=True) as connection:
        if is_more_than_a_seller(connection, schema):
            logging.getLogger("ticketsvc").warning(
                "the role %s can do more than sell and read: use a member of %s instead",
                connection.info.user,
                SELLER,
            )
