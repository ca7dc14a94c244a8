"""The watch: how much is answered and not in ClickHouse yet, wherever it waits, for whoever asks and for the log.

Nothing here is counted along: an event's chunk id says how many came before it, so that the figures are right after any
crash, and a look costs a few reads however long the backlog is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from math import nan
from typing import NamedTuple, Protocol

from pixeld.domain.ports import Backlog, Queue
from pixeld.errors import QueueAway
from pixeld.ingest.buffer import Buffer
from pixeld.ingest.ship import Shipper, Spilled
from pixeld.ingest.spill import Spill

log = logging.getLogger(__name__)
LOOK_S = 1.5  # /readyz and /metrics answer within 2 s, whatever hangs
_EVERY_S = 5.0
OLDEST = "oldest_unflushed_seconds"
_NOTHING = Backlog(0, 0, 0, None)


class Flushing(Protocol):
    """What the watch must know of the queue's flusher, which may be in another process."""

    events: int
    problem: str | None


class Look(NamedTuple):
    """A node as it was when it was looked at: plain values, which another process can be told."""

    figures: dict[str, float]  #: Watch.figures, and `buffer_bytes`
    empty: bool  #: whether nothing waits in the spill
    refusing: bool  #: whether events are lost to Redis and the spill
    late: bool
    connections: int


def together(looks: Sequence[Look]) -> Look:
    """Several nodes as one: sums, and of the oldest events the oldest."""
    names = looks[0].figures
    figures = {name: sum(look.figures[name] for look in looks) for name in names}
    figures[OLDEST] = max(look.figures[OLDEST] for look in looks)
    return Look(
        figures,
        all(look.empty for look in looks),
        any(look.refusing for look in looks),
        any(look.late for look in looks),
        sum(look.connections for look in looks),
    )


class Watch:
    """Looks at this node's queue and, in sum, at all others'. `others()` gives what those hold; `late_s` is how long events
    may wait before it is a backlog.
    """

    def __init__(
        self,
        *,
        buffer: Buffer,
        shipper: Shipper,
        spill: Spill,
        queue: Queue,
        others: Callable[[], Awaitable[Backlog]],
        flusher: Flushing,
        clock: Callable[[], int],
        late_s: float,
        look_s: float = LOOK_S,
    ) -> None:
        self._buffer, self._shipper, self._spill, self._queue = buffer, shipper, spill, queue
        self._others, self._flusher, self._clock, self._late_s = others, flusher, clock, late_s
        self._look_s = look_s
        self._spilled: Spilled | None = None
        self._queued = self._elsewhere = _NOTHING
        self._seen_ms: int | None = None  # when Redis last answered
        self._then: int | None = None  # what `_through` was then
        self._told_ms: int | None = None  # when the log was last told of the backlog that stands
        self.away: str | None = None  #: why Redis could not be looked at, None when it could

    async def run(self) -> None:
        """Look every 5 s, or more often where less is late, and tell the log, for ever."""
        while True:
            await self.look()
            self.tell()
            await asyncio.sleep(min(_EVERY_S, self._late_s / 4))

    async def look(self) -> None:
        """Look now, within `look_s`. What Redis holds stays as last seen while it is away."""
        try:
            async with asyncio.timeout(self._look_s):
                self._spilled = await self._shipper.spilled()
                # what is on its way from the spill to Redis is in both for a moment, and counted once
                queued = await self._queue.backlog(self._spilled.first.before() if self._spilled else None)
                self._elsewhere = await self._others()
            self._queued, self._seen_ms, self._then, self.away = queued, self._clock(), self._through(), None
        except TimeoutError:
            self.away = f"Redis, or the disk of the spill, has not answered within {self._look_s} s"
        except (QueueAway, OSError) as error:
            self.away = str(error)
        if self._then is None:
            self._then = self._through()

    @property
    def late(self) -> bool:
        """Whether this node's oldest event waits for `late_s` or longer."""
        return self._age_s(self._oldest_ms()) >= self._late_s

    def figures(self) -> dict[str, float]:
        """This node's figures by name, as of the last look. What only Redis knows is NaN before it has ever answered."""
        known = self._seen_ms is not None
        return {
            OLDEST: self._age_s(self._oldest_ms()),
            "waiting_events": self._in_redis() + (self._spilled.events if self._spilled else 0),
            "queue_chunks": self._queued.chunks if known else nan,
            "spill_bytes": self._spill.bytes,
            "dead_letters": self._queued.dead_letters if known else nan,
        }

    def seen(self) -> Look:
        """This node as of the last look."""
        figures = self.figures() | {"buffer_bytes": self._buffer.bytes}
        return Look(figures, self._spill.empty, self._shipper.refusing, self.late, 0)

    def others(self) -> dict[str, float]:
        """The figures of all other nodes' queues in Redis together; their spills are theirs to tell."""
        return {
            OLDEST: self._age_s(self._elsewhere.oldest_ms),
            "waiting_events": self._elsewhere.events,
            "dead_letters": self._elsewhere.dead_letters,
        }

    def tell(self) -> None:
        """Warn of a backlog that stands, at most once in `late_s`; say when it has been worked off."""
        others, now = self.others(), self._clock()
        if self.late or others[OLDEST] >= self._late_s:
            if self._told_ms is None or now - self._told_ms >= self._late_s * 1000:
                self._told_ms = now
                reason = self.away or self._flusher.problem or "flushing goes on, and has not caught up yet"
                log.warning("events wait for ClickHouse", extra={**self.figures(), "others": others, "reason": reason})
        elif self._told_ms is not None:
            self._told_ms = None
            log.info("the backlog is worked off", extra=self.figures())

    def _through(self) -> int:
        """How many events went to Redis and not yet to ClickHouse, but for a constant."""
        return self._shipper.stored - (self._spilled.events if self._spilled else 0) - self._flusher.events

    def _in_redis(self) -> int:
        """Events that wait in Redis; those that came and went between its last answer and its going away are in it."""
        return self._queued.events + (self._through() - self._then if self.away and self._then is not None else 0)

    def _oldest_ms(self) -> int | None:
        queued = (self._queued.oldest_ms or self._seen_ms) if self._in_redis() > 0 else None
        places = (queued, self._spilled.oldest_ms if self._spilled else None, self._buffer.oldest_ms)
        return min((ms for ms in places if ms is not None), default=None)

    def _age_s(self, oldest_ms: int | None) -> float:
        return 0.0 if oldest_ms is None else max(0, self._clock() - oldest_ms) / 1000
