"""Write array literals for the database.

psycopg gives a list an array type that the database then converts element by element. A literal
has the type it is cast to, which is faster.
"""

from collections.abc import Iterable


def array_literal(values: Iterable[str | int | None]) -> str:
    """Return the literal of a one-dimensional array; None becomes NULL."""
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    text = str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
