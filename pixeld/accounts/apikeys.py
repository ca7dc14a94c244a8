"""Keys of the tenants' API: shown once, stored as a hash."""

from __future__ import annotations

from typing import NamedTuple

from pixeld.domain.reports import Scope


class KeyInfo(NamedTuple):
    """What may be known of a key after it was shown."""

    id: str
    prefix: str  #: how its text begins
    name: str
    created_ms: int
    used_ms: int | None  #: its last use, to the minute
    who: str  #: who made it, as on the audit stream


class ApiKeys:
    """Keys belong to a partner or a client, not to one of its accounts."""

    async def create(self, scope: Scope, name: str, who: str) -> tuple[str, KeyInfo]:
        """A new key; its text is told only here. InvalidForm (name); Forbidden for an operator's scope, or with too many
        keys.
        """
        raise NotImplementedError

    async def list(self, scope: Scope) -> list[KeyInfo]:
        """The keys of a scope, oldest first."""
        raise NotImplementedError

    async def revoke(self, scope: Scope, key_id: str, who: str) -> None:
        """End a key. NotFound when it isn't the scope's own."""
        raise NotImplementedError

    async def scope_of(self, text: str) -> Scope:
        """What the bearer of a key may read. Unauthorized for anything but a key."""
        raise NotImplementedError
