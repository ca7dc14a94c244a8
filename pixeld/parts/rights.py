"""Rights: erasure, export and audit over the places that this server has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pixeld.accounts.account import Role
from pixeld.accounts.parties import Parties
from pixeld.domain.ports import Registry
from pixeld.domain.registry import Snapshot, Status
from pixeld.domain.reports import Scope
from pixeld.domain.subject import Contents
from pixeld.errors import NotFound, Unavailable
from pixeld.parts.crew import WORKERS
from pixeld.rights.places import Places
from pixeld.rights.rights import Rights
from pixeld.storage.holdings import Holdings
from pixeld.storage.redis import RedisClient
from pixeld.storage.traces import Traces
from pixeld.storage.warehouse import Warehouse

_SPILL = "spill/*"


class _PartnerData:
    """Implements `rights.places.PartnerData` over the registry, and accounts where this server serves people."""

    def __init__(self, registry: Registry, parties: Parties | None) -> None:
        self._registry, self._parties = registry, parties

    async def count(self, partner: str) -> dict[str, int]:
        parties, snapshot = self._served(), await self._snapshot(partner)
        memberships = self._memberships(snapshot, partner).values()
        found = {
            "redis:pixeld:{accounts}:account:*": len(await parties.accounts.of_subject(Role.PARTNER, partner)),
            "redis:pixeld:{accounts}:key:*": len(await parties.keys.list(Scope.partner(partner))),
            "redis:pixeld:{registry}:partners": int(snapshot.partners[partner].name != partner),
            "redis:pixeld:{registry}:members": sum(status is not Status.ENDED for status in memberships),
        }
        return {place: count for place, count in found.items() if count}

    async def erase(self, partner: str, who: str) -> None:
        if await self.count(partner):
            await self._served().accounts.remove_partner(partner, who)

    async def records(self, partner: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        parties, snapshot = self._served(), await self._snapshot(partner)
        yield "redis:pixeld:{registry}:partners", snapshot.partners[partner].to_json()
        for client, status in self._memberships(snapshot, partner).items():
            yield "redis:pixeld:{registry}:members", {"client": client, "partner": partner, "status": str(status)}
        for account in await parties.accounts.of_subject(Role.PARTNER, partner):
            yield "redis:pixeld:{accounts}:account:*", await parties.accounts.export(account)

    def _served(self) -> Parties:
        if self._parties is None:
            raise Unavailable(
                "this server serves no people, so that it can't look into a partner's account; ask one that does "
                "(PIXELD_PORTAL=true, and the vault_keys of the accounts); nothing was deleted"
            )
        return self._parties

    async def _snapshot(self, partner: str) -> Snapshot:
        await self._registry.refresh()
        snapshot = self._registry.snapshot
        if snapshot is None or partner not in snapshot.partners:
            raise NotFound(f"there is no partner {partner!r}")
        return snapshot

    @staticmethod
    def _memberships(snapshot: Snapshot, partner: str) -> dict[str, Status]:
        return {client: status for (client, member), status in snapshot.members.items() if member == partner}


def files(directory: Path) -> list[Contents]:
    """What lies in a data directory and in its workers', a folder as one: `file:spill/*`, `file:workers/*/spill/*`. Only a
    spill's age says something.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in directory.rglob("*"):
        parts = path.relative_to(directory).parts
        if path.is_dir() and not path.is_symlink():
            continue
        head, rest = (f"{WORKERS}/*/", parts[2:]) if parts[0] == WORKERS and len(parts) > 2 else ("", parts)
        found[f"file:{head}{rest[0]}{'/*' if len(rest) > 1 else ''}"].append(path)
    return [Contents(at, len(paths), _oldest_ms(paths) if at.endswith(_SPILL) else None) for at, paths in found.items()]


def _oldest_ms(paths: list[Path]) -> int | None:
    ages = [int(path.stat().st_mtime * 1000) for path in paths if path.exists()]  # one may have been replayed meanwhile
    return min(ages, default=None)


def open_rights(
    warehouse: Warehouse,
    redis: RedisClient,
    own: Collection[str],
    registry: Registry,
    parties: Parties | None,
    directory: Path,
    flush: Callable[[], Awaitable[object]],
    promises: Mapping[str, int | None],
    clock: Callable[[], int],
) -> Rights:
    """The three over this server's own places and those that it shares. `own` are its nodes, `promises` the data map's days by
    place.
    """
    return Rights(
        Places(
            database=Holdings(warehouse),
            queues=Traces(redis, own),
            partners=_PartnerData(registry, parties),
            flush=flush,
            files=lambda: files(directory),
            note=registry.note,
            promises=promises,
            clock=clock,
        )
    )
