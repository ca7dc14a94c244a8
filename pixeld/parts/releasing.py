"""When a day's audience is told. How it is cut says `domain.audience`; `storage.audience` sees to it that it is told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from pixeld.errors import Unavailable, WarehouseRefused
from pixeld.storage.audience import AudienceReleases

log = logging.getLogger(__name__)
GRACE_S = 6 * 3600  #: after the end of a day: what comes later isn't counted, ever
_EVERY_S = 300.0
_BACK_DAYS = 30  # a server that was away for longer leaves the days before unreleased


class Releasing:
    """Releases each day that is over, once what was answered on it is in ClickHouse. `oldest_s()` is how long the oldest event
    has been waiting for that; `clock()` is milliseconds since 1970.
    """

    def __init__(
        self, releases: AudienceReleases, oldest_s: Callable[[], Awaitable[float]], clock: Callable[[], int]
    ) -> None:
        self._releases, self._oldest_s, self._clock = releases, oldest_s, clock

    async def run(self) -> None:
        """For ever. What can't be done now is done later."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.step()
            except (Unavailable, WarehouseRefused) as error:
                log.info("no audience could be released now", extra={"reason": str(error)})

    async def step(self) -> int:
        """Release what is due; how many days. Raises QueueAway, WarehouseAway or WarehouseRefused."""
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        closed = (now - timedelta(seconds=GRACE_S)).date() - timedelta(days=1)
        due = await self._releases.missing(closed - timedelta(days=_BACK_DAYS - 1), closed)
        if not due:
            return 0
        # Events of a day that is over are older than the grace, wherever they wait.
        if await self._oldest_s() >= GRACE_S:
            log.info("no audience is released while events of that day wait for ClickHouse")
            return 0
        return sum([await self._releases.release(day) is not None for day in due])
