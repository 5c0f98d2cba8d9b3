"""Let `python -m ticketsvc` be the command."""

import sys

from ticketsvc import interrupts


def main() -> None:
    """Run the command line; a signal at any moment ends it in one line and exit 128 + number."""
    interrupts.install()
    try:
        from ticketsvc.cli import main as run  # noqa: PLC0415 - signals are handled from here on

        run()
    except interrupts.Interrupted as signalled:
        print(f"ticketsvc: {signalled}", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
