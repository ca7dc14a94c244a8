"""`pixeld member`: which partner works for which client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json, table
from pixeld.cli.terms import agreement, terms_options, told

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
        click.echo(table(("partner", "status", "commission"), list(map(told, found["partners"]))))
    else:
        click.echo(f"No partner works for {client!r} yet. Let one: pixeld member approve {client} PARTNER")


@member.command("set")
@click.argument("client")
@click.argument("partner")
@click.argument("status", required=False)
@terms_options
@click.option("--as-client", is_flag=True, help="No terms of its own any more: the client's hold.")
@json_option
@server_options
def set_(
    server: Server, client: str, partner: str, status: str | None, as_client: bool, as_json: bool, **terms: str | None
) -> None:
    """Set a membership's STATUS (applied, approved, declined or ended), or what it earns instead of the client's terms."""

    def current() -> list[Any]:
        members = server.get("clients", client, "partners")["partners"]
        return next((m.get("commission", []) for m in members if m["partner"] == partner), [])

    agreed = agreement(current, **terms)
    if as_client and agreed is not None:
        raise click.UsageError("--as-client drops the membership's own terms; give those, or that, not both")
    if status is None and agreed is None and not as_client:
        raise click.UsageError("say what to set: a STATUS, --commission, --flat or --as-client")
    commission = [] if as_client else agreed
    body = ({} if status is None else {"status": status}) | ({} if commission is None else {"commission": commission})
    _set(server, client, partner, body, as_json)


def _shortcut(name: str, status: str, text: str) -> None:
    @member.command(name, help=text)
    @click.argument("client")
    @click.argument("partner")
    @json_option
    @server_options
    def command(server: Server, client: str, partner: str, as_json: bool) -> None:
        _set(server, client, partner, {"status": status}, as_json)


_shortcut("approve", "approved", "Let a partner work for a client: its clicks count and may earn orders.")
_shortcut("decline", "declined", "Turn a partner's application down.")
_shortcut("end", "ended", "End a membership: later orders earn nothing, what was earned stays.")


def _set(server: Server, client: str, partner: str, body: dict[str, Any], as_json: bool) -> None:
    member = server.put("clients", client, "partners", partner, body=body)
    if as_json:
        print_json(member)
    else:
        own = f"; its own terms: {', '.join(told(member)['commission'])}" if "commission" in member else ""
        hint = f" Its link: pixeld link {client} {partner}" if member["status"] == "approved" else ""
        click.echo(f"The membership of {partner!r} with {client!r} is {member['status']}{own}.{hint}")
