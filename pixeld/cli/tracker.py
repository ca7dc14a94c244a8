"""Where links and pixels point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pixeld.cli.server import Server

public_url_option = click.option(
    "--public-url", metavar="URL", help="How browsers reach the server.  [default: what the settings say]"
)


def tracker_url(server: Server, given: str | None) -> tuple[str, list[str]]:
    """The address before `/t/`, and what its user should know about it."""
    if given:
        return given.rstrip("/"), []
    if server.settings.public_url is None:
        if server.settings.port == 0:
            raise click.UsageError("port is 0, so that the server took any free port; say with --public-url how it is reached")
        note = "this works on this machine only; say with PIXELD_PUBLIC_URL or --public-url how browsers reach the server"
        return server.settings.tracker_url, [note]
    return server.settings.tracker_url, []
