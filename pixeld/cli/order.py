"""`pixeld order`: what became of orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, patience, print_json
from pixeld.cli.report import order_filters, orders_as_told

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_COLUMNS = ("order", "client", "partner", "amount", "currency", "commission", "status", "ordered_at", "locks_at", "reason")


@click.group()
def order() -> None:
    """Approve and reject orders. What nobody decides about is approved after the client's lock days."""


@order.command("list")
@order_filters
@json_option
@server_options
def list_(server: Server, as_json: bool, **query: Any) -> None:
    """List orders with their status, newest first: pixeld order list --status pending"""
    with patience("asking"):
        found = server.get("reports", "orders", **query)
    if as_json:
        print_json(found)
    else:
        orders_as_told(found, _COLUMNS)


@order.command()
@click.argument("client")
@click.argument("order")
@json_option
@server_options
def approve(server: Server, client: str, order: str, as_json: bool) -> None:
    """Approve a pending ORDER: its commission is owed. This is for good."""
    _decide(server, {"order": order, "status": "approved"}, client, as_json)


@order.command()
@click.argument("client")
@click.argument("order")
@click.argument("reason")
@json_option
@server_options
def reject(server: Server, client: str, order: str, reason: str, as_json: bool) -> None:
    """Reject a pending ORDER: it earns nothing. The partner sees the REASON. This is for good."""
    _decide(server, {"order": order, "status": "rejected", "reason": reason}, client, as_json)


def _decide(server: Server, body: dict[str, Any], client: str, as_json: bool) -> None:
    decided = server.post("clients", client, "decisions", body=body | {"seen": "pending"})
    if as_json:
        print_json(decided)
    else:
        click.echo(f"Order {decided['order']!r} of {client!r} is {decided['status']}.")
