"""`pixeld privacy`: what a person may ask for, and an auditor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pixeld.cli import OK, REFUSED
from pixeld.cli.options import server_options
from pixeld.cli.output import json_option, patience, print_json, table

if TYPE_CHECKING:
    from pixeld.cli.server import Server

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_COLUMNS = ("place", "number", "oldest", "kept_days", "problem")


def subject_options(callback: _Callback) -> _Callback:
    """--click-id, --order, --partner."""
    for option in reversed(
        (
            click.option("--click-id", help="The click with this id, as it stands in the shop's address or in the cookie."),
            click.option("--order", metavar="CLIENT/ORDER", help="This order of this client."),
            click.option("--partner", help="This partner: its account, and what it wrote about its clicks."),
        )
    ):
        callback = option(callback)
    return callback


@click.group()
def privacy() -> None:
    """What is held on somebody, or of whatever: export it, erase it, compare it with the data map."""


@privacy.command()
@subject_options
@click.option("--yes", is_flag=True, help="Don't ask whether to go on.")
@json_option
@server_options
def erase(server: Server, yes: bool, as_json: bool, **subject: str | None) -> None:
    """Delete a click, an order or a partner everywhere, for good.

    A click's order stays, as the shop's own fact, and no longer says which click it was. A partner's clicks and orders stay,
    under the bare id. The audit log gets a proof, which names nobody.
    """
    asked = _subject(subject)
    if not yes and sys.stdin.isatty():
        click.confirm("This can't be undone. Delete it everywhere?", abort=True)
    with patience("erasing"):
        proof = server.post("privacy", "erase", body=asked)
    if as_json:
        print_json(proof)
        return
    if not proof["erased"]:
        click.echo("There is nothing about it; that was written to the audit log.")
        return
    for place, count in proof["erased"].items():
        click.echo(f"{count:>8}  {place}")
    click.echo("Deleted, looked for everywhere again, and written to the audit log.")
    if proof["old_parts"]:
        click.echo(f"{proof['old_parts']} old parts of ClickHouse's tables are left, which it deletes within 8 minutes.")
    if proof["other_servers"]:
        click.echo(f"{proof['other_servers']} other servers run, whose spills aren't seen from here: ask each of them, too.")
    if proof["redis_files"] == "refused":
        click.echo("This Redis doesn't rewrite its append-only file when it is asked: have that done where it is run.")
    if proof["redis_files"] == "replicas":
        click.echo("Redis' replicas have append-only files of their own, not rewritten by this: run BGREWRITEAOF on each.")


@privacy.command()
@subject_options
@json_option
@server_options
def export(server: Server, as_json: bool, **subject: str | None) -> None:
    """Print all that is held on a click, an order or a partner: one JSON document, with or without --json, a record a line."""
    del as_json  # errors obey it
    for piece in server.pieces("privacy", "export", body=_subject(subject)):
        click.echo(piece, nl=False)


@privacy.command()
@json_option
@server_options
def audit(server: Server, as_json: bool) -> int:
    """List what is held where, and the oldest of it, beside what the data map promises; exit code 1 where they disagree."""
    with patience("looking everywhere"):
        found = server.get("privacy", "audit")
    if as_json:
        print_json(found)
    else:
        click.echo(table(_COLUMNS, [_shown(finding) for finding in found["places"]]))
        for text in _ADVICE.values() if found["problems"] else ():
            click.echo(text, err=True)
    return REFUSED if found["problems"] else OK


_ADVICE = {
    "unmapped": "unmapped: the data map (privacy_file) doesn't name it; name it there, or find out who put it there.",
    "too old": "too old: it holds more than the data map promises; run `pixeld migrate`, and see whether ClickHouse merges.",
}


def _subject(given: dict[str, str | None]) -> dict[str, str]:
    named = {name: text for name, text in given.items() if text is not None}
    if len(named) != 1:
        raise click.UsageError("name one: --click-id X, --order CLIENT/ORDER or --partner P")
    return named


def _shown(finding: dict[str, Any]) -> dict[str, Any]:
    at_ms, days = finding["oldest_ms"], finding["kept_days"]
    oldest = None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    return finding | {"oldest": oldest, "kept_days": "no limit" if days is None else days}
