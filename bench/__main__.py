"""`python -m bench WHAT`: measurements, each of which prints a table and, with `--save`, keeps it in `bench/results/`."""

from __future__ import annotations

import argparse
import signal
import sys

from bench import connections, flush, growth, latency, load, peers, profile, query, regression, soak, workers

_COMMANDS = {
    "peers": peers,
    "growth": growth,
    "latency": latency,
    "flush": flush,
    "query": query,
    "load": load,
    "connections": connections,
    "soak": soak,
    "regression": regression,
    "workers": workers,
    "profile": profile,
}


def main() -> None:
    """Measure what is asked for; peers when nothing is."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for name, module in _COMMANDS.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0], description=module.__doc__)
        module.arguments(command)
        command.add_argument("--save", action="store_true", help="keep the result in bench/results/")
        command.set_defaults(run=module.run)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that the servers end, too
    options.run(options)


if __name__ == "__main__":
    main()
