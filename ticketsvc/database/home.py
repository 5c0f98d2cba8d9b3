"""The folder where the embedded server's programs and data outlive a command."""

import os
import tempfile
from pathlib import Path

from ticketsvc.errors import NoDatabase


def home(chosen: Path | None) -> Path:
    """Return the folder that outlives a command: *chosen*, or one of this user's own in /tmp.

    The default is in the temporary folder because a server that root starts runs as another
    user, who cannot enter a private home. Raise `NoDatabase` when nothing can be written to it,
    and when somebody else owns the default.
    """
    user = os.environ.get("USERNAME", "user") if os.name == "nt" else str(os.geteuid())
    folder = chosen or Path(tempfile.gettempdir()) / f"ticketsvc-{user}"
    another = "set TICKETSVC_HOME to another folder"
    try:
        ours = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if not chosen and os.name != "nt" and folder.lstat().st_uid != os.geteuid():
            raise NoDatabase(f"{folder} belongs to another user: {another}")
        if ours:
            folder.chmod(0o755)  # whatever the umask: the server's user has to enter
        with tempfile.TemporaryFile(dir=folder):
            return folder.resolve()
    except OSError as problem:
        no_folder = isinstance(problem, FileExistsError | NotADirectoryError)
        reason = "it is not a folder" if no_folder else problem.strerror
        raise NoDatabase(f"{folder} cannot hold the database ({reason}): {another}") from None
