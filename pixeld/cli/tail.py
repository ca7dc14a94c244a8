"""`pixeld tail`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, text

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_FIRST = ("kind", "client", "partner", "quality")  # in columns, so that the eye can run down them


@click.command()
@json_option
@server_options
def tail(server: Server, as_json: bool) -> None:
    """Show events as they come, until Ctrl-C."""
    for line in server.lines("tail"):
        click.echo(line.rstrip(b"\n") if as_json else human(json.loads(line)))


def human(event: dict[str, Any]) -> str:
    """One event on one line: when, what, who, and then whatever else it says."""
    rest = dict(event)
    at_ms = rest.pop("at_ms", None)
    when = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3] + "Z" if at_ms is not None else "-"
    columns = [f"{text(rest.pop(name, None) or None):<10}" for name in _FIRST]
    details = [f"{name}={text(value)}" for name, value in rest.items() if value not in ("", None, [])]
    return "  ".join((when, *columns, *details)).rstrip()
