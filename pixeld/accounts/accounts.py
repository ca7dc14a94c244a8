"""Accounts: how they begin, log in, change and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixeld.accounts.account import Account, Role


class Accounts:
    """Everything that somebody can do with an account. Every method raises QueueAway without Redis.

    A form is a mapping of field names to texts; InvalidForm tells of every field that is wrong. `address` is the
    peer's network address: attempts are counted by it, and it is kept as a keyed hash only.
    """

    async def register(self, form: Mapping[str, str], address: str) -> None:
        """A partner registers itself: partner_id, name (what clients see), contact_name, email, postal (address), site,
        promotion, password, terms ("yes") and policy (number of the version shown). A mail with a link of 24 hours follows.

        What is said is the same for an e-mail address that has an account; that account gets a mail which says so. Until it is
        confirmed, partner_id is reserved, and nothing is in the registry. InvalidForm, TooMany.
        """
        raise NotImplementedError

    async def confirm(self, token: str) -> Account:
        """Follow the link of a confirmation mail: of a registration, or of a new e-mail address. NotFound for a link that is
        used up, too old or unknown; AlreadyExists when the address, or the partner's id, was taken meanwhile.

        Call it for a POST only: mail scanners follow links.
        """
        raise NotImplementedError

    async def invite(self, role: Role, subject: str, email: str, who: str) -> str:
        """Mail somebody a link of 7 days to make an account; its path, "/portal/welcome/<token>". InvalidForm (role,
        subject or email), AlreadyExists (the address, or the partner, has an account).
        """
        raise NotImplementedError

    async def first_link(self) -> str | None:
        """The path of a link of 24 hours to make the first operator's account, in place of every earlier one; None while there
        is an operator.
        """
        raise NotImplementedError

    async def invited(self, token: str) -> tuple[Role, str, str] | None:
        """(role, subject, e-mail address) of an invitation, which isn't used up; None for none. A first operator's address
        is empty.
        """
        raise NotImplementedError

    async def accept(self, token: str, form: Mapping[str, str]) -> Account:
        """Follow an invitation: contact_name, email (the invited one, unless it is a first operator's), password, terms
        ("yes"). NotFound, InvalidForm, AlreadyExists.
        """
        raise NotImplementedError

    async def log_in(self, email: str, password: str, code: str, address: str) -> tuple[str, Account]:
        """(value of the session cookie, account). `code` is empty, or of the authenticator.

        CodeNeeded when only that is missing; else Unauthorized, in the same words for every reason; TooMany. The session of an
        earlier cookie is for the caller to close.
        """
        raise NotImplementedError

    async def ask_reset(self, email: str, address: str) -> None:
        """Mail a link of one hour to set a new password, if there is such an account; nothing tells whether. TooMany."""
        raise NotImplementedError

    async def reset(self, token: str, password: str) -> None:
        """Set a new password and end every session of the account. NotFound, InvalidForm (password)."""
        raise NotImplementedError

    async def account(self, id: str) -> Account:
        """The account as it is now. NotFound."""
        raise NotImplementedError

    async def of_subject(self, role: Role, subject: str) -> list[Account]:
        """The active accounts of a partner or client, or of the operators (subject "")."""
        raise NotImplementedError

    async def all(self) -> list[Account]:
        """Every active account, oldest first."""
        raise NotImplementedError

    async def correct(self, account: Account, changes: Mapping[str, str], expected: int) -> Account:
        """Change contact_name, email, postal, site, promotion, and a partner's name; the others stay. Conflict when it isn't
        at version `expected` any more; InvalidForm. A new e-mail address counts once the link mailed to it is followed.
        """
        raise NotImplementedError

    async def change_password(self, account: Account, old: str, new: str) -> None:
        """Set a new password and end every session of the account, so that the caller opens a new one. InvalidForm (old, new),
        TooMany.
        """
        raise NotImplementedError

    async def set_other_programmes(self, account: Account, allowed: bool) -> Account:
        """Whether clients may write to it about programmes that it isn't a member of."""
        raise NotImplementedError

    async def begin_totp(self, account: Account) -> tuple[str, str]:
        """(secret, otpauth URI) for an authenticator; it counts once `confirm_totp` has seen a code."""
        raise NotImplementedError

    async def confirm_totp(self, account: Account, code: str) -> Account:
        """Want codes from now on. InvalidForm (code), TooMany."""
        raise NotImplementedError

    async def end_totp(self, account: Account, password: str) -> Account:
        """Want no codes any more. InvalidForm (password), TooMany."""
        raise NotImplementedError

    async def export(self, account: Account) -> dict[str, Any]:
        """Everything that is held about the account and its partner, as JSON values."""
        raise NotImplementedError

    async def remove(self, account: Account, password: str) -> None:
        """Erase the account and every personal datum of it, everywhere, at once. A partner's memberships end and its name
        becomes its id, under which clicks and orders stay. InvalidForm (password), TooMany.
        """
        raise NotImplementedError
