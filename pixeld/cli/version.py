"""`pixeld version`."""

from __future__ import annotations

import platform

import click

from pixeld import __version__
from pixeld.cli.output import json_option, print_json


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Say which pixeld this is."""
    if as_json:
        print_json({"version": __version__, "python": platform.python_version()})
    else:
        click.echo(f"pixeld {__version__}")
