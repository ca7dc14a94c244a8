"""The registry's system of record in Redis, and this process's picture of it.

Every change is atomic and stands on the audit stream with who, when, before and after. The picture is immutable; it
follows changes made anywhere within a second, and a copy on disk serves a start without Redis.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import orjson
from redis.exceptions import WatchError

from pixeld.domain.commission import check_currency
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Client, Membership, MembershipChange, Partner, Snapshot, Status
from pixeld.errors import AlreadyExists, BadInput, Conflict, NotFound, Unavailable
from pixeld.storage import keys
from pixeld.storage.redis import RedisClient, failures

log = logging.getLogger(__name__)
T = TypeVar("T")
_ATTEMPTS = 20  # optimistic changes that meet another change; each retry means that somebody else's went through
_ENTRY = re.compile(r"[0-9]{1,15}-[0-9]{1,15}", re.ASCII)  # the id of an entry of the audit stream
_UNREADABLE = (ValueError, KeyError, TypeError, BadInput)  # what reading an entry raises that isn't one
_SERVES = "the registry cannot be read; the last picture serves"
_NOTHING_SERVES = "the registry cannot be read; there is no earlier picture: hits get a 503 until it can be"
_FOLLOW_S = 0.25  # one GET: a change elsewhere is seen well within the second that is promised


class _Store:
    """What is in Redis. Every method raises QueueAway without it; `read`, Unavailable for an entry that can't be read."""

    def __init__(self, redis: RedisClient, clock: Callable[[], int]) -> None:
        self._redis, self._clock = redis, clock

    async def version(self) -> int:
        """Grows by one with every change."""
        with failures("reading the registry's version"):
            return int(await self._redis.get(keys.VERSION) or 0)

    async def read(self) -> Snapshot:
        """The whole registry at one moment."""
        with failures("reading the registry"):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.get(keys.VERSION).hgetall(keys.CLIENTS).hgetall(keys.PARTNERS).hgetall(keys.MEMBERS)
                stored = await pipe.execute()
        return await asyncio.to_thread(_snapshot, *stored)  # 100,000 memberships take 0.2 s, in which no visitor is to wait

    async def change(self, key: str, field: str, decide: Callable[[Any], Any], *, who: str) -> Any:
        """Replace one entry: `decide(before)` gives what it becomes, or raises and nothing is changed. Returns the new value.

        `before` and the new value are JSON values, None for no entry. The entry, the version and the audit record change
        together or not at all.
        """
        with failures("changing the registry"):
            async with self._redis.pipeline(transaction=True) as pipe:
                for _ in range(_ATTEMPTS):
                    await pipe.watch(key)
                    stored = await pipe.hget(key, field)
                    before = _load(stored)
                    after = decide(before)
                    if after == before:
                        return after
                    data = after.encode() if isinstance(after, str) else orjson.dumps(after)
                    pipe.multi()
                    pipe.hset(key, field, data).incr(keys.VERSION)
                    what = f"{key.rpartition(':')[2]}/{field}"
                    pipe.xadd(keys.AUDIT, self._entry(what, _told(key, before), _told(key, after), who))
                    try:
                        await pipe.execute()
                    except WatchError:
                        continue
                    return after
        raise Unavailable("too many changes to the registry at once; nothing was changed, please try again")

    async def note(self, what: str, before: object, after: object, who: str) -> None:
        """Put a change that was made elsewhere on the audit stream."""
        with failures("writing to the audit stream"):
            await self._redis.xadd(keys.AUDIT, self._entry(what, before, after, who))

    def _entry(self, what: str, before: object, after: object, who: str) -> dict[str, Any]:
        values = {"before": orjson.dumps(before), "after": orjson.dumps(after)}
        return {"at_ms": self._clock(), "who": who, "what": what, **values}

    async def audit(self, count: int, before: str) -> list[dict[str, Any]]:
        """The newest `count` changes, or those before one of them, newest first."""
        if before and _ENTRY.fullmatch(before) is None:
            raise BadInput("before must be the id of a change, such as 1800000000000-0", "before")
        with failures("reading the audit stream"):
            entries = await self._redis.xrevrange(keys.AUDIT, max=f"({before}" if before else "+", count=count)
        return [
            {
                "id": id.decode(),
                "at_ms": int(f[b"at_ms"]),
                "who": f[b"who"].decode(),
                "what": f[b"what"].decode(),
                "before": orjson.loads(f[b"before"]),
                "after": orjson.loads(f[b"after"]),
            }
            for id, f in entries
        ]


