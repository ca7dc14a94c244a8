"""Queue → warehouse: batches into ClickHouse, each exactly once where the engine knows it again.

The batch's manifest (range, row count, digest) is in Redis before its first insert and marked done after its last.
Whoever finds an open manifest, this process after a failure or another one after a crash, inserts the same rows in
the same order under the same tokens, and the engine drops what it already has, by token or, in replicated tables, by
content. A single server without tokens (before 22.3) gets such a batch at least once.

After a failover Redis may know less than this process: a manifest from before, chunks that were trimmed, a lease that was
somebody's. A process never goes back behind what it has flushed, and ends the batch that it has begun as it began it,
whatever the new primary knows of it. What remains is a manifest that was lost together with the process that wrote it:
then chunks are flushed again in other batches, and count twice. `redis_replicas` keeps manifests from being lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from pixeld.domain.events import ChunkId, Kind
from pixeld.domain.ports import Manifest, Queue, Row, Warehouse
from pixeld.errors import LeaseLost, Unavailable, WarehouseRefused
from pixeld.ingest.batch import Batch, Draft, original
from pixeld.metrics import Metrics

log = logging.getLogger(__name__)
# Chunks read at once, at most, and how many bytes they should be together. A page is taken over on the event loop in one go:
# 128 KiB are 750 orders, which hold it up for 0.6 ms (0.8 µs an order, reply included; pages of 64 KiB cost 1.2, larger ones
# no less). In a thread it would be the GIL that holds it up, for up to 5 ms at a time.
_PAGE, _PAGE_BYTES = 1024, 128 << 10
_BATCH_BYTES = 32 << 20  # past it a batch is closed early, so that memory stays bounded whatever an event's size
_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_START = ChunkId(0, 0)


def _page(chunks: int, size: int) -> int:
    """How many chunks to read next, after `chunks` that took `size` bytes."""
    return max(1, min(_PAGE, _PAGE_BYTES * chunks // size)) if size else 1


class Flusher:
    """The owner of one queue. `owner` names this node in the lease; `run` goes on for ever, `drain` until nothing is left."""

    def __init__(
        self,
        queue: Queue,
        warehouse: Warehouse,
        metrics: Metrics,
        *,
        node: str,
        owner: str,
        clock: Callable[[], int],
        interval_s: float,
        max_events: int,
        keep_s: float,
        lease_s: float,
        pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._queue, self._warehouse, self._metrics = queue, warehouse, metrics
        self._node, self._owner, self._clock = node, owner, clock
        self._interval_s, self._max_events, self._keep_s, self._lease_s = interval_s, max_events, keep_s, lease_s
        self._pressed = pressed  # whether Redis' memory is wanted for other things than what is flushed already
        self._wake = asyncio.Event()
        self._advanced = asyncio.Condition()
        self._kept: deque[tuple[int, ChunkId]] = deque()  # (when flushed, up to where): trimmed after keep_s
        self.stepping = asyncio.Lock()  #: held during a step of `run`: whoever holds it may stop the task between two
        self._fence: int | None = None
        self._begun: Batch | None = None  # its manifest has been written, its end is not known: made again without Redis
        self._behind = False  # the last batch was closed by its bounds: more waits already
        self._renewed_ms = 0
        self.done = _START  #: the newest chunk that is in the warehouse
        self.events = 0  #: flushed by this flusher
        self.succeeded_ms = 0  #: when the last batch was finished
        self.problem: str | None = "not started yet"  #: why flushing stands still, None when it doesn't

    async def run(self) -> None:
        """Flush what has come in every interval, at once what doesn't fit into one batch; sooner when asked; after a failure
        again, ever later.

        A part costs merges later on: under steady load they are few and large, because a batch waits for its interval.
        """
        attempt, loop = 0, asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            try:
                async with self.stepping:
                    flushed = await self.step()
                attempt = 0
                if self._fence is not None:
                    self.problem = None  # from the first batch on, however many are left
                if not (flushed and self._behind):
                    await self._pause(begun_s + self._interval_s - loop.time())
            except LeaseLost as error:
                self.problem = str(error)
                log.warning("another flusher owns the queue", extra={"reason": str(error)})
                await self._pause(self._lease_s / 3)
            except Unavailable as error:
                self._metrics.add("pixeld_flush_failures_total")
                if attempt == 0:
                    log.warning("flushing stands still and will be tried again", extra={"reason": str(error)})
                self.problem = str(error)
                await self._pause(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    async def step(self) -> bool:
        """Flush one batch; whether there may be more. Raises LeaseLost, QueueAway or WarehouseAway, all safe to repeat."""
        try:
            return await self._step()
        except LeaseLost:
            self._fence = None
            raise

    async def _step(self) -> bool:
        if not await self._own():
            return False
        await self._trim()  # also while the warehouse is away, when the room is needed most
        newest = await self._queue.manifest()
        batch = await self._unfinished(newest)
        self._behind = batch is not None
        if batch is None:
            if newest is not None and self.done == _START:
                self._kept.append((self._clock(), newest.last))  # an earlier flusher's, not trimmed yet
            await self._advance(newest.last if newest else _START)
            batch = await self._gather(self.done)
        if batch is None:
            return False
        if newest is not None and newest.last >= batch.manifest.first:
            log.info("going on with an unfinished batch", extra={"events": batch.manifest.rows})
            if newest.digest != batch.manifest.digest:
                log.critical("the queue's chunks differ from their manifest", extra={"batch": f"{newest.first}…{newest.last}"})
        self._begun = batch
        await self._queue.write_manifest(batch.manifest)
        await self._insert(batch)
        await self._queue.write_manifest(replace(batch.manifest, state="done"))
        await self._finished(batch.manifest)
        return True

    async def drain(self) -> int:
        """Flush until nothing waits; how many events that were. For a queue that nobody writes to any more, and at the end."""
        before = self.events
        while await self.step():
            pass
        return self.events - before

    async def reached(self, chunk_id: ChunkId) -> None:
        """Flush now, and return when everything up to `chunk_id` is in the warehouse."""
        async with self._advanced:
            while self.done < chunk_id:
                self._wake.set()
                await self._advanced.wait()

    async def release(self) -> None:
        """Give the lease back, so that the next owner needn't wait for it to run out."""
        if self._fence is not None:
            fence, self._fence = self._fence, None
            await self._queue.release(fence)

    async def _own(self) -> bool:
        """Hold the lease, taking it if need be; False while another flusher has it."""
        now, ttl_ms = self._clock(), int(self._lease_s * 1000)
        if self._fence is None:
            self._fence = await self._queue.acquire(self._owner, ttl_ms)
            if self._fence is None:
                self.problem = "another flusher holds the lease of this queue"
                return False
            self._renewed_ms = now
        elif not 0 <= now - self._renewed_ms < ttl_ms / 3:
            await self._queue.renew(self._fence, ttl_ms)
            self._renewed_ms = now
        return True

    async def _gather(self, after: ChunkId) -> Batch | None:
        """The next batch: every chunk behind `after` that is there, as far as the bounds allow."""
        assert self._fence is not None
        draft, lines = Draft(self._node), 0
        while True:
            count = _page(draft.chunks, draft.size)
            page = await self._queue.read(after, count=count)
            for chunk_id, data in page:
                more = data.count(b"\n")
                full = lines + more > self._max_events or draft.size + len(data) > _BATCH_BYTES
                if full and draft.chunks:
                    self._behind = True
                    return draft.batch(self._fence)
                draft.add(chunk_id, data)
                lines, after = lines + more, chunk_id
            if len(page) < count:
                return draft.batch(self._fence) if draft.chunks else None

    async def _unfinished(self, newest: Manifest | None) -> Batch | None:
        """The batch that was begun and not ended: this process's own, or else the open manifest's, its chunks read again."""
        assert self._fence is not None
        if self._begun is not None:
            mine = self._begun.manifest
            same = newest is not None and (newest.last, newest.digest) == (mine.last, mine.digest)
            if newest is None or newest.last < mine.first or (same and newest.state == "open"):
                # also when a failover took the manifest: some of it may be in the warehouse
                return replace(self._begun, manifest=replace(mine, fence=self._fence))
            self._begun = None
            if same:  # its end was written, and nobody learned of it
                await self._finished(mine)
        if newest is None or newest.state == "done":
            return None
        if newest.last > self.done:
            draft, after = Draft(self._node), newest.first.before()
            while page := await self._queue.read(after, count=_page(draft.chunks, draft.size), until=newest.last):
                for chunk_id, data in page:
                    draft.add(chunk_id, data)
                after = page[-1][0]
            if draft.chunks:
                return draft.batch(self._fence)
            log.critical("the queue has lost a batch that was being flushed", extra={"batch": f"{newest.first}…{newest.last}"})
        await self._queue.write_manifest(replace(newest, state="done", fence=self._fence))
        return None

    async def _insert(self, batch: Batch) -> None:
        if batch.unreadable:
            log.error("chunks that are no events go to the dead letters", extra={"chunks": len(batch.unreadable)})
            await self._queue.bury(batch.unreadable)
        for part in batch.parts:
            await self._insert_part(part.kind, part.rows, part.token)
            await self._own()

    async def _insert_part(self, kind: Kind, rows: Sequence[Row], token: str) -> None:
        """Insert rows; if the warehouse refuses them, halve them until only the poison is left, and bury that.

        A half's token derives from the whole's, so that a repeat after a crash takes the same steps and changes nothing.
        """
        try:
            await self._warehouse.insert(kind.table, (*kind.columns, "event_id"), rows, token)
        except WarehouseRefused as error:
            if len(rows) == 1:
                log.error("an event that ClickHouse refuses goes to the dead letters", extra={"reason": str(error)})
                event_id, line = original(kind, rows[0])
                await self._queue.bury([(event_id, str(error), line)])
                return
            middle = len(rows) // 2
            await self._insert_part(kind, rows[:middle], f"{token}:0")
            await self._insert_part(kind, rows[middle:], f"{token}:1")

    async def _finished(self, manifest: Manifest) -> None:
        self._begun = None
        self.events += manifest.rows
        self.succeeded_ms = self._clock()
        self._metrics.add("pixeld_flushed_events_total", manifest.rows)
        self._kept.append((self._clock(), manifest.last))
        await self._advance(manifest.last)
        await self._trim()

    async def _advance(self, upto: ChunkId) -> None:
        """Everything up to `upto` is in the warehouse, whoever put it there, and whatever a failover forgets."""
        if upto > self.done:
            async with self._advanced:
                self.done = upto
                self._advanced.notify_all()

    async def _trim(self) -> None:
        keep_ms = 0 if self._pressed() else self._keep_s * 1000
        due = [upto for flushed_ms, upto in self._kept if self._clock() - flushed_ms >= keep_ms]
        if due:
            await self._queue.trim(max(due))
            while self._kept and self._kept[0][1] <= max(due):  # only now: a trim that failed is to be repeated
                self._kept.popleft()

    async def _pause(self, seconds: float) -> None:
        # not wait_for: before Python 3.12 it can swallow a cancellation that meets its result
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()
