"""Let `python -m ticketsvc` be the command."""

import os
import sys

from ticketsvc import interrupts


def main() -> None:
    """Run the command line; a signal at any moment ends it in one line and exit 128 + number."""
    interrupts.install()
    open_standard_streams()
    try:
        from ticketsvc.cli import main as run  # noqa: PLC0415 - signals are handled from here on

        run()
    except interrupts.Interrupted as signalled:
        print(f"ticketsvc: {signalled}", file=sys.stderr)
        raise


def open_standard_streams() -> None:
    """Let what the caller has closed lead nowhere: else the next file or socket takes its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: PTH123, SIM115 - the lowest number that is free
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


if __name__ == "__main__":
    main()
