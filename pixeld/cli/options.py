"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pixeld.settings import Settings

_Callback = TypeVar("_Callback", bound=Callable[..., Any])

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file.  [default: config/pixeld.toml, if there is one]"
)
url_option = click.option(
    "--url", help="Where the server's admin listener is.  [default: what the settings say, http://127.0.0.1:8001]"
)
_DATA_DIR = "The server's data directory, which holds the admin token.  [default: pixeld-data]"


def settings(config: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Settings from flags, this process's environment and the file."""
    from pixeld.settings import load

    return load(os.environ, flags, config)


def server_options(callback: _Callback) -> _Callback:
    """For a command that asks a running server: its first argument becomes that Server, by --url, --data-dir, --config."""

    @url_option
    @click.option("--data-dir", type=click.Path(path_type=Path), help=_DATA_DIR)
    @config_option
    @functools.wraps(callback)
    def wrapped(*args: Any, url: str | None, data_dir: Path | None, config: Path | None, **options: Any) -> Any:
        from pixeld.cli.server import Server

        return callback(Server(settings(config, {"data_dir": data_dir}), url), *args, **options)

    return wrapped  # type: ignore[return-value]


class SettingsCommand(click.Command):
    """A command that has a flag for every setting. Secrets have none: other users of the machine can read command lines."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own options, the settings, --help."""
        *own, help_option = super().get_params(ctx)
        return [*own, *_flags(), help_option]


@functools.cache
def _flags() -> list[click.Parameter]:
    from dataclasses import fields

    from pixeld.settings import Settings, table, types_by_name

    secrets = {f.name for f in fields(Settings) if f.metadata["secret"]}
    types = types_by_name()
    flags: list[click.Parameter] = []
    for name, default, text in table():
        if name in secrets:
            continue
        flag = name.replace("_", "-")
        text += f"  [default: {default}]" if default else ""
        if types[name] is bool:
            flags.append(click.Option([f"--{flag}/--no-{flag}"], default=None, help=text))
        else:  # text for now: the settings know what is allowed, and tell everything that is wrong at once
            metavar = {int: "N", float: "SECONDS"}.get(types[name], "PATH" if "Path" in str(types[name]) else "TEXT")
            flags.append(click.Option([f"--{flag}"], metavar=metavar, help=text))
    return flags
