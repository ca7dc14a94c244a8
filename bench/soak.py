"""Hours of a moderate load, and what they leave behind: memory, open files, CPU a request, latency, backlog, and the books.

pixeld runs as `pixeld serve` does, on one core; generator and Valkey have the other. Memory is fitted with a straight line
over the last three quarters of the time: what is left of its slope is a leak.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

from bench import load, machine, openloop, pixeld, plots, results
from bench.histogram import Histogram
from bench.openloop import Fleet, Plan
from bench.visitors import parse_mix
from bench.wire import Door
from pixeld import settings
from pixeld.cli.server import Server

_SAMPLE_S = 5.0
_TELLING_S = 600.0  # caches, the engine and the allocator take minutes to fill: no leak can be told from that sooner
_GROWTH = 0.02  # of memory in the time measured; less than that is no leak that anybody will meet


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment: MiB, files, CPU µs a request and p99 ms since the sample before, events not yet flushed."""

    at_s: float
    resident_mib: float
    redis_mib: float
    files: int
    cpu_us: float
    p99_ms: float
    backlog: int


class Fit(NamedTuple):
    """A straight line: its slope, and the standard error of that."""

    slope: float
    error: float


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--minutes", type=float, default=10.0, help="(10); hours are welcome")
    parser.add_argument("--rate", type=float, default=2_000.0, help="requests a second (2000)")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--mix", type=parse_mix, default=parse_mix("click=1,impression=5,order=2,reload=0.2"))


def run(options: argparse.Namespace) -> None:
    """Run, print, save; exits with 1 when the books differ or memory grows."""
    core, other = machine.cores()
    os.sched_setaffinity(0, {other})
    with tempfile.TemporaryDirectory() as directory, pixeld.running(Path(directory), core, other) as server:
        plan = Plan(
            door=Door("127.0.0.1", urlsplit(server.public_url).port or 80),
            client=pixeld.CLIENT,
            partner=pixeld.PARTNER,
            run=f"soak-{secrets.token_hex(4)}",
            mix=options.mix,
            rate=options.rate,
            duration_s=options.minutes * 60,
            connections=options.connections,
            poisson=True,
        )
        first = datetime.now(UTC).date()
        outcome, samples = _watched(plan, server)
        api = Server(settings.load({}, {"admin_token": server.token}), server.admin_url)
        said, equal = load.balance(api, plan, outcome, first, 120.0)
    verdict, steady = judge(samples)
    p99, late = outcome.latency.percentile(99) * 1000, outcome.lag.percentile(99) * 1000
    failed = f"{outcome.sent:,} requests, {outcome.failed:,} of them failed; {p99:.2f} ms at p99 from when they were due "
    failed += f"(the generator itself: {late:.2f})."
    body = f"{_table(samples)}\n\n{failed} {verdict}\n\n{said}\n\n{_method(options)}"
    print(body)
    if options.save:
        _draw(samples, results.DIRECTORY / "soak.svg")
        results.save("soak", "Soak", f"![soak](soak.svg)\n\n{body}")
    sys.exit(0 if equal and steady else 1)


def _watched(plan: Plan, server: pixeld.Pixeld) -> tuple[openloop.Outcome, list[Sample]]:
    """Carry the plan out, with a thread that looks at the server meanwhile."""
    fleet, samples, over = Fleet(plan), [], threading.Event()

    def watch() -> None:
        began, before, cpu, sent = time.monotonic(), list(fleet.outcome.latency.counts), machine.cpu_s(server.pids), 0
        while not over.wait(_SAMPLE_S):
            now, used, done = list(fleet.outcome.latency.counts), machine.cpu_s(server.pids), fleet.outcome.sent
            sample = Sample(
                time.monotonic() - began,
                machine.resident_mib(server.pids),
                machine.resident_mib(server.redis_pids),
                len(list(Path(f"/proc/{server.pids[0]}/fd").iterdir())),
                (used - cpu) / max(done - sent, 1) * 1e6,
                Histogram.of([b - a for a, b in zip(before, now, strict=True)]).percentile(99) * 1000,
                _backlog(server),
            )
            before, cpu, sent = now, used, done
            samples.append(sample)
            print(
                f"{sample.at_s:>6.0f} s  {sample.resident_mib:.0f} MiB  {sample.files} files  {sample.cpu_us:.0f} µs "
                f"a request  p99 {sample.p99_ms:.1f} ms  {sample.backlog:,} waiting",
                file=sys.stderr,
            )

    watcher = threading.Thread(target=watch, name="watch")
    watcher.start()
    try:
        outcome = uvloop.run(openloop.drive(plan, fleet=fleet))
    finally:
        over.set()
        watcher.join()
    return outcome, samples


