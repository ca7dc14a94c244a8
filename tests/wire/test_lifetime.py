"""How connections end: idle, lost, too slow, or with the server. What is owed is sent before."""

import asyncio
import gc
import socket

import pytest
from aiohttp import web

from pixeld.web.desk import Case
from pixeld.web.fastpath import HotRequestHandler
from tests.wire.conftest import until
from tests.wire.peer import request
from tests.wire.test_sequence import click, noting, refused, told, turns


@pytest.fixture
def now():
    return asyncio.get_running_loop().time


# Idle


async def test_an_idle_connection_is_closed(start, fast_path):
    world = await start(fast_path=fast_path, keepalive_s=0.1)
    assert await (await world.peer()).rest() == b""


async def test_the_time_to_live_begins_with_the_last_reply(start, fast_path):
    """Not with the connection: a busy one would be cut off."""
    world = await start(fast_path=fast_path, keepalive_s=1)
    now, peer = asyncio.get_running_loop().time, await world.peer()
    begin = asked = now()
    while asked < begin + 1.2:
        asked = now()
        assert told(await peer.ask(click(1)[0])) == "click 1"
    assert await peer.rest() == b""
    assert now() - asked > 0.99


async def test_a_connection_that_waits_for_a_reply_is_not_idle(start, fast_path):
    world = await start(fast_path=fast_path, keepalive_s=0.3, manual=True)
    peer = await world.peer()
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    asyncio.get_running_loop().call_later(0.8, world.intake.commit)
    assert told(await peer.reply()) == "click 1"
    assert await peer.rest() == b""  # idle now


# Lost


async def test_a_lost_connection_leaves_nothing_behind(start, fast_path):
    world = await start(fast_path=fast_path, manual=True)
    peer = await world.peer()
    for n in range(3):
        await peer.send(click(n)[0])
    await world.intake.holds(3 if fast_path else 1)
    peer.reset()
    await until(lambda: not world.connections or not world.connections[0].connected)
    world.intake.commit()
    await until(lambda: not world.connections)
    assert world.outcomes == {("click", "bot"): 3 if fast_path else 1}  # stored and counted all the same
    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, Case | web.RequestHandler)] == []


async def test_a_connection_that_is_lost_while_nothing_is_read_leaves_nothing_behind(start):
    world = await start(manual=True, routes=noting([]))
    peer = await world.peer()
    await peer.send(click(1)[0] + request("/cold/1") + request("/cold/2"))
    await world.intake.holds(1)
    peer.reset()
    await turns(10)
    world.intake.commit()
    await until(lambda: not world.connections)
    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, Case | web.RequestHandler)] == []


async def test_a_lost_connection_waits_for_nothing(start):
    """Though its events are on their way; a stop must not wait for it either."""
    world = await start(manual=True)
    peer = await world.peer()
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    conn = world.connections[0]
    peer.reset()
    await until(lambda: not conn.connected)
    conn.close()
    async with asyncio.timeout(20):
        await conn.shutdown(100)


async def test_nothing_is_written_to_a_closing_transport(start):
    world = await start(manual=True)
    peer = await world.peer()
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    conn = world.connections[0]
    transport = conn.transport
    transport.close()
    written = []

    class Closing:
        def is_closing(self):
            return transport.is_closing()

        def write(self, data):
            written.append(data)

        def close(self):
            transport.close()

    conn.transport = Closing()
    world.intake.commit()
    assert written == []
    assert await peer.rest() == b""


async def test_a_peer_that_stops_sending_gets_what_it_waits_for(start):
    """As `nc -N` and some load generators do it."""
    world = await start(manual=True)
    peer = await world.peer()
    await peer.send(b"".join(click(n)[0] for n in range(40)))
    await world.intake.holds(32)
    peer.transport.write_eof()
    await turns(20)
    world.intake.commit(1)
    await turns(20)
    world.intake.commit()
    await world.intake.holds(8)
    await turns(20)
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(40)] == [f"click {n}" for n in range(40)]
    assert await peer.rest() == b""
    await until(lambda: not world.connections)


async def test_a_peer_that_stops_sending_and_waits_for_nothing_is_let_go(start, fast_path):
    world = await start(fast_path=fast_path)
    peer = await world.peer()
    assert told(await peer.ask(refused(1)[0])) == "bad_amount"
    peer.transport.write_eof()
    assert await peer.rest() == b""


# Slow


async def settled(value, still=300):
    """Give the loop turns until `value()` has not changed for some; its value."""
    last, since = value(), 0
    while since < still:
        await asyncio.sleep(0)
        last, since = (last, since + 1) if value() == last else (value(), 0)
    return last


N = 3_000  # replies: nearly 1 MB, which no buffer of the kernel holds when both are made small


