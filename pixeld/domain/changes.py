"""An entry of the audit log as one reads it, in the portal and in a terminal."""

from __future__ import annotations

import json
from typing import Any


def changes(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """What a change changed, as (field, before, after); the field is empty where there are none."""
    if not isinstance(before, dict) and not isinstance(after, dict):
        return [("", _told(before), _told(after))]
    old, new = (value if isinstance(value, dict) else {} for value in (before, after))
    names = [*new, *(name for name in old if name not in new)]
    return [(name, _told(old.get(name)), _told(new.get(name))) for name in names if old.get(name) != new.get(name)]


def _told(value: Any) -> str:
    """A value as one reads it: of several, one after the other, those without a text left out."""
    if isinstance(value, list):
        return "; ".join(map(_told, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(each)}" for name, each in value.items() if each not in ("", None))
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
