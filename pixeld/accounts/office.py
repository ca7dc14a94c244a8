"""What every chapter of `Accounts` works with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pixeld.accounts.account import Account
from pixeld.accounts.apikeys import ApiKeys
from pixeld.accounts.audit import noted
from pixeld.accounts.limits import Limits
from pixeld.accounts.links import Links
from pixeld.accounts.outbox import Outbox
from pixeld.accounts.passwords import Passwords
from pixeld.accounts.people import People, Person
from pixeld.accounts.policies import Policies
from pixeld.accounts.sessions import Sessions
from pixeld.domain.ports import Records, Registry
from pixeld.domain.registry import Snapshot
from pixeld.errors import InvalidForm, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The services and the clock (milliseconds since 1970)."""

    records: Records
    registry: Registry
    people: People
    passwords: Passwords
    limits: Limits
    links: Links
    sessions: Sessions
    keys: ApiKeys
    outbox: Outbox
    policies: Policies
    clock: Callable[[], int]

    @property
    def snapshot(self) -> Snapshot:
        """Clients, partners and memberships. Unavailable before they have been read."""
        if self.registry.snapshot is None:
            raise Unavailable("clients and partners have not been read from Redis yet; please try again in a moment")
        return self.registry.snapshot

    def noted(
        self, account: Account, what: str, before: object = None, after: object = None, who: str = ""
    ) -> AbstractAsyncContextManager[None]:
        """See `audit.noted`: for what is changed about an account, by itself unless `who` says otherwise."""
        path = "/".join(filter(None, ("accounts", account.id, what)))
        return noted(self.registry, path, before, after, who or account.who)

    async def check_password(
        self,
        account_id: str,
        password: str,
        field: str = "password",
        wrong: str = "This is not your password.",
        limit: str = "password",
    ) -> Person:
        """The account, if this is the password of somebody who is logged in; with `limit`, of who comes otherwise. NotFound,
        TooMany; InvalidForm, which says `wrong` beside `field`.
        """
        person = await self.people.get(account_id)
        await self.limits.attempt(limit, account_id)
        if not await self.passwords.matches(password, person.secrets["password"]):
            raise InvalidForm({field: wrong})
        await self.limits.forget(limit, account_id)
        return person


class Chapter:
    """A part of `Accounts`."""

    def __init__(self, office: Office) -> None:
        self._office = office
