"""`pixeld partner`: those who send visitors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json, record, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.group()
def partner() -> None:
    """The affiliates who send visitors."""


@partner.command()
@click.argument("id")
@click.argument("name")
@json_option
@server_options
def add(server: Server, id: str, name: str, as_json: bool) -> None:
    """Register a partner: pixeld partner add blog "A blog"

    Its links carry the ID for ever.
    """
    added = server.post("partners", body={"id": id, "name": name})
    if as_json:
        print_json(added)
    else:
        click.echo(f"Partner {added['id']!r} is registered. Let it earn: pixeld member approve CLIENT {added['id']}")


@partner.command("list")
@json_option
@server_options
def list_(server: Server, as_json: bool) -> None:
    """List every partner."""
    found = server.get("partners")
    if as_json:
        print_json(found)
    elif found["partners"]:
        click.echo(table(list(found["partners"][0]), found["partners"]))
    else:
        click.echo("There is no partner yet. Register one: pixeld partner add blog 'A blog'")


@partner.command()
@click.argument("id")
@json_option
@server_options
def show(server: Server, id: str, as_json: bool) -> None:
    """Show one partner."""
    found = server.get("partners", id)
    if as_json:
        print_json(found)
    else:
        click.echo(record(found))


@partner.command("set")
@click.argument("id")
@click.option("--name", required=True, help="What people call it.")
@json_option
@server_options
def set_(server: Server, id: str, name: str, as_json: bool) -> None:
    """Change a partner's name."""
    changed = server.patch("partners", id, body={"name": name})
    if as_json:
        print_json(changed)
    else:
        click.echo(record(changed))
