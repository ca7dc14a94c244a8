"""The settings as documentation: `config/pixeld.toml` and the README's table, both rendered from `pixeld.settings.table()`.

`python -m pixeld.cli.settings_doc` in the project's folder writes them anew; a test fails while one is out of date.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from pixeld.settings import ENV_PREFIX, Settings, table, types_by_name

TOML, README = Path("config/pixeld.toml"), Path("README.md")
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"

# A section begins at the setting named here and goes on until the next one, so that a new setting needs no entry.
_SECTIONS = {
    "host": ("server", "Where it listens."),
    "data_dir": ("storage", "Where events are kept."),
    "public_url": ("access", "How it is reached, and by whom."),
    "fast_path": ("tracking", "How tracking requests are answered."),
    "trusted_proxies": ("visitors", "Whose word is believed about where a visitor is."),
    "max_connections": ("limits", "What peers may ask for."),
    "buffer_bytes": ("ingest", "On the way from the answer into ClickHouse."),
    "shutdown_s": ("process", "The process itself."),
    "vault_keys": ("people", "Those who log in: partners, clients and operators."),
}
_HEAD = f"""\
# Settings of pixeld. Every one is here with its default; to change one, take the # away and write another value.
#
# A flag (`pixeld serve --port 80`) beats the environment ({ENV_PREFIX}PORT=80), that beats this file, that beats the default.
# This file is read from config/pixeld.toml in the current folder, or from where {ENV_PREFIX}CONFIG says.
# Made by `python -m pixeld.cli.settings_doc`.
"""


def toml() -> str:
    """config/pixeld.toml: every setting, commented out, with its default."""
    lines = [_HEAD]
    for name, _, text in table():
        if name in _SECTIONS:
            section, about = _SECTIONS[name]
            lines += [f"[{section}]", f"# {about}", ""]
        secret = [] if name not in _secrets() else ["# Secret: let nobody else read this file, or use the environment."]
        lines += [f"# {text}", *secret, f"# {name} = {_toml(_defaults()[name])}{_unit(name)}", ""]
    return "\n".join(lines)


def markdown() -> str:
    """The README's table, between its markers."""
    lines = ["| setting | environment | default | what it does |", "|---|---|---|---|"]
    for name, default, text in table():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{name}` | `{ENV_PREFIX}{name.upper()}` | {shown} | {text.replace('|', chr(92) + '|')} |")
    return "\n".join((BEGIN, *lines, END))


def into_readme(readme: str) -> str:
    """The README with its table replaced. ValueError when it lacks the markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} lacks the markers {BEGIN} and {END}, between which the settings stand")
    return before + markdown() + after


def _defaults() -> dict[str, Any]:
    return {f.name: f.default for f in fields(Settings)}


def _secrets() -> set[str]:
    return {f.name for f in fields(Settings) if f.metadata["secret"]}


def _toml(default: Any) -> str:
    if default is None:
        return '""'
    if isinstance(default, Path):
        default = str(default)
    return json.dumps(default, ensure_ascii=False)  # a TOML value of these types is spelt as JSON's


def _unit(name: str) -> str:
    default = _defaults()[name]
    if types_by_name()[name] is int and default % (1 << 20) == 0 and default:
        return f"  # {default >> 20} MiB"
    return ""


def main() -> None:
    """Write both."""
    TOML.write_text(toml(), "utf-8")
    README.write_text(into_readme(README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
