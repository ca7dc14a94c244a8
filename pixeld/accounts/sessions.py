"""Sessions: who is logged in, known by a cookie of which only a hash is stored."""

from __future__ import annotations

from typing import NamedTuple

from pixeld.accounts.account import Account

IDLE_S = 2 * 3600
LONGEST_S = 12 * 3600


class Session(NamedTuple):
    """A log-in that holds. Every form of it carries `csrf`."""

    account: Account
    csrf: str
    id: str


class Sessions:
    """Sessions end 2 hours after their last use, 12 hours after their log-in, and with their account."""

    async def open(self, account_id: str) -> str:
        """A new session; the value of its cookie, told only here."""
        raise NotImplementedError

    async def find(self, cookie: str) -> Session | None:
        """The session of a cookie, with its account as it is now; None for anything else."""
        raise NotImplementedError

    async def close(self, cookie: str) -> None:
        """End a session, if it is one."""
        raise NotImplementedError

    async def close_all(self, account_id: str) -> None:
        """End every session of an account."""
        raise NotImplementedError
