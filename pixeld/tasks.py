"""Tasks that live as long as the server does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from pixeld.errors import PartFailed, PixeldError

log = logging.getLogger(__name__)
_AGAIN_S = 0.1


class Tasks:
    """Starts tasks and leaves their end to `stack`. One that ends by itself fails `failed`, with a PixeldError, and with that
    the server.
    """

    def __init__(self, stack: AsyncExitStack, failed: asyncio.Future[None]) -> None:
        self._stack, self._failed = stack, failed

    def start(self, name: str, work: Coroutine[Any, Any, None], *, between: asyncio.Lock | None = None) -> None:
        """Run `work`, which goes on for ever, until the stack is unwound to here; it isn't cancelled while it holds `between`.
        """
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._stack.push_async_callback(_stop, task, between or asyncio.Lock())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failed.done():
            return
        name, error = task.get_name(), task.exception()
        log.critical("a part has failed; the server stops", extra={"part": name}, exc_info=error)
        if not isinstance(error, PixeldError):
            why = f"failed with {type(error).__name__}; the log says where" if error else "ended by itself"
            error = PartFailed(f"a part of the server, {name}, has {why}. What was answered is stored: start it again")
        self._failed.set_exception(error)


async def _stop(task: asyncio.Task[Any], between: asyncio.Lock) -> None:
    async with between:
        await cancel(task)


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and return when it has ended.

    It is asked again until it has: before Python 3.12 `asyncio.wait_for`, which redis-py calls for every command, swallows a
    cancellation that meets its result. Seen here about once in 30 stops.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
