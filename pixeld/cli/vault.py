"""`pixeld vault`: the keys under which personal data lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.group()
def vault() -> None:
    """The keys under which personal data lies encrypted."""


@vault.command()
@json_option
@server_options
def rotate(server: Server, as_json: bool) -> None:
    """Encrypt every record's key anew, under the first of vault_keys.

    Where vault_keys is set, do this before, starting the servers again each time: add a new key at its end, on every
    server; then move it to the front, on every server. Without vault_keys, a new key is made in the data directory.
    """
    done = server.post("vault", "rotate")
    if as_json:
        print_json(done)
        return
    click.echo(f"{done['records']} records lie under the key {done['key']} now.")
    if done["unneeded"]:
        click.echo(f"Nothing lies under {', '.join(done['unneeded'])} any more; only older backups of Redis need it still.")
