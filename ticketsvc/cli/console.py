"""What commands show on a terminal, and what they do not when there is none."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# rich is imported where something is drawn: a service draws nothing, and starts sooner without.


def on_stderr() -> "Console":
    """Return a console on standard error, where what is no result is shown."""
    from rich.console import Console

    return Console(stderr=True)


def announce(plan: str, seconds: float) -> None:
    """Say at the start what is planned, and about how long it takes when nothing else runs."""
    long = f"{seconds / 60:.0f} minutes" if seconds > 120 else f"{10 * math.ceil(seconds / 10)} s"
    print(f"{plan}: about {long}", file=sys.stderr)


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal, nothing elsewhere; return the function that advances it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    words = on_stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=words, disable=not words.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many have come so far; return the function that adds some."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    words = on_stderr()
    columns = (TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=words, disable=not words.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda some: bar.advance(task, some)


def print_facts(title: str, facts: Mapping[str, Any]) -> None:
    """Print names and values, one to a line, in plain words."""
    print(title)
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"  {name.replace('_', ' '):<{width}}  {_in_words(value)}")


def _in_words(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{what}: {many}" for what, many in value.items()) or "none"
    return "none" if value is None else value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int = 160) -> None:
    """Print a table; None shows as a dash. *width*: how wide it may be where no terminal is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else printable(cell)) for cell in row))
    # Elsewhere than on a terminal nothing has to be cut to fit.
    Console(width=None if sys.stdout.isatty() else width).print(table)


def printable(value: object) -> str:
    """Return *value* as text that cannot forge a line or a colour; escape what is not printable."""
    text = str(value)
    return text if text.isprintable() else ascii(text)


def complain(message: str) -> None:
    """Say what is wrong, in one line, where errors go."""
    print(f"ticketsvc: {' '.join(message.split())}", file=sys.stderr)