class Registry:
    """Clients, partners and memberships: read from `snapshot`, changed by the methods, which raise BadInput, NotFound,
    AlreadyExists or QueueAway and then have changed nothing.

    `changed(snapshot)` is told of every new picture; `keep(bytes)` stores a copy that `kept` gives back at the next start.
    `clock()` is milliseconds since 1970. `snapshot` is None until either Redis or the copy has been read.
    """

    def __init__(
        self,
        redis: RedisClient,
        clock: Callable[[], int],
        *,
        changed: Callable[[Snapshot], None],
        keep: Callable[[bytes], None],
        kept: bytes | None,
    ) -> None:
        self._store = _Store(redis, clock)
        self._changed, self._keep = changed, keep
        self.spread: Callable[[], Awaitable[None]] = _nobody  #: waited for after a new picture: others show it then too
        self._live = False  # whether Redis itself has been read, not only the copy
        self._reading = asyncio.Lock()  # pictures are shown and kept in the order in which they were true
        self.snapshot: Snapshot | None = None
        if kept is not None:
            try:
                self._show(_from_picture(kept))
            except _UNREADABLE as error:
                log.error("the registry's copy cannot be read and is left aside", extra={"reason": type(error).__name__})

    async def follow(self) -> None:
        """Keep the picture up to date, for ever."""
        away = False
        while True:
            try:
                await self.refresh()
                away = False
            except (Unavailable, ValueError) as error:
                if not away:
                    log.error(_SERVES if self.snapshot else _NOTHING_SERVES, extra={"reason": str(error)})
                away = True
            await asyncio.sleep(_FOLLOW_S)

    async def refresh(self) -> None:
        """Read the registry again if it has changed. QueueAway, or Unavailable when an entry can't be read."""
        async with self._reading:
            if self._live and self.snapshot is not None and self.snapshot.version == await self._store.version():
                return
            before, snapshot = self.snapshot, await self._store.read()
            self._live = True
            self._show(snapshot)
            await self.spread()
            if before is not None and snapshot.version < before.version:
                log.critical("Redis holds an older registry than before, or none; the copy on disk stays as it was")
                return
            try:
                await asyncio.to_thread(lambda: self._keep(_picture(snapshot)))
            except OSError as error:
                text = "the registry's copy cannot be kept; a start without Redis would know the one before it"
                log.error(text, extra={"reason": str(error)})

    async def add_client(self, body: object, who: str) -> Client:
        """Register a client."""
        return Client.from_store(await self._add(keys.CLIENTS, Client.from_json(body), who))

    async def change_client(self, client: str, body: object, who: str, *, seen: int | None = None) -> Client:
        """Change some of a client's fields. A currency must be able to express what its memberships agree on."""
        await self.refresh()
        assert self.snapshot is not None
        agreements = self.snapshot.own_terms.get(client, {}).values()

        def check(changed: Any) -> None:
            for agreement in agreements:
                check_currency(agreement, changed.currency)

        return Client.from_store(await self._change(keys.CLIENTS, Client, client, body, who, seen, check))

    async def add_partner(self, body: object, who: str) -> Partner:
        """Register a partner."""
        return Partner.from_store(await self._add(keys.PARTNERS, Partner.from_json(body), who))

    async def change_partner(self, partner: str, body: object, who: str, *, seen: int | None = None) -> Partner:
        """Change some of a partner's fields."""
        return Partner.from_store(await self._change(keys.PARTNERS, Partner, partner, body, who, seen))

    async def set_member(
        self, client: str, partner: str, body: object, who: str, *, seen: int | None = None
    ) -> Status:
        """Set status, commission or both of the membership of `partner` with `client`; both must exist."""
        change = MembershipChange.from_json(body)
        await self.refresh()
        assert self.snapshot is not None
        for found, kind, name in ((self.snapshot.clients, "client", client), (self.snapshot.partners, "partner", partner)):
            if name not in found:
                raise NotFound(f"there is no {kind} {name!r}")
        currency = self.snapshot.clients[client].currency

        def decide(before: Any) -> Any:
            member = Membership.from_store(before) if before else None
            _check_seen(member.to_json() if member else None, seen)
            return change.applied(member, currency).to_json()

        changed = await self._store.change(keys.MEMBERS, f"{client}/{partner}", decide, who=who)
        await self.refresh()
        return Membership.from_store(changed).status

    async def note(self, what: str, before: object, after: object, who: str) -> None:
        """Put a change that was made elsewhere on the audit stream. `before` and `after` are JSON values; they name nobody."""
        await self._store.note(what, before, after, who)

    async def audit(self, count: int, before: str = "") -> list[dict[str, Any]]:
        """The newest `count` changes, newest first; with `before`, an id, those before that one."""
        return await self._store.audit(count, before)

    async def _add(self, key: str, record: Client | Partner, who: str) -> Any:
        def decide(before: Any) -> Any:
            if before is not None:
                raise AlreadyExists(f"{record.id!r} is taken; choose another id, or change the existing one with PATCH")
            return record.to_json()

        added = await self._store.change(key, record.id, decide, who=who)
        await self.refresh()
        return added

    async def _change(
        self,
        key: str,
        kind: type[Client] | type[Partner],
        record_id: str,
        body: object,
        who: str,
        seen: int | None,
        check: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        def decide(before: Any) -> Any:
            if before is None:
                raise NotFound(f"there is no {kind.__name__.lower()} {record_id!r}")
            record = kind.from_store(before)
            _check_seen(record.to_json(), seen)
            changed = record.changed(body)
            check(changed)
            return before | changed.to_json()

        changed = await self._store.change(key, record_id, decide, who=who)
        await self.refresh()
        return changed

    def _show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._changed(snapshot)


def _snapshot(
    version: bytes | None, clients: dict[bytes, bytes], partners: dict[bytes, bytes], members: dict[bytes, bytes]
) -> Snapshot:
    return _shown(
        int(version or 0),
        _entries("client", clients, Client.from_store).values(),
        _entries("partner", partners, Partner.from_store).values(),
        {_pair(field): member for field, member in _entries("membership", members, Membership.from_store).items()},
    )


def _entries(kind: str, stored: dict[bytes, bytes], read: Callable[[Any], T]) -> dict[str, T]:
    """What is stored, by field. Unavailable names an entry that can't be read."""
    found = {}
    for field, value in stored.items():
        try:
            found[field.decode()] = read(_load(value))
        except _UNREADABLE as error:
            raise Unavailable(
                f"the {kind} {field.decode(errors='replace')} can't be read here ({error}): a newer pixeld wrote it, or "
                "one that knows newer time zones or currencies; bring this one up to date, or change the entry in Redis"
            ) from error
    return found


def _shown(
    version: int, clients: Iterable[Client], partners: Iterable[Partner], members: dict[tuple[str, str], Membership]
) -> Snapshot:
    return Snapshot(
        version,
        {client.id: client for client in clients},
        {partner.id: partner for partner in partners},
        {pair: member.status for pair, member in members.items()},
        {pair: member.commission for pair, member in members.items() if member.commission},
    )


async def _nobody() -> None: ...


def _picture(snapshot: Snapshot) -> bytes:
    own = snapshot.terms.get
    return orjson.dumps(
        {
            "version": snapshot.version,
            "clients": [client.to_json() for client in snapshot.clients.values()],
            "partners": [partner.to_json() for partner in snapshot.partners.values()],
            "members": [[*pair, Membership(s, own(pair, ())).to_json()] for pair, s in snapshot.members.items()],
        }
    )


def _from_picture(data: bytes) -> Snapshot:
    found = orjson.loads(data)
    return _shown(
        found["version"],
        [Client.from_store(c) for c in found["clients"]],
        [Partner.from_store(p) for p in found["partners"]],
        {(client, partner): Membership.from_store(member) for client, partner, member in found["members"]},
    )


def _told(key: str, value: Any) -> Any:
    """What the audit stream is told: of a partner no name, which may be a person's. The stream outlives it."""
    if key != keys.PARTNERS or value is None:
        return value
    return {name: kept for name, kept in value.items() if name != "name"}


def _load(stored: bytes | None) -> Any:
    """An entry's value: an object, or a bare text, which is what a membership without terms of its own is."""
    if stored is None:
        return None
    return orjson.loads(stored) if stored.startswith(b"{") else stored.decode()


def _check_seen(before: Any, seen: int | None) -> None:
    if seen is not None and fingerprint(before) != seen:
        raise Conflict("somebody has changed this since you opened it; nothing was changed: look at it again, then repeat")


def _pair(field: str) -> tuple[str, str]:
    client, _, partner = field.partition("/")
    return client, partner
