"""The control channel between the office and one worker: a socket pair that only the two have, one JSON object a line.

Either end asks, tells, and answers. Its end is the other process's end, noticed at once however that came about. What
goes over it is on no disk, in no environment and on no command line: settings with their secrets, and the visitors' salt.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from pixeld.errors import PixeldError, Unavailable
from pixeld.tasks import cancel

log = logging.getLogger(__name__)
_MAX_LINE = 1 << 20  # a report of every counter takes some 4 KB
_OWED = 8  # answers that are waited for, by what was asked; a process that hangs must not fill our memory with questions

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]
Told = Callable[[str, dict[str, Any]], None]


class Channel:
    """One end. `answer(what, given)` replies to what the other one asks, `told(what, given)` hears what it tells; in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, told: Told) -> None:
        self._reader, self._writer, self._answer, self._told = reader, writer, answer, told
        self._numbers = count(1)
        self._asked: dict[int, tuple[str, asyncio.Future[Any]]] = {}  # until the answer, whoever still waits for it
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False
        self.heard = 0  #: messages from the other end so far

    @classmethod
    async def over(cls, end: socket.socket, answer: Answer, told: Told) -> Channel:
        """A channel over this end of a socket pair, which it closes."""
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=_MAX_LINE)
        return cls(reader, writer, answer, told)

    async def run(self) -> None:
        """Take what comes, until the other end is gone."""
        try:
            while (line := await self._reader.readline()).endswith(b"\n"):
                self._take(json.loads(line))
        except OSError:
            pass  # reset: it is gone as well
        except ValueError as error:  # what is no message, or has no end: whoever sent it is as good as gone
            log.error("the channel to another process is given up", extra={"reason": str(error)})
        finally:
            self._closed = True
            for _, reply in self._asked.values():
                if not reply.done():
                    reply.set_exception(Unavailable("the process has ended"))
            for task in list(self._answering):
                await cancel(task)
            self._writer.close()

    async def ask(self, what: str, **given: Any) -> Any:
        """The other end's answer. Unavailable when it has ended, said no, or owes too many answers to the same question."""
        if self._closed:
            raise Unavailable("the process has ended")
        if sum(asked == what for asked, _ in self._asked.values()) >= _OWED:
            raise Unavailable(f"it has left {_OWED} questions unanswered")
        number = next(self._numbers)
        self._send({"ask": what, "number": number, "given": given})
        reply = asyncio.get_running_loop().create_future()
        self._asked[number] = what, reply
        return await reply

    def tell(self, what: str, **given: Any) -> None:
        """Say it, if there is still somebody to hear it; no answer is waited for."""
        if not self._closed:
            self._send({"tell": what, "given": given})

    async def drained(self) -> None:
        """Return when the other end has been sent everything, or is gone."""
        try:
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            pass

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _take(self, message: dict[str, Any]) -> None:
        self.heard += 1
        if "tell" in message:
            self._told(message["tell"], message["given"])
            return
        if "ask" in message:
            task = asyncio.create_task(self._reply(message["ask"], message["given"], message["number"]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        _, reply = self._asked.pop(message["number"])
        if reply.done():
            return  # whoever asked didn't wait so long
        if "error" in message:
            reply.set_exception(Unavailable(message["error"]))
        else:
            reply.set_result(message["value"])

    async def _reply(self, what: str, given: dict[str, Any], number: int) -> None:
        try:
            said = {"number": number, "value": await self._answer(what, given)}
        except PixeldError as error:
            said = {"number": number, "error": str(error)}
        if not self._closed:
            self._send(said)
