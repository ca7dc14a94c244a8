"""`python -m bench WHAT`: measurements, each of which prints a table and, with `--save`, keeps it in `bench/results/`."""

from __future__ import annotations

import argparse

from bench import peers, query

_COMMANDS = {"peers": peers, "query": query}


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
    options.run(options)


if __name__ == "__main__":
    main()
