"""Closed-loop load by wrk, which sends saved browser requests as fast as replies come."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import browsers

_SCRIPT = Path(__file__).parent / "requests.lua"
_REPLY_S = 30  # a reply that takes longer is an error; at 10,000 connections the queue alone is a second


@dataclass(frozen=True)
class Load:
    """What wrk saw. Its latencies at full load are a queue's length: they say nothing of how long a visitor waits."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float


def run(core: int | str, url: str, path: str, cookie: str, *, connections: int, seconds: int) -> Load:
    """Ask for `path`, to which a number is added, so that no two requests are the same. Exits where wrk is missing."""
    request = browsers.request(url, f"{path}{{n}}", browsers.CHROME, cookie)
    return play(core, url, [request], connections=connections, seconds=seconds)


def play(core: int | str, url: str, requests: Iterable[bytes], *, connections: int, seconds: int, limit: int = 0) -> Load:
    """Send complete requests in turn for `seconds`, or until `limit` are sent; `{n}` in each becomes a number of its own.

    Statuses from 400, broken connections and replies that never come count as errors. A `limit` is some thousands at least:
    before wrk has begun to wait it can't be woken. Exits where wrk is missing.
    """
    if shutil.which("wrk") is None:
        sys.exit("wrk makes the load and is not installed; on Debian and Ubuntu: apt-get install wrk")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0".join(requests))
        file.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{_REPLY_S}s", "-s", str(_SCRIPT)]
        told = {"BENCH_REQUESTS": file.name, "BENCH_UNIQUE": f"{secrets.token_hex(4)}-", "BENCH_LIMIT": str(limit)}
        done = subprocess.run(
            ["taskset", "-c", str(core), "wrk", *options, url],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + _REPLY_S,
        )
    return Load(**json.loads(done.stdout.strip().splitlines()[-1]))
