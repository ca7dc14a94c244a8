"""The second factor: codes of an authenticator, recovery codes for who has lost it, and a link for who has lost both."""

from __future__ import annotations

import hmac
import secrets

import pyotp

from pixeld.accounts.account import Account
from pixeld.accounts.office import Chapter, Office
from pixeld.accounts.people import Person
from pixeld.accounts.vault import digest
from pixeld.errors import CodeNeeded, Conflict, Forbidden, InvalidForm, NotFound, Unauthorized

RECOVERY_CODES = 10
_ISSUER = "pixeld"
_STEP_S = 30  # RFC 6238
_STEPS = (0, -1, 1)  # a phone's clock may be a little off
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"  # 16 of these are 80 bits, past guessing: SHA-256 suffices
_WRONG_CODE = "This is not the code that your authenticator shows now; wait for its next one."
_NONE = {"totp": "", "totp_new": "", "totp_step": 0, "recovery": []}


class SecondFactor(Chapter):
    """The third chapter of `Accounts`."""

    async def begin_totp(self, account: Account, password: str) -> tuple[str, str]:
        """(secret, otpauth URI) for an authenticator; it counts once `confirm_totp` has seen a code. It takes the password, as
        nobody gets in without that authenticator any more. InvalidForm (password), TooMany; Forbidden when another one counts.
        """
        await self._office.check_password(account.id, password)
        secret = pyotp.random_base32()

        def begun(person: Person) -> Person:
            if person.account.totp:
                raise Forbidden("Two-factor log-in is on already. Turn it off first, then set it up anew.")
            return person.with_secrets(totp_new=secret)

        await self._office.people.change(account.id, begun)
        return secret, pyotp.TOTP(secret).provisioning_uri(name=account.contact.email, issuer_name=_ISSUER)

    async def confirm_totp(self, account: Account, code: str) -> list[str]:
        """Want codes from now on; the recovery codes, told only here. InvalidForm (code), TooMany."""
        office = self._office
        await office.limits.attempt("code", account.id)
        person = await office.people.get(account.id)
        secret = person.secrets.get("totp_new", "")
        step = _step(office, secret, code, after=0) if secret else None
        if step is None:
            raise InvalidForm({"code": _WRONG_CODE})
        await office.limits.forget("code", account.id)
        texts, hashes = _recovery_codes()
        changes = {"totp": secret, "totp_new": "", "totp_step": step, "recovery": hashes}
        async with office.noted(account, "totp", False, True):
            await office.people.change(account.id, lambda person: person.with_secrets(**changes))
        return texts

    async def renew_recovery_codes(self, account: Account, password: str) -> list[str]:
        """New recovery codes in place of all earlier ones, told only here. InvalidForm (password), TooMany; Conflict without
        two-factor log-in.
        """
        person = await self._office.check_password(account.id, password)
        if not person.account.totp:
            raise Conflict("Two-factor log-in is off, and needs no recovery codes.")
        texts, hashes = _recovery_codes()
        async with self._office.noted(account, "recovery", person.account.recovery, RECOVERY_CODES):
            await self._office.people.change(account.id, lambda person: person.with_secrets(recovery=hashes))
        return texts

    async def end_totp(self, account: Account, password: str) -> Account:
        """Want no codes any more. InvalidForm (password), TooMany."""
        await self._office.check_password(account.id, password)
        return await self._end(account)

    async def offer_end_of_totp(self, account_id: str, who: str) -> str:
        """Mail an account, whose owner has lost the authenticator and the recovery codes, a link of 24 hours by which it wants
        no codes any more; the id of the mail. NotFound; Conflict without two-factor log-in.
        """
        office, account = self._office, (await self._office.people.get(account_id)).account
        if not account.totp:
            raise Conflict("this account has no two-factor log-in to turn off")
        async with office.noted(account, "totp/link", who=who):
            await office.links.end(account.id, "totp")
            token = await office.links.make("totp", account.id, {})
            return await office.outbox.send(account.contact.email, "totp_link", account.id, token=token)

    async def ends_totp(self, token: str) -> bool:
        """Whether this is such a link that isn't used up."""
        return await self._office.links.peek("totp", token) is not None

    async def end_totp_by_link(self, token: str, password: str) -> Account:
        """Follow such a link; the password must be the account's. NotFound, InvalidForm (password), TooMany."""
        office = self._office
        if not await self.ends_totp(token):
            raise NotFound("this link was used already, or it is too old; ask for a new one")
        wrong = "This is not the password of the account that got this link."
        person = await office.check_password(token.partition(".")[0], password, wrong=wrong, limit="confirmation")
        async with office.links.using("totp", token):
            return await self._end(person.account)

    async def _end(self, account: Account) -> Account:
        async with self._office.noted(account, "totp", account.totp, False):
            after = await self._office.people.change(account.id, lambda person: person.with_secrets(**_NONE))
        await self._office.outbox.send(account.contact.email, "totp_ended", account.id)
        return after.account


async def use_code(office: Office, person: Person, code: str, refused: str) -> Person:
    """Use a code of the authenticator, or a recovery code, up: the person as it is then. CodeNeeded without one, Unauthorized,
    with the words `refused`, for a wrong or a used one; TooMany.
    """
    if not code.strip():
        raise CodeNeeded("Type the code that your authenticator shows as well.")
    id = person.account.id
    await office.limits.attempt("code", id)
    recovery = digest("".join(code.split()).replace("-", "").lower())

    def recovered(person: Person) -> Person:
        if recovery not in person.secrets["recovery"]:
            raise Unauthorized(refused)
        return person.with_secrets(recovery=[hash for hash in person.secrets["recovery"] if hash != recovery])

    def used(person: Person) -> Person:
        step = _step(office, person.secrets["totp"], code, after=person.secrets.get("totp_step", 0))
        if step is None:
            raise Unauthorized(refused)
        return person.with_secrets(totp_step=step)

    if recovery in person.secrets.get("recovery", ()):
        left = person.account.recovery - 1
        async with office.noted(person.account, "recovery", left + 1, left):
            after = await office.people.change(id, recovered)
        await office.outbox.send(after.account.contact.email, "recovery_used", id, left=after.account.recovery)
    else:
        after = await office.people.change(id, used)
    await office.limits.forget("code", id)
    return after


def _step(office: Office, secret: str, code: str, after: int) -> int | None:
    """Which half-minute a code belongs to, of those around now and behind the last that was used; None for none."""
    now, given = office.clock() // 1000 // _STEP_S, "".join(code.split()).encode()
    steps = [now + step for step in _STEPS if now + step > after]
    totp = pyotp.TOTP(secret)
    return next((step for step in steps if hmac.compare_digest(totp.at(step * _STEP_S).encode(), given)), None)


def _recovery_codes() -> tuple[list[str], list[str]]:
    """(texts, hashes) of new recovery codes."""
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(16)) for _ in range(RECOVERY_CODES)]
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in codes], [digest(code) for code in codes]
