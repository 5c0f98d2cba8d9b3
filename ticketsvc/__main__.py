"""Let `python -m ticketsvc` be the command."""

from ticketsvc.cli import main

main()
