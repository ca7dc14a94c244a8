"""Buffer → queue: each chunk into Redis, or into the spill while Redis can't take it; then back, in order.

Order is what makes every retry safe. There is one chunk on its way at a time and chunk ids only grow; while anything
waits in the spill, everything goes through the spill. So a chunk whose outcome is unknown reaches Redis again under
the same id before any later one does, and Redis refuses it if, and only if, it was stored the first time.

A failover keeps that: replication is in order too, so a new primary holds all chunks up to some one and none after it.
What was spilled is taken there if it is missing and refused if it is there. What the old primary confirmed and the new
one misses is lost, unless the answers waited for replicas (`redis_replicas`): nobody has it any more to send it again.

Ids could fall behind those of the stream only if the clock went back, the data directory lost its count of starts and
Redis was away at the start. Then nothing is pushed: chunks wait in the spill, and the log says what to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pixeld.domain.events import ChunkId, first_ms
from pixeld.domain.ports import Queue
from pixeld.errors import ChunkRefused, QueueAway, SpillFailed
from pixeld.ingest.buffer import CHUNK_BYTES, Buffer, Chunk
from pixeld.ingest.spill import Spill
from pixeld.metrics import Metrics

log = logging.getLogger(__name__)
_TELL_S = 60.0
_OWED_S = 0.005  # that replies may be held for the next chunk's sake: many times what sending it takes
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)  # then every second: Redis is back within one when it is back


class Spilled(NamedTuple):
    """What waits in the spill and Redis has not confirmed: its first chunk, how many events, when the first was taken."""

    first: ChunkId
    events: int
    oldest_ms: int | None


class Shipper:
    """Two tasks: `run` makes chunks durable, `replay` brings the spill's back. `epoch` numbers this start of the process."""

    def __init__(self, buffer: Buffer, queue: Queue, spill: Spill, metrics: Metrics, epoch: int) -> None:
        self._buffer, self._queue, self._spill, self._metrics = buffer, queue, spill, metrics
        self._next_id = ChunkId(epoch, 0).next(spill.stored)  # the events that wait there are counted in one go with ours
        self._spilled = asyncio.Event()
        self._replayed = asyncio.Event()
        self._disk = asyncio.Lock()  # the spill is for one thread at a time
        self._owed: tuple[Chunk, bool] | None = None  # a chunk whose replies haven't been let go, and whether it is stored
        self._soon: asyncio.TimerHandle | None = None  # when they will be at the latest
        self._last_mile = asyncio.Lock()  # held while the last segment is brought back: nothing may be spilled behind it
        self.refusing = False  #: whether the last chunk was lost to both, and nothing has made room since
        self._told_s = -_TELL_S  # when the log was last told of that
        self._redis_is_back = False  # whether the segment before this one went to Redis without a failure
        self.last_id = ChunkId(0, 0)  #: the newest chunk that Redis confirmed
        self._mark()

    async def run(self) -> None:
        """Make every chunk of the buffer durable, for ever."""
        while True:
            chunk = await self._buffer.take()
            chunk_id, self._next_id = self._next_id, self._next_id.next(0)
            try:
                async with self._last_mile:
                    stored = await self._store(chunk_id, chunk)
            except BaseException:
                self._settle()
                self._buffer.settle(chunk, False)  # no reply is left waiting by a stop or a bug
                self._buffer.close()
                raise
            self._settle()
            self.refusing = not stored
            if stored:
                self._next_id = self._next_id.next(chunk.events)
                self._metrics.add("pixeld_stored_events_total", chunk.events)
            self._owed = chunk, stored
            if self._buffer.empty:
                self._settle()
            else:
                self._soon = asyncio.get_running_loop().call_later(_OWED_S, self._settle)

    def _settle(self) -> None:
        """Let the replies go of the chunk whose outcome is known, if they haven't.

        Called when the next chunk is on its way, so that Redis works on that while these are written: with 256 connections
        the server stood still for 8 % of the time otherwise. Or when none follows, or the next one is held up.
        """
        if self._owed is not None:
            (chunk, stored), self._owed = self._owed, None
            self._buffer.settle(chunk, stored)
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    async def replay(self) -> None:
        """Bring spilled chunks to Redis whenever there are any, for ever."""
        attempt, told = 0, None
        while True:
            await self._spilled.wait()
            reached = self.last_id
            try:
                if self._redis_is_back and self._spill.segments == 1:
                    async with self._last_mile:  # some milliseconds; else steady load would keep the spill alive for ever
                        await self._replay_oldest()
                else:
                    await self._replay_oldest()
                attempt, told, self._redis_is_back = 0, None, True
            except (QueueAway, SpillFailed) as error:
                if told is not type(error):  # Redis may be back while the disk is not
                    told = type(error)
                    log.warning("events wait in the spill", extra={"reason": str(error), "spill_bytes": self._spill.bytes})
                self._redis_is_back = False
                attempt = 1 if self.last_id > reached else attempt + 1  # a full Redis takes as much as flushing makes room for
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S)) - 1])

    async def shipped(self) -> ChunkId:
        """Wait until what was appended before this call is in Redis; the newest id there."""
        await self._buffer.drained()
        await self._replayed.wait()
        return self.last_id

    @property
    def stored(self) -> int:
        """Events made durable so far, but for a constant."""
        return self._next_id.earlier

    async def spilled(self) -> Spilled | None:
        """What waits in the spill and nowhere else; None for nothing. OSError when it can't be read."""
        if self._spill.empty:
            return None
        found = await asyncio.shield(self._first())  # whoever stops waiting for it must not free the spill for a second thread
        return Spilled(found[0], self.stored - found[0].earlier, first_ms(found[1])) if found else None

    async def _first(self) -> tuple[ChunkId, bytes] | None:
        async with self._disk:
            return await asyncio.to_thread(self._spill.first, self.last_id)

    async def _store(self, chunk_id: ChunkId, chunk: Chunk) -> bool:
        if self._spill.empty:
            try:
                await self._push((chunk_id, chunk.data), meanwhile=self._settle)
                return True
            except QueueAway as error:
                self._metrics.add("pixeld_queue_failures_total")
                if not self.refusing:  # else it goes nowhere, which is told below
                    log.warning("Redis did not take a chunk; it goes to the spill", extra={"reason": str(error)})
        try:
            async with self._disk:
                await asyncio.to_thread(self._spill.append, chunk_id, chunk.data)
        except SpillFailed as error:
            now = asyncio.get_running_loop().time()
            if now - self._told_s >= _TELL_S:  # not for each of some hundred chunks a second
                self._told_s = now
                log.error("neither Redis nor the spill takes events; they are answered with 503", extra={"reason": str(error)})
            return False
        finally:
            self._mark()
        self._metrics.add("pixeld_spilled_chunks_total")
        return True

    async def _push(self, *chunks: tuple[ChunkId, bytes], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Store chunks in Redis. What it refuses it has, or had; unless it is ahead of us, which is QueueAway too."""
        try:
            await (self._queue.push(*chunks[0], meanwhile) if len(chunks) == 1 else self._queue.push_all(chunks))
        except ChunkRefused as error:
            if error.last.epoch > self._next_id.epoch:
                raise QueueAway(
                    f"{error}: it is ahead of this start, {self._next_id.epoch}, as when the clock went back and the data "
                    "directory's file `epoch` was lost; start pixeld again while Redis is there, and it says what to do"
                ) from error
        self.last_id = max(self.last_id, chunks[-1][0])

    async def _replay_oldest(self) -> None:
        async with self._disk:
            damaged = self._spill.damaged
            segment = await asyncio.to_thread(self._spill.oldest)
            self._metrics.add("pixeld_spill_damaged_records_total", self._spill.damaged - damaged)
        if segment is not None:
            number, chunks = segment
            for group in _groups(chunks):  # one fsync a chunk would be no faster than what comes in behind
                await self._push(*group)
            async with self._disk:
                await asyncio.to_thread(self._spill.forget, number)
            self.refusing = False
        self._mark()
        if self._spill.empty:
            log.info("the spill is empty; events go to Redis again")

    def _mark(self) -> None:
        """Say whether anything waits in the spill."""
        if self._spill.empty:
            self._spilled.clear()
            self._replayed.set()
        else:
            self._spilled.set()
            self._replayed.clear()


def _groups(chunks: Sequence[tuple[ChunkId, bytes]]) -> Iterator[list[tuple[ChunkId, bytes]]]:
    """`chunks` in order, as many together as make some CHUNK_BYTES."""
    group: list[tuple[ChunkId, bytes]] = []
    size = 0
    for chunk in chunks:
        if group and size + len(chunk[1]) > CHUNK_BYTES:
            yield group
            group, size = [], 0
        group.append(chunk)
        size += len(chunk[1])
    if group:
        yield group


def first_epoch(now_ms: Callable[[], int], *seen: ChunkId | int) -> int:
    """An epoch that no chunk of this node has had: the clock, or one more than the greatest one known if the clock
    went back.
    """
    known = max((s.epoch if isinstance(s, ChunkId) else s) for s in (0, *seen))
    return max(now_ms(), known + 1)
