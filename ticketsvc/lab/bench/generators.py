"""Which generator fires: wrk where it is installed, else processes of our own."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ticketsvc.errors import UsageError
from ticketsvc.lab.bench import load_pool as buying
from ticketsvc.lab.bench import wrk
from ticketsvc.lab.bench.figures import Fired
from ticketsvc.lab.bench.load_spec import Shot

Choice = Literal["auto", "wrk", "own"]


@dataclass(frozen=True)
class Generator:
    """A way to fire, and what it is called."""

    name: str
    fire: Callable[[Shot], Fired]


def choose_generator(choice: Choice = "auto") -> Generator:
    """Return the generator; raise `UsageError` when wrk is wanted and not there."""
    program = shutil.which("wrk")
    if choice == "wrk" and program is None:
        raise UsageError("--generator wrk: there is no wrk on PATH; install it, or take own")
    if choice != "own" and program is not None:
        return Generator(f"wrk ({program})", lambda shot: wrk.fire(program, shot))
    return Generator(f"our own, {buying.processes()} processes", buying.fire)
