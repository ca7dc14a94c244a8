"""Buffer → queue: each chunk into Redis, or into the spill while Redis can't take it; then back, in order.

Order is what makes every retry safe. There is one chunk on its way at a time and chunk ids only grow; while anything
waits in the spill, everything goes through the spill. So a chunk whose outcome is unknown reaches Redis again under
the same id before any later one does, and Redis refuses it if, and only if, it was stored the first time.

A failover keeps that: replication is in order too, so a new primary holds all chunks up to some one and none after it.
What was spilled is taken there if it is missing and refused if it is there. What the old primary confirmed and the new
one misses is lost, unless the answers waited for replicas (`redis_replicas`): nobody has it any more to send it again.

"Refused, therefore stored" would be wrong for ids below those that the stream has seen: a clock that went back while
Redis was away and the data directory's own count was lost. So a refusal is looked into. The chunk is there; or it was
flushed and trimmed since, which the manifest tells; or it goes into the spill again under an id above all others. That
cannot count it twice, for an event's id derives from the chunk under which it reached the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pixeld.domain.events import ChunkId
from pixeld.domain.ports import Queue
from pixeld.errors import Overtaken, QueueAway, SpillFailed
from pixeld.ingest.buffer import Buffer, Chunk
from pixeld.ingest.spill import Spill
from pixeld.metrics import Metrics

log = logging.getLogger(__name__)
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)  # then every second: Redis is back within one when it is back


class Shipper:
    """Two tasks: `run` makes chunks durable, `replay` brings the spill's back. `epoch` numbers this start of the process."""

    def __init__(self, buffer: Buffer, queue: Queue, spill: Spill, metrics: Metrics, epoch: int) -> None:
        self._buffer, self._queue, self._spill, self._metrics = buffer, queue, spill, metrics
        self._next_id = ChunkId(epoch, 0)
        self._epochs = {epoch}  # those of this process: nobody else's chunks come after its own
        self._spilled = asyncio.Event()
        self._replayed = asyncio.Event()
        self._disk = asyncio.Lock()  # the spill is for one thread at a time
        self._last_mile = asyncio.Lock()  # held while the last segment is brought back: nothing may be spilled behind it
        self._losing = False  # whether the newest chunk was lost: told once, not for each of hundreds a second
        self._redis_is_back = False  # whether the segment before this one went to Redis without a failure
        self.last_id = ChunkId(0, 0)  #: the newest chunk that Redis confirmed
        self._mark()

    async def run(self) -> None:
        """Make every chunk of the buffer durable, for ever."""
        while True:
            chunk = await self._buffer.take()
            chunk_id = self._new_id()
            try:
                async with self._last_mile:
                    stored = await self._store(chunk_id, chunk)
            except BaseException:
                self._buffer.settle(chunk, False)  # no reply is left waiting by a stop or a bug
                self._buffer.close()
                raise
            if stored:
                self._metrics.add("pixeld_stored_events_total", len(chunk.waiters))
            self._buffer.settle(chunk, stored)

    async def replay(self) -> None:
        """Bring spilled chunks to Redis whenever there are any, for ever."""
        attempt = 0
        while True:
            await self._spilled.wait()
            try:
                if self._redis_is_back and self._spill.segments == 1:
                    async with self._last_mile:  # some milliseconds; else steady load would keep the spill alive for ever
                        await self._replay_oldest()
                else:
                    await self._replay_oldest()
                attempt, self._redis_is_back = 0, True
            except (QueueAway, SpillFailed) as error:
                if attempt == 0:
                    log.warning("events wait in the spill", extra={"reason": str(error), "spill_bytes": self._spill.bytes})
                self._redis_is_back = False
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    async def shipped(self) -> ChunkId:
        """Wait until what was appended before this call is in Redis; the newest id there."""
        await self._buffer.drained()
        await self._replayed.wait()
        return self.last_id

    async def _store(self, chunk_id: ChunkId, chunk: Chunk) -> bool:
        if self._spill.empty:
            try:
                await self._push(chunk_id, chunk.data)
                self._losing = False
                return True
            except QueueAway as error:
                self._metrics.add("pixeld_queue_failures_total")
                log.warning("Redis did not take a chunk; it goes to the spill", extra={"reason": str(error)})
            except Overtaken:
                chunk_id = self._new_id()
        try:
            async with self._disk:
                await asyncio.to_thread(self._spill.append, chunk_id, chunk.data)
        except SpillFailed as error:
            if not self._losing:
                log.error("chunks are lost to both Redis and the spill; their replies say so", extra={"reason": str(error)})
            self._losing = True
            return False
        finally:
            self._mark()
        if self._losing:
            log.warning("the spill takes chunks again")
        self._losing = False
        self._metrics.add("pixeld_spilled_chunks_total")
        return True

    async def _push(self, chunk_id: ChunkId, data: bytes) -> None:
        """Store a chunk in Redis. Overtaken when it is not there and never was; then new ids are such as Redis takes."""
        try:
            await self._queue.push(chunk_id, data)
        except Overtaken as error:
            others = chunk_id.epoch in self._epochs and error.last.epoch not in self._epochs
            if chunk_id > error.flushed or others:
                log.critical("a chunk's id was too small for Redis; it gets a new one", extra={"reason": str(error)})
                self._next_id = max(self._next_id, ChunkId(error.last.epoch + 1, 0))
                self._epochs.add(self._next_id.epoch)
                raise
        self.last_id = max(self.last_id, chunk_id)

    def _new_id(self) -> ChunkId:
        new, self._next_id = self._next_id, ChunkId(self._next_id.epoch, self._next_id.seq + 1)
        return new

    async def _replay_oldest(self) -> None:
        async with self._disk:
            damaged = self._spill.damaged
            segment = await asyncio.to_thread(self._spill.oldest)
            self._metrics.add("pixeld_spill_damaged_records_total", self._spill.damaged - damaged)
        if segment is not None:
            number, chunks = segment
            for chunk_id, data in chunks:
                try:
                    await self._push(chunk_id, data)
                except Overtaken:
                    async with self._disk:
                        await asyncio.to_thread(self._spill.append, self._new_id(), data)
            async with self._disk:
                await asyncio.to_thread(self._spill.forget, number)
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


def first_epoch(now_ms: Callable[[], int], *seen: ChunkId | int) -> int:
    """An epoch that no chunk of this node has had: the clock, or one more than the greatest one known if the clock
    went back.
    """
    known = max((s.epoch if isinstance(s, ChunkId) else s) for s in (0, *seen))
    return max(now_ms(), known + 1)
