"""CPU a request with one process, one worker and two, each without TLS and with it.

What it shows on a machine of two cores is the CPU that a request costs staying flat from one worker to two: throughput
cannot double where workers share the cores with Valkey and the load generator.
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
from tests.certificates import certificate

_SHAPES = {"one process": 0, "1 worker": 1, "2 workers": 2}


@dataclass(frozen=True)
class Subject:
    """A server under load. `pids` are all of pixeld's processes, `answering` those that answer."""

    name: str
    pids: tuple[int, ...]
    answering: tuple[int, ...]
    server: pixeld.Pixeld


@dataclass(frozen=True)
class Round:
    """Requests a second; CPU µs a request of all of pixeld's processes, and of those that answer; resident MiB of all."""

    rate: float
    cpu_us: float
    answering_us: float
    resident_mib: float


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=10, choices=range(1, 61), metavar="1…60")
    parser.add_argument("--connections", type=int, default=256)


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    cores = ",".join(map(str, machine.cores()))  # everything may run on either: what is compared is equally disturbed
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tls = certificate(directory, "localhost")
        subjects = [
            stack.enter_context(_server(directory / f"{workers}{'-tls' if given else ''}", name, workers, given, cores))
            for given in (None, tls)
            for name, workers in _SHAPES.items()
        ]
        rounds: dict[str, list[Round]] = {subject.name: [] for subject in subjects}
        for number in range(options.rounds + 1):  # the first warms up and doesn't count
            for subject in subjects:
                measured = _load(subject, cores, options.connections, options.seconds if number else 2)
                figures = f"{measured.rate:,.0f}/s, {measured.cpu_us:.1f} µs, of it answering {measured.answering_us:.1f}"
                print(f"round {number or 'warm-up'}: {subject.name}: {figures}", file=sys.stderr)
                if number:
                    rounds[subject.name].append(measured)
    body = f"{_table(rounds)}\n\n{_method(options)}"
    print(body)
    if options.save:
        results.save("workers", "One process, one worker, two", body)


@contextmanager
def _server(directory: Path, name: str, workers: int, tls: tuple[Path, Path] | None, cores: str) -> Iterator[Subject]:
    settings: dict[str, object] = {"workers": workers}
    if tls:
        settings |= {"tls_cert": tls[0], "tls_key": tls[1]}
        name += ", TLS"
    with pixeld.running(directory, cores, cores, **settings) as server:
        yield Subject(name, (*server.pids, *server.worker_pids), server.worker_pids or server.pids, server)


def _load(subject: Subject, cores: str, connections: int, seconds: int) -> Round:
    path = f"/t/{pixeld.CLIENT}/o.gif?amount=24.90&currency=EUR&order=B-"
    server = subject.server
    before, before_answering = machine.cpu_s(subject.pids), machine.cpu_s(subject.answering)
    connections *= len(subject.answering)
    said = wrk.run(cores, server.public_url, path, server.cookie, connections=connections, seconds=seconds)
    if said.errors:
        sys.exit(f"{subject.name}: {said.errors} of {said.requests} requests failed; this is no measurement")
    server.api("POST", "/api/flush")  # what is flushed later would be the next round's CPU
    used, answering = machine.cpu_s(subject.pids) - before, machine.cpu_s(subject.answering) - before_answering
    memory = machine.resident_mib(subject.pids)
    return Round(said.requests / said.seconds, used / said.requests * 1e6, answering / said.requests * 1e6, memory)


def _table(rounds: dict[str, list[Round]]) -> str:
    rows = []
    for name, measured in rounds.items():
        cells = [name]
        for field, digits in (("answering_us", 1), ("cpu_us", 1), ("rate", 0), ("resident_mib", 0)):
            values = [getattr(r, field) for r in measured]
            cells.append(f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})")
        rows.append(cells)
    columns = ["server", "CPU µs a request, those that answer", "all of pixeld, flushing too", "requests/s", "resident MiB"]
    lines = [results.table(columns, rows), ""]
    for suffix in ("", ", TLS"):
        one, two = (rounds[f"{name}{suffix}"] for name in ("1 worker", "2 workers"))
        ratios = [b.answering_us / a.answering_us for a, b in zip(one, two, strict=True)]
        how = "With TLS" if suffix else "Without TLS"
        spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
        lines.append(f"{how}, two workers use **{statistics.median(ratios):.2f}×** one worker's CPU a request ({spread}).")
    return "\n".join(lines)


def _method(options: argparse.Namespace) -> str:
    return (
        f"{machine.described()}; order pixel with a valid cookie, {options.connections} connections for each process that "
        f"answers, {options.rounds} interleaved rounds of {options.seconds} s, medians (min–max). All processes, wrk and "
        "Valkey among them, share two cores, which are busy in every row: so requests a second say nothing of what more cores "
        "would give, and CPU a request is higher than for a process with a core to itself. Events are flushed in the round "
        "that made them. Each round opens its connections anew and keeps them: with TLS, so many handshakes are in "
        "its CPU, the same number for each process that answers however many requests that gets. "
        "Again: `make bench ARGS=workers`."
    )
