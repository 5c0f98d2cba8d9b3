"""Fill in the templates of the pages that are not made of a notebook."""

import os
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from ticketsvc.errors import UsageError

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
"""The content-security policy of every page: it requests nothing."""
TEMPLATES = Path(__file__).parent / "templates"
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def write_filled(folder: Path, page: str, **values: object) -> Path:
    """Write *folder*/*page* from its template, all of it at once; return its path."""
    text = _ENVIRONMENT.get_template(f"{page}.j2").render(policy=POLICY, **values)
    folder.mkdir(parents=True, exist_ok=True)
    return write_at_once(folder / page, text.encode(errors="replace"))


def write_at_once(file: Path, data: bytes) -> Path:
    """Write *file* so that nobody finds half of it, not even beside another run; return it.

    Raise `UsageError` that names it where it cannot be written.
    """
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(data)
        return unfinished.replace(file)
    except OSError as problem:
        raise UsageError(f"{file} cannot be written: {problem.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
