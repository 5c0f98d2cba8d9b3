"""The folder where the embedded server's programs and data outlive a command."""

import os
import tempfile
from pathlib import Path

from ticketsvc.errors import NoDatabase


def home(chosen: Path | None) -> Path:
    """Return the folder that outlives a command: *chosen*, or one of this user's own in /tmp.

    The default is in the temporary folder because a server that root starts runs as another
    user, who cannot enter a private home. Raise `NoDatabase` when somebody else owns it.
    """
    if chosen is not None:
        ours = not chosen.exists()
        chosen.mkdir(parents=True, exist_ok=True)
        if ours:
            chosen.chmod(0o755)
        return chosen.resolve()
    owner = os.environ.get("USERNAME", "user") if os.name == "nt" else str(os.geteuid())
    folder = Path(tempfile.gettempdir()) / f"ticketsvc-{owner}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if os.name != "nt" and folder.lstat().st_uid != os.geteuid():
        raise NoDatabase(f"{folder} belongs to another user: set TICKETSVC_HOME to another folder")
    if os.name != "nt":
        folder.chmod(0o755)  # whatever the umask: the server's user has to enter
    return folder.resolve()
