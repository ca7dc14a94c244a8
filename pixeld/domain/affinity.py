"""Affinity: which categories of products people buy whom a partner has referred. Kept only where the visitor has agreed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pixeld.errors import BadInput

MAX_CHOSEN = 5  # of one order
MAX_LISTED = 100  # of one client
_CATEGORY = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


def listed(names: Iterable[object]) -> tuple[str, ...]:
    """A client's list of categories, each once. BadInput names what can't be one."""
    found: dict[str, None] = {}
    for name in names:
        if not isinstance(name, str) or _CATEGORY.fullmatch(name) is None:
            raise BadInput(
                f"categories holds {name!r}; each must be 1 to 32 of a-z 0-9 -, and begin with a letter or digit", "categories"
            )
        found[name] = None
    if len(found) > MAX_LISTED:
        raise BadInput(f"categories must be {MAX_LISTED} at most; people buy across few broad ones", "categories")
    return tuple(found)


def chosen(text: str, known: Sequence[str]) -> str:
    """What an order's `cat` names of a client's categories, comma-joined: the first MAX_CHOSEN, each once; no others."""
    given = dict.fromkeys(name for name in text.split(",") if name in known)
    return ",".join([*given][:MAX_CHOSEN])
