"""`pixeld sql`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, patience, print_json, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.command()
@click.argument("statement", metavar="SELECT")
@json_option
@server_options
def sql(server: Server, statement: str, as_json: bool) -> None:
    """Ask ClickHouse, read-only: pixeld sql "SELECT count() FROM clicks"."""
    with patience("asking"):
        found = server.post("sql", body={"sql": statement})
    if as_json:
        print_json(found)
    elif found["rows"]:
        click.echo(table(found["columns"], [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]))
    else:
        click.echo("No rows. `pixeld sql 'SHOW TABLES'` lists what there is to ask.")
