"""Events that nobody's request to the tracker makes: handed to the same intake, and waited for."""

from __future__ import annotations

import asyncio

from pixeld.domain.ports import Intake


class _Stored:
    """A Waiter that can be awaited."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def settle(self, stored: bool) -> None:
        if not self.outcome.done():  # whoever waited may have been cancelled
            self.outcome.set_result(stored)

    def release(self) -> None:
        pass


async def store(intake: Intake, lines: bytes) -> bool:
    """Make encoded events durable, all or none; whether they are."""
    waiter = _Stored()
    return intake.append(lines, waiter) and await waiter.outcome
