"""A worker: a process that answers and ships, and leaves everything else to the office that started it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from pixeld import logs
from pixeld.clock import now_ms
from pixeld.errors import PixeldError, Unavailable
from pixeld.metrics import Metrics
from pixeld.parts.channel import Channel
from pixeld.parts.links import open_links
from pixeld.parts.listening import PublicListener
from pixeld.parts.node import Node, directory, nothing
from pixeld.parts.stopping import limit, on_hangup, on_signals
from pixeld.settings import Settings
from pixeld.storage.registry import Registry
from pixeld.tasks import Tasks
from pixeld.tracking.audience import Visitors
from pixeld.web import handon, server

log = logging.getLogger(__name__)
_LOOK_S = 0.7  # a look that Redis doesn't answer: the office waits a second for what this one says then
_FAILED = 1


def main(descriptor: str) -> None:
    """Be a worker; `descriptor` is this process's end of the channel. It ends when it is told to, or when the office ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(Worker(now_ms).work(socket.socket(fileno=int(descriptor))))
    raise SystemExit(code)


class Flushed:
    """What the office last told of this node's flusher."""

    def __init__(self) -> None:
        self.events = 0
        self.problem: str | None = None


class Worker:
    """One run of a worker process."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._metrics, self._visitors, self._flushed = Metrics(), Visitors(os.urandom), Flushed()
        self._stop = asyncio.Event()
        self._node: Node | None = None
        self._registry: Registry | None = None
        self._public: PublicListener | None = None

    async def work(self, end: socket.socket) -> int:
        """Ask the office for settings, answer until it is time to stop, then stop in order; the exit code."""
        on_signals(self._stop)
        on_hangup(self._renew)  # of a whole group of processes; the office tells its workers by itself
        channel = await Channel.over(end, self._answer, self._told)
        office = asyncio.create_task(channel.run())
        office.add_done_callback(lambda _: self._stop.set())
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.add_done_callback(lambda _: self._stop.set())
        late = None
        try:
            given = await channel.ask("settings")
            settings = Settings.from_plain(given["settings"])
            logs.configure(settings.log_level, worker=given["worker"])
            self._take(given["salts"])
            late = limit(settings.shutdown_s)
            async with AsyncExitStack() as stack:
                node = await self._start(stack, failed, settings, given["holder"], Path(given["house"]))
                channel.tell("ready", node=node.data.node)
                await self._stop.wait()
                late.start()
                if office.done():
                    log.warning("the process that started this one has ended; stopping")
        except PixeldError as error:
            if not office.done():  # else there is nobody to say it to, and nothing to mend
                channel.tell("failed", code=error.code, reason=str(error))
        finally:
            channel.tell("ended", report=self._metrics.report())
            await channel.drained()
            await office
            if late is not None:
                late.cancel()
        return _FAILED if failed.done() and failed.exception() else 0

    async def _start(
        self, stack: AsyncExitStack, failed: asyncio.Future[None], settings: Settings, holder: str, home: Path
    ) -> Node:
        tasks = Tasks(stack, failed)
        bound = server.bind(settings.host, settings.port, shared=True)
        stack.callback(bound.close)
        data = await directory(settings.data_dir, f"a worker of {holder}", settings.shutdown_s)
        stack.callback(data.close)
        assert settings.redis_url is not None
        links = open_links(stack, settings, settings.redis_url)
        node = Node(settings, data, links, self._metrics, self._clock)
        keyring = data.keyring(settings.signing_keys)
        self._public = public = PublicListener(stack, settings, node, self._metrics, keyring, self._visitors, self._clock)
        changed, keep, kept = public.changed, data.keep_registry, data.registry()
        self._registry = Registry(links.redis, self._clock, changed=changed, keep=keep, kept=kept)
        await node.open(stack, self._registry)
        node.start(stack, tasks, self._flushed, nothing, _LOOK_S)
        tasks.start("registry", self._registry.follow())
        await public.listen(stack, bound, handon.application(home, public.origin))
        gc.freeze()  # what start-up made lives for ever; other thresholds for the rest save nothing that shows
        self._node = node
        log.info("a worker answers", extra={"node": data.node, "epoch": node.epoch})
        return node

    def _told(self, what: str, given: dict[str, Any]) -> None:
        if what == "stop":
            self._stop.set()
        elif what == "renew":
            self._renew()
        else:
            self._take(given["salts"])

    async def _answer(self, what: str, given: dict[str, Any]) -> Any:
        if self._node is None or self._registry is None:
            raise Unavailable("it is starting")
        if what == "ship":
            return await self._node.shipped()
        if what == "refresh":
            return await self._registry.refresh()
        assert what == "look", what
        self._flushed.events, self._flushed.problem = given["flushed"], given["problem"]
        look = await self._node.look()
        snapshot = self._registry.snapshot
        registry = snapshot.version if snapshot else None
        return {"look": look._asdict(), "report": self._metrics.report(), "registry": registry}

    def _renew(self) -> None:
        if self._public is not None and self._public.certificate is not None:
            self._public.certificate.renew()

    def _take(self, salts: dict[str, str]) -> None:
        self._visitors.take({int(day): bytes.fromhex(salt) for day, salt in salts.items()})
