"""Replies of one connection leave in the order of its requests, whatever mixture of hot and cold, however it arrives."""

import asyncio
import random
import socket

import pytest
from aiohttp import web

from tests.wire.peer import request

CHUNKED = "Transfer-Encoding: chunked"


def click(n):
    """Hot and stored."""
    return request(f"/t/acme/c/blog?u=https://shop.example/{n}"), f"click {n}"


def refused(n):
    """Hot, and answered at once."""
    return request(f"/t/acme/o.gif?order={n}"), "bad_amount"


def plain(n):
    """Cold."""
    return request(f"/plain/{n}"), f"plain {n}"


def head(n):
    """A tracking request that is cold."""
    return request(f"/t/acme/c/blog?u=https://shop.example/{n}", method="HEAD"), f"click {n}"


def post(n):
    """Cold, with a body."""
    return request(f"/plain/{n}", "Content-Length: 5", method="POST", body=b"hello"), f"plain {n} hello"


def chunks(n):
    """Cold, with a body in chunks."""
    return request(f"/plain/{n}", CHUNKED, method="POST", body=b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), f"plain {n} hello"


def expecting(n):
    """Hot but for a header that aiohttp has to see."""
    return request(f"/t/acme/c/blog?u=https://shop.example/{n}", "Expect: 100-continue"), f"click {n}"


KINDS = {click: 60, refused: 10, plain: 10, head: 5, post: 5, chunks: 3, expecting: 3}


def told(reply):
    """What a reply is the reply to."""
    if reply.status == 302:
        return "click " + reply.headers["Location"].rpartition("/")[2].partition("?")[0]
    if "X-Pixeld" in reply.headers:
        return reply.headers["X-Pixeld"].rpartition("=")[2]
    return reply.body.decode()


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


def application(chance):
    """Ordinary routes whose handlers take a random number of turns of the loop."""

    async def echo(request):
        await turns(chance.randrange(20))
        body = await request.text()
        await turns(chance.randrange(20))
        return web.Response(text=f"plain {request.match_info['n']} {body}".strip())

    return [web.route("*", "/plain/{n}", echo)]


def later(chance):
    """A schedule that commits after a random number of turns, so that chunks hold one event or many."""

    def schedule(commit, left=None):
        left = chance.randrange(40) if left is None else left
        asyncio.get_running_loop().call_soon(*((schedule, commit, left - 1) if left else (commit,)))

    return schedule


async def send_in_pieces(peer, raw, chance):
    """Bytes in pieces of random sizes, with a random number of turns between them."""
    at = 0
    while at < len(raw):
        size = chance.choice([1, 7, 60, 100, 500, 4000, len(raw)])
        await peer.send(raw[at : at + size])
        at += size
        await turns(chance.choice([0, 0, 1, 5]))


@pytest.mark.parametrize("seed", range(30))
async def test_random_mixtures(seed, start, fast_path):
    chance = random.Random(seed)
    world = await start(fast_path=fast_path, routes=application(chance), manual=True)
    world.intake.schedule = later(chance)

    async def connection(chance):
        peer = await world.peer()
        for _ in range(4):
            kinds = chance.choices(list(KINDS), KINDS.values(), k=chance.choice([1, 2, 5, 33, 120]))
            if chance.random() < 0.2:
                kinds = [click] * len(kinds)
            requests = [kind(n) for n, kind in enumerate(kinds)]
            sending = asyncio.create_task(send_in_pieces(peer, b"".join(raw for raw, _ in requests), chance))
            got = []
            for kind, (_, expected) in zip(kinds, requests, strict=True):
                reply = await peer.reply(to="HEAD" if kind is head else "GET")
                if kind is expecting and reply.status == 100:
                    reply = await peer.reply()
                got.append(told(reply))
                assert got[-1] == expected, got[-3:]
            await sending
            assert not peer.received

    await asyncio.gather(*(connection(random.Random(1000 * seed + n)) for n in range(4)))
    assert world.intake.held == []


async def started_in_order(start, routes=()):
    """A world in which the test commits, and a peer."""
    world = await start(manual=True, routes=routes)
    return world, await world.peer()


def noting(asked):
    """A route that notes when it is asked."""

    async def handler(request):
        asked.append(request.path)
        return web.Response(text=request.path)

    return [web.get("/{n:cold.*}", handler)]


@pytest.mark.parametrize("split", [False, True], ids=["in one read", "in two"])
async def test_cold_behind_waiting_hot_is_not_even_asked(split, start):
    world, peer = await started_in_order(start, noting(asked := []))
    hot, cold = click(1)[0], request("/cold")
    await peer.send(hot + cold, [len(hot), len(cold)] if split else None)
    await world.intake.holds(1)
    await turns(20)
    assert asked == [] and not peer.received
    world.intake.commit()
    assert told(await peer.reply()) == "click 1"
    assert told(await peer.reply()) == "/cold"


