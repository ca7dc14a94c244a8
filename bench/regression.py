"""Whether the order pixel costs more CPU than it did, as a share of what an empty aiohttp handler costs in the same job.

A fixed number of requests to each in turn, several rounds; the median of the rounds' ratios against the one in
reference.json. A ratio of CPU times: neither the machine's speed nor what else it does changes it much. pixeld's flush is
part of its cost, and is asked for after each round, so that each round flushes what it took. Exit code 1 when the ratio
has fallen by more than 15 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench import machine, pixeld, servers, subjects, wrk
from bench.subjects import Subject

REFERENCE = Path(__file__).parent / "reference.json"
ALLOWED = 0.15  # the share by which the ratio may fall
_REQUESTS, _CONNECTIONS, _LONGEST_S = 20_000, 64, 20  # CPU times are read in steps of 10 ms: 2 % of the shortest load
_PASS_S, _FEWEST = 20.0, 3  # on a slow machine fewer rounds, so that two passes take less than a minute


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")


def run(options: argparse.Namespace) -> None:
    """Measure; once more when it looks worse. With --save the result is the new reference, else exit code 1 when worse."""
    reference = None if options.save else json.loads(REFERENCE.read_text())
    core, other = machine.cores()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        # Flushed when asked only: a flush that falls into one round and not into another would be noise.
        server = stack.enter_context(pixeld.running(Path(directory), core, other, flush_interval_s=3600))
        order = subjects.roles(server)[0]
        place = servers.Place(Path(directory), core, other, server.cookie)
        empty = stack.enter_context(servers.script(servers.EMPTY, place, "aiohttp_empty.py"))
        for subject in (empty, order):
            _cpu_us(subject, other)  # warms up and doesn't count
        found = _ratios(empty, order, other, options.rounds)
        if reference and verdict(found, reference):
            found += _ratios(empty, order, other, options.rounds)  # a bad minute of the machine ends; a regression stays
    now = median(found)
    print(f"the order pixel costs {1 / now:.2f} times the CPU of an empty aiohttp handler (ratio {now:.3f})")
    if reference is None:
        kept = {"ratio": round(now, 3), "rounds": [round(each, 3) for each in found], "taken": machine.described()}
        REFERENCE.write_text(json.dumps(kept, ensure_ascii=False, indent=2) + "\n")
    elif wrong := verdict(found, reference):
        sys.exit(wrong)


def verdict(ratios: Sequence[float], reference: Mapping[str, Any]) -> str:
    """What to tell people when the median ratio has fallen too far; empty when it hasn't."""
    now, then = median(ratios), reference["ratio"]
    if now >= then * (1 - ALLOWED):
        return ""
    return f'''
The order pixel has become slower: for the CPU of one, an empty aiohttp handler answers {1 / now:.2f} requests; by the
reference it is {1 / then:.2f}. The ratio fell by {1 - now / then:.0%}, from {then:.3f} to {now:.3f}, and {ALLOWED:.0%} are
allowed. Each round's: {", ".join(f"{each:.3f}" for each in ratios)}. The reference is of {reference["taken"]}.

To look into it: `make bench ARGS=regression` on this commit and on the one before says whether it was this change; a
profiler on a pixeld under `wrk` (py-spy record --native --pid …) says where the time goes. A new version of aiohttp,
uvloop or redis moves the ratio, too. When the change is worth its cost, take a new reference on a quiet machine and commit
it with the reason: make bench ARGS="regression --save"'''


def _ratios(empty: Subject, order: Subject, core: int, rounds: int) -> list[float]:
    found: list[float] = []
    end = time.monotonic() + _PASS_S
    while len(found) < rounds and (len(found) < _FEWEST or time.monotonic() < end):
        yardstick, cost = _cpu_us(empty, core), _cpu_us(order, core)
        print(f"empty handler {yardstick:.1f} µs, order pixel {cost:.1f} µs, ratio {yardstick / cost:.3f}", file=sys.stderr)
        found.append(yardstick / cost)
    return found


def _cpu_us(subject: Subject, core: int) -> float:
    """CPU microseconds a request, until everything it left behind is done, too."""
    before = machine.cpu_s(subject.pids)
    load = wrk.play(core, subject.url, subject.requests, connections=_CONNECTIONS, seconds=_LONGEST_S, limit=_REQUESTS)
    if subject.settle:
        subject.settle()
    if load.errors:
        sys.exit(f"{subject.name}: {load.errors} of {load.requests} requests failed; this is no measurement")
    return (machine.cpu_s(subject.pids) - before) / load.requests * 1e6
