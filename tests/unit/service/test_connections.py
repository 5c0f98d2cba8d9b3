"""One guard with a clock of the test's own: what it does to a client that takes too long."""

import asyncio

import pytest
from aiohttp import EMPTY_PAYLOAD

from ticketsvc.service.connections import Connections
from ticketsvc.settings import Settings

SETTINGS = Settings(request_timeout_s=10, keepalive_timeout_s=75, max_connections=2)


class Transport(asyncio.Transport):
    """Record what a guard does to it."""

    def __init__(self):
        super().__init__()
        self.written, self.closed, self.aborted = b"", False, False

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True


class Inner(asyncio.Protocol):
    """Stand for aiohttp's protocol."""

    received = b""

    def data_received(self, data):
        self.received += data


class House:
    """The connections of a server at a time that the test sets."""

    def __init__(self):
        self.refused = []
        self.connections = Connections(Inner, SETTINGS, {}, self.refused.append)
        self.time = 0.0
        self.connections.now = lambda: self.time

    def open(self):
        guard, transport = self.connections.accept(), Transport()
        guard.connection_made(transport)
        return guard, transport

    def at(self, time, guard):
        self.time = time
        guard.check(time)


@pytest.fixture
async def house():
    return House()


def test_headers_that_are_never_complete_are_answered_408_and_closed(house):
    guard, transport = house.open()
    guard.data_received(b"GET / HTTP/1.1\r\n")
    house.at(9, guard)
    assert not transport.written
    guard.data_received(b"X: y\r\n")  # more bytes win no time
    house.at(10, guard)
    assert transport.written.startswith(b"HTTP/1.1 408 ")
    assert house.refused == [408]
    assert not transport.closed  # the client may read first
    house.at(11, guard)
    assert transport.closed


def test_a_request_in_progress_is_left_to_its_handler(house):
    guard, transport = house.open()
    guard.data_received(b"GET / HTTP/1.1\r\n\r\n")
    guard.request_started(EMPTY_PAYLOAD)
    house.at(1000, guard)
    assert not (transport.closed or transport.written)


def test_a_connection_stays_open_between_requests_for_the_keepalive_time(house):
    guard, transport = house.open()
    guard.request_started(EMPTY_PAYLOAD)
    guard.request_ended(last=False)
    house.at(74, guard)
    assert not transport.closed
    house.at(75, guard)
    assert (transport.closed, transport.written) == (True, b"")


def test_the_next_request_must_be_complete_in_time_too(house):
    guard, transport = house.open()
    guard.request_started(EMPTY_PAYLOAD)
    guard.request_ended(last=False)
    house.at(50, guard)
    guard.data_received(b"G")
    house.at(60, guard)
    assert transport.written.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_reads_again_is_not_reset(house):
    guard, transport = house.open()
    guard.request_started(EMPTY_PAYLOAD)
    guard.pause_writing()
    house.at(1, guard)
    guard.resume_writing()
    house.at(11, guard)
    assert not transport.aborted


async def idle_turns():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_half_closed_connection_is_closed_once_no_request_follows(house):
    guard, transport = house.open()
    guard.data_received(b"GET / HTTP/1.1\r\n\r\n" * 2)
    assert guard.eof_received()
    for _ in range(2):
        guard.request_started(EMPTY_PAYLOAD)
        await idle_turns()
        assert not transport.closed
        guard.request_ended(last=False)
    await idle_turns()
    assert (transport.closed, transport.written) == (True, b"")


async def test_a_half_closed_client_that_does_not_read_keeps_what_it_asked(house):
    guard, transport = house.open()
    guard.pause_writing()
    guard.eof_received()
    await idle_turns()
    assert not transport.closed
    guard.resume_writing()
    await idle_turns()
    assert transport.closed


def test_far_too_many_connections_are_reset(house):
    opened = [house.open()[1] for _ in range(200)]
    assert opened[-1].aborted
    assert not opened[50].aborted
