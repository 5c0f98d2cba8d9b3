"""What is explored."""

from dataclasses import dataclass

from ticketsvc.database.schemas import SchemaName
from ticketsvc.errors import TicketsvcError

EVENT = "E"


class NotRepeatable(TicketsvcError):
    """The same schedule does not go the same way twice: nothing can be said of it."""

    code = "not_repeatable"


@dataclass(frozen=True)
class Case:
    """What is explored: so many purchases of *quantity*, of an event of *total* tickets.

    Each buyer is a session of its own, as if each came to another server process; with
    *together*, so many purchases arrive at each of them. *hold_commits*: a statement that
    commits by itself is two steps, its execution and its commit, as it is inside the server.
    *same_key*: they are one purchase, asked for by each of them under the same key.
    """

    allocator: str
    schema: SchemaName
    buyers: int = 2
    total: int = 8
    quantity: int = 8
    together: int = 1
    hold_commits: bool = False
    same_key: bool = False
