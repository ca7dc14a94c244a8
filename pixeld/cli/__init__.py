"""The `pixeld` command: arguments → one call. No logic, no SQL.

This file imports click and nothing heavier, so that `pixeld version` and `--help` answer at once; a subcommand's module is
imported when it is called, and imports what it needs inside its function. Exit codes are decided here and nowhere else.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from pixeld import __version__
from pixeld.errors import PixeldError, PolicyError, SettingsError

OK, REFUSED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

# Each command, and the module that holds it.
_COMMANDS = {
    "demo": "serve",
    "serve": "serve",
    "check": "check",
    "migrate": "migrate",
    "client": "client",
    "partner": "partner",
    "member": "member",
    "order": "order",
    "account": "account",
    "mail": "mail",
    "policy": "policy",
    "audit": "audit",
    "vault": "vault",
    "privacy": "privacy",
    "link": "link",
    "snippet": "snippet",
    "report": "report",
    "sql": "sql",
    "sql-access": "sql_access",
    "tail": "tail",
    "flush": "flush",
    "version": "version",
}

_HELP = """Count the clicks and orders that partners bring.

Try it: `pixeld demo` starts a server with a shop and a partner to play with.

Every command but serve, demo, check, migrate and version asks a running server, which is found through the settings or
--url.
"""
_EPILOG = """\b
Exit codes:
  0  done
  1  the server, or a rule, refused; the message says why
  2  wrong usage or settings
  3  the server could not be reached
"""


class Unreachable(PixeldError):
    """No server answers where one was expected."""

    code = "unreachable"


class Refused(PixeldError):
    """The server said no; `problem` is its own account of it (RFC 9457)."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "the server refused and did not say why")))
        self.problem = problem


class _Main(click.Group):
    """Finds a command's module when it is called, and turns every error into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which somebody needs them, not of the alphabet."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for another name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"pixeld.cli.{_COMMANDS[cmd_name]}"), cmd_name.replace("-", "_"))
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; a misspelt one is told its nearest neighbour."""
        if args[0] not in _COMMANDS and (near := difflib.get_close_matches(args[0], _COMMANDS, 1)):
            ctx.fail(f"There is no command {args[0]!r}; did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run one command line and leave the process with its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(given, *rest, **extra)
        except click.Abort:  # Ctrl-C, which is how `tail` is meant to end
            code = INTERRUPTED
        except (click.ClickException, PixeldError) as error:
            code = _tell(error, as_json="--json" in given)
        sys.exit(code if isinstance(code, int) else OK)


def _tell(error: click.ClickException | PixeldError, *, as_json: bool) -> int:
    """Say on standard error what happened; the exit code for it."""
    if isinstance(error, click.ClickException):
        if as_json:
            said: dict[str, Any] = {"code": "usage", "detail": error.format_message()}
        else:
            error.show()
            return error.exit_code
        code = error.exit_code
    else:
        said = error.problem if isinstance(error, Refused) else {"code": error.code, "detail": str(error)}
        code = USAGE if isinstance(error, (SettingsError, PolicyError)) else REFUSED
        code = UNREACHABLE if isinstance(error, Unreachable) else code
    click.echo(json.dumps(said) if as_json else f"pixeld: {said['detail']}", err=True)
    return code


@click.group(
    cls=_Main, help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="pixeld %(version)s")
def main() -> None:
    """Every command starts here."""
