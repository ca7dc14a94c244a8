"""The categories that visitors have agreed to have kept, for the visitors themselves: shown, and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pixeld.domain.events import FORGET
from pixeld.domain.ports import Intake
from pixeld.errors import Unavailable
from pixeld.storage.reports import statement
from pixeld.storage.stored import store
from pixeld.storage.warehouse import Warehouse

_LATELY = 10_000  # forgotten click ids that may not have reached the warehouse yet: it takes a second, or a backlog


class Affinities:
    """`domain.ports.Affinities` over the warehouse. `intake` makes what is forgotten durable; `clock()` is milliseconds since
    1970.
    """

    def __init__(self, warehouse: Warehouse, intake: Intake, clock: Callable[[], int]) -> None:
        self._warehouse, self._intake, self._clock = warehouse, intake, clock
        self._lately: dict[str, None] = {}

    async def held(self, client: str, click_ids: Sequence[str]) -> list[str]:
        asked = [click_id for click_id in click_ids if click_id not in self._lately]
        if not asked:
            return []
        rows = await self._warehouse.query(statement("held_affinities"), {"client": client, "clicks": ",".join(asked)})
        forgotten = {row["click_id"] for row in rows if row["forgotten"]}
        return sorted(
            {name for row in rows if row["click_id"] not in forgotten for name in row["categories"].split(",") if name}
        )

    async def forget(self, client: str, click_ids: Sequence[str]) -> None:
        at_ms = self._clock()
        lines = b"".join(FORGET.encode(at_ms, client, click_id) for click_id in click_ids)
        if not await store(self._intake, lines):
            raise Unavailable("What you bought could not be forgotten: neither Redis nor the disk takes it. Try again later.")
        self._lately |= dict.fromkeys(click_ids)
        for click_id in [*self._lately][:-_LATELY]:
            del self._lately[click_id]
