"""`pixeld snippet`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json
from pixeld.cli.tracker import public_url_option, tracker_url

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_WHERE = """
Paste it once into the page that thanks for an order, and let the shop's template put in, each URL-encoded:
  ORDER     the order's number. Loading the page again does not count it again.
  AMOUNT    what commission is paid on, like 49.90: digits and a point, no thousands separator, no symbol.
  CURRENCY  its ISO 4217 code; left empty it is {currency}.
  CLICK     the click id. A visitor whom a partner sent arrives at
              {landing_url}{separator}{click_param}=<click id>
            Keep that value with the visitor's session, and put it in here when they order; leave it empty if
            there is none. Without it the referral cookie decides, which many browsers do not send to other sites.
Try it first with &amp;test=1 at the end of its address: such an order is kept apart, never reported or paid.
"""


@click.command()
@click.argument("client")
@public_url_option
@json_option
@server_options
def snippet(server: Server, client: str, public_url: str | None, as_json: bool) -> None:
    """Print the order pixel to paste into a client's checkout, and how."""
    found = server.get("clients", client)
    base, notes = tracker_url(server, public_url)
    url = f"{base}/t/{client}/o.gif?order=ORDER&amount=AMOUNT&currency=CURRENCY&click=CLICK"
    html = f'<img src="{escape(url)}" width="1" height="1" alt="">'
    if as_json:
        print_json({"html": html, "url": url, "notes": notes})
        return
    click.echo(html)
    click.echo(_WHERE.format(**found, separator="&" if "?" in found["landing_url"] else "?"), err=True, nl=False)
    for note in notes:
        click.echo(f"Note: {note}", err=True)
