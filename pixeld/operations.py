"""What an operator asks of the running server: is it well, flush now, show what comes in, answer a query."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Any

from pixeld.domain.events import decode
from pixeld.domain.ports import Queue, Registry
from pixeld.errors import BadInput, QueueAway, Unavailable, WarehouseRefused
from pixeld.ingest.buffer import Buffer
from pixeld.ingest.flush import Flusher
from pixeld.ingest.ship import Shipper
from pixeld.ingest.spill import Spill
from pixeld.ingest.watch import LOOK_S, Watch
from pixeld.storage.redis import RedisClient, fitness
from pixeld.storage.warehouse import Warehouse
from pixeld.web.keys import Health

_FLUSH_S = 15.0
_TAIL_S = 0.2


class ServerOperations:
    """Implements web.keys.Operations over the running parts. `stopping` turns readiness off while connections drain."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        redis_replicas: int,
        queue: Queue,
        watch: Watch,
        buffer: Buffer,
        spill: Spill,
        spill_bytes: int,
        shipper: Shipper,
        flusher: Flusher,
        warehouse: Warehouse,
        registry: Registry,
        clock: Callable[[], int],
    ) -> None:
        self._redis, self._queue, self._watch, self._buffer, self._spill = redis, queue, watch, buffer, spill
        self._redis_replicas = redis_replicas
        self._spill_bytes, self._shipper, self._flusher, self._warehouse = spill_bytes, shipper, flusher, warehouse
        self._registry, self._clock = registry, clock
        self.stopping = False
        self.ready = False  #: as of the last look

    async def health(self) -> dict[str, Health]:
        """Every dependency's state, within 2 s. A dead letter makes nothing unready: it waits for a person, and taking this
        server out of service would not bring one.
        """
        found = {"server": Health(not self.stopping, {"pid": os.getpid(), "stopping": self.stopping})}
        found["redis"], _ = await asyncio.gather(self._fitness(), self._watch.look())
        snapshot = self._registry.snapshot
        found["registry"] = Health(snapshot is not None, {"version": snapshot.version if snapshot else None})
        problem = self._flusher.problem
        found["clickhouse"] = Health(problem is None, {"reason": problem} if problem else self._engine())
        spill = {"bytes": self._spill.bytes, "max_bytes": self._spill_bytes, "empty": self._spill.empty}
        found["spill"] = Health(not self._shipper.refusing, spill)
        figures = {**self._watch.figures(), "buffer_bytes": self._buffer.bytes, "others": self._watch.others()}
        found["backlog"] = Health(not self._watch.late, figures)
        self.ready = all(health.ok for health in found.values())
        return found

    def _engine(self) -> dict[str, Any]:
        once = self._warehouse.features.exactly_once
        return {"version": self._warehouse.version, "counts": "exactly once" if once else "at least once"}

    async def _fitness(self) -> Health:
        try:
            async with asyncio.timeout(LOOK_S):
                fit = await fitness(self._redis, self._redis_replicas)
            durability = {"durable": fit.durable, "durability": fit.text, "replicas": fit.replicas}
            return Health(fit.enough, {"server": fit.server, **durability})
        except QueueAway as error:
            return Health(False, {"reason": str(error)})
        except TimeoutError:
            return Health(False, {"reason": f"Redis has not answered within {LOOK_S} s"})

    async def flush(self) -> int:
        """Bring everything answered so far into ClickHouse; how many events that took."""
        before = self._flusher.events
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self._shipper.shipped()
                await self._flusher.reached(await self._queue.last_id())
                await self._warehouse.settled()
        except TimeoutError:
            why = self._flusher.problem or "there is more than can be flushed, or a ClickHouse replica lags behind"
            raise Unavailable(
                f"not everything was flushed within {_FLUSH_S:.0f} s ({why}); it will be, and nothing is lost"
            ) from None
        return self._flusher.events - before

    def today(self) -> date:
        """The date in UTC."""
        return datetime.fromtimestamp(self._clock() / 1000, UTC).date()

    async def sql(self, statement: str) -> list[dict[str, Any]]:
        """The rows of one reading statement. BadInput for any other, or when ClickHouse refuses it."""
        try:
            return await self._warehouse.read_only(statement)
        except WarehouseRefused as error:
            raise BadInput(str(error), "sql") from None

    async def tail(self) -> AsyncIterator[dict[str, Any] | None]:
        """Every event from now on, as it reaches the queue; None now and then while none does."""
        after = await self._queue.last_id()
        while True:
            page = await self._queue.read(after, count=64)
            for chunk_id, data in page:
                after = chunk_id
                for kind, values in decode(data):
                    yield {"kind": kind.name, **dict(zip(kind.columns, values, strict=True))}
            if not page:
                yield None
                await asyncio.sleep(_TAIL_S)
