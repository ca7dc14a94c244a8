"""Keys of the tenants' API: shown once, stored as a hash."""

from __future__ import annotations

import builtins
import hmac
import re
import secrets
import string
from collections.abc import Callable
from typing import NamedTuple

from pixeld.accounts.account import Account
from pixeld.accounts.audit import noted
from pixeld.accounts.vault import digest
from pixeld.domain.ports import Record, Records, Registry
from pixeld.domain.reports import Scope
from pixeld.errors import Conflict, Forbidden, InvalidForm, NotFound, Unauthorized

MOST = 20  # of one partner or client
_ALPHABET = string.ascii_letters + string.digits  # 32 of these are 190 bits, past guessing: SHA-256 suffices
_TEXT = re.compile(r"pxk_([a-z0-9]{8})_[A-Za-z0-9]{32}", re.ASCII)
_USED_MS = 60_000  # a last use is noted this seldom: each note is an fsync
_NO_KEY = "this needs `Authorization: Bearer pxk_…` with a key that holds; the portal makes them"


class KeyInfo(NamedTuple):
    """What may be known of a key after it was shown."""

    id: str
    prefix: str  #: how its text begins
    name: str
    created_ms: int
    used_ms: int | None  #: its last use, to the minute
    who: str  #: who made it, as on the audit stream


class ApiKeys:
    """A key reads what its partner or client may, and ends with the account that made it. `clock()` is milliseconds since
    1970.
    """

    def __init__(self, records: Records, registry: Registry, clock: Callable[[], int]) -> None:
        self._records, self._registry, self._clock = records, registry, clock

    async def create(self, scope: Scope, name: str, who: str) -> tuple[str, KeyInfo]:
        """A new key; its text is told only here. InvalidForm (name); Forbidden for an operator's scope, or with too many
        keys.
        """
        name = name.strip()
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise InvalidForm({"name": "Give the key a name of 1 to 100 characters, to know it by."})
        if scope.role == "operator":
            raise Forbidden("keys are for partners and clients; an operator uses the admin API")
        if len(await self.list(scope)) >= MOST:
            raise Forbidden(f"there are {MOST} keys already; revoke one first")
        id = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
        text = f"pxk_{id}_" + "".join(secrets.choice(_ALPHABET) for _ in range(32))
        value: dict[str, object] = {"role": scope.role, "subject": scope.id, "name": name, "hash": digest(text), "who": who}
        value |= {"created_ms": self._clock(), "used_ms": None}
        async with noted(self._registry, f"keys/{id}", None, _told(scope), who):
            await self._records.write("key", id, value, expected=0)
        return text, _info(id, value)

    async def list(self, scope: Scope) -> builtins.list[KeyInfo]:
        """The keys of a scope, oldest first."""
        keys = [_info(id, record.value) async for id, record in self._records.each("key") if _scope(record) == scope]
        return sorted(keys, key=lambda key: key.created_ms)

    async def made_by(self, account: Account) -> builtins.list[KeyInfo]:
        """The keys that an account made, oldest first."""
        return [key for key in await self.list(account.scope) if key.who == account.who]

    async def revoke(self, scope: Scope, key_id: str, who: str) -> None:
        """End a key. NotFound when it isn't the scope's own."""
        record = await self._records.read("key", key_id)
        if record is None or _scope(record) != scope:
            raise NotFound(f"there is no key {key_id!r}")
        async with noted(self._registry, f"keys/{key_id}", _told(scope), None, who):
            if not await self._records.delete("key", key_id):
                raise NotFound(f"the key {key_id!r} has just been revoked")

    async def scope_of(self, text: str) -> Scope:
        """What the bearer of a key may read. Unauthorized for anything but a key."""
        found = _TEXT.fullmatch(text)
        record = await self._records.read("key", found[1]) if found else None
        if found is None or record is None or not hmac.compare_digest(record.value["hash"], digest(text)):
            raise Unauthorized(_NO_KEY)
        now = self._clock()
        if now - (record.value["used_ms"] or 0) >= _USED_MS:
            try:
                value = record.value | {"used_ms": now - now % _USED_MS}
                await self._records.write("key", found[1], value, expected=record.version)
            except Conflict:
                pass  # noted by another request of the same moment, or revoked
        return _scope(record)


def _scope(record: Record) -> Scope:
    return Scope(record.value["role"], record.value["subject"])


def _told(scope: Scope) -> dict[str, str]:
    return {"role": scope.role, "subject": scope.id}


def _info(id: str, value: dict[str, object]) -> KeyInfo:
    return KeyInfo(id, f"pxk_{id}", *(value[name] for name in ("name", "created_ms", "used_ms", "who")))  # type: ignore[arg-type]
