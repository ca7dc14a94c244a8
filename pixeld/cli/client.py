"""`pixeld client`: the shops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, print_json, record, table
from pixeld.cli.terms import agreement, terms_options, told
from pixeld.domain.consent import Mode, Where

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_COLUMNS = ("id", "name", "landing_url", "currency", "window_days", "timezone")


def _fields(callback: _Callback) -> _Callback:
    """Options for what has a default. What isn't given is not sent, so that the server's default holds."""
    for option in reversed(
        (
            click.option(
                "--allowed-host",
                "allowed_hosts",
                multiple=True,
                metavar="HOST",
                help="A host that deep links may lead to; repeat it for more. The landing page's own always may.",
            ),
            click.option("--currency", help="ISO 4217 code of orders that name none, e.g. EUR."),
            click.option("--window-days", type=int, help="For how many days a click may earn an order."),
            click.option("--timezone", help="Whose days reports count in, e.g. Europe/Berlin."),
            click.option("--click-param", help="Name of the parameter that brings the click id to the shop."),
            click.option("--lock-days", type=int, help="After so many days an order is approved by itself; 0: never."),
            click.option("--listed/--unlisted", default=None, help="Whether partners find it in their directory."),
            click.option(
                "--category",
                "categories",
                multiple=True,
                metavar="NAME",
                help="A category that orders may name where the visitor agrees; repeat it for more. One empty name: none.",
            ),
            click.option("--share-contact/--hide-contact", default=None, help="Whether its partners may write to it."),
            click.option(
                "--stateless/--with-cookies",
                default=None,
                help="Whether it does without any cookie; then it must hand click ids over.",
            ),
            click.option(
                "--consent",
                type=click.Choice([mode.value for mode in Mode]),
                help="What is asked of visitors who say nothing; docs/consent.md tells what each means.",
            ),
            click.option(
                "--consent-where", type=click.Choice([where.value for where in Where]), help="Where `require` applies."
            ),
        )
    ):
        callback = option(callback)
    return terms_options(callback)


@click.group()
def client() -> None:
    """The shops whose pages carry the pixel."""


@client.command()
@click.argument("id")
@click.argument("name")
@click.argument("landing_url")
@_fields
@json_option
@server_options
def add(server: Server, id: str, name: str, landing_url: str, as_json: bool, **fields: Any) -> None:
    """Register a client: pixeld client add shop "A shop" https://shop.example/

    Links and pixels carry the ID for ever; a click leads to LANDING_URL.
    """
    added = server.post("clients", body={"id": id, "name": name, "landing_url": landing_url, **_given(fields, list)})
    if as_json:
        print_json(added)
    else:
        click.echo(f"Client {added['id']!r} is registered. Its pixel: pixeld snippet {added['id']}")


@client.command("list")
@json_option
@server_options
def list_(server: Server, as_json: bool) -> None:
    """List every client."""
    found = server.get("clients")
    if as_json:
        print_json(found)
    elif found["clients"]:
        click.echo(table(_COLUMNS, found["clients"]))
    else:
        click.echo("There is no client yet. Register one: pixeld client add shop 'A shop' https://shop.example/")


@client.command()
@click.argument("id")
@json_option
@server_options
def show(server: Server, id: str, as_json: bool) -> None:
    """Show one client."""
    found = server.get("clients", id)
    if as_json:
        print_json(found)
    else:
        click.echo(record(told(found)))


@client.command("set")
@click.argument("id")
@click.option("--name", help="What people call it.")
@click.option("--landing-url", help="Where a click leads, e.g. https://shop.example/.")
@_fields
@json_option
@server_options
def set_(server: Server, id: str, as_json: bool, **fields: Any) -> None:
    """Change some of a client's fields.

    The hosts and categories given replace the earlier ones; --commission and --flat together replace the terms, on their days.
    """
    given = _given(fields, lambda: server.get("clients", id)["commission"])
    if not given:
        raise click.UsageError("say what to change, e.g. --window-days 60")
    changed = server.patch("clients", id, body=given)
    if as_json:
        print_json(changed)
    else:
        click.echo(record(told(changed)))


def _given(fields: dict[str, Any], current: Callable[[], list[Any]]) -> dict[str, Any]:
    """What to send; `current()` gives the terms that those given are to amend."""
    terms = agreement(current, *(fields.pop(name) for name in ("commission", "flat", "from_day", "until_day")))
    given = {name: value for name, value in fields.items() if value not in (None, ())}
    given = {name: list(filter(None, value)) if isinstance(value, tuple) else value for name, value in given.items()}
    return given if terms is None else given | {"commission": terms}
