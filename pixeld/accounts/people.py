"""Accounts as records: found by id, by e-mail address, and by the partner or client whose they are."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pixeld.accounts.account import Account, Contact, Role
from pixeld.accounts.forms import normal
from pixeld.accounts.vault import Vault
from pixeld.domain.ports import Record, Records
from pixeld.errors import AlreadyExists, Conflict, NotFound, Unavailable

_ATTEMPTS = 20  # that others are faster each time takes somebody who does nothing else
_SOON_S = 1.0
#: How many accounts a partner, a client, or the operators may have.
MOST = {Role.PARTNER: 1, Role.CLIENT: 20, Role.OPERATOR: 20}


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """An account with what nobody is shown: secrets are `password` (its hash), `totp`, `totp_new` (not confirmed),
    `totp_step` (of the last code) and `recovery` (hashes of codes). `name` is a partner's, until the registry has it.
    """

    account: Account
    secrets: Mapping[str, Any]
    name: str = ""

    def with_(self, **changes: Any) -> Person:
        """The same with some of its account's fields changed."""
        return replace(self, account=replace(self.account, **changes))

    def with_secrets(self, **changes: Any) -> Person:
        """The same with some of its secrets changed, and what its account tells of them."""
        secrets = {**self.secrets, **changes}
        return replace(self.with_(**_told(secrets)), secrets=secrets)


class People:
    """Three kinds of records: "account"; "email", whose id is a keyed hash of an address and which names its account; "party",
    which names the accounts of one partner or client.

    The account is what counts: an address or a party whose account is gone is free. So a step that fails leaves nothing taken.
    What others change at the same moment is waited out; Unavailable, with nothing changed, when that takes too long.
    """

    def __init__(self, records: Records, vault: Vault) -> None:
        self._records, self._vault = records, vault

    async def get(self, id: str) -> Person:
        """The active account. NotFound."""
        person = await self.even_unconfirmed(id)
        if person is None or person.account.state != "active":
            raise NotFound("there is no such account")
        return person

    async def even_unconfirmed(self, id: str) -> Person | None:
        """The account, whatever its state; None for none."""
        record = await self._records.read("account", id) if id else None
        return None if record is None else _person(id, record)

    async def find(self, email: str) -> Person | None:
        """The account that an e-mail address logs in to."""
        for hash in self._vault.look_up("email", normal(email)):
            record = await self._records.read("email", hash)
            if record is not None:
                person = await self.even_unconfirmed(record.value["account"])
                if person is not None and normal(person.account.contact.email) == normal(email):
                    return person
        return None

    async def make(self, person: Person, ttl_s: float | None = None) -> None:
        """Store a new account, for a while or for ever."""
        await self._records.write("account", person.account.id, _value(person), expected=0, ttl_s=ttl_s)

    async def change(self, id: str, decide: Callable[[Person], Person], expected: int | None = None) -> Person:
        """Replace an active account by what `decide` makes of it. Conflict when it isn't at version `expected` any more;
        without one, other changes are waited out. NotFound.
        """
        for _ in range(_ATTEMPTS):
            person = await self.get(id)
            if expected is not None and person.account.version != expected:
                raise Conflict("this was changed since you opened it; nothing was changed: look at it again, then repeat")
            try:
                return await self._replace(person, decide(person))
            except Conflict:
                continue
        raise _outrun("this account")

    async def activate(self, person: Person) -> Person:
        """Make an unconfirmed account active, for ever, with the secrets that it has by now. Conflict when it was changed
        meanwhile.
        """
        return await self._replace(person, replace(person.with_(state="active"), name=""))

    async def erase(self, id: str) -> None:
        """Delete the account's record."""
        await self._records.delete("account", id)

    async def claim(self, email: str, account_id: str) -> None:
        """Let an address log in to an account. AlreadyExists when it does to another."""
        other = await self.find(email)
        if other is not None and other.account.id != account_id:
            raise AlreadyExists("this e-mail address has an account already; log in with it, or ask for a new password")
        hash = self._vault.look_up("email", normal(email))[0]
        for _ in range(_ATTEMPTS):
            record = await self._records.read("email", hash)
            holder = record.value["account"] if record else ""
            if record and holder != account_id and await self._holds(holder, email):
                raise AlreadyExists("this e-mail address has just been taken; log in with it, or ask for a new password")
            try:
                await self._records.write("email", hash, {"account": account_id}, expected=record.version if record else 0)
                return
            except (Conflict, AlreadyExists):
                continue
        raise _outrun("this e-mail address")

    async def release(self, email: str) -> None:
        """Let an address go."""
        for hash in self._vault.look_up("email", normal(email)):
            await self._records.delete("email", hash)

    async def join(self, account: Account, ttl_s: float | None = None) -> None:
        """Make an account one of its party's, for a while or for ever. AlreadyExists when the party has as many as it may, not
        counting unconfirmed ones of the same e-mail address: of those, one will be confirmed.
        """
        role, subject = account.role, account.subject
        for _ in range(_ATTEMPTS):
            record = await self._records.read("party", f"{role}:{subject}")
            if record and _ended(record):
                raise AlreadyExists(f"the {role} {subject!r} was removed; its clicks and orders are nobody else's")
            there = [person.account for person in await self._living(record.value["accounts"] if record else [])]
            if sum(not _same(other, account) for other in there) >= MOST[role]:
                raise AlreadyExists(f"{role} {subject!r} has as many accounts as it may have")
            try:
                value = {"accounts": list(dict.fromkeys([*(other.id for other in there), account.id]))}
                expected = record.version if record else 0
                await self._records.write("party", f"{role}:{subject}", value, expected=expected, ttl_s=ttl_s)
                return
            except (Conflict, AlreadyExists):
                continue
        raise _outrun(f"the accounts of {role} {subject!r}")

    async def leave(self, role: Role, subject: str, account_id: str) -> None:
        """Take an account out of a party's."""
        for _ in range(_ATTEMPTS):
            record = await self._records.read("party", f"{role}:{subject}")
            if record is None:
                return
            rest = [id for id in record.value["accounts"] if id != account_id]
            ttl_s = None if rest or _ended(record) else _SOON_S  # not deleted: another account may be joining
            value = record.value | {"accounts": rest}
            try:
                await self._records.write("party", f"{role}:{subject}", value, expected=record.version, ttl_s=ttl_s)
                return
            except Conflict:
                continue
        raise _outrun(f"the accounts of {role} {subject!r}")

    async def end_party(self, role: Role, subject: str) -> None:
        """Let no account join a party any more, ever."""
        for _ in range(_ATTEMPTS):
            record = await self._records.read("party", f"{role}:{subject}")
            value = {"accounts": record.value["accounts"] if record else [], "ended": True}
            try:
                await self._records.write("party", f"{role}:{subject}", value, expected=record.version if record else 0)
                return
            except (Conflict, AlreadyExists):
                continue
        raise _outrun(f"the accounts of {role} {subject!r}")

    async def ended(self, role: Role, subject: str) -> bool:
        """Whether no account may join it any more."""
        record = await self._records.read("party", f"{role}:{subject}")
        return record is not None and _ended(record)

    async def party(self, role: Role, subject: str) -> list[Person]:
        """The accounts of a party, unconfirmed ones too."""
        record = await self._records.read("party", f"{role}:{subject}")
        return await self._living(record.value["accounts"] if record else [])

    async def of(self, role: Role, subject: str) -> list[Person]:
        """The active accounts of a party."""
        return [person for person in await self.party(role, subject) if person.account.state == "active"]

    async def all(self) -> list[Person]:
        """Every account, unconfirmed ones too, oldest first."""
        found = [_person(id, record) async for id, record in self._records.each("account")]
        return sorted(found, key=lambda person: person.account.created_ms)

    async def look_up_anew(self) -> None:
        """Find every address under the hash of the key that seals now."""
        for person in await self.all():
            current, *earlier = self._vault.look_up("email", normal(person.account.contact.email))
            if person.account.state != "active":
                continue
            if await self._records.read("email", current) is None:
                await self.claim(person.account.contact.email, person.account.id)
            for hash in earlier:  # after the new one: at no moment is the address free
                await self._records.delete("email", hash)

    async def _replace(self, before: Person, after: Person) -> Person:
        account = before.account
        version = await self._records.write("account", account.id, _value(after), expected=account.version)
        return after.with_(version=version)

    async def _holds(self, account_id: str, email: str) -> bool:
        person = await self.even_unconfirmed(account_id)
        return person is not None and normal(person.account.contact.email) == normal(email)

    async def _living(self, ids: list[str]) -> list[Person]:
        return [_person(id, record) async for id, record in self._records.each("account", ids)]


