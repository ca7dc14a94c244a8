"""Where things are held, as erasure, export and audit see it. `parts/rights.py` hands the real places in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pixeld.domain.subject import Contents, Subject


class Copies(NamedTuple):
    """What may still hold what was deleted, and goes by itself."""

    parts: int  #: old parts of ClickHouse's tables
    #: Its append-only file: "rewritten", "replicas" (that, but not theirs), "none" (there is none) or "refused" (Redis
    #: rewrites it when it will).
    redis: str


class Database(Protocol):
    """ClickHouse. Every method raises WarehouseAway or WarehouseRefused."""

    async def reached(self) -> None:
        """Return if every server of it answers."""

    async def count(self, subject: Subject) -> dict[str, int]:
        """How many rows an erasure has to change, by place; those without any are left out."""

    async def erase(self, subject: Subject) -> int:
        """Change them, in every replica; how many old parts, which still hold them, could not be deleted at once. Unavailable
        when it takes too long: it goes on, and the same call waits for the rest.
        """

    def rows(self, subject: Subject) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Every row about it, with its place."""

    async def held(self) -> list[Contents]:
        """Every table."""


class Queues(Protocol):
    """Redis, but for accounts and the registry. Every method raises QueueAway."""

    async def reached(self) -> None:
        """Return if it answers."""

    async def flushed(self) -> None:
        """Return when every queue is in ClickHouse as far as it goes now. Unavailable says which isn't."""

    async def count(self, subject: Subject) -> dict[str, int]:
        """How many entries and keys an erasure has to delete, by place; those without any are left out."""

    async def erase(self, subject: Subject) -> None:
        """Delete them, and from all queues what has been flushed."""

    async def rewrite(self) -> str:
        """Have what was deleted leave Redis' files; as `Copies.redis`."""

    async def elsewhere(self) -> int:
        """How many other servers run now, whose buffers and spills can't be looked into from here."""

    def entries(self, subject: Subject) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Every dead letter and key about it, with its place."""

    async def held(self) -> list[Contents]:
        """Every family of keys."""


class PartnerData(Protocol):
    """Accounts and the registry, of which only a partner has anything. QueueAway."""

    async def count(self, partner: str) -> dict[str, int]:
        """How much an erasure has to delete, by place. NotFound when there is no such partner; Unavailable where this server
        serves no people, and can't tell.
        """

    async def erase(self, partner: str, who: str) -> None:
        """Delete account, contact data, keys and mails; end the memberships; its name becomes its id."""

    def records(self, partner: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """All that is held about it, with its place."""


@dataclass(frozen=True, slots=True)
class Places:
    """All of them. `flush` brings everything answered so far into ClickHouse, or raises Unavailable with what could not be;
    `files` are those of the data directory; `note(what, before, after, who)` writes to the audit log; `promises` has the days
    that the data map promises, by place, None for no limit; `clock()` is milliseconds since 1970.
    """

    database: Database
    queues: Queues
    partners: PartnerData
    flush: Callable[[], Awaitable[object]]
    files: Callable[[], list[Contents]]
    note: Callable[[str, object, object, str], Awaitable[None]]
    promises: Mapping[str, int | None]
    clock: Callable[[], int]
