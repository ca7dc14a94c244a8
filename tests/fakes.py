"""Fakes that implement pixeld's ports."""

import asyncio

from pixeld.domain.events import decode


class MemoryIntake:
    """An Intake that keeps events in memory.

    `schedule` gets a function that settles what has come, when an event comes and nothing is scheduled yet. Without one the test
    says when events are durable (`commit`) and when they can't be made so (`fail`). With `failing`, none can.
    """

    def __init__(self, schedule=None):
        self.schedule, self.full, self.failing = schedule, False, False
        self.held, self.lines = [], []  # (line, waiter) on their way; lines that are durable
        self._came = asyncio.Event()

    def append(self, line, waiter):
        if self.full:
            return False
        self.held.append((line, waiter))
        self._came.set()
        if self.schedule and len(self.held) == 1:
            self.schedule(self.fail if self.failing else self.commit)
        return True

    def commit(self, n=None, stored=True):
        """Settle the first `n` events, or all, as one chunk."""
        n = len(self.held) if n is None else n
        chunk, self.held = self.held[:n], self.held[n:]
        if stored:
            self.lines += [line for line, _ in chunk]
        for _, waiter in chunk:
            waiter.settle(stored)
        for _, waiter in chunk:
            waiter.release()

    def fail(self, n=None):
        self.commit(n, stored=False)

    async def holds(self, n):
        """Return when `n` events are on their way."""
        async with asyncio.timeout(60):
            while len(self.held) < n:
                self._came.clear()
                await self._came.wait()

    @property
    def events(self):
        """What is durable, as (kind, columns)."""
        return [(kind.name, dict(zip(kind.columns, values, strict=True))) for kind, values in decode(b"".join(self.lines))]
