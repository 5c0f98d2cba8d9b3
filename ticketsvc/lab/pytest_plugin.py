"""Let pytest collect `race_*.toml`: one test per file, which fails with the smallest bad schedule.

The database is that of `DATABASE_URL`, or a temporary one for the whole run. Loaded by pytest
wherever this package is installed; nothing is imported before such a file is found.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

_DATABASE = pytest.StashKey[str]()


class RaceFailed(Exception):
    """A schedule violates an invariant, or nothing could be told; the text says which."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "RaceFile | None":
    """Collect a scenario by its name."""
    if file_path.suffix == ".toml" and file_path.name.startswith("race_"):
        found: RaceFile = RaceFile.from_parent(parent, path=file_path)
        return found
    return None


class RaceFile(pytest.File):
    """A scenario."""

    def collect(self) -> Iterator["RaceTest"]:
        """Yield its one test."""
        yield RaceTest.from_parent(self, name="every schedule")


class RaceTest(pytest.Item):
    """Explores every schedule of a scenario."""

    def runtest(self) -> None:
        """Explore; raise `RaceFailed` unless all schedules were covered and none is bad."""
        import asyncio

        from ticketsvc.lab.explore.scenario import explore_scenario
        from ticketsvc.lab.explore.scenario_transcripts import as_text
        from ticketsvc.lab.scenarios.spec import read_scenario

        scenario = read_scenario(self.path)
        found = asyncio.run(explore_scenario(_database(self.config), scenario))
        if found.smallest is not None:
            raise RaceFailed(
                f"{found.violating:,} of {found.schedules:,} schedules violate an invariant; the "
                f"smallest:\n\n{as_text(found.smallest)}\n\n"
                f"Show it again: ticketsvc explore {os.path.relpath(self.path)} "
                f"--replay {found.smallest.id}"
            )
        if found.reasons:
            raise RaceFailed(f"could not tell: {'; '.join(found.reasons)}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the transcript alone for a race, pytest's own traceback for anything else."""
        from ticketsvc.errors import TicketsvcError

        if isinstance(excinfo.value, RaceFailed | TicketsvcError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the test is."""
        return self.path, None, f"{self.path.name}: every schedule"


def _database(config: pytest.Config) -> str:
    from ticketsvc.database.locate import fresh_database

    if _DATABASE not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        config.stash[_DATABASE] = stack.enter_context(fresh_database())
    return config.stash[_DATABASE]
