"""Sessions: who is logged in, known by a cookie of which only a hash is stored."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple

from pixeld.accounts.account import Account
from pixeld.accounts.people import People
from pixeld.accounts.vault import digest
from pixeld.domain.ports import Records
from pixeld.errors import Conflict, NotFound

IDLE_S = 2 * 3600
LONGEST_S = 12 * 3600
_SEEN_S = 60  # a session's last use is noted this seldom: each note is an fsync
_COOKIE_MOST = 100


class Session(NamedTuple):
    """A log-in that holds. Every form of it carries `csrf`."""

    account: Account
    csrf: str
    id: str


class Sessions:
    """Sessions end 2 hours after their last use, 12 hours after their log-in, and with their account.

    A session's record id is `account:hash`, so that those of one account are found.
    """

    def __init__(self, records: Records, people: People, clock: Callable[[], int]) -> None:
        self._records, self._people, self._clock = records, people, clock

    async def open(self, account_id: str) -> str:
        """A new session; the value of its cookie, told only here."""
        cookie, now = f"{account_id}.{secrets.token_urlsafe(32)}", self._clock()
        value = {"csrf": secrets.token_urlsafe(32), "opened_ms": now, "seen_ms": now}
        await self._records.write("session", _id(cookie), value, expected=0, ttl_s=IDLE_S)
        return cookie

    async def find(self, cookie: str) -> Session | None:
        """The session of a cookie, with its account as it is now; None for anything else."""
        if len(cookie) > _COOKIE_MOST or not cookie.isascii():
            return None
        id, now = _id(cookie), self._clock()
        record = await self._records.read("session", id)
        if record is None:
            return None
        try:
            person = await self._people.get(id.partition(":")[0])
        except NotFound:
            return None
        if now - record.value["seen_ms"] >= _SEEN_S * 1000:
            ttl_s = min(IDLE_S, LONGEST_S - (now - record.value["opened_ms"]) / 1000)
            try:
                value = record.value | {"seen_ms": now}
                await self._records.write("session", id, value, expected=record.version, ttl_s=ttl_s)
            except Conflict:
                pass  # noted by another request of the same moment, or closed
        return Session(person.account, record.value["csrf"], id)

    async def close(self, cookie: str) -> None:
        """End a session, if it is one."""
        await self._records.delete("session", _id(cookie))

    async def close_all(self, account_id: str) -> None:
        """End every session of an account."""
        for id in await self._of(account_id):
            await self._records.delete("session", id)

    async def times(self, account_id: str) -> list[dict[str, int]]:
        """When each session of an account was opened and last used."""
        found = self._records.each("session", await self._of(account_id))
        return [{name: record.value[name] for name in ("opened_ms", "seen_ms")} async for _, record in found]

    async def _of(self, account_id: str) -> list[str]:
        return [id for id in await self._records.ids("session") if id.startswith(f"{account_id}:")]


def _id(cookie: str) -> str:
    return f"{cookie.partition('.')[0]}:{digest(cookie)}"
