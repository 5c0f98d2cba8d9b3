"""Let all clients of a scenario act at once, without control; record what they send; judge."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticketsvc.lab.scenarios.clients import ClientResult, actors_of, open_runner
from ticketsvc.lab.scenarios.sandbox import ViolatedInvariant, open_sandbox
from ticketsvc.lab.scenarios.spec import Scenario
from ticketsvc.lab.wire.gate import Gate, Unit


@dataclass(frozen=True)
class RecordedStatement:
    """One statement as it passed the proxy. Times are seconds on the monotonic clock.

    *client*: who sent it; "" where clients share a service's connections.
    """

    client: str
    pid: int
    text: str
    values: tuple[str | None, ...]
    began_s: float
    ended_s: float
    sqlstate: str | None


@dataclass(frozen=True)
class ScenarioBurst:
    """One burst: how clients ended, what was violated before and after it, what was sent."""

    results: tuple[ClientResult, ...]
    before: tuple[ViolatedInvariant, ...]
    after: tuple[ViolatedInvariant, ...]
    statements: tuple[RecordedStatement, ...] = field(repr=False)

    @property
    def duplicates(self) -> int:
        """How many of the numbers that clients were told had been told before."""
        told = [number for result in self.results for number in result.numbers]
        return len(told) - len(set(told))

    @property
    def clean(self) -> bool:
        """Whether every invariant holds, and no number was told twice."""
        return not self.after and not self.duplicates

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        endings = Counter(result.ending for result in self.results)
        first = next((one.message for one in self.results if one.ending != "success"), "")
        return {
            "clients": len(self.results),
            "success": endings["success"],
            "refused": endings["refused"],
            "failed": endings["failed"],
            "unknown": endings["unknown"],
            "first_refusal": first,
            "numbers": sum(len(result.numbers) for result in self.results),
            "duplicates": self.duplicates,
            "violated_before": [one.name for one in self.before],
            "violations": {one.name: one.count for one in self.after},
            "clean": self.clean,
        }


class Recorder(Gate):
    """A gate that lets everything pass at once, and notes when it went and what came back."""

    def __init__(self, names: Sequence[str]) -> None:
        """*names*: of the clients, by their numbers."""
        self.statements: list[RecordedStatement] = []
        self._names = names
        self._began: dict[int, float] = {}

    async def release(self, unit: Unit) -> bool:
        """Note that *unit* goes."""
        self._began[id(unit)] = time.monotonic()
        return False

    async def release_answer(self, unit: Unit, state: bytes) -> None:
        """Note the answer to *unit*."""
        session, now = unit.session, time.monotonic()
        self.statements.append(
            RecordedStatement(
                "" if session.owner is None else self._names[session.owner],
                session.pid,
                unit.text,
                unit.bound.values,
                self._began.pop(id(unit), now),
                now,
                unit.answer.sqlstate,
            )
        )


async def run_bursts(
    conninfo: str,
    scenario: Scenario,
    *,
    clients: int | None = None,
    repeat: int = 1,
    on_burst: Callable[[], object] = lambda: None,
) -> list[ScenarioBurst]:
    """Run *repeat* bursts in a scratch database beside *conninfo*, reset before each.

    *clients*: how many of the first kind; None: as the scenario says.
    """
    if clients is not None:
        first = scenario.client[0].model_copy(update={"count": clients})
        scenario = scenario.model_copy(update={"client": (first, *scenario.client[1:])})
    actors = actors_of(scenario)
    recorder = Recorder([actor.name for actor in actors])
    bursts = []
    async with (
        open_sandbox(conninfo, scenario) as sandbox,
        open_runner(scenario, sandbox.url, recorder) as runner,
    ):
        for _ in range(repeat):
            await sandbox.reset()
            before = await sandbox.judge()
            recorder.statements.clear()
            results = await asyncio.gather(*map(runner.run, range(len(actors))))
            statements = tuple(recorder.statements)
            after = await sandbox.judge()
            bursts.append(ScenarioBurst(tuple(results), before, after, statements))
            on_burst()
    return bursts
