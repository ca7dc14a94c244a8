"""`pixeld serve` and `pixeld demo`."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from pixeld import __version__
from pixeld.cli.options import SettingsCommand, config_option, settings
from pixeld.cli.output import json_option, print_json

if TYPE_CHECKING:
    from pixeld.app import Started

_ENVIRONMENT = """Every setting is an environment variable as well: --port is PIXELD_PORT. Secrets are set there, or in the
file, and have no flag: other users of a machine can read its command lines."""


@click.command(cls=SettingsCommand, epilog=_ENVIRONMENT)
@config_option
@json_option
def serve(config: Path | None, as_json: bool, **flags: Any) -> None:
    """Start the server; it runs until Ctrl-C or SIGTERM."""
    # Before 0.6 s of settings and imports: a reload that comes so early has nothing to read anew yet, and must end nothing.
    with suppress(ValueError):  # called in another thread than the main one, which owns signals
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _run(config, flags, as_json, demo=False)


@click.command(cls=SettingsCommand, epilog=_ENVIRONMENT)
@config_option
@json_option
def demo(config: Path | None, as_json: bool, **flags: Any) -> None:
    """Start the server with a shop and a partner to play with."""
    _run(config, flags, as_json, demo=True)


def _run(config: Path | None, flags: dict[str, Any], as_json: bool, *, demo: bool) -> None:
    chosen = settings(config, flags)
    import asyncio

    import uvloop

    from pixeld import app

    waiting = sys.stderr.isatty()
    if waiting:
        click.echo("starting …", nl=False, err=True)

    def started(server: Started) -> None:
        if waiting:
            click.echo("\r\x1b[K", nl=False, err=True)
        if as_json:
            announce(server)
        else:
            click.echo(greeting(server))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.serve(chosen, demo=demo, started=started))


def announce(server: Started) -> None:
    """Where it is, for scripts: one line of JSON."""
    places = {"public_url": server.public_url, "admin_url": server.admin_url}
    places |= {"operator_url": server.operator_url} if server.operator_url else {}
    print_json(places | {"data_dir": str(server.data_dir), "demo_url": server.demo_url})


def greeting(server: Started) -> str:
    """What somebody needs who has just started it: where it is, how to ask it something, how to stop it."""
    token = server.data_dir.resolve() / "admin-token"
    lines = [
        f"pixeld {__version__} is running.",
        "",
        f"  public       {server.public_url}",
        f"  admin        {server.admin_url}",
        f"  admin token  {token}",
        "",
    ]
    if server.demo_url:
        lines += ["Open this in a browser:", f"  {server.demo_url}", ""]
    if server.operator_url:
        lines += ["Make the first operator's account, within 24 hours; the link works once:", f"  {server.operator_url}", ""]
    lines += [
        "Ask it something:",
        f'  curl -H "Authorization: Bearer $(cat {quote(str(token))})" {server.admin_url}/api/clients',
        "",
        "Stop it with Ctrl-C.",
    ]
    return "\n".join(lines)
