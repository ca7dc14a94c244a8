"""The other end of a connection, which speaks bytes."""

import asyncio
import contextlib
from typing import NamedTuple

PATIENCE_S = 10  # until a test that waits for a reply has failed


def request(target, *headers, method="GET", version="1.1", body=b""):
    """The bytes of one request."""
    lines = (f"{method} {target} HTTP/{version}", "Host: track.example", *headers)
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + body


class Reply(NamedTuple):
    """One reply: every byte of it, and what tests look at."""

    raw: bytes
    status: int
    body: bytes

    @property
    def headers(self):
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)

    @property
    def without_date(self):
        """The reply's bytes with the Date's value taken out."""
        before, _, after = self.raw.partition(b"\r\nDate: ")
        return before + b"\r\nDate: " + after[29:]


class Peer:
    """A client connection. Nothing is read until it is asked for."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port, host="127.0.0.1", **options):
        return cls(*await asyncio.open_connection(host, port, **options))

    async def send(self, raw, pieces=None):
        """Write bytes at once, or in pieces (sizes) that the server reads one by one: it has a turn of the loop after each."""
        at = 0
        for size in pieces or (len(raw),):
            if self.writer.is_closing():
                return  # refused before it was all sent
            self.writer.write(raw[at : at + size])
            at += size
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with contextlib.suppress(OSError):
            await self.writer.drain()

    async def reply(self, *, to="GET"):
        """Read one reply; one to a HEAD has no body."""
        async with asyncio.timeout(PATIENCE_S):
            raw = await self.reader.readuntil(b"\r\n\r\n")
            length = [int(line[16:]) for line in raw.split(b"\r\n") if line.lower().startswith(b"content-length: ")]
            body = await self.reader.readexactly(length[0]) if length and to != "HEAD" else b""
        return Reply(raw + body, int(raw[9:12]), body)

    async def ask(self, raw, pieces=None):
        """Send a request and read its reply."""
        await self.send(raw, pieces)
        return await self.reply(to=raw[:4].decode().strip())

    async def rest(self):
        """Everything until the other end closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def close(self):
        self.writer.close()
        with contextlib.suppress(OSError):  # reset by the server: as closed as can be
            await self.writer.wait_closed()
