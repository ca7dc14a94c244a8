"""The order pixel's whole durable job beside other servers, in one run.

Each server has one core to itself in turn; wrk and Valkey have the other. Rounds are interleaved, figures are medians
over rounds, and what counts is the ratio. pixeld runs as `pixeld serve` does: token verified, event fsynced before
its answer, flushing on. CPU is what the server's processes used, all threads, user and system.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine, pixeld, results, wrk

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Round:
    """One load on one server: requests a second, CPU µs a request, latencies in ms as wrk saw them (closed loop)."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Subject:
    """A server under load: its processes, and what is asked of it."""

    name: str
    pids: tuple[int, ...]
    url: str
    path: str
    cookie: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=5, choices=range(1, 61), metavar="1…60")
    parser.add_argument("--connections", type=int, default=256)


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    core, other = machine.cores()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subjects = [stack.enter_context(_empty(core)), stack.enter_context(_order(directory, core, other))]
        rounds: dict[str, list[Round]] = {subject.name: [] for subject in subjects}
        for number in range(options.rounds + 1):  # the first warms up and doesn't count
            for subject in subjects:
                measured = _load(subject, other, options.connections, options.seconds if number else 2)
                figures = f"{measured.rate:,.0f}/s, {measured.cpu_us:.1f} µs"
                print(f"round {number or 'warm-up'}: {subject.name}: {figures}", file=sys.stderr)
                if number:
                    rounds[subject.name].append(measured)
    body = f"{_table(rounds)}\n\n{_method(options)}"
    print(body)
    if options.save:
        results.save("peers", "pixeld beside other servers", body)
        results.put_in_readme("bench", body)


@contextmanager
def _empty(core: int) -> Iterator[Subject]:
    with machine.process(core, sys.executable, str(HERE / "empty_aiohttp.py")) as (server, line):
        name = "empty aiohttp handler, nothing stored"
        yield Subject(name, (server.pid,), f"http://127.0.0.1:{int(line)}", "/o.gif?order=B-", "pxref=x")


@contextmanager
def _order(directory: Path, core: int, redis_core: int) -> Iterator[Subject]:
    with pixeld.running(directory, core, redis_core) as server:
        path = f"/t/{pixeld.CLIENT}/o.gif?amount=24.90&currency=EUR&order=B-"
        name = "pixeld order pixel: verified, fsynced, then answered"
        yield Subject(name, server.pids, server.public_url, path, server.cookie)


def _load(subject: Subject, core: int, connections: int, seconds: int) -> Round:
    before = machine.cpu_s(subject.pids)
    said = wrk.run(core, subject.url, subject.path, subject.cookie, connections=connections, seconds=seconds)
    if said.errors:
        sys.exit(f"{subject.name}: {said.errors} of {said.requests} requests failed; this is no measurement")
    cpu_us = (machine.cpu_s(subject.pids) - before) / said.requests * 1e6
    return Round(said.requests / said.seconds, cpu_us, said.p50_ms, said.p99_ms)


def _table(rounds: dict[str, list[Round]]) -> str:
    rows = []
    for name, measured in rounds.items():
        rates = [r.rate for r in measured]
        middles = [statistics.median(getattr(r, field) for r in measured) for field in ("cpu_us", "p50_ms", "p99_ms")]
        spread = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"
        rows.append([name, spread, *(f"{middle:.1f}" for middle in middles)])
    ratios = [b.rate / a.rate for a, b in zip(*rounds.values(), strict=True)]
    cpu = [a.cpu_us / b.cpu_us for a, b in zip(*rounds.values(), strict=True)]
    return (
        results.table(["server", "requests/s (min–max)", "CPU µs a request", "p50 ms", "p99 ms"], rows)
        + f"\n\nRatio, round by round: **{statistics.median(ratios):.2f}×** the empty handler's requests a second "
        f"({min(ratios):.2f}–{max(ratios):.2f}), {statistics.median(cpu):.2f}× as many requests for the same CPU."
    )


def _method(options: argparse.Namespace) -> str:
    return (
        f"{machine.described()}; {options.connections} connections, {options.rounds} rounds of "
        f"{options.seconds} s, server on one core, wrk and Valkey on the other. Latencies are a closed loop's at full load: "
        "they say how long the queue was, not how long a visitor waits. Again: `make bench`."
    )
