"""`pixeld member`: which partner works for which client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.group()
def member() -> None:
    """Which partner works for which client. Only an approved membership earns orders."""


@member.command("list")
@click.argument("client")
@json_option
@server_options
def list_(server: Server, client: str, as_json: bool) -> None:
    """List a client's memberships."""
    found = server.get("clients", client, "partners")
    if as_json:
        print_json(found)
    elif found["partners"]:
        click.echo(table(("partner", "status"), found["partners"]))
    else:
        click.echo(f"No partner works for {client!r} yet. Let one: pixeld member approve {client} PARTNER")


@member.command("set")
@click.argument("client")
@click.argument("partner")
@click.argument("status")
@json_option
@server_options
def set_(server: Server, client: str, partner: str, status: str, as_json: bool) -> None:
    """Set a membership's STATUS: applied, approved, declined or ended."""
    _set(server, client, partner, status, as_json)


def _shortcut(name: str, status: str, text: str) -> None:
    @member.command(name, help=text)
    @click.argument("client")
    @click.argument("partner")
    @json_option
    @server_options
    def command(server: Server, client: str, partner: str, as_json: bool) -> None:
        _set(server, client, partner, status, as_json)


_shortcut("approve", "approved", "Let a partner work for a client: its clicks count and may earn orders.")
_shortcut("decline", "declined", "Turn a partner's application down.")
_shortcut("end", "ended", "End a membership: later orders earn nothing, what was earned stays.")


def _set(server: Server, client: str, partner: str, status: str, as_json: bool) -> None:
    member = server.put("clients", client, "partners", partner, body={"status": status})
    if as_json:
        print_json(member)
    else:
        hint = f" Its link: pixeld link {client} {partner}" if member["status"] == "approved" else ""
        click.echo(f"The membership of {partner!r} with {client!r} is {member['status']}.{hint}")
