"""An hour without ClickHouse, compressed: so little memory and disk is allowed that every stage comes within seconds.

One server under load on a Valkey of 8 MiB with a spill of 6 MiB, and Debian's ClickHouse, which goes away and comes back.
"""

import asyncio
import itertools
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.process import pixeld
from tests.services import clickhouse_server

QUEUE, SPILL, LATE_S = 8 << 20, 6 << 20, 6.0
# Over what it takes under load without a backlog: half of a batch of 90 MiB (a backlog here is smaller than one), two segments
# of the spill on their way back (8 MiB each, and its copy), the buffer and what the allocator keeps.
MOST_MORE_MEMORY = 96 << 20
FAT = "&".join(f"s{n}={'x' * 500}" for n in range(2, 6))  # a click of some 2,200 bytes
# Who is held up by a Redis that hangs waits for REDIS_S; on a busy machine everybody waits for some seconds now and then.
REDIS_S, SOON_S = 30.0, 15.0
PATIENCE_S = 180  # for as many clicks as a busy machine needs that long for
FIGURES = ("oldest_unflushed_seconds", "waiting_events", "queue_chunks", "spill_bytes", "dead_letters")


class Load:
    """Connections that click without a pause. `ok` holds the ids that were answered 'ok', `refused` those that weren't."""

    def __init__(self, server, connections=16):
        self.server, self.ok, self.refused, self.slowest = server, set(), set(), 0.0
        self._ids, self._running = itertools.count(), asyncio.Event()
        self._busy = 0
        self.tasks = [asyncio.create_task(self._visit()) for _ in range(connections)]

    async def _visit(self):
        browser = self.server.browser()
        while True:
            await self._running.wait()
            self._busy += 1
            number, begun = str(next(self._ids)), time.monotonic()
            async with asyncio.timeout(2 * REDIS_S):
                status, headers = await browser.get(f"/t/shop/c/blog?s1={number}&{FAT}")
            self.slowest = max(self.slowest, time.monotonic() - begun)
            assert status == 302
            told = headers["x-pixeld"]
            assert told in ("ok", "dropped; reason=not_durable"), told
            (self.ok if told == "ok" else self.refused).add(number)
            self._busy -= 1

    def go(self):
        self._running.set()

    async def rest(self):
        """Stop, and return when every request is answered."""
        self._running.clear()
        await self.until(lambda: self._busy == 0)

    async def until(self, true, timeout_s=PATIENCE_S):
        async with asyncio.timeout(timeout_s):
            while not true():
                for task in self.tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Operator:
    """Reads /readyz, /metrics, the log and the process' memory."""

    def __init__(self, server):
        self.server, self.memory = server, 0

    async def look(self):
        status, health = await self.server.api("GET", "/readyz")
        assert (status == 200) == all(part["ok"] for part in health.values() if isinstance(part, dict))
        self.memory = max(self.memory, self.rss())
        return health

    async def metrics(self):
        text = await asyncio.to_thread(self.server.text, "/metrics")
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines()) if name[:1] != "#"}

    async def agree(self):
        """The figures, which /readyz and /metrics tell alike while nothing changes."""
        shown, measured = (await self.look())["backlog"], await self.metrics()
        for name in ("waiting_events", "spill_bytes", "dead_letters"):
            assert measured[f"pixeld_{name}"] == shown[name], name
        assert measured["pixeld_queue_chunks"] <= shown["queue_chunks"]  # what was flushed is trimmed after a while
        assert measured["pixeld_oldest_unflushed_seconds"] >= shown["oldest_unflushed_seconds"]
        return shown

    async def until(self, true, load, timeout_s=PATIENCE_S):
        async with asyncio.timeout(timeout_s):
            while not true(health := await self.look()):
                await load.until(lambda: True)
                await asyncio.sleep(0.05)
        return health

    def told(self, event):
        lines = (json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    def rss(self):
        return int(Path(f"/proc/{self.server.child.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def size_of(directory):
    """Of all its files, at this moment."""
    with os.scandir(directory) as files:
        return sum(file.stat().st_size for file in files)


@pytest.mark.slow
@pytest.mark.services
async def test_an_hour_without_clickhouse(tmp_path):
    (tmp_path / "clickhouse").mkdir()
    bounds = {
        "queue_bytes": QUEUE, "spill_bytes": SPILL, "late_s": LATE_S, "flush_keep_s": 1, "flush_interval_s": 0.2, "redis_timeout_s": REDIS_S,
    }  # fmt: skip
    with clickhouse_server(tmp_path / "clickhouse") as clickhouse:
        async with pixeld(tmp_path / "data", clickhouse_url=clickhouse.url(), **bounds) as server:
            await server.ready()
            load, operator = Load(server), Operator(server)
            try:
                await outage(server, clickhouse, load, operator, tmp_path / "data" / "redis")
            finally:
                await load.end()


async def outage(server, clickhouse, load, operator, redis):
    # All is well.
    load.go()
    await load.until(lambda: len(load.ok) >= 1000)
    await operator.look()
    before = operator.memory
    await load.rest()
    assert (await server.api("POST", "/api/flush"))[0] == 200
    inserted = len(load.ok)
    assert (await operator.agree())["waiting_events"] == 0
    assert not operator.told("events wait for ClickHouse")
    await operator.until(lambda health: health["backlog"]["queue_chunks"] == 0, load)  # a slow machine sent more than it meant

    # ClickHouse goes away: Redis holds what comes.
    clickhouse.kill()
    load.go()
    await load.until(lambda: len(load.ok) >= inserted + 1000)
    await load.rest()
    health = await operator.until(lambda health: not health["clickhouse"]["ok"] and not health["backlog"]["ok"], load)
    assert health["redis"]["ok"] and health["spill"]["empty"]
    shown = await operator.agree()
    assert shown["waiting_events"] == len(load.ok) - inserted and shown["oldest_unflushed_seconds"] >= LATE_S
    await load.until(lambda: operator.told("events wait for ClickHouse"))
    (warning, *_) = operator.told("events wait for ClickHouse")
    assert warning["waiting_events"] > 0 and "ClickHouse" in warning["reason"] and all(name in warning for name in FIGURES)
    load.go()

    # Redis is full: the spill holds what comes, and everything is still answered 'ok'. Seen from here: while an operator looks, the
    # load goes on.
    await load.until(lambda: size_of(redis.parent / "spill") > 1 << 20)
    assert not load.refused

    # Both are full: a 503, or here a redirect that says so, and never a hang.
    full = time.monotonic()
    await load.until(lambda: len(load.refused) >= 200)
    health = await operator.until(lambda health: not health["spill"]["ok"], load)  # a single small click may still fit in
    assert SPILL - (2 << 20) < health["spill"]["bytes"] <= SPILL
    assert size_of(redis.parent / "spill") <= SPILL + 4096
    orders, browser = 0, server.browser()
    while (answer := await browser.get(f"/t/shop/o.gif?order={orders}&amount=1"))[0] == 200:
        orders += 1  # a small one, alone, fits in where no more clicks do
    assert (answer[0], answer[1]["x-pixeld"]) == (503, "dropped; reason=not_durable")
    await load.rest()
    assert (await operator.agree())["waiting_events"] == len(load.ok) + orders - inserted

    # Redis hangs on top of it: whoever asks is still told, and soon.
    valkey = int((redis / "redis.pid").read_text())
    os.kill(valkey, signal.SIGSTOP)
    try:
        load.go()
        for ask in (operator.look, operator.metrics):
            begun = time.monotonic()
            await ask()
            assert time.monotonic() - begun < SOON_S
        await load.rest()
        health = await operator.look()
        assert not health["redis"]["ok"] and health["backlog"]["waiting_events"] == len(load.ok) + orders - inserted
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert load.slowest < SOON_S

    # ClickHouse is back: what waits goes down while the load goes on, as fast as this machine lets it come.
    await operator.until(lambda health: health["redis"]["ok"], load)
    clickhouse.start()
    load.go()
    answered, waited = len(load.ok), (await operator.look())["backlog"]["waiting_events"]
    await operator.until(lambda health: health["backlog"]["waiting_events"] < waited / 10 and health["spill"]["empty"], load)
    assert len(load.ok) > answered  # so that more was flushed than came

    # The books balance, and all is as it was.
    await load.rest()
    assert (await server.api("POST", "/api/flush"))[0] == 200
    await server.ready()
    shown = await operator.agree()
    assert (shown["waiting_events"], shown["oldest_unflushed_seconds"], shown["spill_bytes"], shown["dead_letters"]) == (0, 0, 0, 0)
    stored = {row["s1"] for row in await server.sql("SELECT DISTINCT s1 FROM clicks")}
    assert stored == load.ok
    await load.until(lambda: operator.told("the backlog is worked off"))
    told = len(operator.told("neither Redis nor the spill takes events; they are answered with 503"))
    assert told <= 2 + (time.monotonic() - full) / 60  # once a minute
    assert operator.memory - before < MOST_MORE_MEMORY, f"{before >> 20} MiB before, {operator.memory >> 20} MiB at most"
