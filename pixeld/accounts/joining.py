"""How an account begins: a partner registers, others are invited, the first operator has a link."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import NamedTuple

from pixeld.accounts import passwords
from pixeld.accounts.account import Account, Contact, Role
from pixeld.accounts.audit import noted
from pixeld.accounts.forms import SentForm, normal
from pixeld.accounts.limits import network
from pixeld.accounts.links import LIFE_S, NOBODY
from pixeld.accounts.office import Chapter
from pixeld.accounts.people import MOST, Person, new_id
from pixeld.errors import AlreadyExists, InvalidForm, NotFound, Unavailable

_FIRST = "operators"  # the owner of the first operator's link
_HALF_MADE_S = 60.0  # how long an account lives whose making was interrupted
_TAKEN = "This id is taken; choose another one."


class Awaiting(NamedTuple):
    """What a confirmation link is about: an account, `name` a new partner's, and the e-mail address that would be its own."""

    account: Account
    name: str
    email: str


class Joining(Chapter):
    """The first chapter of `Accounts`."""

    async def register(self, form: Mapping[str, str], address: str) -> None:
        """A partner registers itself: partner_id, name (what clients see), contact_name, email, postal (address), site,
        promotion, terms ("yes") and policy (number of the version shown). A mail with a link of 24 hours follows; the password
        is set behind it, so that nobody's password but that of the mailbox's owner ever counts.

        What is said is the same for an e-mail address that has an account; that account gets a mail which says so. Until it is
        confirmed, partner_id is reserved for the address, and nothing is in the registry. Registering again ends no earlier
        registration, which may be somebody else's: the first whose link is followed counts. InvalidForm, TooMany.
        """
        office, read = self._office, SentForm(form)
        contact = _contact(read)
        subject, name = read.text("partner_id"), read.text("name")
        read.agreed()
        policy = await office.policies.current()
        if read.raw("policy") != str(policy.number):
            read.wrong("policy", "The privacy policy has changed meanwhile; please read it again.")
        if "partner_id" not in read.problems:
            read.wrong("partner_id", _TAKEN if await self._taken(subject, contact.email) else None)
        read.done()
        to, peer = normal(contact.email), network(address)
        await office.limits.attempt("registration by address", peer)
        await office.limits.attempt("registration by e-mail address and address", to, peer)
        await office.limits.attempt("registration by e-mail address", to)
        # From here on, as much is written for every address: neither time nor words tell whether it has an account.
        account = self._new(Role.PARTNER, subject, contact, policy.number)
        await office.people.make(Person(account, {}, name), LIFE_S["confirm"])
        try:
            await office.people.join(account, LIFE_S["confirm"])
        except AlreadyExists:
            await office.people.erase(account.id)
            raise InvalidForm({"partner_id": _TAKEN}) from None
        except Unavailable:
            await office.people.erase(account.id)
            raise
        token = await office.links.make("confirm", account.id, {})
        known = await office.people.find(contact.email)
        if known is not None and known.account.state == "active":
            await office.outbox.send(contact.email, "known", known.account.id)
        else:
            await office.outbox.send(contact.email, "confirm", account.id, token=token, partner=subject)

    async def awaiting(self, token: str) -> Awaiting | None:
        """What the link of a confirmation mail is about, if it isn't used up; None for none. An account that is active awaits
        a new e-mail address.
        """
        people, id = self._office.people, token.partition(".")[0]
        for purpose in ("confirm", "email"):
            about = await self._office.links.peek(purpose, token)
            person = None if about is None else await people.even_unconfirmed(id)
            if about is not None and person is not None:
                return Awaiting(person.account, person.name, about.get("email", person.account.contact.email))
        return None

    async def confirm(self, token: str, password: str) -> Account:
        """Follow the link of a confirmation mail. Of a registration, `password` is set; of a new e-mail address, it must be
        the account's: else the address's owner could be led to confirm a stranger's account, to which that stranger has the
        password. NotFound for a link that is used up, too old or unknown; InvalidForm (password), after which the link still
        works; AlreadyExists when the address, or the partner's id, was taken meanwhile; TooMany.

        Call it for a POST only: mail scanners follow links.
        """
        office, awaiting = self._office, await self.awaiting(token)
        if awaiting is None:
            raise NotFound("this link was used already, or it is too old; log in, or register again")
        if awaiting.account.state == "active":
            return await self._new_email(token, password)
        account, email = awaiting.account, awaiting.email
        if problem := passwords.problem(password, email, account.contact.contact_name, awaiting.name, account.subject):
            raise InvalidForm({"password": problem})
        stored = await office.passwords.hash(password)
        async with office.links.using("confirm", token):
            person = await office.people.even_unconfirmed(account.id)
            if person is None:
                raise NotFound("this registration is too old; please register again")
            async with self._beginning(account):
                before = await office.people.find(email)
                await office.people.claim(email, account.id)
                await self._register(person, again=before is not None and before.account.id == account.id)
                return await self._begin(person.with_secrets(password=stored))

    async def invite(self, role: Role, subject: str, email: str, who: str, *, discreet: bool = False) -> str:
        """Mail somebody a link of 7 days to make an account; its path, "/portal/welcome/<token>". InvalidForm (role,
        subject or email), AlreadyExists (the address, or the partner, has an account), TooMany.

        `discreet` is for whoever may not learn which addresses have accounts elsewhere: as much is said and written for
        those as for any other, and the account gets a mail which says that it is there.
        """
        office, read = self._office, SentForm({"email": email})
        to = read.text("email")
        parties = {Role.PARTNER: office.snapshot.partners, Role.CLIENT: office.snapshot.clients}
        if role is Role.OPERATOR:
            read.wrong("subject", "An operator belongs to no client or partner; leave this empty." if subject else None)
        elif subject not in parties[role]:
            read.wrong("subject", f"There is no {role} {subject!r}.")
        read.done()
        await office.limits.attempt("invitation", role, subject)
        known = await office.people.find(to)
        taken = known.account if known is not None and known.account.state == "active" else None
        if taken and not (discreet and (taken.role, taken.subject) != (role, subject)):
            raise AlreadyExists("this e-mail address has an account already")
        if await office.people.ended(role, subject):
            read.wrong("subject", f"The {role} {subject!r} was removed; its clicks and orders are nobody else's.")
            read.done()
        if len(await office.people.party(role, subject)) >= MOST[role]:
            raise AlreadyExists(f"{role} {subject!r} has as many accounts as it may have")
        async with noted(office.registry, "invitations", None, {"role": role, "subject": subject}, who):
            token = await office.links.make("invitation", NOBODY, {"role": role, "subject": subject, "email": to})
            if taken:
                await office.outbox.send(to, "known", taken.id)
            else:
                await office.outbox.send(to, "invitation", "", token=token, role=str(role), subject=subject)
        return _path(token)

    async def first_link(self) -> str | None:
        """The path of a link of 24 hours to make the first operator's account, in place of every earlier one; None while there
        is an operator.
        """
        if await self._office.people.of(Role.OPERATOR, ""):
            return None
        await self._office.links.end(_FIRST)
        return _path(await self._office.links.make("first", _FIRST, {"role": Role.OPERATOR, "subject": "", "email": ""}))

    async def invited(self, token: str) -> tuple[Role, str, str] | None:
        """(role, subject, e-mail address) of an invitation, which isn't used up; None for none. A first operator's address
        is empty.
        """
        about = await self._office.links.peek(_purpose(token), token)
        return None if about is None else (Role(about["role"]), about["subject"], about["email"])

    async def accept(self, token: str, form: Mapping[str, str]) -> Account:
        """Follow an invitation: contact_name, email (the invited one, unless it is a first operator's), password, terms
        ("yes"). NotFound, InvalidForm, AlreadyExists.
        """
        office, invited = self._office, await self.invited(token)
        if invited is None:
            raise NotFound("this invitation was used already, or it is too old; ask for a new one")
        role, subject, email = invited
        read = SentForm(form)
        contact = Contact(read.text("contact_name"), read.text("email"))
        if email and normal(contact.email) != normal(email):
            read.wrong("email", "The invitation was sent to another address; you can change it once you have an account.")
        password = read.raw("password")
        read.wrong("password", passwords.problem(password, contact.email, contact.contact_name, subject))
        read.agreed()
        read.done()
        policy = await office.policies.current()
        account = self._new(role, subject, contact, policy.number)
        person = Person(account, {"password": await office.passwords.hash(password)})
        async with office.links.using(_purpose(token), token):
            if not email and await office.people.of(Role.OPERATOR, ""):
                raise NotFound("there is an operator already, who can invite you")
            async with self._beginning(account):
                await office.people.make(person, _HALF_MADE_S)
                await office.people.claim(contact.email, account.id)
                made = await self._begin(replace(person, account=replace(account, version=1)))
        if role is Role.OPERATOR:
            await office.links.end(_FIRST)
        return made

    async def account(self, id: str) -> Account:
        """The account as it is now. NotFound."""
        return (await self._office.people.get(id)).account

    async def of_subject(self, role: Role, subject: str) -> list[Account]:
        """The active accounts of a partner or client, or of the operators (subject "")."""
        return [person.account for person in await self._office.people.of(role, subject)]

    async def all(self) -> list[Account]:
        """Every active account, oldest first."""
        return [person.account for person in await self._office.people.all() if person.account.state == "active"]

    async def _taken(self, partner: str, email: str) -> bool:
        """Whether a partner's id can't be had. Who registers again, because a mail got lost, has it already."""
        if partner in self._office.snapshot.partners:
            return True
        return any(
            person.account.state == "active" or normal(person.account.contact.email) != normal(email)
            for person in await self._office.people.party(Role.PARTNER, partner)
        )

    async def _register(self, person: Person, *, again: bool) -> None:
        """Make the partner. One of that id and name is from an earlier try to follow this link, when Redis went away, if this
        is done `again`; else it is an operator's, whatever its name.
        """
        account, registry = person.account, self._office.registry
        try:
            await registry.add_partner({"id": account.subject, "name": person.name}, account.who)
        except AlreadyExists:
            there = self._office.snapshot.partners.get(account.subject)
            own = again and there is not None and there.name == person.name
            if not own or await self._office.people.of(Role.PARTNER, account.subject):
                await self._office.people.release(account.contact.email)
                text = f"the id {account.subject!r} was taken meanwhile; please register with another one"
                raise AlreadyExists(text) from None

    async def _begin(self, person: Person) -> Account:
        """Make an account that has its address a party's, and active."""
        account, people = person.account, self._office.people
        try:
            await people.join(account)
        except AlreadyExists:
            await people.release(account.contact.email)
            raise
        return (await people.activate(person)).account

    def _beginning(self, account: Account) -> AbstractAsyncContextManager[None]:
        return self._office.noted(account, "", None, {"role": account.role, "subject": account.subject})

    async def _new_email(self, token: str, password: str) -> Account:
        office, wrong = self._office, "This is not the password of the account that asked for this address."
        await office.check_password(token.partition(".")[0], password, wrong=wrong, limit="confirmation")
        async with office.links.using("email", token) as about:
            before = await office.people.get(token.partition(".")[0])
            async with office.noted(before.account, "email"):
                await office.people.claim(about["email"], before.account.id)
                after = await office.people.change(before.account.id, lambda person: _with_email(person, about["email"]))
        for purpose in ("reset", "totp"):  # they went to the old address
            await office.links.end(before.account.id, purpose)
        old = before.account.contact.email
        if normal(old) != normal(about["email"]):
            await office.people.release(old)
        with suppress(NotFound):
            await office.outbox.send(old, "email_changed", before.account.id)
        return after.account

    def _new(self, role: Role, subject: str, contact: Contact, accepted: int) -> Account:
        return Account(
            id=new_id(),
            role=role,
            subject=subject,
            state="unconfirmed",
            contact=contact,
            other_programmes=True,
            totp=False,
            accepted=accepted,
            created_ms=self._office.clock(),
            version=0,
        )


def _contact(read: SentForm) -> Contact:
    names = {"contact_name": "contact_name", "email": "email", "address": "postal", "site": "site", "promotion": "promotion"}
    return Contact(**{name: read.text(field) for name, field in names.items()})


def _with_email(person: Person, email: str) -> Person:
    return person.with_(contact=replace(person.account.contact, email=email))


def _purpose(token: str) -> str:
    return "first" if token.startswith(f"{_FIRST}.") else "invitation"


def _path(token: str) -> str:
    return f"/portal/welcome/{token}"
