"""`pixeld mail`: what was sent, or waits to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, moment, print_json, table, text

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.group()
def mail() -> None:
    """The mails of the last 30 days: sent, waiting with their error, or kept where there is no mail server."""


@mail.command("list")
@click.option("--count", default=50, show_default=True, help="How many, the newest first.")
@json_option
@server_options
def list_(server: Server, count: int, as_json: bool) -> None:
    """List the newest mails."""
    found = server.get("mails", count=count)
    if as_json:
        print_json(found)
    elif found["mails"]:
        rows = [{**mail, "at": moment(mail["at_ms"])} for mail in found["mails"]]
        click.echo(table(("id", "at", "state", "to", "subject", "error"), rows))
    else:
        click.echo("There is no mail.")


@mail.command()
@click.argument("id")
@json_option
@server_options
def show(server: Server, id: str, as_json: bool) -> None:
    """Show one mail."""
    found = server.get("mails", id)
    if as_json:
        print_json(found)
        return
    head = {"To": found["to"], "Subject": found["subject"], "At": moment(found["at_ms"]), "State": found["state"]}
    head |= {"Error": found["error"]} if found["error"] else {}
    click.echo("\n".join(f"{name}: {text(value)}" for name, value in head.items()))
    click.echo("\n" + "\n".join(map(text, found["body"].splitlines())))
