"""A node: a data directory with its name, and the way of its events from memory, perhaps by the spill, into its queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pixeld.datadir import DataDir
from pixeld.domain.events import ChunkId
from pixeld.domain.ports import Backlog
from pixeld.errors import DataDirInUse, QueueAway, SettingsError, Unavailable
from pixeld.ingest.buffer import Buffer
from pixeld.ingest.ship import Shipper, first_epoch
from pixeld.ingest.spill import Spill
from pixeld.ingest.watch import LOOK_S, Flushing, Look, Watch
from pixeld.metrics import Metrics
from pixeld.parts.links import RedisLinks
from pixeld.settings import Settings
from pixeld.storage.redis import fitness
from pixeld.storage.redis_queue import RedisQueue
from pixeld.storage.registry import Registry
from pixeld.tasks import Tasks

log = logging.getLogger(__name__)
_AGAIN_S = 0.05
_BEHIND_MS = 60_000  # behind the last start. What NTP takes back at once is less, and few orders come so soon after a click


class Node:
    """Made, then `open`ed, then `start`ed. Who has no listener appends nothing, and ships what an earlier start has left."""

    def __init__(
        self, settings: Settings, data: DataDir, links: RedisLinks, metrics: Metrics, clock: Callable[[], int]
    ) -> None:
        self._settings, self._links, self._metrics, self._clock = settings, links, metrics, clock
        self.data, self.queue = data, links.queue(data.node)
        self.name = f"node {data.node}"
        self.buffer = Buffer(settings.buffer_bytes)
        self.spill = Spill(data.path / "spill", settings.spill_bytes)
        self.connections: Callable[[], int] = lambda: 0  #: how many peers its listener has
        self.epoch = 0

    async def open(self, stack: AsyncExitStack, registry: Registry | None = None) -> None:
        """Read what is left on disk, and what Redis knows, if it answers; without it the node starts all the same and spills.

        `registry` is read on the way. SettingsError when the data directory is behind what Redis has of it.
        """
        await asyncio.to_thread(self.spill.open)
        stack.callback(self.spill.close)
        seen = await self._first_contact(registry)
        if not self.spill.empty and seen.epoch > max(self.data.epoch(), self.spill.last_id().epoch):
            raise SettingsError(
                f"Redis has chunks of a later start of this data directory ({seen.epoch}) than it knows: it may be an old "
                f"copy. Those in {self.data.path / 'spill'} could be taken for repeats, so move that directory away and "
                "start again"
            )
        self.epoch = self.data.next_epoch(first_epoch(self._clock, seen, self.spill.last_id()))
        if (behind_ms := self.epoch - self._clock()) > _BEHIND_MS:
            text = "the clock is behind where it was; what was clicked after the time that it shows earns no order until then"
            log.warning(text, extra={"behind_s": behind_ms / 1000})
        queue = RedisQueue(self._links.shipping, self.data.node, self._links.replicas)
        self.shipper = Shipper(self.buffer, queue, self.spill, self._metrics, self.epoch)

    def start(
        self,
        stack: AsyncExitStack,
        tasks: Tasks,
        flusher: Flushing,
        others: Callable[[], Awaitable[Backlog]],
        look_s: float = LOOK_S,
    ) -> None:
        """Ship until the stack is unwound to here, and then until nothing waits."""
        tasks.start("replay", self.shipper.replay())
        tasks.start("ship", self.shipper.run())
        stack.push_async_callback(self.buffer.drained)
        self.watch = Watch(
            buffer=self.buffer,
            shipper=self.shipper,
            spill=self.spill,
            queue=self.queue,
            others=others,
            flusher=flusher,
            clock=self._clock,
            late_s=self._settings.late_s,
            look_s=look_s,
        )
        tasks.start("watch", self.watch.run())

    async def look(self) -> Look:
        """How it is now."""
        await self.watch.look()
        return self.watch.seen()._replace(connections=self.connections())

    async def shipped(self) -> None:
        """Return when everything that it has answered so far is in Redis."""
        await self.shipper.shipped()

    def state(self) -> dict[str, Any] | None:
        """None: its process is the one that asks."""
        return None

    async def _first_contact(self, registry: Registry | None) -> ChunkId:
        """The newest chunk that Redis has of this node."""
        last = ChunkId(0, 0)
        try:
            last = await self.queue.last_id()
            if registry is not None:
                fit = await fitness(self._links.redis, self._settings.redis_replicas)
                level = logging.INFO if fit.durable and fit.enough else logging.WARNING
                log.log(level, "Redis answers", extra={"server": fit.server, "durable": fit.durable, "durability": fit.text})
                await registry.refresh()
        except QueueAway as error:
            log.warning("Redis is away; events go to the spill until it is back", extra={"reason": str(error)})
        except Unavailable as error:
            log.error("the registry cannot be read; its copy serves, if there is one", extra={"reason": str(error)})
        return last


async def directory(path: Path, holder: str, patience_s: float) -> DataDir:
    """A worker's data directory. A worker whose office was killed lets go of it once it has shipped; DataDirInUse if not."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    while True:
        try:
            return DataDir(path, holder)
        except DataDirInUse:
            if loop.time() > until:
                raise
        await asyncio.sleep(_AGAIN_S)


async def nothing() -> Backlog:
    """The backlog of others, for whoever leaves those to the office."""
    return Backlog(0, 0, 0, None)
