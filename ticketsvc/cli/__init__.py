"""The command line: one module per command, named as the command."""

# Importing a module registers its command.
from ticketsvc.cli import (
    audit,
    bench,
    db,
    expand,
    explore,
    faults,
    lab,
    overload,
    report,
    seed,
    serve,
    stress,
)
from ticketsvc.cli.root import main, ticketsvc

__all__ = ["main", "ticketsvc"]
