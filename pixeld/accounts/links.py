"""One-time links: 32 random bytes, stored as a hash, short-lived, used once, for one purpose."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pixeld.accounts.vault import digest
from pixeld.domain.ports import Records
from pixeld.errors import NotFound, Unavailable

DAY_S = 86_400.0
#: How long a link of each purpose holds.
LIFE_S = {"confirm": DAY_S, "email": DAY_S, "reset": 3600.0, "totp": DAY_S, "invitation": 7 * DAY_S, "first": DAY_S}
NOBODY = "nobody"  #: the owner of a link for somebody who has no account yet


class Links:
    """A link's record id is `owner:purpose:hash`: a token found under one purpose is none under another."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def make(self, purpose: str, owner: str, about: dict[str, Any]) -> str:
        """A new token. `about` may be personal: it is sealed."""
        token = f"{owner}.{secrets.token_urlsafe(32)}"
        await self._records.write("link", _id(purpose, token), {"about": about}, expected=0, ttl_s=LIFE_S[purpose])
        return token

    async def peek(self, purpose: str, token: str) -> dict[str, Any] | None:
        """What a token is about, without using it up; None for anything else."""
        record = await self._records.read("link", _id(purpose, token))
        return None if record is None else dict(record.value["about"])

    @asynccontextmanager
    async def using(self, purpose: str, token: str) -> AsyncIterator[dict[str, Any]]:
        """Use a token up, unless Redis fails within. NotFound for anything else."""
        found = await self._records.read("link", _id(purpose, token))
        taken = await self._records.take("link", _id(purpose, token))
        if found is None or taken is None:
            raise NotFound("this link was used already, or it is too old; ask for a new one")
        try:
            yield dict(taken["about"])
        except Unavailable:
            await self._records.write("link", _id(purpose, token), taken, expected=0, ttl_s=found.left_s)
            raise

    async def end(self, owner: str, purpose: str = "") -> None:
        """End the links of an owner, of one purpose or all."""
        for id in await self._records.ids("link"):
            if id.startswith(f"{owner}:{purpose}"):
                await self._records.delete("link", id)

    async def end_about(self, emails: set[str]) -> None:
        """End every link that is about one of these e-mail addresses, in lower case."""
        async for id, record in self._records.each("link"):
            if record.value["about"].get("email", "").lower() in emails:
                await self._records.delete("link", id)


def _id(purpose: str, token: str) -> str:
    return f"{token.partition('.')[0][:32]}:{purpose}:{digest(token)}"
