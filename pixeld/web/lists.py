"""Lists of clients, partners and the like: in the order of their names, found by what is sought, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from aiohttp import web

T = TypeVar("T")
_MOST = 100  # characters of a search


class Named(Protocol):
    """What has a name and an id: a client, a partner."""

    @property
    def id(self) -> str:
        """Lower case."""

    @property
    def name(self) -> str:
        """As people read it."""


def by_name(party: Named) -> tuple[str, str]:
    """The place of a party in a list. Of one name, the ids decide, so that every page is cut from the same list."""
    return party.name.casefold(), party.id


def sought(request: web.Request, name: str = "q") -> str:
    """What a search of that name asks for; empty for nothing."""
    return request.query.get(name, "").strip()[:_MOST]


def called(party: Named, text: str) -> bool:
    """Whether its name or its id holds a text."""
    return text.casefold() in party.name.casefold() or text.casefold() in party.id


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """One page of a list: its rows, its number of how many, and the addresses of the pages beside it, empty for none."""

    rows: Sequence[T]
    number: int
    count: int
    previous: str
    next: str


def paged(request: web.Request, found: Sequence[T], size: int, *kept: str) -> Pages[T]:
    """The page of `size` rows that `page` of the address names: the nearest that there is, the first for what is no number.

    `kept` are the parameters of the address that made the list: the pages beside it have them, too.
    """
    count = max(1, -(-len(found) // size))
    text = request.query.get("page", "")
    number = min(max(int(text), 1), count) if re.fullmatch("[0-9]{1,6}", text) else 1
    same = {name: request.query[name] for name in kept if request.query.get(name)}
    previous, after = (
        str(request.rel_url.with_query(same | {"page": str(n)})) if 1 <= n <= count else "" for n in (number - 1, number + 1)
    )
    return Pages(found[(number - 1) * size : number * size], number, count, previous, after)
