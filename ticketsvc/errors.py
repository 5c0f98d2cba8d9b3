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
    │   │   └── PoolerFound             a pooler that the settings do not name
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


class TicketsvcError(Exception):
    """The root of every error this package raises on purpose.

    A class may have a message of its own, for where none is given.
    """

    code = "error"
    message = ""

    def __init_subclass__(cls, code: str = "", message: str = "") -> None:
        cls.code = code or cls.code
        cls.message = message

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


class Refusal(TicketsvcError, code="refused"):
    """The purchase did not happen, and the same request will be refused again."""


class InvalidPurchase(Refusal, code="invalid_purchase"):
    """The request breaks a rule; the message names the field and the rule."""


class EventNotFound(Refusal, code="event_not_found"):
    """No ticket pool has the event's id, which is the argument."""

    def __str__(self) -> str:
        return f"event {self.args[0]!r} not found"


class TicketNotFound(Refusal, code="ticket_not_found"):
    """No ticket with this number has been issued."""


class SoldOut(Refusal, code="sold_out", message="not enough tickets available"):
    """The pool holds fewer tickets than the purchase asks for."""


class KeyUsed(Refusal, code="key_used", message="the purchase's key was used"):
    """Another purchase claimed the key, and its tickets are stored.

    Raised between an allocator and its caller: a client gets the stored tickets, or `KeyReused`.
    """


class KeyReused(
    Refusal,
    code="key_reused",
    message="this Idempotency-Key belongs to a purchase with another userId, eventId or quantity: "
    "use a new one for a new purchase",
):
    """The key belongs to a purchase with another user, event or quantity."""


class KeysUnsupported(Refusal, code="keys_unsupported"):
    """No tickets are stored under a key here, so a repeated request would buy again."""


class RefusedByDatabase(Refusal, code="refused_by_database"):
    """A constraint of the schema refused what the allocator wrote.

    Statements that committed before the refused one stay: an allocator without a
    transaction can leave rows behind.
    """


class Unavailable(TicketsvcError, code="unavailable"):
    """Nothing was sold; the same request may succeed later."""


class DatabaseUnavailable(Unavailable, code="database_unavailable"):
    """The database gave no connection in time, or takes no writes."""


class PoolerFound(
    DatabaseUnavailable,
    message="a pooler such as PgBouncer is between the service and the database, where prepared "
    "statements run another client's: set TICKETSVC_POOLER=transaction",
):
    """A pooler is between the service and the database, and the settings do not name it."""


class Overloaded(Unavailable, code="overloaded"):
    """Too many purchases are in flight, or wait for a connection."""


class NothingToSell(
    Unavailable,
    code="nothing_to_sell",
    message="there is nothing to sell: the database has no event",
):
    """The database has no event."""


class Draining(Unavailable, code="draining"):
    """The server is stopping and accepts nothing new."""


class OutcomeUnknown(
    TicketsvcError,
    code="outcome_unknown",
    message="the purchase may have happened, or not: with the same Idempotency-Key, a repeated "
    "request tells",
):
    """The connection broke after the purchase was sent: it may have been sold, or not."""


class WorkerEnded(TicketsvcError, code="worker_ended"):
    """One of several server processes ended by itself; the others were stopped."""


class UsageError(TicketsvcError, code="usage"):
    """A command, argument or setting that is not valid."""


class NoDatabase(UsageError, code="no_database"):
    """No PostgreSQL could be reached, found or started."""
