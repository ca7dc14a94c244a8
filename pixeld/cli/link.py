"""`pixeld link`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json
from pixeld.cli.tracker import public_url_option, tracker_url
from pixeld.domain.landing import tracking_link

if TYPE_CHECKING:
    from pixeld.cli.server import Server


@click.command()
@click.argument("client")
@click.argument("partner")
@click.option("--u", metavar="URL", help="Where in the shop it leads.  [default: the client's landing page]")
@click.option("--s1", help="Sub-id 1 of 5: the partner's own note, e.g. which page carries the link.")
@click.option("--s2")
@click.option("--s3")
@click.option("--s4")
@click.option("--s5")
@click.option("--cid", help="The partner's own click id.")
@click.option("--cr", help="The creative, e.g. which banner.")
@public_url_option
@json_option
@server_options
def link(server: Server, client: str, partner: str, public_url: str | None, as_json: bool, **query: str | None) -> None:
    """Print the link with which a partner sends visitors to a client."""
    found = server.get("clients", client)
    status = {m["partner"]: m["status"] for m in server.get("clients", client, "partners")["partners"]}.get(partner)
    if status is None:
        server.get("partners", partner)  # says so if there is none: no approval will make that link count
    base, notes = tracker_url(server, public_url)
    if status != "approved":
        notes.append(f"its clicks won't count until the membership is approved: pixeld member approve {client} {partner}")
    hosts = [urlsplit(found["landing_url"]).netloc.lower(), *found["allowed_hosts"]]
    if query["u"] and urlsplit(query["u"]).netloc.lower() not in hosts:
        notes.append(
            f"--u does not lead to one of the client's hosts ({', '.join(hosts)}), so that visitors would "
            f"reach the landing page instead; allow its host with `pixeld client set {client} --allowed-host HOST`"
        )
    url = tracking_link(base, client, partner, {name: value for name, value in query.items() if value is not None})
    if as_json:
        print_json({"url": url, "notes": notes})
        return
    click.echo(url)
    for note in notes:
        click.echo(f"Note: {note}", err=True)
