"""Erase, export, audit: the order of the steps. What a place does for it is the place's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pixeld.domain.events import TRAITS
from pixeld.domain.subject import Subject, What
from pixeld.errors import Unavailable
from pixeld.rights.audit import Finding, judged
from pixeld.rights.places import Copies, Places

_ROUNDS = 3  # a visitor may come back while his click is erased, not three times


class Rights:
    """One erasure at a time. Every method raises QueueAway, WarehouseAway or another Unavailable when not everything that
    waits can be looked at, and then nothing was deleted; or, from `erase`, when it could not be ended: then the same call goes
    on with it.
    """

    def __init__(self, places: Places) -> None:
        self._places, self._at_it = places, asyncio.Lock()

    async def erase(self, subject: Subject, who: str) -> dict[str, Any]:
        """Delete it everywhere, look everywhere again, and write a proof to the audit log; the proof. NotFound for a partner
        that there isn't. Where nothing is held, the proof says so.
        """
        async with self._at_it:
            await self._settle()
            found = await self._found(subject)
            told = {"what": str(subject.what), "subject": subject.digest}
            if found:  # so that the audit log has it all the same when this process dies now
                await self._places.note("privacy/erasing", None, told | {"found": found}, who)
            copies = await self._erase(subject, who)
            proof = told | {"erased": found, "verified": True, "old_parts": copies.parts, "redis_files": copies.redis}
            proof["other_servers"] = await self._places.queues.elsewhere()
            await self._places.note("privacy/erased", None, proof, who)
            return proof | {"at_ms": self._places.clock(), "who": who}

    async def export(self, subject: Subject, who: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """All that is held on it, each with its place, once that is noted. Of a partner's clicks not what they say of who
        made them: it isn't the partner's. NotFound for a partner that there isn't.
        """
        await self._settle()
        places = self._places
        await places.note("privacy/exported", None, {"what": str(subject.what), "subject": subject.digest}, who)
        hidden = TRAITS if subject.what is What.PARTNER else frozenset()
        sources = [places.database.rows(subject), places.queues.entries(subject)]
        if subject.what is What.PARTNER:
            sources.insert(0, places.partners.records(subject.id))
        for source in sources:
            async for place, record in source:
                yield place, {name: value for name, value in record.items() if name not in hidden}

    async def audit(self) -> list[Finding]:
        """What is held at every place, and where that isn't what the data map says."""
        places = self._places
        held = [*await places.database.held(), *await places.queues.held(), *await asyncio.to_thread(places.files)]
        return judged(held, places.promises, places.clock())

    async def _settle(self) -> None:
        """Bring what waits, here and in the queues of other servers, to where it can be found."""
        await self._places.queues.reached()
        await self._places.database.reached()  # a flush would wait long for who isn't there
        await self._places.flush()
        await self._places.queues.flushed()

    async def _found(self, subject: Subject) -> dict[str, int]:
        places = self._places
        found = await places.partners.count(subject.id) if subject.what is What.PARTNER else {}
        return found | await places.queues.count(subject) | await places.database.count(subject)

    async def _erase(self, subject: Subject, who: str) -> Copies:
        places, left, parts = self._places, {}, 0
        for _ in range(_ROUNDS):
            if subject.what is What.PARTNER:  # first: it ends what brings more
                await places.partners.erase(subject.id, who)
            await places.queues.erase(subject)
            parts += await places.database.erase(subject)
            rewritten = await places.queues.rewrite()
            await self._settle()
            left = await self._found(subject)
            if not left:
                return Copies(parts, rewritten)
        where = ", ".join(f"{place} ({count})" for place, count in left.items())
        raise Unavailable(f"most of it is deleted, but more came in meanwhile: {where}; please ask again")
