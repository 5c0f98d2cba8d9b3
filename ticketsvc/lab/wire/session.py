"""One client's connection through the proxy: what it sends is held, released and answered.

Over 300 lines, because both directions change the same few states.
"""

import asyncio
import contextlib
import re
from collections import deque

from ticketsvc.lab.wire import frames
from ticketsvc.lab.wire.frames import Columns, Message
from ticketsvc.lab.wire.gate import FAILED, IDLE, Answer, Gate, Unit
from ticketsvc.lab.wire.statements import parts

_MAY_SET = re.compile(
    r"isolation|characteristics|default_transaction|search_path|set_config|"
    r"\b(reset|discard|role|authorization)\b",
    re.IGNORECASE,
)


class Session:
    """A logged-in client and its server process."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        gate: Gate,
        owner: int | None,
    ) -> None:
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._gate = gate
        self.owner = owner
        """The number of the client that alone uses it; None: several may."""
        self.pid = 0
        """The server process, as `pg_stat_activity` and `pg_blocking_pids` name it."""
        self.database = ""
        """The database that it is connected to."""
        self.settings_may_differ = True
        """Whether the isolation level may be another than when it was last asked for."""
        self.wrapped = False
        """Whether its transaction was begun for the client and lasts until the client ends: the
        gate says so."""
        self.sets_path = False
        """Whether the client has ever said where its tables are to be looked for."""
        self._state = IDLE
        self._texts: dict[str, str] = {}  # of prepared statements, by name
        self._columns: dict[str, Columns] = {}  # likewise; "" also of what is not prepared
        self._describing: deque[str] = deque()  # of whom the columns are asked for
        self._unit: Unit | None = None
        self._kept: list[Message] | None = None  # an answer that waits
        self._own: Answer | None = None  # to a message of ours
        self._errors: list[Message] = []
        self._ending = asyncio.Lock()  # of the transaction that was begun for the client
        self._told = asyncio.Queue[bool]()  # an answer has ended; false: its client has to copy

    async def log_in(self, startup: bytes) -> bool:
        """Pass the start-up and the authentication; return whether the client is in."""
        self._to_server.write(startup)
        passing = asyncio.create_task(self._pass_passwords())
        try:
            while True:
                message = await frames.read_message(self._from_server)
                if message.kind == b"K":
                    self.pid = int.from_bytes(message.content[:4])
                self._to_client.write(message.encode())
                await self._to_client.drain()
                if message.kind == b"Z":
                    return True
                if message.kind == b"E":
                    return False
        finally:
            passing.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                await passing

    async def _pass_passwords(self) -> None:
        # A client sends nothing else before it is ready, so no byte of a statement is lost here.
        while data := await self._from_client.read(1):
            rest = await self._from_client.readexactly(4)
            content = await self._from_client.readexactly(int.from_bytes(rest) - 4)
            self._to_server.write(data + rest + content)

    async def run(self) -> None:
        """Pass statements and answers until one side ends."""
        answers = asyncio.create_task(self._pass_answers())
        asking = asyncio.create_task(self._pass_units())
        try:
            done, _ = await asyncio.wait({answers, asking}, return_when=asyncio.FIRST_COMPLETED)
            if answers not in done:  # the client has gone: what it left open is undone first
                with contextlib.suppress(OSError, EOFError, frames.ProtocolError):
                    self._to_server.write(Message(b"X", b"").encode())
                    self._to_server.write_eof()
                    await answers
        finally:
            for task in (answers, asking):
                task.cancel()
            found = await asyncio.gather(answers, asking, return_exceptions=True)
            self._flow()  # the server's last words, if it has gone
        for problem in found:
            if isinstance(problem, Exception) and not isinstance(problem, OSError | EOFError):
                raise problem

    # From the client

    async def _pass_units(self) -> None:
        gathered: list[Message] = []
        while True:
            message = await frames.read_message(self._from_client)
            if message.kind == b"X":
                await self.end_wrapped()
                self._to_server.write(message.encode())
                await self._to_server.drain()
                return
            gathered.append(self._rewritten(message))
            executes = sum(one.kind in b"EQF" for one in gathered)
            # Nothing to hold: it only prepares, or belongs to a COPY that has ended meanwhile.
            if (message.kind == b"H" and not executes) or message.kind in b"dcf":
                self._learn(gathered)
                await self._forward(gathered)
                gathered = []
            elif message.kind in b"QFSH":
                await self._take_turn(self._unit_of(gathered, executes))
                gathered = []

    def _rewritten(self, message: Message) -> Message:
        if message.kind == b"Q":
            text, _ = frames.cut_string(message.content)
            new = self._gate.rewrite(text)
            return message if new == text else frames.query(new)
        if message.kind == b"P":
            name, rest = frames.cut_string(message.content)
            text, types = frames.cut_string(rest)
            new = self._gate.rewrite(text)
            content = b"\0".join([name.encode(), new.encode(), types])
            return message if new == text else Message(b"P", content)
        return message

    def _learn(self, messages: list[Message]) -> None:
        for message in messages:
            if message.kind == b"P":
                name, rest = frames.cut_string(message.content)
                self._texts[name], _ = frames.cut_string(rest)
                self._columns.pop(name, None)
            elif message.kind == b"D":
                name, _ = frames.cut_string(message.content[1:])
                self._describing.append(name if message.content[:1] == b"S" else "")

    def _unit_of(self, messages: list[Message], executes: int) -> Unit:
        texts: list[str] = []
        bound = frames.Bound()
        for message in messages:
            self._learn([message])
            if message.kind == b"Q":
                text, _ = frames.cut_string(message.content)
                texts += parts(text)
            elif message.kind == b"F":
                texts.append("a function call of the protocol")
            elif message.kind == b"B":
                bound = frames.read_bind(message.content)
                texts.append(self._texts.get(bound.name, ""))
        return Unit(self, tuple(messages), tuple(texts), self._state, executes, bound)

    async def _take_turn(self, unit: Unit) -> None:
        if not unit.executes or unit.kinds <= {"passes", "begin"}:
            await self._answer(unit)
            return
        split = await self._gate.release(unit) and unit.splittable
        self._kept = kept = list[Message]()
        if split:
            await self.ask("BEGIN")
        await self._answer(unit)
        if split and not self.wrapped:
            if self._state == FAILED:
                await self.ask("ROLLBACK")
            else:
                await self._gate.release_commit(unit)
                await self._commit(unit, kept)
            kept[-1] = Message(b"Z", IDLE)
        await self._gate.release_answer(unit, self._state)
        self._kept = None
        for message in kept:
            self._to_client.write(message.encode())
        await self._to_client.drain()

    async def end_wrapped(self) -> None:
        """Commit the transaction that was begun for the client, as a step like any other."""
        async with self._ending:
            if self.wrapped:
                unit = Unit(self, (), ("COMMIT",), self._state, 1)
                await self._gate.release(unit)
                unit.answer = await self.ask("COMMIT")
                self.wrapped = False
                await self._gate.release_answer(unit, self._state)

    async def _commit(self, unit: Unit, kept: list[Message]) -> None:
        """End the transaction of a split unit; its error takes the place of the answer's end."""
        ended = await self.ask("COMMIT")
        if ended.sqlstate is not None:
            unit.answer.sqlstate, unit.answer.message = ended.sqlstate, ended.message
            kept[:] = [one for one in kept if one.kind in b"123tTn"]
            kept += [*self._errors, Message(b"Z", IDLE)]

    async def _answer(self, unit: Unit) -> None:
        """Send *unit* and wait for the whole answer; let a COPY's data through meanwhile."""
        if _MAY_SET.search(unit.text):
            self.settings_may_differ = True
            self.sets_path |= "search_path" in unit.text.lower()
        self._unit = unit
        self._told = asyncio.Queue()
        await self._forward(unit.messages)
        while not await self._told.get():
            await self._pass_copy()
        self._unit = None

    async def _pass_copy(self) -> None:
        while True:
            message = await frames.read_message(self._from_client)
            await self._forward([message])
            if message.kind in b"cfS":
                return

    async def ask(self, text: str) -> Answer:
        """Run *text* on the client's connection, unseen by the client; the server must be idle."""
        self._own = answer = Answer()
        self._errors = []
        self._told = asyncio.Queue()
        self._to_server.write(frames.execute_once(text, b"ticketsvc"))
        await self._to_server.drain()
        await self._told.get()
        self._own = None
        return answer

    async def _forward(self, messages: "list[Message] | tuple[Message, ...]") -> None:
        self._to_server.write(b"".join(message.encode() for message in messages))
        await self._to_server.drain()

    # From the server

    async def _pass_answers(self) -> None:
        while True:
            message = await frames.read_message(self._from_server)
            if message.kind == b"Z":
                self._state = message.content
            if message.kind in b"NAS":  # notices, notifications, settings: they do not wait
                self._to_client.write(message.encode())
                continue
            if self._own is not None:
                if message.kind == b"E":
                    self._errors.append(message)
                self._hear(self._own, message, Columns())
            else:
                if message.kind in b"Tn":
                    self._learn_columns(message)
                if self._unit is not None:
                    bound = self._unit.bound
                    columns = self._columns.get(bound.name, Columns())
                    self._hear(self._unit.answer, message, columns, bound.formats)
                await self._pass_on(message)
            if message.kind == b"Z" or self._flushed():
                self._told.put_nowait(True)

    async def _pass_on(self, message: Message) -> None:
        if message.kind in b"GH":  # a COPY: its client has to act now
            self._flow()
        if message.kind == b"Z" and self.wrapped:  # the client has begun no transaction
            message = Message(b"Z", IDLE)
        if self._kept is None:
            self._to_client.write(message.encode())
            await self._to_client.drain()
        else:
            self._kept.append(message)
        if message.kind == b"G":
            self._told.put_nowait(False)

    def _flow(self) -> None:
        """Send what was kept of the answer, and keep no more of it."""
        if self._kept is not None:
            self._to_client.write(b"".join(message.encode() for message in self._kept))
            self._kept.clear()
        self._kept = None

    def _learn_columns(self, message: Message) -> None:
        name = self._describing.popleft() if self._describing else ""
        if not name and self._unit is not None:
            name = self._unit.bound.name
        self._columns[name] = (
            frames.read_columns(message.content) if message.kind == b"T" else Columns()
        )

    def _hear(
        self,
        answer: Answer,
        message: Message,
        columns: Columns,
        formats: tuple[int, ...] = (),
    ) -> None:
        if message.kind == b"T":
            answer.first_row = None
        elif message.kind == b"D":
            if answer.first_row is None:
                answer.columns = columns.names
                answer.first_row = tuple(frames.row_values(message.content, columns, formats))
        elif message.kind == b"s":
            answer.tags.append("PORTAL SUSPENDED")
        elif message.kind == b"C":
            answer.tags.append(frames.cut_string(message.content)[0])
        elif message.kind == b"E":
            found = frames.error_fields(message.content)
            answer.sqlstate, answer.message = found.get("C", ""), found.get("M", "")

    def _flushed(self) -> bool:
        """Tell whether a unit that ended in a Flush, and so gets no ReadyForQuery, is answered."""
        unit = self._unit
        if unit is None or unit.messages[-1].kind != b"H":
            return False
        return unit.answer.sqlstate is not None or len(unit.answer.tags) >= unit.executes
