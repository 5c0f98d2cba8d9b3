"""The command line: what each command is called, takes and prints. One module per topic."""

# Importing a module registers its commands.
from ticketsvc.cli import (
    benching,
    databases,
    exploring,
    faulting,
    ledgers,
    overloading,
    reporting,
    serving,
    stressing,
)
from ticketsvc.cli.root import main, ticketsvc

__all__ = [
    "benching",
    "databases",
    "exploring",
    "faulting",
    "ledgers",
    "main",
    "overloading",
    "reporting",
    "serving",
    "stressing",
    "ticketsvc",
]
