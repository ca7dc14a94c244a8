"""Passwords: argon2id, in threads of their own."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from pixeld.errors import Unavailable

LEAST, MOST = 12, 200  # characters
_LEAST_DIFFERENT = 5
_AT_ONCE = 2  # each takes 64 MiB
_WAITING = 50  # some 3 s of work; more would time out anyway, after it had cost us the same
_T = TypeVar("_T")


class Passwords:
    """Hashes (RFC 9106's second parameters: 64 MiB, 3 passes, 4 lanes) at most two passwords at a time, never on the loop.

    Unavailable while 50 are at it or wait. `hasher` is another cost, for tests.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "argon2")  # a semaphore would let go of a thread whose caller has left
        self._places = BoundedSemaphore(_WAITING)
        self._nobodys = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """What may be stored of a password."""
        return await self._run(lambda: self._hasher.hash(_normal(password)))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether this is the password. Without a stored one it isn't, which takes as long to find out."""
        right = await self._run(lambda: self._verify(password, stored or self._nobodys))
        return right and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether it was hashed with another cost, and should be again."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, _normal(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], _T]) -> _T:
        if not self._places.acquire(blocking=False):
            raise Unavailable("too many people log in at once; please try again in a moment")
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def problem(password: str, *known: str) -> str | None:
    """What is wrong with a new password, as a sentence; `known` are texts that somebody who guesses tries first."""
    if not LEAST <= len(password) <= MOST:
        return f"Choose a password of {LEAST} to {MOST} characters; a few words that only you would put together are good."
    if len(set(password)) < _LEAST_DIFFERENT:
        return "This repeats itself too much to be safe; use more different characters."
    if _normal(password).casefold() in {text.casefold() for text in known}:
        return "This is the first thing that somebody would guess; choose another one."
    return None


def _normal(password: str) -> str:
    """One spelling for what looks the same on two keyboards (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)
