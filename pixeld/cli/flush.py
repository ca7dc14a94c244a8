"""`pixeld flush`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, patience, print_json

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.command()
@json_option
@server_options
def flush(server: Server, as_json: bool) -> None:
    """Move what is queued into ClickHouse now; ends when it is there."""
    with patience("flushing"):
        done = server.post("flush")
    if as_json:
        print_json(done)
    else:
        click.echo(f"{done['events']} events were flushed.")
