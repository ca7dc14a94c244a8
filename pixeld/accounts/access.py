"""How an account is entered: log-in, a forgotten password, a new one."""

from __future__ import annotations

import asyncio

from pixeld.accounts import passwords
from pixeld.accounts.account import Account
from pixeld.accounts.forms import SentForm, normal
from pixeld.accounts.limits import network
from pixeld.accounts.office import Chapter
from pixeld.accounts.people import Person
from pixeld.accounts.secondfactor import use_code
from pixeld.errors import InvalidForm, NotFound, Unauthorized

_ASK_S = 0.25  # asking for a new password takes this long, whether there is such an account or not
_REFUSED = "The e-mail address, the password or the code is wrong, or the address has not been confirmed yet."


class Access(Chapter):
    """The second chapter of `Accounts`."""

    async def log_in(self, email: str, password: str, code: str, address: str) -> tuple[str, Account]:
        """(value of the session cookie, account). `code` is empty, of the authenticator, or a recovery code.

        CodeNeeded when only that is missing; else Unauthorized, in the same words for every reason; TooMany. The session of an
        earlier cookie is for the caller to close.
        """
        office, who, peer = self._office, normal(email), network(address)
        await office.limits.attempt("log-in by address", peer)
        await office.limits.attempt("log-in by account and address", who, peer)
        await office.limits.attempt("log-in by account", who)
        person = await office.people.find(email)
        if person is not None and person.account.state != "active":
            person = None
        stored = person.secrets["password"] if person else None
        if not await office.passwords.matches(password[: passwords.MOST + 1], stored) or person is None:
            raise Unauthorized(_REFUSED)
        if person.account.totp:
            person = await use_code(office, person, code, _REFUSED)
        await office.limits.forget("log-in by account and address", who, peer)
        await office.limits.forget("log-in by account", who)
        id, right = person.account.id, {stored}
        if office.passwords.outdated(person.secrets["password"]):
            anew = await office.passwords.hash(password)
            right.add(anew)
            await office.people.change(id, lambda now: _rehashed(now, stored, anew))
        cookie, now = await office.sessions.open(id), await office.people.even_unconfirmed(id)
        if now is None or now.secrets["password"] not in right:  # a new password, which ended the sessions of before, is set
            await office.sessions.close(cookie)
            raise Unauthorized(_REFUSED)
        return cookie, now.account

    async def ask_reset(self, email: str, address: str) -> None:
        """Mail a link of one hour to set a new password, if there is such an account; nothing tells whether. TooMany;
        InvalidForm (email) for what is no address.
        """
        form = SentForm({"email": email})
        form.text("email")
        form.done()
        _, failure = await asyncio.gather(asyncio.sleep(_ASK_S), self._ask_reset(email, address), return_exceptions=True)
        if failure is not None:
            raise failure

    async def resets(self, token: str) -> bool:
        """Whether this is such a link that isn't used up."""
        return await self._office.links.peek("reset", token) is not None

    async def reset(self, token: str, password: str) -> None:
        """Set a new password and end every session of the account, and its links. NotFound, InvalidForm (password)."""
        office = self._office
        if not await self.resets(token):
            raise NotFound("this link was used already, or it is too old; ask for a new one")
        account = (await office.people.get(token.partition(".")[0])).account
        if problem := passwords.problem(password, account.contact.email, account.contact.contact_name, account.subject):
            raise InvalidForm({"password": problem})
        anew = await office.passwords.hash(password)
        async with office.links.using("reset", token):
            await self._set_password(account, anew)
        await office.limits.forget("password", account.id)
        for name in ("log-in by account", "reset by account"):
            await office.limits.forget(name, normal(account.contact.email))

    async def change_password(self, account: Account, old: str, new: str) -> None:
        """Set a new password and end every session of the account, and its links, so that the caller opens a new session.
        InvalidForm (old, new), TooMany.
        """
        await self._office.check_password(account.id, old, "old")
        if problem := passwords.problem(new, account.contact.email, account.contact.contact_name, account.subject):
            raise InvalidForm({"new": problem})
        await self._set_password(account, await self._office.passwords.hash(new))

    async def _ask_reset(self, email: str, address: str) -> None:
        office, who, peer = self._office, normal(email), network(address)
        await office.limits.attempt("reset by address", peer)
        await office.limits.attempt("reset by account and address", who, peer)
        await office.limits.attempt("reset by account", who)
        person = await office.people.find(email)
        if person is not None and person.account.state == "active":
            token = await office.links.make("reset", person.account.id, {})
            await office.outbox.send(person.account.contact.email, "reset", person.account.id, token=token)

    async def _set_password(self, account: Account, stored: str) -> None:
        office = self._office
        async with office.noted(account, "password"):
            await office.people.change(account.id, lambda person: person.with_secrets(password=stored))
            await office.links.end(account.id)  # who asked for them may be the one whom the new password is to keep out
            await office.sessions.close_all(account.id)
            await office.outbox.send(account.contact.email, "password_changed", account.id)


def _rehashed(person: Person, before: object, after: str) -> Person:
    """With a hash of another cost of the same password, if it has that password still."""
    return person.with_secrets(password=after) if person.secrets["password"] == before else person
