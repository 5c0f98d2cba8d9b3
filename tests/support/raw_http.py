"""Talk to a server below HTTP: bytes on a socket, and what comes back."""

import asyncio
import json

from yarl import URL

from tests.support.waiting import TIMEOUT_S

BODY = b'{"userId":"u","eventId":"E","quantity":8}'
JSON_HEAD = b"Host: h\r\nContent-Type: application/json\r\n"
HEAD = b"POST /purchase HTTP/1.1\r\n%sContent-Length: %d\r\n" % (JSON_HEAD, len(BODY))
"""The head of a purchase without the empty line that ends it."""
BUY = HEAD + b"\r\n" + BODY


def address_of(url):
    """Return the host and port of *url*."""
    target = URL(url)
    return target.host, target.port


async def connect(url, sent=b""):
    """Open a connection to the server at *url* and send some bytes; return reader and writer."""
    reader, writer = await asyncio.open_connection(*address_of(url))
    writer.write(sent)
    await writer.drain()
    return reader, writer


async def read_answer(reader):
    """Return status, JSON and headers of one answer; None if the connection closed without one."""
    async with asyncio.timeout(TIMEOUT_S):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return None
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    return int(head.split()[1]), json.loads(body or b"null"), fields


async def ask(url, sent):
    """Send some bytes on a new connection; return the first answer to them."""
    reader, writer = await connect(url, sent)
    try:
        return await read_answer(reader)
    finally:
        writer.close()


async def refuses_connections(url):
    """Tell whether nobody listens at *url* any more."""
    try:
        _, writer = await connect(url)
    except OSError:
        return True
    writer.close()
    return False
