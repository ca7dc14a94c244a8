"""The crew: the workers of an office, each a process that is started, looked at every second, killed when it hangs, and
started again when it ends.

A worker is told everything over its channel, and tells what it has counted; the end of one process ends the channel, so that
neither goes on without the other.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from pixeld import errors
from pixeld.errors import PixeldError, Unavailable
from pixeld.ingest.flush import Flusher
from pixeld.ingest.watch import Look
from pixeld.metrics import Metrics
from pixeld.parts.channel import Channel
from pixeld.parts.flushing import Flushers
from pixeld.parts.links import RedisLinks
from pixeld.settings import Settings
from pixeld.storage.redis_queue import RedisQueue
from pixeld.tasks import Tasks
from pixeld.tracking.audience import Visitors

log = logging.getLogger(__name__)
WORKERS = "workers"  # in the data directory: a data directory for each
_LOOK_S = 1.0  # how long a worker may take to say how it is, and how often it is asked
_ASK_S = 0.05  # between attempts to have one that has ended ship what it left
# Looks in a row, some 10 s, without a word: then it hangs, and would keep its share of new visitors waiting for ever. One that
# works answers within _LOOK_S; one that has too much to do, later, but it does. Looks and not seconds: when this process has
# paused (a stopped job, a suspended machine), its workers were not silent.
_SILENT_LOOKS = 5
# A start that takes longer hangs. Visitors don't wait for it, as it doesn't listen yet, so the limit is wide: a start takes
# 0.5 s of CPU time, several at once, and 20 s more when Redis hangs; and shutdown_s for its data directory, which is added.
_START_S = 60.0
_AGAIN_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)  # before a worker is started again, by how often it has just failed
_WELL_S = 30.0  # who answered for so long has not failed at starting
_STOP_SHARE = 0.8  # of shutdown_s: a worker that takes longer to stop is killed, so that what it shipped is still flushed
# A worker imports what this process would: its modules are looked for in the same places, and not in the current folder first.
# Until it reads certificates, a SIGHUP to its group has nothing for it to do, and must not end it.
_PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); sys.path[:] = sys.argv[2:]; "
    "from pixeld.parts.worker import main; main(sys.argv[1])"
)


class WorkerSlot:
    """A place in the crew, and the worker process that has it now. Implements operations.AnyNode."""

    def __init__(self, crew: Crew, number: int) -> None:
        self._crew, self._number = crew, number
        self.name = f"worker {number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._reading: asyncio.Task[None] | None = None
        self._settings: dict[str, Any] = {}
        self._salts: dict[str, str] = {}
        self._queue: RedisQueue | None = None
        self._flusher: Flusher | None = None
        self._well = asyncio.Event()  # set while it answers the public
        self._started: asyncio.Future[None] | None = None
        self._last: Look | None = None
        self._heard = self._silent_looks = 0
        self._problem: str | None = "it is starting"
        self._flushed_before = 0

    async def start(self) -> None:
        """Start a process; return when it answers the public. Raises what it says is wrong, or Unavailable when there is none,
        it ends, or it hangs: that one is killed.
        """
        self._process = self._channel = self._reading = None
        self._heard = self._silent_looks = 0
        self._problem, self._started = "it is starting", asyncio.get_running_loop().create_future()
        try:
            self._channel = await self._connect()
        except OSError as error:
            raise Unavailable(f"{self.name}: the system starts no process for it: {error}") from None
        self._reading = asyncio.create_task(self._channel.run())
        limit_s = _START_S + self._crew.settings.shutdown_s
        ends = (self._reading, self._started)
        await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not self._started.done():
            self._started.cancel()
            if self._reading.done():
                raise Unavailable(f"{self.name} ended while it was starting; what it wrote to the log says why")
            self._kill(why := f"{self.name} has not started within {limit_s:.0f} s")
            raise Unavailable(f"{why}, and is killed")
        self._started.result()
        self._problem = None
        self._well.set()

    async def gone(self) -> int | None:
        """Wait for the end of the process; its exit code, None when there was none."""
        if self._reading is not None:
            await asyncio.shield(self._reading)
        self._lost("it has ended, and is started again")
        code = await asyncio.to_thread(self._process.wait) if self._process is not None else None
        self._crew.metrics.settle(self.name)
        if self._last is not None:  # what waits in its queue and its spill still waits
            self._last = self._last._replace(connections=0, refusing=False)
        return code

    async def keep(self) -> None:
        """Start it again whenever it ends, for ever."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            since = loop.time()
            code = await self.gone()
            failures = 0 if loop.time() - since >= _WELL_S else failures
            restart = {"worker": self._number, "exit_code": code, "after_s": _AGAIN_S[min(failures, len(_AGAIN_S) - 1)]}
            log.error("a worker is started again", extra=restart)
            await asyncio.sleep(restart["after_s"] or 0)
            failures += 1
            self._crew.metrics.add("pixeld_worker_restarts_total")
            try:
                await self.start()
            except PixeldError as error:
                self._problem = str(error)
                log.error("a worker can't be started", extra={"worker": self._number, "reason": str(error)})

    async def stop(self, patience_s: float) -> None:
        """Tell it to stop and wait until it has; past that it is killed. What it answered is in Redis, or on its disk."""
        if self._process is None:
            return
        if self._channel is None:  # it has just been started, and has answered nobody
            self._process.kill()
        else:
            self._channel.tell("stop")
        gone = asyncio.create_task(self.gone())
        await asyncio.wait((gone,), timeout=patience_s)
        if not gone.done():
            log.critical("a worker does not stop and is killed", extra={"worker": self._number})
            self._process.kill()
        if code := await gone:
            log.warning("a worker did not stop in order", extra={"worker": self._number, "exit_code": code})

    async def look(self) -> Look | None:
        """How it is now; as last seen, if ever, when it doesn't say so within a second."""
        if self._channel is None or not self._well.is_set():
            return self._last
        flusher = self._flusher
        assert flusher is not None
        try:
            async with asyncio.timeout(_LOOK_S):
                said = await self._channel.ask("look", flushed=flusher.events - self._flushed_before, problem=flusher.problem)
        except TimeoutError:
            said, problem = None, f"it has not answered within {_LOOK_S:.0f} s"
        except Unavailable as error:
            said, problem = None, str(error)
        if not self._well.is_set():  # it has ended since, and has said last what it counted and why
            return self._last
        if said is None:
            self._problem = problem
        else:
            self._last = Look(**said["look"])
            self._crew.metrics.merge(self.name, said["report"])
            unread = "it has not read clients and partners from Redis yet"
            self._problem = unread if said["registry"] is None else None
        return self._last

    async def watch(self) -> None:
        """Look at it, and kill one that hangs; `keep` starts another."""
        await self.look()
        if self._channel is None or not self._well.is_set():
            return
        self._silent_looks = self._silent_looks + 1 if self._channel.heard == self._heard else 0
        self._heard = self._channel.heard
        if self._silent_looks >= _SILENT_LOOKS:
            self._lost(why := f"it has answered none of {_SILENT_LOOKS} looks")
            self._kill(why)

    async def shipped(self) -> None:
        """Return when everything that it has answered so far is in Redis; one that has ended sees to it when it is back."""
        while True:
            await self._well.wait()
            assert self._channel is not None
            with suppress(Unavailable):
                await self._channel.ask("ship")
                return
            await asyncio.sleep(_ASK_S)

    async def refresh(self) -> None:
        """Have it read the registry, if it answers: one that doesn't follows by itself."""
        if self._channel is not None and self._well.is_set():
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._channel.ask("refresh")

    def renew(self) -> None:
        """Have it read its certificate anew; one that is starting may have read the files already, or may not."""
        if self._channel is not None:
            self._channel.tell("renew")

    def hand_out(self, salts: dict[str, str]) -> None:
        """Tell it the salts of this day and the next, if it doesn't have them."""
        if self._channel is not None and salts != self._salts:
            self._salts = salts
            self._channel.tell("salts", salts=salts)

    @property
    def queue(self) -> RedisQueue:
        """The queue that it ships to. Unavailable before it has started for the first time."""
        if self._queue is None:
            raise Unavailable(f"{self.name} is starting")
        return self._queue

    @property
    def running(self) -> bool:
        """Whether it answers the public."""
        return self._well.is_set()

    def state(self) -> dict[str, Any]:
        """For /readyz: whether it is well, its process id, and the reason if it isn't."""
        pid = self._process.pid if self._process else None
        return {"ok": self._problem is None, "pid": pid} | ({"reason": self._problem} if self._problem else {})

    async def _connect(self) -> Channel:
        """Start a process; our end of its channel. OSError when the system gives none."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _spawn(theirs)
            return await Channel.over(ours, self._answer, self._told)
        except BaseException:
            ours.close()  # and with it ends the process, if there is one
            raise

    def _lost(self, why: str) -> None:
        """It no longer answers; who never did has its own reason, and of several the first is the cause."""
        if self._well.is_set():
            self._problem = why
            self._well.clear()

    def _kill(self, why: str) -> None:
        assert self._process is not None
        log.critical("a worker hangs and is killed", extra={"worker": self._number, "reason": why})
        self._crew.metrics.add("pixeld_worker_kills_total")
        self._process.kill()

    async def _answer(self, what: str, _: dict[str, Any]) -> Any:
        assert what == "settings", what
        crew = self._crew
        self._salts = crew.salts()
        path = crew.settings.data_dir / WORKERS / str(self._number)
        settings = replace(crew.settings.share(), data_dir=path, clickhouse_url=None, admin_token=None)
        given = {"worker": self._number, "settings": settings.plain(), "salts": self._salts}
        return given | {"holder": crew.holder, "house": crew.house}

    def _told(self, what: str, given: dict[str, Any]) -> None:
        crew, started = self._crew, self._started
        assert started is not None
        if what == "ended":
            crew.metrics.merge(self.name, given["report"])
            self._lost("it has ended, and is started again")  # a look that is still on its way has seen less
        elif started.done():
            return
        elif what == "ready":
            self._queue = crew.links.queue(given["node"])
            self._flusher = crew.flushers.run(given["node"], lambda: self._last is not None and not self._last.empty)
            self._flushed_before = self._flusher.events
            started.set_result(None)
        else:
            started.set_exception(_error(given["code"], f"{self.name}: {given['reason']}"))


class Crew:
    """All workers. `settings` are the server's, with a port and a Redis that are there; `holder` says whose they are."""

    def __init__(
        self,
        settings: Settings,
        holder: str,
        links: RedisLinks,
        flushers: Flushers,
        metrics: Metrics,
        visitors: Visitors,
        clock: Callable[[], int],
    ) -> None:
        self.settings, self.holder, self.links, self.flushers, self.metrics = settings, holder, links, flushers, metrics
        self._visitors, self._clock = visitors, clock
        self.house = ""  #: the socket at which workers ask for what they don't know; there before they start
        self.workers = [WorkerSlot(self, number) for number in range(settings.workers)]

    def salts(self) -> dict[str, str]:
        """The visitors' salts of today and tomorrow, by day, as workers are told them."""
        return {str(day): salt.hex() for day, salt in self._visitors.ahead(self._clock()).items()}

    async def start(self, stack: AsyncExitStack, tasks: Tasks) -> None:
        """Start every worker, and keep them until the stack is unwound to here. Raises what the first says is wrong."""
        stack.push_async_callback(self._stop)
        await asyncio.gather(*(worker.start() for worker in self.workers))
        for worker in self.workers:
            tasks.start(worker.name, worker.keep())
        tasks.start("look", self._look())

    async def refreshed(self) -> None:
        """Return when every worker that is well answers by the newest registry."""
        await asyncio.gather(*(worker.refresh() for worker in self.workers))

    def renew(self) -> None:
        """Have every worker read its certificate anew."""
        for worker in self.workers:
            worker.renew()

    async def _look(self) -> None:
        """Every second: how each is, and salts for the day after midnight well before it, for ever."""
        while True:
            salts = self.salts()
            for worker in self.workers:
                worker.hand_out(salts)
            await asyncio.gather(*(worker.watch() for worker in self.workers))
            await asyncio.sleep(_LOOK_S)

    async def _stop(self) -> None:
        patience_s = self.settings.shutdown_s * _STOP_SHARE
        await asyncio.gather(*(worker.stop(patience_s) for worker in self.workers))


def _spawn(end: socket.socket) -> subprocess.Popen[bytes]:
    """A worker's process, which has this end of its channel and the log, and nothing else of ours."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, str(end.fileno()), *sys.path],
        pass_fds=(end.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _error(code: str, reason: str) -> PixeldError:
    """The error that a worker was stopped by at its start; what an operator can't mend by a setting may be over next time."""
    for kind in (errors.SettingsError, errors.PolicyError, errors.DataDirInUse):
        if kind.code == code:
            return kind(reason)
    return Unavailable(reason)
