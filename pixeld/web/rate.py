"""How much one address may have stored, or one key ask: a token bucket for each, in memory only.

Whose it is stands there as Python's own hash of it, 64 bits under a key that nothing outside this process ever sees.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

MAX_ADDRESSES = 65_536  # some 8 MB when full
_FORGET = 4  # a quarter at a time, so that sorting costs 1 µs for each new address, even under a flood of them


class Limiter:
    """Allows `per_s` a second for each address on average, and `burst` at once. IPv6 counts by the /64 that a household has.

    Never more than MAX_ADDRESSES are remembered; over that the fullest buckets are forgotten, which are those that say least.
    `now` gives seconds that never go back.
    """

    __slots__ = ("_full_at", "_now", "_room_s", "token_s")

    def __init__(self, per_s: float, burst: int, now: Callable[[], float]) -> None:
        #: In so many seconds an empty bucket has a token again.
        self.token_s, self._now = 1 / per_s, now
        self._room_s = (burst - 1 + 1e-6) * self.token_s  # full later than that: less than a token is left
        self._full_at: dict[int, float] = {}  # when each bucket will be full: all there is to know of it

    def __len__(self) -> int:
        return len(self._full_at)

    def allows(self, address: str) -> bool:
        """Take a token from this address's bucket; False when it is empty. Nobody's address (`""`) always has one."""
        if not address:
            return True
        key = hash(socket.inet_pton(socket.AF_INET6, address)[:8] if ":" in address else address)
        now, full_at = self._now(), self._full_at
        due = full_at.get(key, now)
        if due <= now:
            due = now
        elif due - now > self._room_s:
            return False
        if key not in full_at and len(full_at) >= MAX_ADDRESSES:
            self._forget(now)
        self._full_at[key] = due + self.token_s
        return True

    def _forget(self, now: float) -> None:
        fullest = max(now, sorted(self._full_at.values())[len(self._full_at) // _FORGET])
        self._full_at = {key: at for key, at in self._full_at.items() if at > fullest}