async def test_hot_behind_parked_cold_comes_after_it(start):
    world, peer = await started_in_order(start, noting([]))
    await peer.send(click(1)[0] + request("/cold") + click(2)[0])
    await world.intake.holds(1)
    await peer.send(click(3)[0])
    assert len(world.intake.held) == 1
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(2)] == ["click 1", "/cold"]
    for n in (2, 3):  # behind a cold one that ran when they came: cold, one after the other
        await world.intake.holds(1)
        world.intake.commit()
        assert told(await peer.reply()) == f"click {n}"


async def test_what_needs_no_storing_waits_for_what_does(start):
    world, peer = await started_in_order(start)
    await peer.send(refused(0)[0])
    assert told(await peer.reply()) == "bad_amount"
    await peer.send(click(1)[0] + refused(2)[0] + click(3)[0] + request("/t/nothing"))
    await world.intake.holds(2)
    await turns(10)
    assert not peer.received
    world.intake.commit(1)
    assert [told(await peer.reply()) for _ in range(2)] == ["click 1", "bad_amount"]
    await turns(10)
    assert not peer.received
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(2)] == ["click 3", "bad_path"]


async def test_a_later_chunk_does_not_overtake(start):
    """Chunks settle in order, but one may fail; a reply waits for all before it."""
    world, peer = await started_in_order(start)
    await peer.send(click(1)[0] + click(2)[0])
    await world.intake.holds(2)
    (_, first), (_, second) = world.intake.held
    world.intake.held = []
    second.settle(True)
    second.release()
    await turns(10)
    assert not peer.received
    first.settle(False)
    first.release()
    replies = [await peer.reply() for _ in range(2)]
    assert [told(reply) for reply in replies] == ["click 1", "click 2"]
    assert [reply.headers["X-Pixeld"] for reply in replies] == ["dropped; reason=not_durable", "ok"]


async def test_one_write_carries_all_replies_of_a_chunk(start):
    world, peer = await started_in_order(start)
    await peer.send(b"".join(click(n)[0] for n in range(20)))
    await world.intake.holds(20)
    conn = world.connections[0]
    written, transport = [], conn.transport

    class Recording:
        def __getattr__(self, name):
            return getattr(transport, name)

        def write(self, data):
            written.append(data)
            transport.write(data)

    conn.transport = Recording()
    world.intake.commit()
    assert len(written) == 1
    assert [told(await peer.reply()) for _ in range(20)] == [f"click {n}" for n in range(20)]


async def test_no_more_than_32_replies_wait(start):
    """Beyond that, requests are parked, and in the end nothing is read."""
    world, peer = await started_in_order(start)
    await peer.send(b"".join(click(n)[0] for n in range(300)))
    got = []
    while len(got) < 300:
        waiting = min(32, 300 - len(got))
        await world.intake.holds(waiting)
        await turns(10)
        assert len(world.intake.held) == waiting
        assert world.connections[0].transport.is_reading() is (len(got) + waiting == 300)
        world.intake.commit()
        got += [told(await peer.reply()) for _ in range(waiting)]
    assert got == [f"click {n}" for n in range(300)]
    assert world.cold_requests == 0


async def test_nothing_is_read_while_something_is_parked_again(start):
    """More comes in the very turn in which the waiting replies leave."""
    world, peer = await started_in_order(start)
    await peer.send(b"".join(click(n)[0] for n in range(40)))
    await world.intake.holds(32)
    conn = world.connections[0]
    world.intake.commit()
    conn.data_received(b"".join(click(n)[0] for n in range(40, 80)))
    await turns(10)
    assert len(world.intake.held) == 32 and not conn.transport.is_reading()
    world.intake.schedule = asyncio.get_running_loop().call_soon
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(80)] == [f"click {n}" for n in range(80)]
    assert conn.transport.is_reading()


async def test_a_pause_of_the_base_class_lasts(start):
    """Its queue is full as soon as parked requests go there; that they may go was said twice."""
    go = asyncio.Event()

    async def wait(request):
        await go.wait()
        return web.Response(text=request.path)

    world, peer = await started_in_order(start, [web.get("/wait", wait)])
    await peer.send(b"".join(click(n)[0] for n in range(40)) + request("/wait") * 50)
    await world.intake.holds(32)
    conn = world.connections[0]
    world.intake.commit()
    conn.data_received(b"")
    assert len(world.intake.held) == 8
    world.intake.commit()
    await turns(10)
    assert not conn.transport.is_reading()
    go.set()
    assert [told(await peer.reply()) for _ in range(90)] == [*(f"click {n}" for n in range(40)), *["/wait"] * 50]
    assert conn.transport.is_reading()


async def test_a_parse_error_behind_waiting_hot_leaves_after_it(start):
    world, peer = await started_in_order(start)
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    await peer.send(b"\0rubbish\r\n\r\n")
    await turns(10)
    await peer.send(click(2)[0])  # behind an error nothing is read
    await turns(10)
    assert not peer.received
    world.intake.commit()
    assert told(await peer.reply()) == "click 1"
    assert b" 400 Bad Request\r\n" in await peer.rest()
    assert world.intake.held == []


