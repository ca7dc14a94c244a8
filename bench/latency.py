"""How long the order pixel takes at a part of its full load, from an open-loop generator.

Each round finds the most that a closed loop of wrk gets, and then sends a part of that on schedule, measuring from when each
request was due. What answers has one core; generator and Valkey share the other, and how late the generator itself was stands
in a column of its own. As one process pixeld flushes on the core that answers, with `--workers 1` on the other one.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench import machine, openloop, pixeld, plots, results, subjects, wrk
from bench.openloop import Plan
from bench.visitors import parse_mix
from bench.wire import Door

_TARGET_MS, _TARGET_PERCENT = 5.0, 70
_PERCENTS = (30, 50, 70, 80, 90)
_SHAPES = {"one process": 0, "1 worker": 1}


@dataclass(frozen=True)
class Point:
    """One load: requests a second, and milliseconds from when requests were due; `lag_p99` is how late they were sent."""

    rate: float
    p50: float
    p99: float
    p999: float
    most: float
    lag_p99: float
    failed: int


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=10, choices=range(1, 301), metavar="1…300", help="of each load")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--percents", type=_percents, default=_PERCENTS, metavar="30,50,70", help="of the closed loop's most")


def _percents(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(1 <= percent <= 200 for percent in found):
        raise argparse.ArgumentTypeError(f"{text!r} must be percentages like 30,50,70")
    return found


@dataclass(frozen=True)
class Found:
    """What one shape of pixeld did: a closed loop's most, and the points of each percentage of it, round by round."""

    most: list[float]
    points: dict[int, list[Point]]


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    core, other = machine.cores()
    os.sched_setaffinity(0, {other})
    found = {name: Found([], {percent: [] for percent in options.percents}) for name in _SHAPES}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        servers = {}
        for name, workers in _SHAPES.items():
            folder = Path(directory, str(workers))
            servers[name] = server = stack.enter_context(pixeld.running(folder, core, other, workers=workers))
            if workers:
                subjects.move_office(server, other)
            _closed_loop(server, other, options.connections, 2)  # warms up
        for number in range(1, options.rounds + 1):
            for name, server in servers.items():
                _round(f"round {number}: {name}", server, other, found[name], options)
    body = "\n\n".join([*(f"## {name.capitalize()}\n\n{_table(each)}" for name, each in found.items()), _method(options)])
    print(body)
    if options.save:
        _draw(found, results.DIRECTORY / "latency.svg")
        results.save("latency", "Latency against load", f"![latency against load](latency.svg)\n\n{body}")


def _round(title: str, server: pixeld.Pixeld, other: int, found: Found, options: argparse.Namespace) -> None:
    found.most.append(most := _closed_loop(server, other, options.connections, options.seconds))
    print(f"{title}: closed loop {most:,.0f}/s", file=sys.stderr)
    for percent in options.percents:
        subjects.settle(server)  # what the load before left to flush is not this one's
        found.points[percent].append(point := _open_loop(server, most * percent / 100, options))
        said = f"p50 {point.p50:.2f}, p99 {point.p99:.2f}, max {point.most:.1f} ms, {point.failed} failed"
        print(f"{title}: {percent} %, {point.rate:,.0f}/s: {said}", file=sys.stderr)


def _closed_loop(server: pixeld.Pixeld, other: int, connections: int, seconds: int) -> float:
    """Requests a second."""
    done = wrk.run(other, server.public_url, _path(), server.cookie, connections=connections, seconds=seconds)
    return done.requests / done.seconds


def _path() -> str:
    return f"/t/{pixeld.CLIENT}/o.gif?amount=24.90&currency=EUR&order=C-"


def _open_loop(server: pixeld.Pixeld, rate: float, options: argparse.Namespace) -> Point:
    parts = urlsplit(server.public_url)
    outcome = uvloop.run(
        openloop.drive(
            Plan(
                door=Door("127.0.0.1", parts.port or 80),
                client=pixeld.CLIENT,
                partner=pixeld.PARTNER,
                run=f"latency-{secrets.token_hex(4)}",
                mix=parse_mix("order=1"),
                rate=rate,
                duration_s=options.seconds,
                connections=options.connections,
            )
        )
    )
    ms = [outcome.latency.percentile(percent) * 1000 for percent in (50, 99, 99.9)]
    return Point(
        outcome.sent / max(outcome.seconds, options.seconds),
        *ms,
        outcome.latency.max_s * 1000,
        outcome.lag.percentile(99) * 1000,
        outcome.failed,
    )


def _table(shape: Found) -> str:
    most, points, rows = shape.most, shape.points, []
    for percent, found in points.items():
        cells = [f"{percent} %", f"{statistics.median(p.rate for p in found):,.0f}"]
        for name in ("p50", "p99", "p999", "most", "lag_p99"):
            values = [getattr(point, name) for point in found]
            cells.append(f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})")
        rows.append([*cells, f"{sum(p.failed for p in found):,}"])
    columns = ["load", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "generator late, p99 ms", "failed"]
    said = f"100 % is {statistics.median(most):,.0f}/s ({min(most):,.0f}–{max(most):,.0f}), a closed loop's most."
    if _TARGET_PERCENT in points:
        p99 = statistics.median(point.p99 for point in points[_TARGET_PERCENT])
        kept = "kept" if p99 <= _TARGET_MS else "not kept"
        said += f" p99 at {_TARGET_PERCENT} %: **{p99:.2f} ms**; the target of {_TARGET_MS:g} ms is {kept}."
    return f"{results.table(columns, rows)}\n\n{said}"


def _method(options: argparse.Namespace) -> str:
    return (
        f"{machine.described()}; {options.connections} connections, {options.rounds} rounds of {options.seconds} s a load, "
        "medians over rounds (least–most). Order pixel with a valid cookie, fsynced before its answer, flushing on; what "
        "answers on one core; on the other generator, Valkey and, with 1 worker, what flushes. Latency counts from when a "
        "request was due. Again: `make bench ARGS='latency --save'`."
    )


def _draw(found: dict[str, Found], path: Path) -> None:
    panels = [_panel(name, shape.points) for name, shape in found.items()]
    plots.save(path, "Order pixel: latency against load (open loop)", panels)


def _panel(title: str, points: dict[int, list[Point]]) -> plots.Panel:
    percents = list(points)
    lines = []
    for name, field in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999")):
        values = [[getattr(point, field) for point in points[percent]] for percent in percents]
        lines.append(
            plots.Line(
                name, percents, [statistics.median(v) for v in values], [min(v) for v in values], [max(v) for v in values]
            )
        )
    target = (_TARGET_MS, f"target of p99 at {_TARGET_PERCENT} %")
    return plots.Panel(f"{title}: load, % of a closed loop's most", "latency, ms", lines, "y", target)