def _outrun(what: str) -> Unavailable:
    return Unavailable(f"others are changing {what} at this moment, faster than you; please do it again in a minute")


def _same(other: Account, account: Account) -> bool:
    """Whether it is this account, or one that awaits the same mailbox's confirmation."""
    mailbox = normal(other.contact.email) == normal(account.contact.email)
    return other.id == account.id or (other.state == "unconfirmed" and mailbox)


def _ended(record: Record) -> bool:
    return bool(record.value.get("ended"))


def _told(secrets: Mapping[str, Any]) -> dict[str, Any]:
    """What an account tells of its secrets."""
    return {"totp": bool(secrets.get("totp")), "recovery": len(secrets.get("recovery", ()))}


def new_id() -> str:
    """An account's id: it says nothing, and nobody guesses it."""
    return secrets.token_hex(8)


def _value(person: Person) -> dict[str, Any]:
    account = person.account
    plain = {"role": account.role, "subject": account.subject, "state": account.state, "created_ms": account.created_ms}
    plain |= {"other_programmes": account.other_programmes, "accepted": account.accepted}
    plain |= {"uses": {str(version): answer for version, answer in account.uses.items()}}
    return plain | {"contact": asdict(account.contact), "secrets": dict(person.secrets), "name": person.name}


def _person(id: str, record: Record) -> Person:
    value = record.value
    account = Account(
        id=id,
        role=Role(value["role"]),
        subject=value["subject"],
        state=value["state"],
        contact=Contact(**value["contact"]),
        other_programmes=value["other_programmes"],
        accepted=value["accepted"],
        created_ms=value["created_ms"],
        version=record.version,
        uses={int(version): answer for version, answer in value["uses"].items()},
        **_told(value["secrets"]),
    )
    return Person(account, value["secrets"], value["name"])
