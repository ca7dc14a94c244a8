"""What the URLs of ClickHouse and of Redis' sentinels have in common: several hosts, and options. Nothing here repeats a URL,
which may hold a password.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from pixeld.errors import SettingsError


def hosts(text: str, default_port: int) -> tuple[tuple[str, int], ...] | None:
    """`one:1,two` as names and ports; None for what names no host."""
    found = []
    try:
        for part in text.split(","):
            parts = urlsplit(f"//{part}")
            if not parts.hostname:
                return None
            found.append((parts.hostname, parts.port or default_port))
    except ValueError:
        return None
    return tuple(found)


def options(query: str, known: Mapping[str, str], kind: str) -> dict[str, str]:
    """The options of a query, over the defaults in `known`. One whose default is 0 or 1 is a switch, and takes those alone.
    SettingsError names the `kind` of URL and the option.
    """
    found = {**known, **dict(parse_qsl(query, keep_blank_values=True))}
    for name, value in found.items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1) or sorted(known)
            raise SettingsError(f"the {kind} URL has an unknown option {name!r}; did you mean {nearest[0]!r}?")
        if known[name] in ("0", "1") and value not in ("0", "1"):
            raise SettingsError(f"the {kind} URL's option {name} must be 0 or 1")
    return found
