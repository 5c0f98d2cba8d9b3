"""Messages of PostgreSQL's protocol 3: read them, take apart what matters, make a few.

A message is a type byte, its length as four bytes (themselves included), and its content. Only a
connection's first packets have no type byte.
"""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
PROTOCOL_3 = 3 << 16
MAX_STARTUP_BYTES = 10_000
MAX_MESSAGE_BYTES = 2**30


class ProtocolError(Exception):
    """What was sent is not PostgreSQL's protocol 3, or a part of it that is refused here."""


class Message(NamedTuple):
    """One message: its type, and the bytes after the length."""

    kind: bytes
    content: bytes

    def encode(self) -> bytes:
        """Return the message as it is sent."""
        return self.kind + struct.pack("!I", len(self.content) + 4) + self.content


async def read_startup(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the code and the content of a packet without a type byte.

    Raise `ProtocolError` for TLS that begins at once, and for what has no plausible length.
    """
    head = await reader.readexactly(8)
    length, code = struct.unpack("!II", head)
    if head[0] == 0x16:
        raise ProtocolError("TLS is not spoken here: connect with sslmode=disable")
    if not 8 <= length <= MAX_STARTUP_BYTES:
        raise ProtocolError("not a PostgreSQL client")
    return code, await reader.readexactly(length - 8)


def startup_packet(code: int, content: bytes) -> bytes:
    """Return the packet that `read_startup` reads."""
    return struct.pack("!II", len(content) + 8, code) + content


def startup_parameters(content: bytes) -> dict[str, str]:
    """Return the parameters of a StartupMessage: user, database, options and so on."""
    words = content.rstrip(b"\0").split(b"\0")
    pairs = zip(words[::2], words[1::2], strict=False)
    return {name.decode(): value.decode(errors="replace") for name, value in pairs}


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Return the next message; raise `ProtocolError` when it cannot be one."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!I", head[1:])
    if not 4 <= length <= MAX_MESSAGE_BYTES or not (head[:1].isalpha() or head[:1] in b"123"):
        raise ProtocolError("not a message of PostgreSQL's protocol 3")
    return Message(head[:1], await reader.readexactly(length - 4))


# What clients send


def query(text: str) -> Message:
    """Return a simple query."""
    return Message(b"Q", text.encode() + b"\0")


def execute_once(text: str, name: bytes) -> bytes:
    """Return messages that run *text* through the extended protocol, up to and with Sync.

    They leave the unnamed statement and portal alone, which a simple query would drop.
    """
    close = [Message(b"C", b"P" + name + b"\0"), Message(b"C", b"S" + name + b"\0")]
    messages = [
        *close,  # what an earlier one that failed has left
        Message(b"P", name + b"\0" + text.encode() + b"\0\0\0"),
        Message(b"B", name + b"\0" + name + b"\0" + b"\0\0" * 3),
        Message(b"E", name + b"\0" + b"\0\0\0\0"),
        *close,
        Message(b"S", b""),
    ]
    return b"".join(message.encode() for message in messages)


def cut_string(content: bytes) -> tuple[str, bytes]:
    """Return the zero-terminated text at the start of *content*, and the rest."""
    text, _, rest = content.partition(b"\0")
    return text.decode(errors="replace"), rest


class Bound(NamedTuple):
    """What a Bind says: the statement's name, the values, and the formats of the answer."""

    name: str = ""
    values: tuple[str | None, ...] = ()
    formats: tuple[int, ...] = ()


def read_bind(content: bytes) -> Bound:
    """Return what a Bind says; a binary value that is no text and no integer is shown as hex."""
    _, rest = cut_string(content)
    name, rest = cut_string(rest)
    (formats,) = struct.unpack_from("!H", rest)
    codes = struct.unpack_from(f"!{formats}H", rest, 2)
    found, place = _cut_values(rest, 2 + 2 * formats)
    values = tuple(
        None if value is None else _as_text(value, binary=bool(_of(codes, index, 0)))
        for index, value in enumerate(found)
    )
    (wanted,) = struct.unpack_from("!H", rest, place)
    return Bound(name, values, struct.unpack_from(f"!{wanted}H", rest, place + 2))


def _cut_values(content: bytes, place: int) -> tuple[list[bytes | None], int]:
    """Return the counted values at *place*, None for NULL, and the place after them."""
    (number,) = struct.unpack_from("!H", content, place)
    place += 2
    values: list[bytes | None] = []
    for _ in range(number):
        (size,) = struct.unpack_from("!i", content, place)
        place += 4
        values.append(None if size < 0 else content[place : place + size])
        place += max(0, size)
    return values, place


def _of(formats: Sequence[int], index: int, default: int) -> int:
    """Return the format of a value: one for all, or one for each; *default*: none is given."""
    return formats[index if index < len(formats) else 0] if formats else default


def _as_text(value: bytes, *, binary: bool) -> str:
    if binary and len(value) in (2, 4, 8):  # most likely an integer
        return str(int.from_bytes(value, signed=True))
    if binary and not value.isascii():
        return "0x" + value.hex()
    return value.decode(errors="replace")


# What servers answer


def error_response(sqlstate: str, text: str) -> bytes:
    """Return an ErrorResponse that ends the connection."""
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0"
    return Message(b"E", fields.encode()).encode()


def error_fields(content: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse by their letters: C is the SQLSTATE, M the message."""
    return {
        part[:1].decode(): part[1:].decode(errors="replace")
        for part in content.split(b"\0")
        if part
    }


class Columns(NamedTuple):
    """The columns of an answer: their names, their types, and which are said to be in binary."""

    names: tuple[str, ...] = ()
    types: tuple[int, ...] = ()
    binary: tuple[bool, ...] = ()


def read_columns(content: bytes) -> Columns:
    """Return what a RowDescription says."""
    (number,) = struct.unpack_from("!H", content)
    rest = content[2:]
    names, types, binary = [], [], []
    for _ in range(number):
        name, rest = cut_string(rest)
        names.append(name)
        types.append(int.from_bytes(rest[6:10]))
        binary.append(rest[16:18] == b"\0\1")
        rest = rest[18:]
    return Columns(tuple(names), tuple(types), tuple(binary))


def row_values(
    content: bytes, columns: Columns, formats: Sequence[int] = ()
) -> Iterator[str | None]:
    """Yield the values of a DataRow as text; a binary value of a type not known here as hex.

    *formats*: what a Bind asked for, one for all columns or one for each; () is what *columns* say.
    """
    for index, value in enumerate(_cut_values(content, 0)[0]):
        known = index < len(columns.types)
        in_binary = _of(formats, index, known and columns.binary[index])
        kind = columns.types[index] if known and in_binary else 0
        yield None if value is None else _row_text(value, kind)


_BOOLEAN, _INTEGERS, _TEXTS = 16, (20, 21, 23, 26), (0, 18, 19, 25, 1042, 1043)


def _row_text(value: bytes, binary_type: int) -> str:
    if binary_type in _TEXTS:
        return value.decode(errors="replace")
    if binary_type in _INTEGERS:
        return str(int.from_bytes(value, signed=True))
    if binary_type == _BOOLEAN:
        return "t" if value == b"\1" else "f"
    return "0x" + value.hex()
