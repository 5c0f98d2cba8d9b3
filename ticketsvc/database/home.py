"""The folder where the embedded server's programs and data outlive a command."""

import os
import tempfile
from pathlib import Path

from ticketsvc.errors import NoDatabase


def home(chosen: Path | None) -> Path:
    """Return the folder that outlives a command: *chosen*, or one of this user's own in /tmp.

    The default is in the temporary folder because a server that root starts runs as another
    user, who cannot enter a private home. Raise `NoDatabase` when somebody else owns it, and
    when nothing can be written to *chosen*.
    """
    if chosen is not None:
        return _chosen(chosen)
    owner = os.environ.get("USERNAME", "user") if os.name == "nt" else str(os.geteuid())
    folder = Path(tempfile.gettempdir()) / f"ticketsvc-{owner}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if os.name != "nt" and folder.lstat().st_uid != os.geteuid():
        raise NoDatabase(f"{folder} belongs to another user: set TICKETSVC_HOME to another folder")
    if os.name != "nt":
        folder.chmod(0o755)  # whatever the umask: the server's user has to enter
    return folder.resolve()


def _chosen(folder: Path) -> Path:
    try:
        ours = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if ours:
            folder.chmod(0o755)
        with tempfile.TemporaryFile(dir=folder):
            return folder.resolve()
    except OSError as problem:
        no_folder = isinstance(problem, FileExistsError | NotADirectoryError)
        reason = "it is not a folder" if no_folder else problem.strerror
        raise NoDatabase(
            f"TICKETSVC_HOME={folder} cannot hold the database ({reason}): set another folder"
        ) from None
