"""The page and the README's table of `peers`, made from the figures of every round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import results
from bench.rounds import Round
from bench.servers import EMPTY, NGINX, NGINX_REDIS


@dataclass(frozen=True)
class Target:
    """`server` is to reach so many times the requests a second of `beside`; below the floor the work is not done."""

    server: str
    beside: str
    target: float
    floor: float


TARGETS = (
    Target("pixeld order", EMPTY, 2.0, 1.7),
    Target("pixeld order, 1 worker", EMPTY, 2.0, 1.7),
    Target("pixeld click", EMPTY, 1.7, 1.7),
    Target("pixeld order", NGINX_REDIS, 3.0, 2.0),
    Target("pixeld order", NGINX, 0.5, 0.3),
)
_AT = 256  # connections at which the targets stand
_COLUMNS = ("server", "requests/s (min–max)", "CPU µs", "Redis' µs", "flush after, µs", "p50 ms", "p99 ms", "resident MiB")
_METHOD = """\
Each server has one core to itself in turn, wrk (one thread) and Redis have the other, and all get the same Chrome's
request with a referral cookie, over connections that last; the order number is another in each, and *mix* is a
hundred requests of five browsers: 60 impressions, 30 clicks, 10 orders. Rounds are interleaved; figures are medians
over rounds, ratios are taken round by round. CPU is user and system time of all of a server's processes and
threads, divided by its requests; Redis' stands beside it. A Redis fsyncs before it answers (`appendfsync always`),
is reached over a unix socket and belongs to one server. pixeld runs as `pixeld serve` does, its embedded ClickHouse
flushing on the same core; what was left to flush when a round ended, and the engine's merges, are waited for and
counted apart. With *1 worker* (`--workers 1`) only what answers is on that core, and the process that flushes is
beside wrk and Redis; its CPU is counted all the same. A round with a wrong status, a broken connection or an answer
whose event was not stored is no measurement. Latencies are a closed loop's at full load: they say how long the queue
was, not how long a visitor waits. wrk itself takes some 7 µs a request on its core, as much as nginx's empty_gif and
the raw constant do on theirs: for these two it is the CPU that tells what they could do, not the requests a second."""


def page(run: Mapping[str, Any], rounds: Sequence[Round]) -> str:
    """Everything: ratios with their targets, then a table for each number of connections."""
    parts = [_ratios(rounds)]
    for connections in sorted({each.connections for each in rounds}):
        parts.append(f"## {connections:,} connections\n\n{_table(rounds, connections)}")
    parts += [_left_out(run, rounds), f"## Method\n\n{_METHOD}", _run(run) + " Again: `make bench`."]
    return "\n\n".join(part for part in parts if part)


def short(run: Mapping[str, Any], rounds: Sequence[Round], connections: int) -> str:
    """The README's table: the most telling columns at one number of connections."""
    rows = []
    for server in dict.fromkeys(each.server for each in rounds):
        good = _good(rounds, server, connections)
        if not good:
            continue
        rates, redis = [each.rate for each in good], median(each.redis_us for each in good)
        ratios = ratio(rounds, server, EMPTY, connections)
        rows.append(
            [
                server,
                f"{median(rates):,.0f}",
                f"{median(ratios):.2f}×" if ratios else "",
                f"{median(each.cpu_us for each in good):.0f}" + (f" + {redis:.0f}" if redis else ""),
                f"{median(each.resident_mib for each in good):.0f}",
            ]
        )
    columns = ["server", "requests/s", f"{EMPTY} = 1", "CPU µs a request (+ its Redis')", "resident MiB"]
    stored = "pixeld and the servers with XADD answer after the event is fsynced; the others store nothing."
    how = f"{connections} connections, the server on one core, wrk and Redis on the other"
    where = f"{_run(run)} {how} ([all figures and the method](bench/results/peers.md))."
    return "\n\n".join([results.table(columns, rows), stored, _ratios(rounds), where])


def _ratios(rounds: Sequence[Round]) -> str:
    rows = []
    for target in TARGETS:
        pairs = _pairs(rounds, target.server, target.beside, _AT)
        if pairs:
            rates, cpu = ratio(rounds, target.server, target.beside, _AT), median(b.cpu_us / a.cpu_us for a, b in pairs)
            reached = median(rates)
            said = "met" if reached >= target.target else "above the floor" if reached >= target.floor else "**not met**"
            spread = f"**{reached:.2f}×** ({min(rates):.2f}–{max(rates):.2f})"
            stated = f"{target.target}× ({target.floor}×)"
            rows.append([f"{target.server} : {target.beside}", spread, stated, said, f"{cpu:.2f}×"])
    columns = [f"requests a second at {_AT} connections", "ratio (min–max)", "target (floor)", "", "for the same CPU"]
    return results.table(columns, rows) if rows else ""


def ratio(rounds: Sequence[Round], server: str, beside: str, connections: int) -> list[float]:
    """Requests a second of one server over another's, round by round where both were measured."""
    return [one.rate / other.rate for one, other in _pairs(rounds, server, beside, connections)]


def _pairs(rounds: Sequence[Round], server: str, beside: str, connections: int) -> list[tuple[Round, Round]]:
    others = {each.number: each for each in _good(rounds, beside, connections)}
    return [(each, others[each.number]) for each in _good(rounds, server, connections) if each.number in others]


def _table(rounds: Sequence[Round], connections: int) -> str:
    rows = []
    for server in dict.fromkeys(each.server for each in rounds):
        good = _good(rounds, server, connections)
        if good:
            rates = [each.rate for each in good]
            stores = any(each.redis_us for each in good)
            rows.append(
                [
                    server,
                    f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
                    _spread(each.cpu_us for each in good),
                    _spread(each.redis_us for each in good) if stores else "",
                    f"{median(each.flush_us for each in good):.1f}" if server.startswith("pixeld") else "",
                    f"{median(each.p50_ms for each in good):.1f}",
                    f"{median(each.p99_ms for each in good):.1f}",
                    f"{median(each.resident_mib for each in good):.0f}",
                ]
            )
    return results.table(_COLUMNS, rows)


def _spread(figures: Any) -> str:
    found = list(figures)
    return f"{median(found):.1f} ({min(found):.1f}–{max(found):.1f})"


def _left_out(run: Mapping[str, Any], rounds: Sequence[Round]) -> str:
    lines = [f"- Not measured: {text}." for text in run["missing"]]
    lines += [
        f"- No measurement: {each.server} at {each.connections} connections, round {each.number}: {each.errors} errors."
        for each in rounds
        if each.errors
    ]
    return "\n".join(["## Left out", "", *lines]) if lines else ""


def _run(run: Mapping[str, Any]) -> str:
    return f"{run['machine']}; {run['rounds']} rounds of {run['seconds']} s."


def _good(rounds: Sequence[Round], server: str, connections: int) -> list[Round]:
    return [each for each in rounds if each.server == server and each.connections == connections and not each.errors]
