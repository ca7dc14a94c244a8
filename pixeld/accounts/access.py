"""How an account is entered: log-in, a forgotten password, codes of an authenticator."""

from __future__ import annotations

import asyncio
import hmac

import pyotp

from pixeld.accounts import passwords
from pixeld.accounts.account import Account
from pixeld.accounts.forms import normal
from pixeld.accounts.limits import network
from pixeld.accounts.office import Office
from pixeld.accounts.people import Person
from pixeld.errors import CodeNeeded, Forbidden, InvalidForm, NotFound, Unauthorized

_ISSUER = "pixeld"
_STEP_S = 30  # RFC 6238
_STEPS = (0, -1, 1)  # a phone's clock may be a little off
_ASK_S = 0.25  # asking for a new password takes this long, whether there is such an account or not
_REFUSED = "The e-mail address, the password or the code is wrong, or the address has not been confirmed yet."
_WRONG = "This is not your password."
_WRONG_CODE = "This is not the code that your authenticator shows now; wait for its next one."


class Access:
    """The second chapter of `Accounts`."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def log_in(self, email: str, password: str, code: str, address: str) -> tuple[str, Account]:
        """(value of the session cookie, account). `code` is empty, or of the authenticator.

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
            person = await self._with_code(person, code)
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
        """Mail a link of one hour to set a new password, if there is such an account; nothing tells whether. TooMany."""
        _, failure = await asyncio.gather(asyncio.sleep(_ASK_S), self._ask_reset(email, address), return_exceptions=True)
        if failure is not None:
            raise failure

    async def reset(self, token: str, password: str) -> None:
        """Set a new password and end every session of the account, and its links. NotFound, InvalidForm (password)."""
        office = self._office
        if await office.links.peek("reset", token) is None:
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
        person = await self._office.people.get(account.id)
        if not await self._office.is_password(person, old):
            raise InvalidForm({"old": _WRONG})
        if problem := passwords.problem(new, account.contact.email, account.contact.contact_name, account.subject):
            raise InvalidForm({"new": problem})
        await self._set_password(account, await self._office.passwords.hash(new))

    async def begin_totp(self, account: Account, password: str) -> tuple[str, str]:
        """(secret, otpauth URI) for an authenticator; it counts once `confirm_totp` has seen a code. It takes the password, as
        nobody gets in without that authenticator any more. InvalidForm (password), TooMany; Forbidden when another one counts.
        """
        if not await self._office.is_password(await self._office.people.get(account.id), password):
            raise InvalidForm({"password": _WRONG})
        secret = pyotp.random_base32()

        def begun(person: Person) -> Person:
            if person.account.totp:
                raise Forbidden("Two-factor log-in is on already. Turn it off first, then set it up anew.")
            return person.with_secrets(totp_new=secret)

        await self._office.people.change(account.id, begun)
        return secret, pyotp.TOTP(secret).provisioning_uri(name=account.contact.email, issuer_name=_ISSUER)

    async def confirm_totp(self, account: Account, code: str) -> Account:
        """Want codes from now on. InvalidForm (code), TooMany."""
        office = self._office
        await office.limits.attempt("code", account.id)
        person = await office.people.get(account.id)
        secret = person.secrets.get("totp_new", "")
        step = self._step(secret, code, after=0) if secret else None
        if step is None:
            raise InvalidForm({"code": _WRONG_CODE})
        await office.limits.forget("code", account.id)
        after = await office.people.change(
            account.id, lambda person: person.with_(totp=True).with_secrets(totp=secret, totp_new="", totp_step=step)
        )
        await office.note(account, "totp", False, True)
        return after.account

    async def end_totp(self, account: Account, password: str) -> Account:
        """Want no codes any more. InvalidForm (password), TooMany."""
        person = await self._office.people.get(account.id)
        if not await self._office.is_password(person, password):
            raise InvalidForm({"password": _WRONG})
        after = await self._office.people.change(
            account.id, lambda person: person.with_(totp=False).with_secrets(totp="", totp_new="", totp_step=0)
        )
        await self._office.note(account, "totp", True, False)
        return after.account

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
        await office.people.change(account.id, lambda person: person.with_secrets(password=stored))
        await office.links.end(account.id)  # who asked for them may be the one whom the new password is to keep out
        await office.sessions.close_all(account.id)
        await office.outbox.send(account.contact.email, "password_changed", account.id)
        await office.note(account, "password")

    async def _with_code(self, person: Person, code: str) -> Person:
        """Use a code up: the person as it is then. CodeNeeded without one, Unauthorized for a wrong or a used one."""
        if not code.strip():
            raise CodeNeeded("Type the code that your authenticator shows as well.")
        office, id = self._office, person.account.id
        await office.limits.attempt("code", id)

        def used(person: Person) -> Person:
            step = self._step(person.secrets["totp"], code, after=person.secrets.get("totp_step", 0))
            if step is None:
                raise Unauthorized(_REFUSED)
            return person.with_secrets(totp_step=step)

        after = await office.people.change(id, used)
        await office.limits.forget("code", id)
        return after

    def _step(self, secret: str, code: str, after: int) -> int | None:
        """Which half-minute a code belongs to, of those around now and behind the last that was used; None for none."""
        now, given = self._office.clock() // 1000 // _STEP_S, "".join(code.split()).encode()
        steps = [now + step for step in _STEPS if now + step > after]
        totp = pyotp.TOTP(secret)
        return next((step for step in steps if hmac.compare_digest(totp.at(step * _STEP_S).encode(), given)), None)


def _rehashed(person: Person, before: object, after: str) -> Person:
    """With a hash of another cost of the same password, if it has that password still."""
    return person.with_secrets(password=after) if person.secrets["password"] == before else person