def _backlog(server: pixeld.Pixeld) -> int:
    """Events that wait for ClickHouse, as /readyz tells; also when it says 503."""
    try:
        reply = urllib.request.urlopen(f"{server.admin_url}/readyz", timeout=30)
    except urllib.error.HTTPError as error:
        reply = error
    with reply:
        return int(json.load(reply)["backlog"]["waiting_events"])


def fit(x: list[float], y: list[float]) -> Fit:
    """Least squares."""
    line = statistics.linear_regression(x, y)
    middle = statistics.fmean(x)
    spread = sum((at - middle) ** 2 for at in x)
    left = sum((value - line.intercept - line.slope * at) ** 2 for at, value in zip(x, y, strict=True))
    return Fit(line.slope, (left / max(len(x) - 2, 1) / spread) ** 0.5)


def judge(samples: list[Sample]) -> tuple[str, bool]:
    """(what is to be said of memory and files, whether that is well). A run that is too short to tell is well."""
    if len(samples) < 8:
        return "There are too few samples for a verdict on memory.", True
    kept = samples[len(samples) // 4 :]
    hours = [sample.at_s / 3600 for sample in kept]
    memory = fit(hours, [sample.resident_mib for sample in kept])
    span_h = hours[-1] - hours[0]
    grown = memory.slope * span_h / statistics.fmean(sample.resident_mib for sample in kept)
    files = kept[-1].files - kept[0].files
    said = f"Memory's slope: {memory.slope:+,.1f} ± {2 * memory.error:,.1f} MiB an hour; open files: {files:+,}."
    if samples[-1].at_s < _TELLING_S:
        return f"{said} No verdict: before {_TELLING_S / 60:.0f} minutes caches are still filling.", True
    grows = memory.slope > 2 * memory.error and grown > _GROWTH
    return f"{said} **Memory {'grows' if grows else 'is steady'}.**", not grows


def _table(samples: list[Sample]) -> str:
    if not samples:
        return "No sample was taken: the run was too short."
    chosen = [samples[round(i * (len(samples) - 1) / 11)] for i in range(12)] if len(samples) > 12 else samples
    rows = [
        [f"{s.at_s / 60:.1f}", *(f"{n:.0f}" for n in (s.resident_mib, s.redis_mib, s.files, s.cpu_us)),
         f"{s.p99_ms:.2f}", f"{s.backlog:,}"]
        for s in chosen
    ]  # fmt: skip
    columns = ["minute", "MiB resident", "Valkey MiB", "open files", "CPU µs a request", "p99 ms", "events waiting"]
    return results.table(columns, rows)


def _method(options: argparse.Namespace) -> str:
    return (
        f"{machine.described()}; {options.minutes:g} minutes at {options.rate:,.0f}/s (Poisson) on {options.connections} "
        "connections, as `pixeld serve` with its embedded engine. Again: "
        f"`make bench ARGS='soak --minutes {options.minutes:g} --save'`."
    )


def _draw(samples: list[Sample], path: Path) -> None:
    minutes = [sample.at_s / 60 for sample in samples]

    def panel(y: str, **fields: str) -> plots.Panel:
        lines = [plots.Line(name.replace("_", " "), minutes, [getattr(s, f) for s in samples]) for name, f in fields.items()]
        return plots.Panel("minutes", y, lines)

    panels = [
        panel("MiB resident", pixeld="resident_mib", Valkey="redis_mib"),
        panel("CPU µs a request", pixeld="cpu_us"),
        panel("ms", p99="p99_ms"),
        panel("events", waiting_for_ClickHouse="backlog"),
    ]
    plots.save(path, "Soak", panels)
