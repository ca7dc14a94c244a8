"""One load on one server, and everything that is read off it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from bench import machine, wrk
from bench.subjects import Subject

_LATE = 0.7  # memory is read when so much of a round has passed, while all its connections are open


@dataclass(frozen=True)
class Round:
    """One load on one server. `cpu_us`, `redis_us` and `flush_us` are CPU a request: the server's while it answered, its
    Redis' meanwhile, and the server's afterwards, until what it had answered was flushed. Latencies as wrk saw them, in a
    closed loop. With `errors` it is no measurement: wrong statuses, broken connections, answers whose event was not stored.
    """

    server: str
    connections: int
    number: int
    errors: int
    rate: float
    cpu_us: float
    redis_us: float
    flush_us: float
    p50_ms: float
    p99_ms: float
    resident_mib: float

    def __str__(self) -> str:
        wrong = f", {self.errors} errors: no measurement" if self.errors else ""
        return f"{self.rate:9,.0f}/s {self.cpu_us:6.1f} µs, p99 {self.p99_ms:.0f} ms{wrong}"


def measure(subject: Subject, core: int, number: int, connections: int, seconds: int) -> Round:
    """Load a server from `core`, then wait until it has nothing left to do."""
    stored = subject.stored() if subject.stored else 0
    memory: list[float] = []
    look = threading.Timer(seconds * _LATE, lambda: memory.append(machine.resident_mib(subject.pids)))
    look.start()
    server, redis = machine.cpu_s(subject.pids), machine.cpu_s(subject.redis_pids)
    said = wrk.play(core, subject.url, subject.requests, connections=connections, seconds=seconds)
    after, after_redis = machine.cpu_s(subject.pids), machine.cpu_s(subject.redis_pids)
    look.join()
    unstored = max(0, said.requests - (subject.stored() - stored)) if subject.stored else 0
    if subject.settle:
        subject.settle()
    each = 1e6 / max(said.requests, 1)
    return Round(
        server=subject.name,
        connections=connections,
        number=number,
        errors=said.errors + unstored + (not said.requests),
        rate=round(said.requests / said.seconds, 1),
        cpu_us=round((after - server) * each, 2),
        redis_us=round((after_redis - redis) * each, 2),
        flush_us=round((machine.cpu_s(subject.pids) - after) * each, 2),
        p50_ms=round(said.p50_ms, 2),
        p99_ms=round(said.p99_ms, 2),
        resident_mib=round(memory[0], 1),
    )
