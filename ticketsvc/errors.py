"""The errors of the package: one class for each way a purchase or a command can fail.

    TicketsvcError
    ├── Refusal                 the purchase did not happen, and why
    │   ├── InvalidPurchase         malformed, missing, wrong type, out of bounds
    │   ├── EventNotFound
    │   ├── TicketNotFound
    │   ├── SoldOut                 not enough tickets left
    │   ├── KeyUsed                 its key already belongs to a sold purchase
    │   ├── KeyReused               its key belongs to a different purchase
    │   ├── KeysUnsupported         this service stores no keys
    │   └── RefusedByDatabase       a constraint of the schema was violated
    ├── Unavailable             nothing was sold; try again later
    │   ├── DatabaseUnavailable
    │   ├── Overloaded              too many purchases are in flight
    │   ├── NothingToSell           the database has no event
    │   └── Draining                the server is stopping
    ├── OutcomeUnknown          the connection broke: it may have happened, or not
    ├── WorkerEnded             one of several server processes ended by itself
    └── UsageError              a command or setting that is not valid
        └── NoDatabase              no server could be reached or started

`code` is the stable name a client may switch on; the message is for people and
never carries SQL, a stack or a secret.
"""

from typing import Self


class TicketsvcError(Exception):
    """The root of every error this package raises on purpose."""

    code = "error"

    def __copy__(self) -> Self:
        """Return another one with the same message, for each caller to raise its own."""
        twin = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__)
        return twin


class Refusal(TicketsvcError):
    """The purchase did not happen, and the same request will be refused again."""

    code = "refused"


class InvalidPurchase(Refusal):
    """The request breaks a rule; the message names the field and the rule."""

    code = "invalid_purchase"


class EventNotFound(Refusal):
    """No ticket pool has this event's id."""

    code = "event_not_found"

    def __init__(self, event: str) -> None:
        super().__init__(f"event {event!r} not found")


class TicketNotFound(Refusal):
    """No ticket with this number has been issued."""

    code = "ticket_not_found"


class SoldOut(Refusal):
    """The pool holds fewer tickets than the purchase asks for."""

    code = "sold_out"

    def __init__(self) -> None:
        super().__init__("not enough tickets available")


class KeyUsed(Refusal):
    """Another purchase claimed the key, and its tickets are stored.

    Raised between an allocator and its caller: a client gets the stored tickets, or `KeyReused`.
    """

    code = "key_used"

    def __init__(self, message: str = "the purchase's key was used") -> None:
        super().__init__(message)


class KeyReused(Refusal):
    """The key belongs to a purchase with another user, event or quantity."""

    code = "key_reused"


class KeysUnsupported(Refusal):
    """No tickets are stored under a key here, so a repeated request would buy again."""

    code = "keys_unsupported"


class RefusedByDatabase(Refusal):
    """A constraint of the schema refused what the allocator wrote.

    Statements that committed before the refused one stay: an allocator without a
    transaction can leave rows behind.
    """

    code = "refused_by_database"


class Unavailable(TicketsvcError):
    """Nothing was sold; the same request may succeed later."""

    code = "unavailable"


class DatabaseUnavailable(Unavailable):
    """The database gave no connection in time, or takes no writes."""

    code = "database_unavailable"


class Overloaded(Unavailable):
    """Too many purchases are in flight, or wait for a connection."""

    code = "overloaded"


class NothingToSell(Unavailable):
    """The database has no event."""

    code = "nothing_to_sell"

    def __init__(self) -> None:
        super().__init__("there is nothing to sell: the database has no event")


class Draining(Unavailable):
    """The server is stopping and accepts nothing new."""

    code = "draining"


class OutcomeUnknown(TicketsvcError):
    """The connection broke after the purchase was sent: it may have been sold, or not."""

    code = "outcome_unknown"

    def __init__(
        self,
        message: str = "the purchase may have happened, or not: with the same Idempotency-Key, a "
        "repeated request tells",
    ) -> None:
        super().__init__(message)


class WorkerEnded(TicketsvcError):
    """One of several server processes ended by itself; the others were stopped."""

    code = "worker_ended"


class UsageError(TicketsvcError):
    """A command, argument or setting that is not valid."""

    code = "usage"


class NoDatabase(UsageError):
    """No PostgreSQL could be reached, found or started."""

    code = "no_database"
