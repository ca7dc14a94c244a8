"""All services around accounts, as one value for whoever serves people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from pixeld.accounts.accounts import Accounts
from pixeld.accounts.apikeys import ApiKeys
from pixeld.accounts.limits import Limits
from pixeld.accounts.links import Links
from pixeld.accounts.messages import Messages
from pixeld.accounts.office import Office
from pixeld.accounts.outbox import Letter, Outbox
from pixeld.accounts.passwords import Passwords
from pixeld.accounts.people import People
from pixeld.accounts.policies import Policies
from pixeld.accounts.sealed import SealedRecords
from pixeld.accounts.sessions import Sessions
from pixeld.accounts.vault import Vault
from pixeld.domain.ports import Records, Registry


class Rotated(NamedTuple):
    """How many records a rotation re-wrapped, the key that seals now, and the keys under which nothing lies any more."""

    records: int
    key: str
    unneeded: list[str]


@dataclass(frozen=True, slots=True)
class Parties:
    """What the portal, the tenants' API and the admin API are made from; `web.keys.PARTIES` holds it."""

    accounts: Accounts
    sessions: Sessions
    keys: ApiKeys
    outbox: Outbox
    policies: Policies
    messages: Messages
    rotate: Callable[[str], Awaitable[Rotated]]  #: see `Rotation`; the argument is whose doing it is
    check: Callable[[], Awaitable[None]]  #: raises Unopened when this server has other keys than what lies in Redis


class Rotation:
    """Moves every record to the key that seals. `renew` makes a new one first: the secrets with it, for the vault; or None,
    where an operator has put a new one first himself.
    """

    def __init__(
        self,
        vault: Vault,
        records: SealedRecords,
        people: People,
        registry: Registry,
        renew: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._vault, self._records, self._people, self._registry = vault, records, people, registry
        self._renew = renew
        self._at_it = asyncio.Lock()

    async def rotate(self, who: str) -> Rotated:
        """Rotate now, or behind a rotation that goes on. Whatever interrupts it, everything still opens, and it can be
        repeated.
        """
        async with self._at_it:  # of two new keys made at once, one would be written over, and what lies under it lost
            return await self._rotate(who)

    async def _rotate(self, who: str) -> Rotated:
        await self._registry.note("vault", {"key": self._vault.current}, "rotation", who)
        text = await self._renew()
        if text is not None:
            self._vault.use(text)
        count = await self._records.rewrap()
        await self._people.look_up_anew()
        await self._registry.note("vault", None, {"key": self._vault.current, "records": count}, who)
        return Rotated(count, self._vault.current, self._vault.earlier)


def open_parties(
    records: Records,
    registry: Registry,
    vault: Vault,
    passwords: Passwords,
    clock: Callable[[], int],
    *,
    url: str,
    post: Callable[[Letter], Awaitable[None]] | None,
    renew: Callable[[], Awaitable[str | None]],
) -> Parties:
    """The services over their store. `url` is where links in mails lead; `post` sends a mail, without one they are kept."""
    sealed = SealedRecords(records, vault)
    people = People(sealed, vault)
    outbox = Outbox(sealed, clock, url, post)
    office = Office(
        records=sealed,
        registry=registry,
        people=people,
        passwords=passwords,
        limits=Limits(sealed, vault),
        links=Links(sealed),
        sessions=Sessions(sealed, people, clock),
        keys=ApiKeys(sealed, registry, clock),
        outbox=outbox,
        policies=Policies(sealed, people, outbox, registry, clock),
        clock=clock,
    )
    rotation = Rotation(vault, sealed, people, registry, renew)
    return Parties(
        Accounts(office),
        office.sessions,
        office.keys,
        outbox,
        office.policies,
        Messages(office),
        rotation.rotate,
        sealed.check,
    )
