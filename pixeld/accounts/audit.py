"""Changes around accounts on the audit stream: noted first, made then.

The stream and what is changed lie in different slots of Redis, which no transaction spans. So an entry says what was begun: no
change is ever made without one. One that is refused after all is followed by `…/failed`; if Redis went away in between, it may
have been made or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from pixeld.domain.ports import Registry
from pixeld.errors import PixeldError, Unavailable


@asynccontextmanager
async def noted(registry: Registry, what: str, before: object, after: object, who: str) -> AsyncIterator[None]:
    """Note a change, which is then made within. QueueAway, before anything is changed."""
    await registry.note(what, before, after, who)
    try:
        yield
    except Unavailable:
        raise
    except PixeldError:
        with suppress(Unavailable):
            await registry.note(f"{what}/failed", after, before, who)
        raise
