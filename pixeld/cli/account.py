"""`pixeld account`: people who log in to the portal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_COLUMNS = ("id", "role", "subject", "email", "totp")


@click.group()
def account() -> None:
    """The people who log in to the portal: partners, clients and operators."""


@account.command("list")
@json_option
@server_options
def list_(server: Server, as_json: bool) -> None:
    """List every account."""
    found = server.get("accounts")
    if as_json:
        print_json(found)
    elif found["accounts"]:
        click.echo(table(_COLUMNS, found["accounts"]))
    else:
        click.echo("There is no account yet. Make the first operator's: pixeld account first-link")


@account.command()
@click.argument("role", type=click.Choice(["client", "partner", "operator"]))
@click.argument("arguments", nargs=-1, metavar="[ID] EMAIL")
@json_option
@server_options
def invite(server: Server, role: str, arguments: tuple[str, ...], as_json: bool) -> None:
    """Invite somebody: pixeld account invite client shop anna@shop.example

    A mail with a link of 7 days goes to EMAIL; the link is shown as well. An operator has no ID.
    """
    if len(arguments) != (1 if role == "operator" else 2):
        raise click.UsageError("an operator needs EMAIL alone" if role == "operator" else f"a {role} needs ID and EMAIL")
    body = {"role": role, "subject": "".join(arguments[:-1]), "email": arguments[-1]}
    invited = server.post("accounts", "invitations", body=body)
    if as_json:
        print_json(invited)
    else:
        click.echo(f"Invited. If the mail doesn't arrive, hand this link over; it works once, for 7 days:\n  {invited['url']}")


@account.command("first-link")
@json_option
@server_options
def first_link(server: Server, as_json: bool) -> None:
    """Make a new link for the first operator's account."""
    made = server.post("accounts", "first-link")
    if as_json:
        print_json(made)
    elif made["url"]:
        click.echo(f"Make the first operator's account here, within 24 hours; the link works once:\n  {made['url']}")
    else:
        click.echo("There is an operator already, who can invite others.")


@account.command("end-two-factor")
@click.argument("account")
@json_option
@server_options
def end_two_factor(server: Server, account: str, as_json: bool) -> None:
    """Let somebody in who has lost authenticator and recovery codes. ACCOUNT is an id, as `pixeld account list` shows it.

    A mail with a link of 24 hours goes to the account's address. Who follows it and gives the account's password turns
    two-factor log-in off. Make sure first that it is the account's owner who asks.
    """
    offered = server.post("accounts", account, "end-two-factor")
    if as_json:
        print_json(offered)
    else:
        click.echo("A link has gone to the account's address; it works once, for 24 hours. To look after the mail:")
        click.echo(f"  pixeld mail show {offered['mail']}")