async def slow_peer(world):
    """One that does not read."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", world.port))
    peer = await world.peer(sock=small)
    peer.transport.pause_reading()
    await until(lambda: world.connections)
    conn = world.connections[0]
    conn.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return peer, conn


async def test_a_slow_reader_is_read_slowly(start, fast_path):
    """It gets everything in the end; meanwhile it costs a bounded amount of memory."""
    world = await start(fast_path=fast_path)
    peer, conn = await slow_peer(world)
    raw = refused(1)[0]
    peer.transport.write(raw * N)
    await until(lambda: not conn.transport.is_reading())
    asked = await settled(lambda: sum(world.outcomes.values()))
    assert asked < N
    assert conn.transport.get_write_buffer_size() < 256 * 1024
    assert not conn.transport.is_reading()
    peer.transport.resume_reading()
    for _ in range(N):
        assert told(await peer.reply()) == "bad_amount"


async def test_a_slow_reader_whose_replies_wait(start):
    world = await start()
    peer, conn = await slow_peer(world)
    peer.transport.write(b"".join(click(n)[0] for n in range(N)))
    asked = await settled(lambda: sum(world.outcomes.values()))
    assert asked < N
    assert conn.transport.get_write_buffer_size() < 256 * 1024
    peer.transport.resume_reading()
    for n in range(N):
        assert told(await peer.reply()) == f"click {n}"


# Stopped


async def stopping(world):
    """Begin to stop the listener; return when it waits for its connections."""
    reached = asyncio.Event()

    async def reach(_):
        reached.set()

    world.reached.append(reach)
    task = asyncio.create_task(world.stop())
    await reached.wait()
    await turns(10)
    return task


async def test_a_stop_lets_waiting_replies_go(start, fast_path):
    world = await start(fast_path=fast_path, manual=True, shutdown_s=400)
    peers = [await world.peer() for _ in range(5)]
    idle = await world.peer()
    for peer in peers:
        await peer.send(click(1)[0])
    await world.intake.holds(5)
    stop = await stopping(world)
    assert await idle.rest() == b""
    assert not stop.done()
    world.intake.commit(2)
    await turns(10)
    world.intake.commit()
    for peer in peers:
        assert told(await peer.reply()) == "click 1"
        assert await peer.rest() == b""
    async with asyncio.timeout(20):  # it ends with the last connection, not with its time
        await stop


async def test_a_stop_takes_no_more_requests(start):
    """A busy peer could make it last for ever; what had been read when it began is still answered."""
    world = await start(manual=True)
    peer = await world.peer()
    await peer.send(b"".join(click(n)[0] for n in range(40)))
    await world.intake.holds(32)
    other = await world.peer()
    await other.send(click(1)[0])
    await world.intake.holds(33)
    stop = await stopping(world)
    await peer.send(click(99)[0])
    await other.send(click(99)[0])
    await turns(10)
    assert len(world.intake.held) == 33
    world.intake.commit()
    await world.intake.holds(8)
    assert len(world.intake.held) == 8
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(40)] == [f"click {n}" for n in range(40)]
    assert told(await other.reply()) == "click 1"
    assert await peer.rest() == await other.rest() == b""
    await stop


async def test_a_stop_between_a_reply_and_what_was_parked_behind_it(start):
    world = await start(manual=True, routes=noting([]))
    peer = await world.peer()
    await peer.send(click(1)[0] + request("/cold"))
    await world.intake.holds(1)
    world.intake.commit()
    world.connections[0].close()
    assert [told(await peer.reply()) for _ in range(2)] == ["click 1", "/cold"]
    assert await peer.rest() == b""


async def test_a_connection_made_while_stopping_gets_its_replies(start):
    """Accepted before the socket was closed, made after all connections had been told to close."""
    world = await start(manual=True)
    peer = await world.peer()
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    ending = asyncio.create_task(world.connections[0].shutdown(5))
    await turns(10)
    world.intake.commit()
    assert told(await peer.reply()) == "click 1"
    assert await peer.rest() == b""
    await ending


async def test_a_stop_lets_the_line_go_on(start):
    """What stands before a parked request leaves, and the request after it; then the connection closes for all to see."""
    world = await start(manual=True, routes=noting(asked := []))
    peer = await world.peer()
    await peer.send(b"".join(click(n)[0] for n in range(40)) + request("/cold/1") + request("/cold/2"))
    await world.intake.holds(32)
    stop = await stopping(world)
    await peer.send(click(99)[0])  # comes too late
    world.intake.commit()
    await world.intake.holds(8)
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(41)] == [*(f"click {n}" for n in range(40)), "/cold/1"]
    assert await peer.rest() == b""
    await stop
    assert asked == ["/cold/1"] and world.intake.held == []  # as aiohttp: one that has begun is finished, none is begun


async def test_a_stop_does_not_wait_for_ever(start, fast_path):
    world = await start(fast_path=fast_path, manual=True, shutdown_s=8)
    peer = await world.peer()
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    now = asyncio.get_running_loop().time
    begin = now()
    await world.stop()
    assert now() - begin < (3.9 if fast_path else 5.9)  # a quarter of it once; aiohttp's own handlers get it twice
    assert await peer.rest() == b""
    world.intake.commit()  # late, and no error


async def test_a_stop_while_the_connection_is_lost(start):
    world = await start(manual=True, shutdown_s=1)
    peer = await world.peer()
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    stop = await stopping(world)
    peer.reset()
    await turns(10)
    world.intake.commit()
    await stop


async def test_nobody_connects_after_a_stop(start, fast_path):
    world = await start(fast_path=fast_path)
    await world.stop()
    with pytest.raises(OSError):
        await world.peer()


async def test_connections_are_counted(start, fast_path):
    world = await start(fast_path=fast_path)
    assert world.listener.connections == 0
    peers = [await world.peer() for _ in range(3)]
    await until(lambda: world.listener.connections == 3)
    assert all(isinstance(each, HotRequestHandler) is fast_path for each in world.connections)
    await peers[0].close()
    await until(lambda: world.listener.connections == 2)
    await world.stop()
    assert world.listener.connections == 0
