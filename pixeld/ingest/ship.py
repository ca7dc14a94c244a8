"""Buffer → queue: each chunk into Redis, or into the spill while Redis can't take it; then back, in order.

Order is what makes every retry safe. There is one chunk on its way at a time and chunk ids only grow; while anything
waits in the spill, everything goes through the spill. So a chunk whose outcome is unknown reaches Redis again under
the same id before any later one does, and Redis refuses it if, and only if, it was stored the first time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pixeld.domain.events import ChunkId
from pixeld.domain.ports import Queue
from pixeld.errors import QueueAway, SpillFailed
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
        self._spilled = asyncio.Event()
        self._replayed = asyncio.Event()
        self._disk = asyncio.Lock()  # the spill is for one thread at a time
        self._last_mile = asyncio.Lock()  # held while the last segment is brought back: nothing may be spilled behind it
        self._redis_is_back = False  # whether the segment before this one went to Redis without a failure
        self.last_id = ChunkId(0, 0)  #: the newest chunk that Redis confirmed
        self._mark()

    async def run(self) -> None:
        """Make every chunk of the buffer durable, for ever."""
        while True:
            chunk = await self._buffer.take()
            chunk_id, self._next_id = self._next_id, ChunkId(self._next_id.epoch, self._next_id.seq + 1)
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
        attempt, told = 0, None
        while True:
            await self._spilled.wait()
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
                await self._queue.push(chunk_id, chunk.data)
                self.last_id = chunk_id
                return True
            except QueueAway as error:
                self._metrics.add("pixeld_queue_failures_total")
                log.warning("Redis did not take a chunk; it goes to the spill", extra={"reason": str(error)})
        try:
            async with self._disk:
                await asyncio.to_thread(self._spill.append, chunk_id, chunk.data)
        except SpillFailed as error:
            log.error("a chunk is lost to both Redis and the spill; its replies say so", extra={"reason": str(error)})
            return False
        finally:
            self._mark()
        self._metrics.add("pixeld_spilled_chunks_total")
        return True

    async def _replay_oldest(self) -> None:
        async with self._disk:
            damaged = self._spill.damaged
            segment = await asyncio.to_thread(self._spill.oldest)
            self._metrics.add("pixeld_spill_damaged_records_total", self._spill.damaged - damaged)
        if segment is not None:
            number, chunks = segment
            for chunk_id, data in chunks:
                await self._queue.push(chunk_id, data)
                self.last_id = max(self.last_id, chunk_id)
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
