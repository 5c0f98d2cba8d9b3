"""What a generator is to fire: one run of one load at one address."""

import json
from dataclasses import dataclass

KEY_PLACE = "key-goes-here"
"""What stands in a prepared request where each one's own key goes."""


@dataclass(frozen=True)
class Shot:
    """*connections* buyers, each with one request at a time, that buy of *events* in turn.

    *url*: the whole address that is posted to. *limit*: stop after so many requests, if that
    is before the *seconds* are over; None: go on until then. *keys*: an idempotency key with each.
    """

    url: str
    events: tuple[str, ...]
    quantity: int
    connections: int
    seconds: float
    limit: int | None = None
    keys: bool = False

    def bodies(self) -> list[str]:
        """Return the request's body for each event."""
        return [
            json.dumps({"userId": "bench", "eventId": event, "quantity": self.quantity})
            for event in self.events
        ]
