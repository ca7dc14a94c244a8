"""Closed-loop load by wrk, which sends a saved browser request as fast as replies come."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).parent / "request.lua"


@dataclass(frozen=True)
class Load:
    """What wrk saw. Its latencies at full load are a queue's length: they say nothing of how long a visitor waits."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float


def run(core: int, url: str, path: str, cookie: str, *, connections: int, seconds: int) -> Load:
    """Ask for `path`, to which a number is added, so that no two requests are the same. Exits where wrk is missing."""
    if shutil.which("wrk") is None:
        sys.exit("wrk makes the load and is not installed; on Debian and Ubuntu: apt-get install wrk")
    done = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), url],
        env={**os.environ, "BENCH_COOKIE": cookie, "BENCH_PATH": f"{path}{secrets.token_hex(4)}-"},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    return Load(**json.loads(done.stdout.strip().splitlines()[-1]))
