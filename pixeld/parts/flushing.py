"""Flushing: a flusher for every queue of this installation, and what other nodes left behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from pixeld.errors import LeaseLost, Unavailable, WarehouseRefused
from pixeld.ingest.flush import Flusher
from pixeld.metrics import Metrics
from pixeld.parts.links import RedisLinks
from pixeld.settings import Settings
from pixeld.storage import migrations as schema
from pixeld.storage import retention
from pixeld.storage.redis import RedisClient
from pixeld.storage.redis_queue import RedisQueue, nodes
from pixeld.storage.warehouse import Warehouse
from pixeld.tasks import Tasks

log = logging.getLogger(__name__)
_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_ADOPT_S = 5.0  # how often the queues of other nodes are looked at
_DROP_S = 3600.0  # how often partitions are looked for that are past their time


class Flushers:
    """Runs until `stack` is unwound to here; then flushes once more what has been shipped. `owner` names this installation
    in the leases of all its queues, so that its next start needn't wait for them to run out. `kept_days` says how long each
    table is to keep its rows.
    """

    def __init__(
        self,
        stack: AsyncExitStack,
        failed: asyncio.Future[None],
        settings: Settings,
        links: RedisLinks,
        warehouse: Warehouse,
        metrics: Metrics,
        owner: str,
        clock: Callable[[], int],
        kept_days: retention.KeptDays,
    ) -> None:
        self._settings, self._links, self._warehouse, self._metrics = settings, links, warehouse, metrics
        self._owner, self._clock, self._kept_days = owner, clock, kept_days
        self._preparing, self._prepared = asyncio.Lock(), asyncio.Event()
        self.own: dict[str, Flusher] = {}  #: by node
        running = AsyncExitStack()  # a worker's flusher may be started at any time, and ends here all the same
        self._tasks = Tasks(running, failed)
        stack.push_async_callback(self._last_flush)
        stack.push_async_callback(running.aclose)
        self._tasks.start("mend", warehouse.mend())
        self._tasks.start("retention", self._drop_past())

    def run(self, node: str, pressed: Callable[[], bool]) -> Flusher:
        """The flusher of one of our queues, which goes on for ever; the same one for the same node."""
        if node not in self.own:
            flusher = self.own[node] = self._make(node, pressed)
            # Not cancelled in the middle of a batch: its insert would go on in its thread, and the last flush repeat it.
            self._tasks.start(f"flush {node}", self._run(self._links.queue(node), flusher), between=flusher.stepping)
        return self.own[node]

    @property
    def succeeded_ms(self) -> int:
        """When the last batch of any of our queues was finished."""
        return max((flusher.succeeded_ms for flusher in self.own.values()), default=0)

    def adopt(self) -> None:
        """Look after the queues of other nodes too, from when all of our own are known."""
        self._tasks.start("adopt", adopt(self._links.redis, self.own, lambda node: self._make(node, lambda: False)))

    def _make(self, node: str, pressed: Callable[[], bool]) -> Flusher:
        settings = self._settings
        return Flusher(
            self._links.queue(node),
            self._warehouse,
            self._metrics,
            node=node,
            owner=self._owner,
            clock=self._clock,
            interval_s=settings.flush_interval_s,
            max_events=settings.flush_max_events,
            keep_s=settings.flush_keep_s,
            lease_s=settings.lease_s,
            pressed=pressed,
        )

    async def _run(self, queue: RedisQueue, flusher: Flusher) -> None:
        """Wait for both ends with patience, bring the schema up to date, then flush for ever."""
        attempt = 0
        while True:
            try:
                await queue.announce()
                await self._prepare()
                break
            except Unavailable as error:
                if attempt in (0, 10) or attempt % 60 == 0:
                    log.warning("flushing cannot begin yet and will be tried again", extra={"reason": str(error)})
                flusher.problem = str(error)
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
        await flusher.run()

    async def _prepare(self) -> None:
        async with self._preparing:
            if self._prepared.is_set():
                return
            warehouse = self._warehouse
            await warehouse.connect()
            if applied := await schema.apply(warehouse):
                log.info("brought the schema up to date", extra={"migrations": [str(migration) for migration in applied]})
            try:
                if altered := await retention.apply(warehouse, self._kept_days):
                    log.info("brought the tables to keep what the privacy data map says", extra={"statements": altered})
            except WarehouseRefused as error:  # a user without ALTER, say: no reason to store nothing any more
                log.error("tables keep their rows longer than the privacy data map says", extra={"reason": str(error)})
            self._prepared.set()
            once = warehouse.features.exactly_once
            log.info("ClickHouse answers", extra={"version": warehouse.version, "exactly_once": once})

    async def _drop_past(self) -> None:
        """For ever, drop whole partitions that are past their time: sooner than a TTL's merges, and where there are none."""
        await self._prepared.wait()
        while True:
            try:
                today = datetime.fromtimestamp(self._clock() / 1000, UTC).date()
                if dropped := await retention.drop_past(self._warehouse, self._kept_days, today):
                    log.info("dropped what the privacy data map says is past its time", extra={"statements": dropped})
            except (Unavailable, WarehouseRefused) as error:
                log.warning("what is past its time could not be dropped now", extra={"reason": str(error)})
            await asyncio.sleep(_DROP_S)

    async def _last_flush(self) -> None:
        """Flush what has been shipped, if that is possible now; what isn't flushed stays in the queue."""
        for node, flusher in self.own.items():
            try:
                if flusher.problem is None:
                    await flusher.drain()
                await flusher.release()
            except (LeaseLost, Unavailable) as error:
                reason = {"node": node, "reason": str(error)}
                log.warning("the last batch stays in the queue until the next start", extra=reason)


async def adopt(redis: RedisClient, own: Mapping[str, Flusher], flusher_of: Callable[[str], Flusher]) -> None:
    """Flush what other nodes left behind, for ever: a node that is alive holds the lease of its queue."""
    orphans: dict[str, Flusher] = {}  # kept, because each remembers what it has to trim
    while True:
        await asyncio.sleep(_ADOPT_S)
        if any(flusher.problem is not None for flusher in own.values()):
            continue
        try:
            found = [node for node in await nodes(redis) if node not in own]
        except Unavailable:
            continue
        for node in found:
            orphan = orphans.setdefault(node, flusher_of(node))
            try:
                if events := await orphan.drain():
                    log.warning("flushed the queue of a node that is gone", extra={"node": node, "events": events})
                await orphan.release()
            except (LeaseLost, Unavailable) as error:
                log.info("another node's queue could not be flushed now", extra={"node": node, "reason": str(error)})
