"""`pixeld snippet`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json
from pixeld.cli.tracker import public_url_option, tracker_url
from pixeld.domain.snippet import CONSENT, beacon_url, categories, image, pixel_url, values

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_LANDING = (
    "Paste that one into the pages that visitors land on, where they come with a click id. Most browsers that part cookies of "
    "other sites, or block them, keep it for the shop's site all the same."
)
_WHERE = "\nPaste it once into the page that thanks for an order, and let the shop's template put in, each URL-encoded:"
_TRY = "Try it first with &amp;test=1 at the end of its address: such an order is kept apart, never reported or paid."
_WIDTH = 112


@click.command()
@click.argument("client")
@public_url_option
@json_option
@server_options
def snippet(server: Server, client: str, public_url: str | None, as_json: bool) -> None:
    """Print the order pixel to paste into a client's checkout, the landing beacon, and how."""
    found = server.get("clients", client)
    base, notes = tracker_url(server, public_url)
    pixel, beacon = pixel_url(base, client), None if found["stateless"] else beacon_url(base, client)
    if as_json:
        shown = {"html": image(pixel), "url": pixel, "beacon_html": beacon and image(beacon), "beacon_url": beacon}
        print_json(shown | {"notes": notes})
        return
    click.echo(image(pixel))
    click.echo(_WHERE, err=True)
    about = found["currency"], found["landing_url"], found["click_param"]
    for word, meaning in values(*about, stateless=found["stateless"]):
        click.echo(_filled(word, meaning), err=True)
    click.echo(_TRY, err=True)
    if beacon:
        click.echo()
        click.echo(image(beacon))
        click.echo(f"\n{textwrap.fill(_LANDING, _WIDTH)}", err=True)
    click.echo(f"\n{textwrap.fill(CONSENT, _WIDTH)}", err=True)
    if found["categories"]:
        click.echo(f"\n{textwrap.fill(categories(found['categories']), _WIDTH, break_on_hyphens=False)}", err=True)
    for note in notes:
        click.echo(f"Note: {note}", err=True)


def _filled(word: str, meaning: str) -> str:
    """A word and what it means, in two columns. Addresses stay whole, so that they can be copied."""
    return textwrap.fill(
        meaning,
        _WIDTH,
        initial_indent=f"  {word:<10}",
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )
