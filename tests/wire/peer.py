"""The other end of a connection, which speaks bytes."""

import asyncio
import socket
import struct
from typing import NamedTuple

PATIENCE_S = 60  # until a test that waits for something has failed


def request(target, *headers, method="GET", version="1.1", body=b""):
    """The bytes of one request."""
    lines = (f"{method} {target} HTTP/{version}", "Host: track.example", *headers)
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + body


class Reply(NamedTuple):
    """One reply: all its bytes, and what tests look at."""

    raw: bytes
    status: int
    body: bytes

    @property
    def headers(self):
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)


class Peer(asyncio.Protocol):
    """A client connection. What came before the end is kept, however it ends."""

    def __init__(self):
        self.received, self.closed = bytearray(), False
        self._news = asyncio.Event()

    @classmethod
    async def connect(cls, **where):
        return (await asyncio.get_running_loop().create_connection(cls, **where))[1]

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        self._news.set()

    def eof_received(self):
        self.connection_lost(None)

    def connection_lost(self, exc):
        self.closed = True
        self._news.set()

    async def send(self, raw, pieces=None):
        """Write bytes at once, or in pieces (sizes) that the server reads one by one: it has two turns of the loop after each."""
        at = 0
        for size in pieces or (len(raw),):
            if self.closed:
                return  # refused before it was all sent
            self.transport.write(raw[at : at + size])
            at += size
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def reply(self, *, to="GET"):
        """Take one reply; one to a HEAD has no body."""
        await self._until(lambda: b"\r\n\r\n" in self.received)
        end = self.received.index(b"\r\n\r\n") + 4
        lines = bytes(self.received[:end]).split(b"\r\n")
        length = [int(line[16:]) for line in lines if line.lower().startswith(b"content-length: ")]
        size = end + (length[0] if length and to != "HEAD" else 0)
        await self._until(lambda: len(self.received) >= size)
        raw = bytes(self.received[:size])
        del self.received[:size]
        return Reply(raw, int(raw[9:12]), raw[end:])

    async def ask(self, raw, pieces=None):
        """Send a request and take its reply."""
        await self.send(raw, pieces)
        return await self.reply(to=raw[:4].decode().strip())

    async def rest(self):
        """Everything until the other end closes."""
        await self._until(lambda: self.closed)
        return bytes(self.received)

    def reset(self):
        """Break the connection off, so that the other end gets an error."""
        if self.closed:
            return  # by the other end already
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def close(self):
        self.transport.abort()
        await asyncio.sleep(0)

    async def _until(self, true):
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                assert not self.closed, f"closed after {bytes(self.received)!r}"
                self._news.clear()
                await self._news.wait()
