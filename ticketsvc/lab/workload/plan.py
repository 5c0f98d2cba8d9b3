"""What a burst sends: how many purchases, how many at a time, and when one is sent again."""

from collections.abc import Sequence
from dataclasses import dataclass

from yarl import URL

from ticketsvc.errors import UsageError
from ticketsvc.lab.workload.history import Attempt


@dataclass(frozen=True)
class Workload:
    """Purchases of one event, and how they are sent.

    *concurrency*: how many are in flight at a time. *arrivals_s*: when each is sent, in seconds
    after the start; None: as soon as one of the *concurrency* buyers is free. *keys*: each
    carries an `Idempotency-Key`. *retry_s*: how long a purchase with an unknown outcome is sent
    again, under the same key if it has one; *retry_unavailable*: so is one that could not be
    sent, or whose answer says that nothing was sold for now.
    """

    event: str
    purchases: int = 30
    quantity: int = 8
    concurrency: int = 30
    timeout_s: float = 30.0
    arrivals_s: tuple[float, ...] | None = None
    keys: bool = False
    retry_s: float = 0.0
    retry_unavailable: bool = False

    def wants_retry(self, tries: Sequence[Attempt]) -> bool:
        """Return whether a purchase is sent again after these attempts.

        After an attempt without an answer, only an answer that settles the purchase ends it.
        """
        if tries[-1].decided:
            return False
        return self.retry_unavailable or any(one.outcome == "unknown" for one in tries)


def http_address(text: str) -> URL | None:
    """Return *text* as the address of a host that speaks http or https, or None when it is none."""
    try:
        address = URL(text)
        host = address.host  # which may be none, for a reason of its own
    except ValueError:
        return None
    return address if host and address.scheme in ("http", "https") else None


def purchase_url(url: str) -> URL:
    """Return the address purchases are posted to; raise `UsageError` when *url* is not http(s)."""
    address = http_address(url)
    if address is None or address.query_string or address.fragment:
        shown = url.rpartition("@")[2]  # without a password
        raise UsageError(f"--url {shown!r}: must look like http://127.0.0.1:3000")
    return address if address.name == "purchase" else address / "purchase"
