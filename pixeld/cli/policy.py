"""`pixeld policy`: versions of the privacy policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.group()
def policy() -> None:
    """The versions of the privacy policy that people are told of."""


@policy.command("list")
@json_option
@server_options
def list_(server: Server, as_json: bool) -> None:
    """List every version, newest first."""
    found = server.get("policies")
    if as_json:
        print_json(found)
    else:
        click.echo(table(("number", "summary", "question"), found["policies"]))


@policy.command()
@click.argument("summary")
@click.option("--question", default="", help="The data will be used anew: ask everybody this at the next log-in.")
@json_option
@server_options
def post(server: Server, summary: str, question: str, as_json: bool) -> None:
    """Post a new version; SUMMARY says what has changed. Everybody with an account gets a mail.

    With --question, the change is in how personal data is used: until somebody says yes, the old use holds.
    """
    body = {"summary": summary, "question": question, "changes_use": bool(question)}
    posted = server.post("policies", body=body)
    if as_json:
        print_json(posted)
    else:
        click.echo(f"Version {posted['number']} is posted, and everybody is notified.")
