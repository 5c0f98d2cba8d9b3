"""Write arrays as the database reads them.

A list that psycopg adapts has an array type of psycopg's choice, which the database converts
element by element. A literal has the type it is cast to.
"""

from collections.abc import Iterable


def array_literal(values: Iterable[str | int]) -> str:
    """Give the literal of a one-dimensional array; any text comes back as it was."""
    quoted = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '{"' + '","'.join(quoted) + '"}'
