"""The buffer: events in memory whose replies wait until they are durable. Bounded in bytes; full means 503, never growth.

No timer: while one chunk is on its way the next one fills, so that under load a chunk holds hundreds of events and one fsync
serves them all, and a lone event waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from pixeld.domain.events import first_ms
from pixeld.domain.ports import Waiter

CHUNK_BYTES = 1 << 20  # some 5,000 events: past it one fsync is shared enough, and Redis is not held up by one huge value


@dataclass(slots=True)
class Chunk:
    """Events that travel together, and who waits for them. It is owned until it is settled, whatever fails in between."""

    data: bytes
    waiters: list[Waiter]

    @property
    def events(self) -> int:
        """How many events it holds: one of an order may come with another one, for whose sake nobody waits."""
        return self.data.count(b"\n")


class Buffer:
    """One producer side (`append`, on the event loop) and one consumer, who takes chunks and settles them in that order."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lines: list[bytes] = []
        self._waiters: list[Waiter] = []
        self._filled = asyncio.Event()
        self._appended = self._settled = 0  # events, ever
        self._taken: Chunk | None = None
        self._watching: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closed = False
        self.bytes = 0  #: taken and not settled yet

    def append(self, line: bytes, waiter: Waiter) -> bool:
        """Take an event, or several that stay together; False, and nothing taken, when that would not fit."""
        size = self.bytes + len(line)
        if size > self._max_bytes or self._closed:
            return False
        self.bytes = size
        lines = self._lines
        lines.append(line)
        self._waiters.append(waiter)
        self._appended += 1
        if len(lines) == 1:
            self._filled.set()
        return True

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest event whose reply waits was taken; None when none does."""
        return first_ms(self._taken.data if self._taken else self._lines[0] if self._lines else b"")

    @property
    def empty(self) -> bool:
        """Whether nothing has gathered."""
        return not self._lines

    async def take(self) -> Chunk:
        """What has gathered, up to CHUNK_BYTES (or one event, if that alone is larger); waits for the first event."""
        await self._filled.wait()
        lines, waiters = self._lines, self._waiters
        n = len(lines)
        if self.bytes > CHUNK_BYTES:
            room, n = CHUNK_BYTES, 0
            while n < len(lines) and (room >= len(lines[n]) or n == 0):
                room -= len(lines[n])
                n += 1
        chunk = Chunk(b"".join(lines[:n]), waiters[:n])
        self._lines, self._waiters = lines[n:], waiters[n:]
        if not self._lines:
            self._filled.clear()
        self._taken = chunk
        return chunk

    def settle(self, chunk: Chunk, stored: bool) -> None:
        """The chunk is durable, or never will be: every reply may leave. One write a connection: all learn first,
        then send.
        """
        if self._taken is chunk:
            self._taken = None
        self.bytes -= len(chunk.data)
        for waiter in chunk.waiters:
            waiter.settle(stored)
        for waiter in chunk.waiters:
            waiter.release()
        self._settled += len(chunk.waiters)
        while self._watching and self._watching[0][0] <= self._settled:
            self._watching.popleft()[1].set_result(None)

    def close(self) -> None:
        """Nobody takes chunks any more: no event is accepted, and those that wait are settled as not stored."""
        self._closed = True
        left = Chunk(b"".join(self._lines), self._waiters)
        self._lines, self._waiters = [], []
        self._filled.clear()
        self.settle(left, False)

    async def drained(self) -> None:
        """Return when every event appended before this call has been settled, however many more come."""
        if self._settled < self._appended:
            done = asyncio.get_running_loop().create_future()
            self._watching.append((self._appended, done))
            await asyncio.shield(done)
