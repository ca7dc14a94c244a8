"""Where the CPU time of an order goes: its stages, each timed by itself, beside what it takes under load.

A stage is the product's own code on the product's own input, in this process. No sampling profiler: py-spy takes more than
half of the requests away or, where it doesn't pause the server, misses short calls; perf names no functions of Python 3.11.
What a server under load takes beyond the stages' sum are caches that they empty for one another and that its engine empties
for all, the collector, and turns of the engine on the same core.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from bench import browsers, machine, pixeld, results, servers, subjects, wrk
from bench.subjects import Subject
from pixeld.clock import now_ms
from pixeld.domain.events import ChunkId
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.tokens import NONCE_BYTES, Keyring
from pixeld.ingest.batch import Draft
from pixeld.ingest.buffer import Buffer
from pixeld.metrics import Metrics
from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.redis import connect
from pixeld.storage.redis_queue import RedisQueue
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.replies import Replies
from pixeld.web.desk import Desk
from pixeld.web.guard import Room, Rules
from pixeld.web.origin import Origin
from pixeld.web.plain import PlainRequestHandler
from pixeld.web.recogniser import Recogniser

_CHUNK, _CHUNKS = 200, 50  # events; about what one turn of the event loop makes of order pixels at full load
ORDERS = _CHUNK * _CHUNKS  #: in each pass
_PASSES = 15
_NODE = "b" * 12
STAGES = {
    "recognise": "recognising the request",
    "answer": "answering it: whose order it is, its event",
    "verify": "– of that, the signature of its click id",
    "carry": "carrying it: connection, desk, buffer, reply",
    "store": "storing its event: Redis' client",
    "flush": "flushing on the loop: reading it back, a row of it",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=3, choices=range(1, 61), metavar="1…60", help="of each round")
    parser.add_argument("--connections", type=int, default=256)


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    core, other = machine.cores()
    loop_us, beside_us, sockets_us = _loaded(core, other, options)
    found = uvloop.run(_timed(core, other))
    body = f"{table(found, loop_us, beside_us, sockets_us)}\n\n{_method(options)}"
    print(body)
    if options.save:
        results.save("profile", "Where an order's time goes", body)


def _loaded(core: int, other: int, options: argparse.Namespace) -> tuple[float, float, float]:
    """CPU µs an order under load, of the event loop's thread and of those beside it; and of a server of a constant."""
    found = []
    with tempfile.TemporaryDirectory() as directory, pixeld.running(Path(directory), core, other) as server:
        place = servers.Place(Path(directory), core, other, server.cookie)
        with servers.script("a constant", place, "uvloop_constant.py") as constant:
            order = subjects.roles(server)[0]
            for number in range(options.rounds + 1):  # the first warms up and doesn't count
                loop_us, beside_us = _cpu_us(order, other, options)
                sockets_us, _ = _cpu_us(constant, other, options)
                said = f"order {loop_us:.1f} + {beside_us:.1f} µs, a constant {sockets_us:.1f}"
                print(f"round {number or 'warm-up'}: {said}", file=sys.stderr)
                found += [(loop_us, beside_us, sockets_us)] if number else []
    loop_us, beside_us, sockets_us = map(statistics.median, zip(*found, strict=True))
    return loop_us, beside_us, sockets_us


def _cpu_us(subject: Subject, core: int, options: argparse.Namespace) -> tuple[float, float]:
    """CPU µs a request of the event loop's thread, and of those beside it."""
    if subject.settle:
        subject.settle()
    (pid,) = subject.pids
    all_s, loop_s = machine.cpu_s([pid]), machine.loop_cpu_s(pid)
    done = wrk.play(core, subject.url, subject.requests, connections=options.connections, seconds=options.seconds)
    all_s, loop_s = machine.cpu_s([pid]) - all_s, machine.loop_cpu_s(pid) - loop_s
    if done.errors:
        sys.exit(f"{subject.name}: {done.errors} of {done.requests} requests failed; this is no measurement")
    return loop_s / done.requests * 1e6, (all_s - loop_s) / done.requests * 1e6


async def _timed(core: int, redis_core: int) -> dict[str, float]:
    """CPU µs an order of each stage, on `core`."""
    with tempfile.TemporaryDirectory() as directory:
        os.sched_setaffinity(0, {redis_core})  # Valkey stays there
        valkey = EmbeddedRedis(Path(directory))
        await valkey.start()
        os.sched_setaffinity(0, {core})
        redis = connect(valkey.url, 60.0)
        try:
            return await stages(RedisQueue(redis, _NODE))
        finally:
            await redis.aclose()
            await valkey.stop()


