"""Flushing: how many events a second go from the queue into ClickHouse, and what that takes from the order pixel.

(a) A queue filled beforehand is flushed by one flusher, into the embedded engine and, where Debian's clickhouse-server is
installed, into a server over TCP. CPU is that of the flusher's process, engine included where it is embedded.
(b) wrk asks for order pixels as fast as replies come: `pixeld serve` as an operator starts it, beside one whose flush
interval never ends, in interleaved rounds; with the server's threads on one core (Valkey and wrk on the other), and free.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine, pixeld, results, wrk
from pixeld.domain.events import CLICK, ORDER, ChunkId
from pixeld.ingest.flush import Flusher
from pixeld.metrics import Metrics
from pixeld.settings import Settings
from pixeld.storage import migrations
from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import RedisClient, connect
from pixeld.storage.redis_queue import RedisQueue

_NODE = "b" * 12
_CHUNK = 200  # events; about what one turn of the event loop makes of order pixels at full load
_AUDIENCE = ("DE", "desktop", "Chrome", "Windows", "de")
_CONSENT = "allowed operator_asserts"
_MIXES = {"orders": (ORDER,), "clicks": (CLICK,), "half orders, half clicks": (ORDER, CLICK)}
_FORMS: dict[str, dict[str, Any]] = {"flushing": {}, "flushing held off": {"flush_interval_s": 3600}}
_DIGITS = {"rate": 0, "p99_ms": 1, "waiting": 0}


@dataclass(frozen=True)
class Round:
    """One load: requests a second, latency in ms as wrk saw it (closed loop), events that waited when it ended."""

    rate: float
    p99_ms: float
    waiting: int


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--events", type=int, default=2_000_000, help="events in each queue that is flushed")
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=8, choices=range(1, 21), metavar="1…20")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--part", choices=["rate", "pinned", "free"], help="one part alone: (a), or (b) in one of its forms")


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    body = []
    if options.part in (None, "rate"):
        body.append(f"## How fast\n\n{_rates(options.events)}")
    if options.part in (None, "pinned"):
        body.append(f"## What it takes from the order pixel, on one core\n\n{_costs(options, pinned=True)}")
    if options.part in (None, "free"):
        cores = os.cpu_count()
        body.append(f"## What it takes from the order pixel, {cores} cores for everybody\n\n{_costs(options, pinned=False)}")
    text = "\n\n".join([*body, _method(options)])
    print(text)
    if options.save:
        results.save("flush", "Flushing", text)


def _rates(events: int) -> str:
    rows = []
    with ExitStack() as stack:
        for engine, url in [("embedded", None), *stack.enter_context(_server())]:
            for mix in _MIXES:
                with tempfile.TemporaryDirectory() as directory:
                    seconds, cpu_s = asyncio.run(_flushed(Path(directory), url, mix, events))
                rows.append([engine, mix, f"{events / seconds:,.0f}", f"{cpu_s / events * 1e6:.2f}"])
                print(" ".join(rows[-1]), file=sys.stderr)
    return results.table(["ClickHouse", f"{events:,} events", "events/s", "CPU µs an event"], rows)


@contextmanager
def _server() -> Iterator[list[tuple[str, str]]]:
    if not shutil.which("clickhouse-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"):
        yield []
        return
    from tests.services import clickhouse_server

    with tempfile.TemporaryDirectory() as directory, clickhouse_server(Path(directory)) as server:
        yield [("server, over TCP", server.url())]


async def _flushed(directory: Path, url: str | None, mix: str, events: int) -> tuple[float, float]:
    """Seconds that flushing takes, and CPU seconds of this process."""
    valkey = EmbeddedRedis(directory / "redis")
    await valkey.start()
    redis, warehouse = connect(valkey.url, 60.0), open_warehouse(url, directory)
    try:
        await redis.config_set("appendfsync", "no")  # filling it is no part of this
        await _fill(redis, mix, events)
        await redis.config_set("appendfsync", "always")
        await warehouse.connect()
        await migrations.apply(warehouse)
        flusher = Flusher(
            RedisQueue(redis, _NODE), warehouse, Metrics(), node=_NODE, owner=_NODE, clock=_now_ms,
            interval_s=1.0, max_events=Settings().flush_max_events, keep_s=0, lease_s=10.0,
        )  # fmt: skip
        wall, cpu = time.monotonic(), _cpu_s()
        flushed = await flusher.drain()
        wall, cpu = time.monotonic() - wall, _cpu_s() - cpu
        if flushed != events:
            sys.exit(f"{flushed} of {events} events were flushed; this is no measurement")
        for table in ("order_events", "clicks"):  # the next mix shall not be merged with this one
            await warehouse.command(f"TRUNCATE TABLE {table}")
        return wall, cpu
    finally:
        await warehouse.close()
        await redis.aclose()
        await valkey.stop()


async def _fill(redis: RedisClient, mix: str, events: int) -> None:
    queue, kinds, start_ms, chunk_id = RedisQueue(redis, _NODE), _MIXES[mix], _now_ms(), ChunkId(1, 0)
    for begin in range(0, events, _CHUNK):
        numbers = range(begin, min(begin + _CHUNK, events))
        chunk_id = chunk_id.next(len(numbers))
        lines = [_line(kinds[number % len(kinds)].code, start_ms + number // 60, number) for number in numbers]
        await queue.push(chunk_id, b"".join(lines))


def _line(code: str, at_ms: int, number: int) -> bytes:
    """An event as it is in a benchmark's load: texts of the usual length, ids that no two have in common."""
    token = secrets.token_urlsafe(33)
    if code == ORDER.code:
        found = (f"B-{secrets.token_hex(4)}-{number}", pixeld.PARTNER, "cookie", token, at_ms // 1000 - 86_400)
        earned = (187, at_ms // 1000 + 30 * 86_400)
        return ORDER.encode(at_ms, pixeld.CLIENT, *found, 2490, "EUR", "", "", "human", _CONSENT, *_AUDIENCE, *earned)
    visit = (pixeld.PARTNER, "human", _CONSENT, token, secrets.randbits(64))
    return CLICK.encode(at_ms, pixeld.CLIENT, *visit, "spring", "", "", "", "", "", "banner-1", *_AUDIENCE, "new")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _costs(options: argparse.Namespace, *, pinned: bool) -> str:
    core, other = machine.cores()
    rounds: dict[str, list[Round]] = {form: [] for form in _FORMS}
    with ExitStack() as stack:
        servers = {}
        for form, settings in _FORMS.items():
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers[form] = stack.enter_context(pixeld.running(directory, core, other, **settings))
            if not pinned:
                for pid in (*servers[form].pids, *servers[form].redis_pids):
                    machine.unpin(pid)
        for number in range(options.rounds + 1):  # the first warms up and doesn't count
            for form, server in servers.items():
                measured = _load(server, other, options.connections, options.seconds if number else 2)
                told = f"{measured.rate:,.0f}/s, p99 {measured.p99_ms:.1f} ms, {measured.waiting:,} waited at the end"
                print(f"round {number or 'warm-up'}: {form}: {told}", file=sys.stderr)
                if number:
                    rounds[form].append(measured)
    return _cost_table(rounds)


def _load(server: pixeld.Pixeld, core: int, connections: int, seconds: int) -> Round:
    path = f"/t/{pixeld.CLIENT}/o.gif?amount=24.90&currency=EUR&order=B-"
    said = wrk.run(core, server.public_url, path, server.cookie, connections=connections, seconds=seconds)
    if said.errors:
        sys.exit(f"{said.errors} of {said.requests} requests failed; this is no measurement")
    waiting = server.api("POST", "/api/flush")["events"]  # so that the next round has the cores to itself
    return Round(said.requests / said.seconds, said.p99_ms, waiting)


def _cost_table(rounds: dict[str, list[Round]]) -> str:
    rows = [
        [form, *(f"{statistics.median(getattr(r, name) for r in measured):,.{digits}f}" for name, digits in _DIGITS.items())]
        for form, measured in rounds.items()
    ]
    on, off = rounds.values()
    rates = [a.rate / b.rate for a, b in zip(on, off, strict=True)]
    p99s = [a.p99_ms / b.p99_ms for a, b in zip(on, off, strict=True)]
    return (
        results.table(["pixeld", "order pixels/s", "p99 ms", "events that waited at the end"], rows)
        + f"\n\nRound by round: **{statistics.median(rates):.2f}×** the throughput ({min(rates):.2f}–{max(rates):.2f}) and "
        f"**{statistics.median(p99s):.2f}×** the p99 ({min(p99s):.2f}–{max(p99s):.2f}) of flushing held off."
    )


def _method(options: argparse.Namespace) -> str:
    return (
        f"{machine.described()}; queues of {options.events:,} events in chunks of {_CHUNK}; {options.connections} "
        f"connections, {options.rounds} interleaved rounds of {options.seconds} s, medians. Again: `python -m bench flush`."
    )
