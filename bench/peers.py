"""The whole durable job beside other servers, in one run.

Each server has one core to itself in turn; wrk and Redis have the other. All get the same request, rounds are
interleaved, figures are medians over rounds, and what counts is the ratio. pixeld runs as `pixeld serve` does: token
verified, event fsynced before its answer, flushing on. CPU is what the server's processes used, all threads, user and
system.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from bench import machine, peers_page, pixeld, results, rounds, servers, subjects
from bench.rounds import Round
from bench.subjects import Subject

README_CONNECTIONS = 256


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=3, choices=range(1, 61), metavar="1…60", help="of each round")
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 256, 1024], metavar="N", help="64 256 1024")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="servers whose name has one of these words")
    parser.add_argument("--again", action="store_true", help="measure nothing; write the page anew from the saved figures")


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    if options.again:
        saved = results.read_rows("peers")
        if not saved:
            sys.exit("there are no saved figures to write the page from; measure with --save first")
        run_of, measured = saved[0], [Round(**row) for row in saved[1:]]
    else:
        measured, missing = _measure(options)
        run_of = {
            "machine": f"{machine.described()}, {_versions()}",
            "rounds": options.rounds,
            "seconds": options.seconds,
            "missing": missing,
        }
        if options.save:
            results.save_rows("peers", [run_of, *(vars(each) for each in measured)])
    page = peers_page.page(run_of, measured)
    print(page)
    if options.save or options.again:
        results.save("peers", "pixeld beside other servers", page)
        results.put_in_readme("bench", peers_page.short(run_of, measured, README_CONNECTIONS))


def _versions() -> str:
    """Of what pixeld is measured beside and with, as far as it is there."""
    found = []
    for program in ("nginx", "wrk"):
        if shutil.which(program):
            said = subprocess.run(
                [program, "-v"], capture_output=True, text=True, check=False
            )  # wrk says it with an exit code 1
            number = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
            found.append(f"{program} {number[0] if number else ''}")
    return ", ".join([*found, *(f"{name} {version(name)}" for name in ("fastapi", "uvicorn") if find_spec(name))])


def _measure(options: argparse.Namespace) -> tuple[list[Round], list[str]]:
    core, other = machine.cores()
    done = []
    with tempfile.TemporaryDirectory() as directory, _started(Path(directory), core, other, options.only) as (found, missing):
        for subject in found:
            rounds.measure(subject, other, 0, options.connections[0], 1)  # warms up and doesn't count
        for number in range(1, options.rounds + 1):
            for connections in options.connections:
                for subject in found:
                    done.append(rounds.measure(subject, other, number, connections, options.seconds))
                    print(f"{number}: {connections:5} {subject.name:33} {done[-1]}", file=sys.stderr)
    return done, missing


@contextmanager
def _started(directory: Path, core: int, other: int, only: list[str] | None) -> Iterator[tuple[list[Subject], list[str]]]:
    """What this machine can measure, all running and idle; and what it lacks."""

    def wanted(name: str) -> bool:
        return not only or any(word in name for word in only)

    with ExitStack() as stack:
        server = stack.enter_context(pixeld.running(directory / "pixeld", core, other))
        worker = stack.enter_context(pixeld.running(directory / "worker", core, other, workers=1))
        roles = [*subjects.roles(server), subjects.beside_its_office(worker, other)]
        found, missing = [role for role in roles if wanted(role.name)], []
        for number, peer in enumerate(servers.PEERS):
            if not wanted(peer.name):
                continue
            if lack := peer.lacking():
                missing.append(f"{peer.name}: {lack}")
                continue
            place = servers.Place(directory / f"peer{number}", core, other, server.cookie)
            place.directory.mkdir()
            found.append(stack.enter_context(peer.start(peer.name, place)))
        yield found, missing
