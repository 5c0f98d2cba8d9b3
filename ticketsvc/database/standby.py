"""Start a standby of a server of our own: a copy of its data that follows its log."""

import shutil
import tempfile
from pathlib import Path

from ticketsvc.database.embedded import EmbeddedServer, launch, run_program, write_private


def start_standby(primary: EmbeddedServer, *, port: int | None = None) -> EmbeddedServer:
    """Copy *primary*, and start the copy as its standby; return when it can be read.

    Its data is deleted when it stops. Raise `NoDatabase` with the reason when it does not start.
    """
    binaries = primary.binaries
    folder = Path(tempfile.mkdtemp(prefix="ticketsvc-pg-"))
    binaries.account.own(folder)
    try:
        # In a file: every user can read arguments.
        passwords = write_private(folder / "passwords", f"*:*:*:*:{primary.password}", binaries)
        source = f"host=127.0.0.1 port={primary.port} user=postgres passfile={passwords}"
        run_program(
            binaries,
            folder,
            *("pg_basebackup", "-d", source, "-D", str(folder / "data")),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-password"),
        )
        return launch(
            binaries, folder, primary.password, primary.settings, port=port, temporary=True
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