class _Nowhere(asyncio.Transport):
    """The other end of a connection whose replies go nowhere."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Where it is from."""
        return ("127.0.0.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        """It lasts."""
        return False

    def write(self, data: Any) -> None:
        """Nothing: that is what the server of a constant tells."""

    def close(self) -> None:
        """Nothing: whoever asks for it is told what it needs."""


class _Parts:
    """What orders pass through, made of the product's parts as its composition root makes them, and who asks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        limits, origin = {"max_line_size": 8190, "max_field_size": 8190, "max_headers": 100}, Origin()
        keys = Keyring({0: os.urandom(32)}, 0)
        client, partner = Client(pixeld.CLIENT, "Shop", "https://shop.example/"), Partner(pixeld.PARTNER, "Blog")
        registry = Snapshot(1, {client.id: client}, {partner.id: partner}, {(client.id, partner.id): Status.APPROVED})
        cookies = Cookies("pxref", "pxlanding")
        self.client, self.keys = client, keys
        self.tracker = Tracker(registry, keys, Replies('CP="NON"'), Visitors(os.urandom), os.urandom, cookies)
        self.buffer = Buffer(1 << 26)
        self.recogniser = Recogniser(origin, loop, max_bytes=1 << 15, **limits)
        desk, rules = Desk(self.tracker, self.buffer, Metrics(), now_ms, origin), Rules(Room(_CHUNK, str), 20.0, 1 << 15, str)
        common = {"loop": loop, "recogniser": self.recogniser, "desk": desk, "rules": rules, **limits}
        self.connections = [PlainRequestHandler(web.Server(_never), **common) for _ in range(_CHUNK)]
        for each in self.connections:
            each.connection_made(_Nowhere())
        self.peer = self.connections[0].met()
        self.click_id = keys.sign(client.id, partner.id, now_ms() // 1000 - 60, os.urandom(NONCE_BYTES))
        self._request = browsers.request("http://127.0.0.1:8000", subjects.ORDER, browsers.CHROME, f"pxref={self.click_id}")
        self._numbers = itertools.count()

    def requests(self) -> list[bytes]:
        """One for each connection, each of another order."""
        return [self._request.replace(b"{n}", b"%d" % next(self._numbers)) for _ in self.connections]

    def close(self) -> None:
        """End the connections."""
        for each in self.connections:
            each.connection_lost(None)


async def _never(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("an order went the ordinary way")


async def stages(queue: RedisQueue, times: int = _PASSES) -> dict[str, float]:
    """CPU µs an order of each of STAGES, the median of so many passes over ORDERS orders; one more before warms up."""
    gc.collect()
    gc.disable()  # a collection would count for the stage that it falls into
    try:
        passes = await _passes(queue, 1 + times)
    finally:
        gc.enable()
    return {stage: statistics.median(took[stage] for took in passes[1:]) / ORDERS * 1e6 for stage in STAGES}


async def _passes(queue: RedisQueue, times: int) -> list[_Clock]:
    parts, chunk_id, passes = _Parts(asyncio.get_running_loop()), ChunkId(now_ms(), 0), []
    for _ in range(times):
        clock, begun = _Clock(), chunk_id
        for _ in range(_CHUNKS):
            asked = parts.requests()
            with clock("recognise"):
                plain = [parts.recogniser.recognise(data, False) for data in asked]
            facts = [("GET", *each[:2], each[3].browser, parts.peer.address, "", now_ms()) for each in plain if each]
            with clock("answer"):
                for each in facts:
                    parts.tracker.answer(each)
            with clock("verify"):
                for _ in asked:
                    parts.keys.verify(parts.click_id, parts.client.id)
            with clock("all of it"):
                for connection, data in zip(parts.connections, asked, strict=True):
                    connection.data_received(data)
                chunk = await parts.buffer.take()
                parts.buffer.settle(chunk, True)
            if chunk.events != len(asked):
                sys.exit(f"{chunk.events} of {len(asked)} orders were taken; this is no measurement")
            chunk_id = chunk_id.next(chunk.events)
            with clock("store"):
                await queue.push(chunk_id, chunk.data)
        draft = Draft(_NODE)
        with clock("flush"):
            for read_id, data in await queue.read(begun, count=_CHUNKS):
                draft.add(read_id, data)
        clock["carry"] = clock["all of it"] - clock["recognise"] - clock["answer"]
        passes.append(clock)
    parts.close()
    return passes


class _Clock(dict[str, float]):
    """CPU seconds of this thread, by what was done meanwhile."""

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        begun = time.thread_time()
        yield
        self[what] = self.get(what, 0.0) + time.thread_time() - begun


def table(found: dict[str, float], loop_us: float, beside_us: float, sockets_us: float) -> str:
    """What each stage takes, and what is left of the event loop's time under load."""
    rows = [("reading and writing, the kernel and uvloop: what a constant takes", sockets_us)]
    rows += [(name, found[stage]) for stage, name in STAGES.items()]
    rest = loop_us - sum(us for name, us in rows if not name.startswith("–"))
    rows.append(("what they cost one another, and the collector: the rest", rest))
    rows.append(("**all that the event loop does, under load**", loop_us))
    rows.append(("ClickHouse's engine, in threads beside it", beside_us))
    return results.table(["stage", "CPU µs an order"], [[name, f"{us:.1f}"] for name, us in rows])


def _method(options: argparse.Namespace) -> str:
    return (
        f"{machine.described()}; {options.connections} connections, {options.rounds} rounds of {options.seconds} s at full "
        "load, and of a raw uvloop protocol that writes a constant; each stage "
        f"{_PASSES} passes over {ORDERS:,} orders in chunks of {_CHUNK}; medians. The engine flushes later what it "
        "can't meanwhile. Again: `make bench ARGS=profile`."
    )
