"""Judge what a database holds."""

from ticketsvc.lab.checker.check import check
from ticketsvc.lab.ledger.reader import read_ledger


def is_clean(connection, schema="fixed"):
    """Tell whether no event of *schema* violates an invariant."""
    return all(verdict.clean for verdict in check(read_ledger(connection, schema)))


def verdict_of(connection, schema="fixed", history=()):
    """Return the verdict on the only event of *schema*."""
    (verdict,) = check(read_ledger(connection, schema), history)
    return verdict


def violations_of(verdict):
    """Return the kinds of violation that a verdict names."""
    return {violation.kind for violation in verdict.violations}
