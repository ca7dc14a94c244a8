"""`pixeld report`: what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, patience, print_json, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_FROM = click.option("--from", "from_", metavar="DAY", help="First day, YYYY-MM-DD.  [default: 30 days with the last]")
_TO = click.option("--to", metavar="DAY", help="Last day, inclusive.  [default: today]")
_CLIENT = click.option("--client", help="This client only.")
_PARTNER = click.option("--partner", help="This partner only.")
_TZ = click.option("--tz", metavar="ZONE", help="Whose days, e.g. Europe/Berlin.  [default: the client's]")
_EMPTY = "Nothing in these days. Other days: --from and --to; what arrives now: pixeld tail"


class _Report(click.Group):
    """A group in which no subcommand means `performance`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`report --by day` is `report performance --by day`."""
        if not args or (args[0] not in self.commands and args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["performance", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Report)
def report() -> None:
    """What came of it: counts and money, or the orders one by one.

    `pixeld report` alone is `pixeld report performance`.
    """


@report.command()
@_FROM
@_TO
@click.option(
    "--by",
    metavar="NAME,…",
    help="What a row is about: hour, day, month, client, partner, s1 to s5, creative, quality; with the permission "
    "exact-audience also country, device, browser, os, language.  [default: day]",
)
@_CLIENT
@_PARTNER
@_TZ
@click.option("--quality", help="`all` counts bots and prefetches too.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@json_option
@server_options
def performance(server: Server, form: str, as_json: bool, **query: Any) -> None:
    """Impressions, clicks, orders, revenue and commission; orders and commission by status, too."""
    with patience("asking"):
        if form == "csv" and not as_json:
            click.echo(server.get_csv("reports", "performance", **query), nl=False)
            return
        found = server.get("reports", "performance", **query)
    if as_json or form == "json":
        print_json(found)
    else:
        click.echo(table(found["columns"], found["rows"], found["totals"]) if found["rows"] else _EMPTY)


@report.command()
@_FROM
@_TO
@click.option(
    "--by",
    metavar="NAME",
    help="country, language, device, browser, os, hour (of the day, UTC), visit (new or returning) or category.  "
    "[default: country]",
)
@_CLIENT
@_PARTNER
@json_option
@server_options
def audience(server: Server, as_json: bool, **query: Any) -> None:
    """Who came, in groups that are large enough; of days (UTC) that are over.

    A group that is too small is in `other`. Numbers are in tens, and never change afterwards.
    """
    with patience("asking"):
        found = server.get("reports", "audience", **query)
    if as_json:
        print_json(found)
    elif found["rows"]:
        click.echo(table(found["columns"], found["rows"]))
    else:
        click.echo("Nothing has been released for these days: they may not be over, or too few visitors came.")


def order_filters(callback: _Callback) -> _Callback:
    """Which orders, and which page of them."""
    status = click.option("--status", help="Those that are pending, approved or rejected.")
    limit = click.option("--limit", type=int, help="Most orders to show.")
    cursor = click.option("--cursor", help="Where to go on: what the page before said at its end.")
    for option in (cursor, limit, status, _TZ, _PARTNER, _CLIENT, _TO, _FROM):
        callback = option(callback)
    return callback


@report.command()
@_FROM
@_TO
@_CLIENT
@_PARTNER
@_TZ
@json_option
@server_options
def refusals(server: Server, as_json: bool, **query: Any) -> None:
    """How many requests of visitors who may not be tracked, and by which signal."""
    with patience("asking"):
        found = server.get("reports", "refusals", **query)
    if as_json:
        print_json(found)
    else:
        click.echo(table(found["columns"], found["rows"]) if found["rows"] else _EMPTY)


@report.command()
@order_filters
@json_option
@server_options
def orders(server: Server, as_json: bool, **query: Any) -> None:
    """The orders one by one, newest first."""
    with patience("asking"):
        found = server.get("reports", "orders", **query)
    if as_json:
        print_json(found)
    else:
        orders_as_told(found)


def orders_as_told(found: dict[str, Any], columns: Sequence[str] = ()) -> None:
    """Print a page of orders for people; all there is to know of each without `columns`."""
    rows = found["rows"]
    click.echo(table(columns or list(rows[0]), rows) if rows else _EMPTY)
    if found["next"]:
        click.echo(f"There are more: --cursor {found['next']}", err=True)