async def test_a_parse_error_behind_parked_cold_leaves_after_both(start):
    world, peer = await started_in_order(start, noting([]))
    await peer.send(click(1)[0] + request("/cold"))
    await world.intake.holds(1)
    await peer.send(b"\0rubbish\r\n\r\n")
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(2)] == ["click 1", "/cold"]
    assert b" 400 Bad Request\r\n" in await peer.rest()


async def test_a_parse_error_behind_a_full_pipeline_leaves_last(start):
    """llhttp finds it only when slots are free again."""
    world, peer = await started_in_order(start)
    world.intake.schedule = asyncio.get_running_loop().call_soon
    await peer.send(b"".join(click(n)[0] for n in range(40)) + b"\0rubbish\r\n\r\n")
    assert [told(await peer.reply()) for _ in range(32)] == [f"click {n}" for n in range(32)]
    assert b" 400 Bad Request\r\n" in await peer.rest()


async def test_an_upgrade_behind_waiting_hot(start):
    """It is answered in HTTP/1.1, in its turn, as the last of its connection."""
    world, peer = await started_in_order(start, noting(asked := []))
    await peer.send(click(1)[0] + request("/cold/1", "Connection: Upgrade", "Upgrade: websocket") + request("/cold/2"))
    await world.intake.holds(1)
    await peer.send(request("/cold/3"))
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(2)] == ["click 1", "/cold/1"]
    assert await peer.rest() == b""
    assert asked == ["/cold/1"]


@pytest.mark.parametrize("size", [1, 70_000, 600_000])
async def test_a_body_behind_waiting_hot(size, start):
    """It may be larger than what is read ahead; the requests behind it come after it."""

    async def length(request):
        return web.Response(text=str(len(await request.read())))

    app = {"client_max_size": 1 << 20}
    world = await start(manual=True, routes=[web.post("/length", length)], app=app)
    peer = await world.peer()
    post = request("/length", f"Content-Length: {size}", method="POST", body=b"x" * size)
    await peer.send(click(1)[0] + post + click(2)[0])
    await world.intake.holds(1)
    await turns(30)
    world.intake.commit()
    assert [told(await peer.reply()) for _ in range(2)] == ["click 1", str(size)]
    await world.intake.holds(1)
    world.intake.commit()
    assert told(await peer.reply()) == "click 2"


async def test_hot_while_a_cold_request_runs(start):
    """The base class is at work: the hot one waits for its turn there, and the next one is hot again."""
    go = asyncio.Event()

    async def wait(request):
        await go.wait()
        return web.Response(text="waited")

    world, peer = await started_in_order(start, [web.get("/wait", wait)])
    world.intake.schedule = asyncio.get_running_loop().call_soon
    await peer.send(request("/wait"))
    await turns(10)
    await peer.send(click(1)[0])
    await turns(10)
    assert not peer.received
    go.set()
    assert [told(await peer.reply()) for _ in range(2)] == ["waited", "click 1"]
    assert world.cold_requests == 2
    assert told(await peer.ask(click(2)[0])) == "click 2"
    assert world.cold_requests == 2


class Broken:
    """A tracker that raises as often as it is told to."""

    def __init__(self, tracker, times):
        self._tracker, self._times = tracker, times

    def answer(self, facts):
        if self._times:
            self._times -= 1
            raise RuntimeError("raised for the test")
        return self._tracker.answer(facts)

    def __getattr__(self, name):
        return getattr(self._tracker, name)


async def test_an_error_in_answering_is_counted_and_the_request_goes_cold(start, caplog):
    world, peer = await started_in_order(start)
    world.intake.schedule = asyncio.get_running_loop().call_soon
    world.desk.tracker = Broken(world.desk.tracker, 2)  # recognised, then parsed
    assert told(await peer.ask(click(1)[0])) == "click 1"
    assert world.metrics.counts == {"pixeld_answer_errors_total": 2}
    assert world.outcomes == {("click", "bot"): 1}
    assert (world.cold_requests, len(world.intake.lines)) == (1, 1)
    assert "raised for the test" in caplog.text and "127.0.0.1" not in caplog.text


async def test_an_error_in_answering_behind_waiting_hot_keeps_its_place(start):
    world, peer = await started_in_order(start)
    await peer.send(click(1)[0])
    await world.intake.holds(1)
    world.desk.tracker = Broken(world.desk.tracker, 10)
    await peer.send(click(2)[0] + click(3)[0])
    await turns(10)
    assert not peer.received
    world.intake.commit()
    assert told(await peer.reply()) == "click 1"
    assert (await peer.reply()).status == 500
    assert world.metrics.counts["pixeld_answer_errors_total"] >= 1


async def test_first_bytes_are_hot(start):
    """Not only from the second request on: sent at once, they come before aiohttp's task has run (Python 3.11, uvloop)."""
    world = await start()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", world.port)) as sock:
            sock.sendall(click(1)[0])
            sock.setblocking(False)
            assert b"shop.example/1?" in await asyncio.get_running_loop().sock_recv(sock, 1000)
    assert world.cold_requests == 0
