"""What is explored."""

from dataclasses import dataclass

from ticketsvc.database.schemas import SchemaName

EVENT = "E"


@dataclass(frozen=True)
class Case:
    """Concurrent purchases of *quantity* tickets each, from an event with *total* tickets.

    Each buyer is a session of its own, as if each used another server process; *together* is
    the number of purchases that arrive at each of them at once. *hold_commits*: a statement that
    commits by itself is two steps, as it is inside the server. *same_key*: all purchases carry
    the same key, so they are one purchase, sent several times.
    """

    allocator: str
    schema: SchemaName
    buyers: int = 2
    total: int = 8
    quantity: int = 8
    together: int = 1
    hold_commits: bool = False
    same_key: bool = False
