"""`pixeld sql-access`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixeld.cli import Refused, Unreachable
from pixeld.cli.options import SettingsCommand, config_option, settings, url_option
from pixeld.cli.output import json_option, patience, print_json, record
from pixeld.errors import WarehouseRefused

if TYPE_CHECKING:
    from pixeld.cli.server import Server
    from pixeld.sql_access import Kind

_KINDS: tuple[Kind, ...] = ("client", "partner", "analyst")


@click.command(cls=SettingsCommand)
@click.option("--client", metavar="ID", help="A login for this client: its own rows, of all its partners.")
@click.option("--partner", metavar="ID", help="A login for this partner: its own rows, at all its clients.")
@click.option("--analyst", metavar="ID", help="A login for one of your own: every row of the same views.")
@click.option("--drop", is_flag=True, help="Take the login away, and all that was made for it.")
@click.option("--show", is_flag=True, help="Only print the statements.")
@click.option("--admin", metavar="USER", help="A ClickHouse user that may manage access; its password is asked for.")
@click.option("--password-sha256", metavar="HEX", help="SHA-256 of the password to give it, instead of making one.")
@click.option("--unrecorded", is_flag=True, help="Don't have the server note it on the audit log.")
@url_option
@config_option
@json_option
def sql_access(
    drop: bool,
    show: bool,
    admin: str | None,
    password_sha256: str | None,
    unrecorded: bool,
    url: str | None,
    config: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Make a read-only ClickHouse login for a tenant, or make it anew with a new password.

    It reads three views of what is its own: transactions, performance and audience. This goes straight to the ClickHouse that
    the settings name, whose user must be allowed to manage access (or name one with --admin). The running server notes it on
    the audit log first.
    """
    chosen: list[tuple[Kind, str]] = [(kind, id) for kind in _KINDS if (id := flags.pop(kind)) is not None]
    if len(chosen) != 1:
        raise click.UsageError("name one: --client, --partner or --analyst")
    if drop and (show or password_sha256):
        raise click.UsageError("--drop goes with neither --show nor --password-sha256")
    if password_sha256 is not None and re.fullmatch("[0-9A-Fa-f]{64}", password_sha256) is None:
        raise click.UsageError("--password-sha256 takes 64 hexadecimal digits")
    from pixeld.cli.server import Server
    from pixeld.sql_access import VIEWS, Logins

    known = settings(config, flags)
    clickhouse = known.clickhouse_url
    logins = Logins(clickhouse, (admin, _password(admin)) if admin and clickhouse else None)
    login = logins.login(*chosen[0])
    if show:
        with patience("asking ClickHouse"):
            statements = logins.plan(login, password_sha256 or "…")
        print_json(statements) if as_json else click.echo("".join(f"{statement};\n" for statement in statements), nl=False)
        return
    server = None if unrecorded else Server(known, url)
    with patience("asking ClickHouse"), _noted(server, login.name, "dropped" if drop else "made"):
        if drop:
            logins.drop(login)
        else:
            password = logins.create(login, password_sha256)
    if drop:
        print_json({"dropped": login.name}) if as_json else click.echo(f"{login.name} is gone.")
        return
    made = {"user": login.name, "database": login.name, "views": list(VIEWS)} | ({"password": password} if password else {})
    if as_json:
        print_json(made)
        return
    click.echo(record(made | {"views": ", ".join(VIEWS)}))
    if password:
        click.echo("The password is shown this once. Running the command again makes another.", err=True)


@contextmanager
def _noted(server: Server | None, login: str, change: str) -> Iterator[None]:
    """Have the server note a change, which is then made within; and that it failed, unless that isn't known."""
    told = {"login": login, "change": change}
    try:
        if server:
            server.post("sql-access", body=told)
    except (Unreachable, Refused) as error:
        said = f"{error}. Without it the audit log would not know, and nothing was done; --unrecorded does it all the same"
        raise Refused(error.problem | {"detail": said}) if isinstance(error, Refused) else Unreachable(said) from error
    try:
        yield
    except WarehouseRefused:
        if server:
            with suppress(Unreachable, Refused):
                server.post("sql-access", body=told | {"failed": True})
        raise


def _password(user: str) -> str:
    """Typed unseen, or the first line of standard input where that is no terminal."""
    if sys.stdin.isatty():
        return str(click.prompt(f"Password of ClickHouse's {user}", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
