"""What an operator asks of the running server: is it well, flush now, show what comes in, answer a query."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from math import inf
from typing import Any, Protocol

from pixeld.domain.events import decode
from pixeld.domain.ports import Registry
from pixeld.errors import BadInput, QueueAway, Unavailable, WarehouseRefused
from pixeld.ingest.flush import Flusher
from pixeld.ingest.watch import LOOK_S, OLDEST, Look, Watch, together
from pixeld.storage.redis import RedisClient, fitness
from pixeld.storage.redis_queue import RedisQueue
from pixeld.storage.warehouse import Warehouse
from pixeld.web.keys import Health

_FLUSH_S = 15.0
_TAIL_S = 0.2


class AnyNode(Protocol):
    """A node of this installation, in this process or in a worker's."""

    name: str

    @property
    def queue(self) -> RedisQueue:
        """Where it ships to."""

    async def look(self) -> Look | None:
        """How it is now, within LOOK_S; None when that has never been known."""

    async def shipped(self) -> None:
        """Return when everything that it has answered so far is in Redis."""

    def state(self) -> dict[str, Any] | None:
        """Of another process: whether it is well (`ok`), its id, the reason if it isn't."""


class ServerOperations:
    """Implements web.keys.Operations over the running parts. `stopping` turns readiness off while connections drain."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        redis_replicas: int,
        nodes: Sequence[AnyNode],
        watch: Watch,
        spill_bytes: int,
        flushers: Mapping[str, Flusher],
        warehouse: Warehouse,
        registry: Registry,
        clock: Callable[[], int],
    ) -> None:
        self._redis, self._nodes, self._watch = redis, nodes, watch
        self._redis_replicas = redis_replicas
        self._spill_bytes, self._flushers, self._warehouse = spill_bytes, flushers, warehouse
        self._registry, self._clock = registry, clock
        self.stopping = False
        self.ready = False  #: as of the last look
        self.seen: Look | None = None  #: all nodes together, as of the last look

    async def health(self) -> dict[str, Health]:
        """Every dependency's state, within 2 s. A dead letter makes nothing unready: it waits for a person, and taking this
        server out of service would not bring one.
        """
        found = {"server": Health(not self.stopping, {"pid": os.getpid(), "stopping": self.stopping})}
        looking = asyncio.gather(*(node.look() for node in self._nodes))
        found["redis"], looks = await asyncio.gather(self._fitness(), looking)
        self.seen = seen = together([look for look in looks if look is not None])
        if workers := {node.name: state for node in self._nodes if (state := node.state()) is not None}:
            found["workers"] = Health(all(state["ok"] for state in workers.values()), workers)
        snapshot = self._registry.snapshot
        found["registry"] = Health(snapshot is not None, {"version": snapshot.version if snapshot else None})
        problem = self._problem()
        found["clickhouse"] = Health(problem is None, {"reason": problem} if problem else self._engine())
        spill = {"bytes": seen.figures["spill_bytes"], "max_bytes": self._spill_bytes, "empty": seen.empty}
        found["spill"] = Health(not seen.refusing, spill)
        found["backlog"] = Health(not seen.late, {**seen.figures, "others": self._watch.others()})
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
        before = self._flushed()
        parts = [asyncio.create_task(self._flush(node)) for node in self._nodes]
        try:
            async with asyncio.timeout(_FLUSH_S):
                await asyncio.gather(*parts)
                await self._warehouse.settled()
        except TimeoutError:
            why = self._problem() or self._unwell() or "there is more than can be flushed, or a ClickHouse replica lags behind"
            raise Unavailable(
                f"not everything was flushed within {_FLUSH_S:.0f} s ({why}); it will be, and nothing is lost"
            ) from None
        finally:
            for part in parts:
                part.cancel()
        return self._flushed() - before

    async def _flush(self, node: AnyNode) -> None:
        await node.shipped()
        await self._flushers[node.queue.node].reached(await node.queue.last_id())

    def _flushed(self) -> int:
        return sum(flusher.events for flusher in self._flushers.values())

    def _unwell(self) -> str | None:
        """Which worker is not well, and why."""
        states = {node.name: state for node in self._nodes if (state := node.state()) is not None}
        return next((f"{name}: {state['reason']}" for name, state in states.items() if not state["ok"]), None)

    def _problem(self) -> str | None:
        """Why flushing stands still, of whichever queue."""
        return next((flusher.problem for flusher in self._flushers.values() if flusher.problem), None)

    async def oldest_s(self) -> float:
        """How long the oldest event that is not in ClickHouse has waited: here, in workers, and in Redis for other servers.
        What those have in their spill they alone know. 0 for none.
        """
        await self.health()
        return max(self.seen.figures[OLDEST] if self.seen else inf, self._watch.others()[OLDEST])

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
        """Every event from now on, as it reaches its queue; None now and then while none does."""
        after = [await node.queue.last_id() for node in self._nodes]
        while True:
            quiet = True
            for number, node in enumerate(self._nodes):
                for chunk_id, data in await node.queue.read(after[number], count=64):
                    after[number], quiet = chunk_id, False
                    for kind, values in decode(data):
                        yield {"kind": kind.name, **dict(zip(kind.columns, values, strict=True))}
            if quiet:
                yield None
                await asyncio.sleep(_TAIL_S)
