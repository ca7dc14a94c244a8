"""Records whose personal fields lie sealed: the one table of which those are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson

from pixeld.accounts.vault import Vault
from pixeld.domain.ports import Record, Records
from pixeld.errors import AlreadyExists, Conflict

#: Of each kind, the fields that may hold personal data or a secret. The rest of a record is plain to whoever reads Redis.
SEALED: dict[str, tuple[str, ...]] = {
    "account": ("contact", "secrets", "name"),
    "link": ("about",),
    "mail": ("letter",),
    "key": ("name",),
    "canary": ("text",),
}
_ATTEMPTS = 20


class SealedRecords:
    """Records over other Records: it seals what it writes and opens what it reads. Raises Unopened for what doesn't open."""

    def __init__(self, records: Records, vault: Vault) -> None:
        self._records, self._vault = records, vault

    async def read(self, kind: str, id: str) -> Record | None:
        """The record, opened."""
        record = await self._records.read(kind, id)
        return None if record is None else record._replace(value=self._opened(kind, id, record.value))

    async def each(self, kind: str, ids: Iterable[str] | None = None) -> AsyncIterator[tuple[str, Record]]:
        """Every record of a kind, or those of `ids`, opened."""
        async for id, record in self._records.each(kind, ids):
            yield id, record._replace(value=self._opened(kind, id, record.value))

    async def write(
        self, kind: str, id: str, value: dict[str, Any], *, expected: int, ttl_s: float | None = None
    ) -> int:
        """Replace the record, sealed."""
        sealed = {
            name: self._vault.seal(kind, id, name, orjson.dumps(value[name])) for name in SEALED.get(kind, ()) if name in value
        }
        return await self._records.write(kind, id, value | sealed, expected=expected, ttl_s=ttl_s)

    async def take(self, kind: str, id: str) -> dict[str, Any] | None:
        """Read, opened, and delete in one step."""
        value = await self._records.take(kind, id)
        return None if value is None else self._opened(kind, id, value)

    async def delete(self, kind: str, id: str) -> bool:
        """Delete the record."""
        return await self._records.delete(kind, id)

    async def ids(self, kind: str) -> list[str]:
        """The id of every record of a kind, sorted."""
        return await self._records.ids(kind)

    async def count(self, kind: str, id: str, window_s: float) -> int:
        """One more in a counter."""
        return await self._records.count(kind, id, window_s)

    async def rewrite(self) -> None:
        """Have Redis write its append-only file anew."""
        await self._records.rewrite()

    async def check(self) -> None:
        """Unopened when the records that are there were sealed under other keys than this server's."""
        while await self.read("canary", "canary") is None:
            try:
                await self.write("canary", "canary", {"text": "sings"}, expected=0)
            except AlreadyExists:
                continue  # another server's, which may have other keys

    async def rewrap(self) -> int:
        """Wrap the data keys of all records under the key that seals now; how many records that changed."""
        return sum([await self._rewrapped(kind, id) for kind in SEALED for id in await self._records.ids(kind)])

    async def _rewrapped(self, kind: str, id: str) -> bool:
        for _ in range(_ATTEMPTS):
            record = await self._records.read(kind, id)
            if record is None:
                return False
            texts = {name: record.value[name] for name in SEALED[kind] if name in record.value}
            anew = {name: self._vault.rewrap(kind, id, name, text) for name, text in texts.items()}
            if anew == texts:
                return False
            try:
                await self._records.write(kind, id, record.value | anew, expected=record.version, ttl_s=record.left_s)
            except Conflict:
                continue  # whoever changed it meanwhile may not have the new key yet
            return True
        raise Conflict(f"a record of kind {kind} is changed all the time; rotate again")

    def _opened(self, kind: str, id: str, value: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in SEALED.get(kind, ()) if name in value]
        return value | {name: orjson.loads(self._vault.open(kind, id, name, value[name])) for name in names}
