"""`pixeld audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, moment, print_json, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_COLUMNS = ("at", "who", "what", "change")


@click.command()
@click.option("--limit", default=50, show_default=True, help="Most changes to show, up to 1000.")
@click.option("--before", metavar="ID", help="Where to go on: what the page before said at its end.")
@json_option
@server_options
def audit(server: Server, as_json: bool, **query: Any) -> None:
    """Show who has changed what, newest first: the audit log. Times are UTC."""
    found = server.get("audit", **query)
    if as_json:
        print_json(found)
        return
    rows = [entry | {"at": moment(entry["at_ms"]), "change": _change(entry)} for entry in found["changes"]]
    click.echo(table(_COLUMNS, rows) if rows else f"Nothing {'older' if query['before'] else 'was changed yet'}.")
    if found["next"]:
        click.echo(f"There are more: --before {found['next']}", err=True)


def _change(entry: dict[str, Any]) -> str:
    """What changed, on one line: `window_days 30 → 90, name → Shop`."""
    from pixeld.domain.changes import changes

    told = []
    for field, before, after in changes(entry["before"], entry["after"]):
        values = f"{before} → {after or '–'}".strip() if before or after else "–"
        told.append(f"{field} {values}".strip())
    return ", ".join(told)
