"""What people do with their own data: see it, put it right, take it along, have it erased."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from pixeld.accounts.account import Account, Role
from pixeld.accounts.audit import noted
from pixeld.accounts.forms import SentForm, normal
from pixeld.accounts.office import Chapter
from pixeld.accounts.outbox import Mail
from pixeld.accounts.people import Person
from pixeld.domain.registry import Status
from pixeld.domain.reports import Scope
from pixeld.errors import NotFound

_CHANGES = {"contact_name": "contact_name", "postal": "address", "site": "site", "promotion": "promotion"}
_PARTNERS = ("name", "site", "promotion")  # fields that only a partner has
_LINK = re.compile(r"(/portal/(?:confirm|reset|welcome|second-factor)/)\S+")
_AUDITED = 10_000  # of the newest changes, those that an account made itself are part of its data


class OwnData(Chapter):
    """The fourth chapter of `Accounts`."""

    async def correct(
        self, account: Account, changes: Mapping[str, str], expected: int, password: str = ""
    ) -> Account:
        """Change contact_name, email, postal, site, promotion, and a partner's name; the others stay. Conflict when it isn't
        at version `expected` any more; InvalidForm. A new e-mail address takes the password, as a new password can be had by
        it, and counts once the link mailed to it is followed.
        """
        office, read = self._office, SentForm(changes)
        allowed = {"email", "name", *_CHANGES} - (set() if account.role is Role.PARTNER else set(_PARTNERS))
        read.only(allowed)
        texts = {name: read.text(name) for name in changes if name in allowed}
        read.done()
        contact = {_CHANGES[name]: text for name, text in texts.items() if name in _CHANGES}
        email = texts.get("email", account.contact.email)
        moves = normal(email) != normal(account.contact.email)
        if moves:
            wrong = "A new e-mail address takes your password; this is not it."
            await office.check_password(account.id, password, wrong=wrong)
            await office.limits.attempt("new e-mail address", account.id)
        elif "email" in texts:
            contact["email"] = email  # the same address, spelt with other capitals

        def corrected(person: Person) -> Person:
            return person.with_(contact=replace(person.account.contact, **contact))

        async with office.noted(account, "contact", None, sorted(texts)):
            after = await office.people.change(account.id, corrected, expected)
            if "name" in texts:
                await office.registry.change_partner(account.subject, {"name": texts["name"]}, account.who)
            if moves:
                await self._ask_new_email(account, email)
        return after.account

    async def set_other_programmes(self, account: Account, allowed: bool) -> Account:
        """Whether clients may write to it about programmes that it isn't a member of."""
        async with self._office.noted(account, "other_programmes", account.other_programmes, allowed):
            after = await self._office.people.change(account.id, lambda person: person.with_(other_programmes=allowed))
        return after.account

    async def export(self, account: Account) -> dict[str, Any]:
        """Everything that is held about the account and its partner, as JSON values."""
        office, id = self._office, account.id
        person = await office.people.get(id)
        now, snapshot = person.account, office.snapshot
        held: dict[str, Any] = {
            "account": {"id": id, "role": now.role, "subject": now.subject, "created_ms": now.created_ms},
            "contact": asdict(now.contact),
            "preferences": {"other_programmes": now.other_programmes, "totp": now.totp, "recovery_codes": now.recovery},
            "policy": {"accepted": now.accepted, "answers": {str(k): v for k, v in now.uses.items()}},
            "sessions": await office.sessions.times(id),
            "mails": [_without_links(mail) for mail in await office.outbox.about(id, {normal(now.contact.email)})],
            "changes": [change for change in await office.registry.audit(_AUDITED) if change["who"] == now.who],
        }
        if now.role is not Role.OPERATOR:
            held["keys"] = [key._asdict() for key in await office.keys.list(now.scope)]
        if now.role is Role.PARTNER and now.subject in snapshot.partners:
            held["partner"] = snapshot.partners[now.subject].to_json()
            held["memberships"] = {client: str(s) for (client, p), s in snapshot.members.items() if p == now.subject}
        return held

    async def remove(self, account: Account, password: str) -> None:
        """Erase the account and every personal datum of it, everywhere, at once, and revoke the keys that it made. A partner's
        memberships end and its name becomes its id, under which clicks and orders stay. InvalidForm (password), TooMany.

        The account's record goes last but for its sessions: a removal that fails in between can be repeated by logging in.
        """
        await self._erase(await self._office.check_password(account.id, password), account.who)

    async def remove_colleague(self, account: Account, colleague_id: str, password: str) -> None:
        """As `remove` does with another account of the same client, whoever made which. `password` is that of `account`.
        NotFound, InvalidForm (password), TooMany.
        """
        colleague = await self.of_client(account.subject if account.role is Role.CLIENT else "", colleague_id)
        await self._office.check_password(account.id, password)
        await self._erase(await self._office.people.get(colleague.id), account.who)

    async def remove_of_client(self, client: str, account_id: str, who: str) -> None:
        """As `remove` does, for an operator. NotFound when it isn't the client's account."""
        await self._erase(await self._office.people.get((await self.of_client(client, account_id)).id), who)

    async def of_client(self, client: str, account_id: str) -> Account:
        """One of a client's accounts. NotFound."""
        for person in await self._office.people.of(Role.CLIENT, client):
            if person.account.id == account_id:
                return person.account
        raise NotFound("there is no such account of this client")

    async def remove_partner(self, partner: str, who: str) -> None:
        """Remove a partner for an operator: as `remove` does, whether or not it has an account. NotFound."""
        await self._office.registry.refresh()
        if partner not in self._office.snapshot.partners:
            raise NotFound(f"there is no partner {partner!r}")
        for person in await self._office.people.of(Role.PARTNER, partner):
            await self._erase(person, who)
        await self._end_partner(partner, who)

    async def _erase(self, person: Person, who: str) -> None:
        account = person.account
        async with self._office.noted(account, "", {"role": account.role, "subject": account.subject}, None, who):
            await self._erase_all(person, who)

    async def _erase_all(self, person: Person, who: str) -> None:
        office, account, id = self._office, person.account, person.account.id
        emails = {normal(person.account.contact.email)}
        if account.role is Role.PARTNER:
            await self._end_partner(account.subject, who)
        await office.outbox.erase(id, emails)
        await office.links.end(id)
        await office.links.end_about(emails)
        for other in await office.people.all():
            if other.account.state != "active" and normal(other.account.contact.email) in emails:
                await office.links.end(other.account.id)
                await office.outbox.erase(other.account.id, emails)
                await office.people.leave(other.account.role, other.account.subject, other.account.id)
                await office.people.erase(other.account.id)
        for key in await office.keys.made_by(account):
            await office.keys.revoke(account.scope, key.id, who)
        await office.people.leave(account.role, account.subject, id)
        await office.people.release(person.account.contact.email)
        await office.people.erase(id)
        await office.sessions.close_all(id)
        await office.records.rewrite()

    async def _end_partner(self, partner: str, who: str) -> None:
        office = self._office
        async with noted(office.registry, f"partners/{partner}/removal", None, None, who):
            # First, as it may be refused: whoever is invited still would get its clicks and orders.
            await office.people.end_party(Role.PARTNER, partner)
            await office.outbox.erase_of(partner)
            for key in await office.keys.list(Scope.partner(partner)):
                await office.keys.revoke(Scope.partner(partner), key.id, who)
            await office.registry.refresh()
            for (client, member), status in office.snapshot.members.items():
                if member == partner and status is not Status.ENDED:
                    await office.registry.set_member(client, partner, {"status": "ended"}, who)
            if partner in office.snapshot.partners:
                await office.registry.change_partner(partner, {"name": partner}, who)

    async def _ask_new_email(self, account: Account, email: str) -> None:
        office = self._office
        known = await office.people.find(email)
        await office.links.end(account.id, "email")
        token = await office.links.make("email", account.id, {"email": email})
        if known is not None and known.account.state == "active":  # the link, told nobody, was made for the time it takes
            await office.outbox.send(email, "known", known.account.id)
        else:
            await office.outbox.send(email, "email", account.id, token=token)


def _without_links(mail: Mail) -> dict[str, Any]:
    """A mail, but for what only its mailbox is to know: whoever is at somebody's browser would set a new password by it."""
    return mail._asdict() | {"body": _LINK.sub(r"\1…", mail.body)}
