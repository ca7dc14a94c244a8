"""`pixeld migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pixeld.cli.options import SettingsCommand, config_option, settings
from pixeld.cli.output import json_option, patience, print_json, table


@click.command(cls=SettingsCommand)
@click.option("--status", is_flag=True, help="Only say what is applied and what is pending.")
@click.option("--dry-run", is_flag=True, help="Only print the statements that are pending.")
@config_option
@json_option
def migrate(status: bool, dry_run: bool, config: Path | None, as_json: bool, **flags: Any) -> None:
    """Bring ClickHouse's tables to this version's state. A server does so by itself when it starts."""
    if status and dry_run:
        raise click.UsageError("--status and --dry-run are two questions; ask one at a time")
    chosen = settings(config, flags)
    import asyncio
    from dataclasses import asdict

    from pixeld import checkup

    with patience("migrating"):
        states = asyncio.run(checkup.migrations(chosen, apply=not status and not dry_run, dry_run=dry_run))
    rows = [asdict(state) for state in states]
    pending = [state for state in states if state.state == "pending"]
    if as_json:
        print_json({"migrations": rows})
    elif dry_run:
        for state in pending:
            click.echo(f"-- {state.number} {state.name}\n{state.statement.strip().rstrip(';')};\n")
        click.echo(f"{len(pending)} pending." if pending else "Nothing is pending.", err=True)
    elif rows:
        click.echo(table(("number", "name", "state"), rows))
        click.echo("Apply what is pending: pixeld migrate" if pending else "The tables are up to date.")
    else:
        click.echo("This version has no migrations.")
