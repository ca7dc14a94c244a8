"""What is held, beside what the data map promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pixeld.domain.subject import Contents

_DAY_MS = 86_400_000
_GRACE_DAYS = 1  # ClickHouse looks for rows whose time is over every few hours


class Finding(NamedTuple):
    """One place. `problem` is empty, "unmapped" (the data map doesn't name it) or "too old" (kept longer than promised)."""

    place: str
    number: int
    oldest_ms: int | None
    kept_days: int | None  #: what the map promises; None for no limit, or no promise
    problem: str


def judged(held: Sequence[Contents], promises: Mapping[str, int | None], now_ms: int) -> list[Finding]:
    """Every place with what is wrong there, in order. `promises` are days by place."""
    places = sorted(held, key=lambda each: each.place)
    return [Finding(*each, promises.get(each.place), _problem(each, promises, now_ms)) for each in places]


def _problem(held: Contents, promises: Mapping[str, int | None], now_ms: int) -> str:
    if held.place not in promises:
        return "unmapped"
    days = promises[held.place]
    if days is None or held.oldest_ms is None:
        return ""
    return "too old" if now_ms - held.oldest_ms > (days + _GRACE_DAYS) * _DAY_MS else ""
