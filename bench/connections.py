"""What idle keep-alive connections cost: memory, the time to accept them, and the latency of others meanwhile.

Every held connection has had one reply before it rests, as a browser's has. pixeld runs without its embedded engine where a
clickhouse-server is installed, because the engine's own memory moves by more than the connections take.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench import load, machine, openloop, pixeld, plots, results
from bench.openloop import Plan
from bench.visitors import Requests, Visitor, parse_mix
from bench.wire import Door

_STEPS = (10, 100, 1_000, 2_500, 5_000, 10_000)
_TARGET_KIB, _TARGET_IDLE_MIB = 20.0, 120.0
_LOAD_CONNECTIONS = 16
_OPENING = 128  # at once; the kernel's queue of connections to be accepted holds thousands
_REST_S = 1.0  # until what a step set free is free


@dataclass(frozen=True)
class Step:
    """So many held connections: MiB resident before any and now, seconds to open this step's, latency of others in ms."""

    held: int
    resident_mib: float
    kib_each: float
    opening_s: float
    opened: int
    p50: float
    p99: float


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--most", type=int, default=10_000, help="connections held at the end (10000)")
    parser.add_argument("--rate", type=int, default=500, help="requests a second on other connections meanwhile (500)")
    parser.add_argument("--seconds", type=int, default=5, choices=range(1, 61), metavar="1…60", help="of load at each step")


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    core, other = machine.cores()
    os.sched_setaffinity(0, {other})
    load.allow_files(options.most + _LOAD_CONNECTIONS)
    roomy = {"max_connections": options.most + 1_000, "keepalive_s": 3600}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine, given = stack.enter_context(_warehouse(directory))
        server = stack.enter_context(pixeld.running(directory / "data", core, other, **given, **roomy))
        time.sleep(_REST_S)
        idle = machine.resident_mib(server.pids)
        steps = uvloop.run(_hold(server, [n for n in _STEPS if n < options.most] + [options.most], options))
    first, last = steps[0], steps[-1]
    each = (last.resident_mib - first.resident_mib) * 1024 / (last.held - first.held)
    body = f"{_table(steps)}\n\n{_verdict(engine, idle, each)}\n\n{_method(options)}"
    print(body)
    if options.save:
        _draw(steps, results.DIRECTORY / "connections.svg")
        results.save("connections", "Idle keep-alive connections", f"![connections](connections.svg)\n\n{body}")


@contextmanager
def _warehouse(directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(what it is, settings): a clickhouse-server of this run's own where there is one, else the embedded engine."""
    if shutil.which("clickhouse-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") is None:
        yield "embedded engine", {}
        return
    from tests.services import clickhouse_server  # tests start one for themselves, too

    (directory / "clickhouse").mkdir()
    with clickhouse_server(directory / "clickhouse") as server:
        yield "external ClickHouse", {"clickhouse_url": server.url()}


async def _hold(server: pixeld.Pixeld, counts: list[int], options: argparse.Namespace) -> list[Step]:
    """Hold more and more connections, and look at the server each time."""
    door = Door("127.0.0.1", urlsplit(server.public_url).port or 80)
    requests = Requests(pixeld.CLIENT, pixeld.PARTNER, f"held-{secrets.token_hex(4)}")
    visitor = Visitor.number(0, door.netloc, server.cookie)
    await _latency(door, options)  # warms up what every request needs, on connections that end
    held: list[asyncio.StreamWriter] = []
    steps: list[Step] = []
    before = await _resident(server)
    gate = asyncio.Semaphore(_OPENING)

    async def open_one(number: int) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection(door.host, door.port, limit=1024)
            held.append(writer)
            writer.write(requests.order(visitor, number))
            if b" 200 OK" not in await reader.readuntil(b"\r\n\r\n"):
                sys.exit("a connection that should be held got no GIF; this is no measurement")

    for count in counts:
        opened, began = count - len(held), time.monotonic()
        await asyncio.gather(*(open_one(number) for number in range(len(held), count)))
        opening_s = time.monotonic() - began
        resident = await _resident(server)
        p50, p99 = await _latency(door, options)
        steps.append(Step(count, resident, (resident - before) * 1024 / count, opening_s, opened, p50, p99))
        print(f"{count:,} held: {resident:.1f} MiB, p99 {p99:.2f} ms", file=sys.stderr)
        if any(writer.transport.is_closing() for writer in held):
            sys.exit("the server has closed connections that should be held; this is no measurement")
    for writer in held:
        writer.transport.abort()
    return steps


async def _resident(server: pixeld.Pixeld) -> float:
    await asyncio.sleep(_REST_S)
    return machine.resident_mib(server.pids)


async def _latency(door: Door, options: argparse.Namespace) -> tuple[float, float]:
    """p50 and p99 in ms of orders at a small rate, from when they were due."""
    plan = Plan(
        door=door,
        client=pixeld.CLIENT,
        partner=pixeld.PARTNER,
        run=f"others-{secrets.token_hex(4)}",
        mix=parse_mix("order=1"),
        rate=options.rate,
        duration_s=options.seconds,
        connections=_LOAD_CONNECTIONS,
    )
    outcome = await openloop.drive(plan)
    if outcome.failed:
        sys.exit(f"{outcome.failed} requests failed while connections were held; this is no measurement")
    return outcome.latency.percentile(50) * 1000, outcome.latency.percentile(99) * 1000


def _table(steps: list[Step]) -> str:
    rows = [
        [
            f"{step.held:,}",
            f"{step.resident_mib:.1f}",
            f"{step.kib_each:.1f}",
            f"{step.opening_s * 1e6 / step.opened:,.0f}" if step.opened else "",
            f"{step.p50:.2f}",
            f"{step.p99:.2f}",
        ]
        for step in steps
    ]
    return results.table(["held", "MiB resident", "KiB each", "µs to open one", "p50 ms of others", "p99 ms of others"], rows)


def _verdict(engine: str, idle_mib: float, kib: float) -> str:
    each = "kept" if kib <= _TARGET_KIB else "not kept"
    said = f"**{kib:.1f} KiB a connection**; the target of {_TARGET_KIB:g} KiB is {each}."
    said += f" Idle at start: {idle_mib:.1f} MiB, {engine}"
    if engine == "embedded engine":
        return f"{said}, whose own memory no target is for."
    return f"{said}; the target of {_TARGET_IDLE_MIB:g} MiB is {'kept' if idle_mib <= _TARGET_IDLE_MIB else 'not kept'}."


def _method(options: argparse.Namespace) -> str:
    return (
        f"{machine.described()}; memory is that of pixeld's own process. Each held connection has had one order "
        f"answered; others send {options.rate}/s on {_LOAD_CONNECTIONS} connections for {options.seconds} s a step. Opening "
        f"counts connect, request and reply, {_OPENING} at once. Again: `make bench ARGS='connections --save'`."
    )


def _draw(steps: list[Step], path: Path) -> None:
    held = [step.held for step in steps]
    base = steps[0].resident_mib
    goal = [base + count * _TARGET_KIB / 1024 for count in held]
    memory = [
        plots.Line("resident", held, [step.resident_mib for step in steps]),
        plots.Line(f"{_TARGET_KIB:g} KiB each", held, goal),
    ]
    waits = [
        plots.Line("p50", held, [step.p50 for step in steps]),
        plots.Line("p99", held, [step.p99 for step in steps]),
    ]
    x = "idle connections held"
    panels = [plots.Panel(x, "MiB", memory), plots.Panel(x, "latency of others, ms", waits, "x")]
    plots.save(path, "Idle keep-alive connections", panels)
