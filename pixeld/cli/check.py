"""`pixeld check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pixeld.cli import REFUSED
from pixeld.cli.options import SettingsCommand, config_option, settings
from pixeld.cli.output import json_option, patience, print_json, text


@click.command(cls=SettingsCommand)
@config_option
@json_option
def check(config: Path | None, as_json: bool, **flags: Any) -> None:
    """See whether a server could start with these settings, and keep what it is given. Exit code 1 when not."""
    chosen = settings(config, flags)
    import asyncio
    from dataclasses import asdict

    from pixeld import checkup

    with patience("checking"):
        findings = asyncio.run(checkup.check(chosen))
    ok = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": [asdict(finding) for finding in findings]})
    else:
        wide = max((len(finding.name) for finding in findings), default=0)
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:<{wide}}  {text(finding.detail)}")
            if finding.advice:
                click.echo(f"{'':<{wide + 8}}{text(finding.advice)}")
    if not ok:
        sys.exit(REFUSED)
