"""Find the real psql."""

import shutil

from ticketsvc.database.binaries import find_binaries
from ticketsvc.database.home import home
from ticketsvc.errors import NoDatabase
from ticketsvc.settings import DatabaseSettings


def find_psql() -> str:
    """Return the path of psql: the embedded server's, else the one on PATH, else its name."""
    settings = DatabaseSettings.load()
    try:
        return find_binaries(settings.postgres_bin, home(settings.home)).program("psql")
    except NoDatabase:
        return shutil.which("psql") or "psql"
