"""What commands print: tables for people, JSON for programs, and a word of patience while something takes long."""

from __future__ import annotations

import json
import re
import sys
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON; errors too, on standard error.")

_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_SENTENCE = 40  # the rule under a last column is no longer: that may be a sentence, which a terminal folds
_PATIENCE_S = 0.4  # what is done sooner needs no word about it


def print_json(value: Any) -> None:
    """Print one JSON value: indented for a person's terminal, on one line for a program."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], totals: Sequence[Mapping[str, Any]] = ()) -> str:
    """Aligned columns, those of numbers to the right; `totals` stand below a rule. A column that a row lacks is left empty."""
    body = [[text(row.get(column, "")) for column in columns] for row in (*rows, *totals)]
    if totals:
        for line in body[len(rows) :]:
            line[0] = line[0] or "total"
    widths = [max(width(column), *(width(line[i]) for line in body)) for i, column in enumerate(columns)]
    filled = [[line[i] for line in body[: len(rows)] if line[i] not in ("", "-")] for i in range(len(columns))]
    right = [bool(cells) and all(map(_NUMBER.fullmatch, cells)) for cells in filled]

    def laid_out(cells: Sequence[str]) -> str:
        padded = []
        for cell, wide, to_right in zip(cells, widths, right, strict=True):
            space = " " * (wide - width(cell))
            padded.append(space + cell if to_right else cell + space)
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * wide for wide in (*widths[:-1], min(widths[-1], _SENTENCE)))
    lines = [laid_out(columns), rule, *map(laid_out, body[: len(rows)])]
    if totals:
        lines += [rule, *map(laid_out, body[len(rows) :])]
    return "\n".join(lines)


def record(values: Mapping[str, Any]) -> str:
    """One thing, a field a line."""
    wide = max(map(len, values))
    return "\n".join(f"{name:<{wide}}  {text(value)}".rstrip() for name, value in values.items())


def text(value: Any) -> str:
    """A value as one line of plain text.

    Nothing that a terminal would obey gets through: sub-ids and order numbers are written by strangers.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text, value)) or "-"
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def moment(ms: int) -> str:
    """Milliseconds since 1970 as date and time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds").removesuffix("+00:00")


def width(cell: str) -> int:
    """How many columns of a terminal a printable text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in cell)


@contextmanager
def patience(doing: str) -> Iterator[None]:
    """Say on the terminal what is being waited for, once it takes a while. Nothing when standard error is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(_PATIENCE_S, lambda: click.echo(f"{doing} …", nl=False, err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        click.echo("\r\x1b[K", nl=False, err=True)
