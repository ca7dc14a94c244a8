"""A TCP proxy that breaks connections in every way a network can, at an exact place where that matters."""

import asyncio
import socket
import struct
from contextlib import suppress

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST and forgets what was not sent


#: What can be done to one request, exactly: its connection is reset …
ONCE = (
    "lose request",  #: … before upstream saw any of it
    "tear request",  #: … when upstream has half of it
    "lose reply",  #: … when upstream begins to reply: it is done, and nobody learned of it
    "tear reply",  #: … when half of the reply's first bytes have passed
)


class Proxy:
    """Stands on a loopback port of its own before `upstream`: `(host, port)`, or the path of a unix socket.

    Faults last until `heal`; what is armed waits for a request on any connection.
    """

    def __init__(self, upstream):
        self.upstream = upstream
        self.struck = asyncio.Event()
        self._server, self._pairs = None, set()
        self._delay_s, self._frozen, self._refusing = 0.0, None, False
        self._armed, self._skip = None, 0

    async def start(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        self.heal()
        self.reset()
        self._server.close()
        await self._server.wait_closed()

    def heal(self):
        """Pass everything on again."""
        self._delay_s, self._refusing, self._armed = 0.0, False, None
        if self._frozen is not None:
            self._frozen.set()
            self._frozen = None

    def cut(self):
        """End every connection as a peer would that goes away: FIN to both sides."""
        for pair in list(self._pairs):
            pair.close()

    def reset(self):
        """End every connection with RST."""
        for pair in list(self._pairs):
            pair.reset()

    def refuse(self):
        """End every connection, and every new one at once."""
        self._refusing = True
        self.reset()

    def delay(self, seconds):
        """Hold back everything that passes for so long."""
        self._delay_s = seconds

    def half_open(self):
        """Keep every connection open, accept new ones, pass nothing on: a cable that was pulled."""
        self._frozen = self._frozen or asyncio.Event()

    def arm(self, what, skip=0):
        """Do `what` of ONCE to the next request after `skip` more, and set `struck`."""
        assert what in ONCE
        self._armed, self._skip = what, skip
        self.struck.clear()

    def take_armed(self):
        if self._armed is None:
            return None
        if self._skip:
            self._skip -= 1
            return None
        armed, self._armed = self._armed, None
        return armed

    async def _accept(self, reader, writer):
        if self._refusing:
            _abort(writer)
            return
        if self._frozen is not None:
            await self._frozen.wait()
        try:
            if isinstance(self.upstream, str):
                up = await asyncio.open_unix_connection(self.upstream)
            else:
                up = await asyncio.open_connection(*self.upstream)
        except OSError:
            _abort(writer)
            return
        pair = _Pair(self, reader, writer, *up)
        self._pairs.add(pair)
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)


class _Pair:
    """One connection and its other half."""

    def __init__(self, proxy, reader, writer, up_reader, up_writer):
        self.proxy = proxy
        self.reader, self.writer, self.up_reader, self.up_writer = reader, writer, up_reader, up_writer
        self.fate = None  # what waits for the reply of the request that has just passed

    async def run(self):
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests())
                both.create_task(self._replies())
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.close()

    def close(self):
        self.writer.close()
        self.up_writer.close()

    def reset(self):
        _abort(self.writer)
        _abort(self.up_writer)

    async def _requests(self):
        while data := await self.reader.read(1 << 16):
            await self._hold()
            armed = self.proxy.take_armed()
            if armed in ("lose request", "tear request"):
                if armed == "tear request":
                    self.up_writer.write(data[: len(data) // 2])
                    await self.up_writer.drain()
                self._strike()
                return
            self.fate = armed or self.fate
            self.up_writer.write(data)
            await self.up_writer.drain()
        if self.up_writer.can_write_eof():
            self.up_writer.write_eof()

    async def _replies(self):
        while data := await self.up_reader.read(1 << 16):
            await self._hold()
            if self.fate is not None:
                if self.fate == "tear reply":
                    self.writer.write(data[: len(data) // 2])
                    with suppress(OSError):
                        await self.writer.drain()
                self._strike()
                return
            self.writer.write(data)
            await self.writer.drain()
        self.close()

    def _strike(self):
        self.reset()
        self.proxy.struck.set()

    async def _hold(self):
        if self.proxy._delay_s:
            await asyncio.sleep(self.proxy._delay_s)
        while (frozen := self.proxy._frozen) is not None:
            await frozen.wait()


def _abort(writer):
    transport = writer.transport
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
