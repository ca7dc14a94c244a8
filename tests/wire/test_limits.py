"""What a peer may ask for: connections, time, bytes, and how often. Past each limit, what the README says."""

import asyncio
import socket
import ssl
from ipaddress import ip_network

import pytest

from pixeld.web import server
from pixeld.web.origin import Origin
from pixeld.web.rate import Limiter
from tests.certificates import certificate
from tests.wire.conftest import until
from tests.wire.corpus import get
from tests.wire.peer import request
from tests.wire.test_lifetime import N, slow_peer
from tests.wire.test_sequence import click, noting, refused, told, turns

ORDER = request("/t/acme/o.gif?order=1&amount=1")


# Connections


async def test_one_connection_too_many_is_refused_and_the_others_are_served(start, fast_path, caplog):
    world = await start(fast_path=fast_path, max_connections=3)
    peers = [await world.peer() for _ in range(3)]
    for peer in peers:
        assert (await peer.ask(ORDER)).status == 200
    for _ in range(5):
        over = await world.peer()
        await over.send(ORDER)
        assert await over.rest() == b""
    for peer in peers:
        assert (await peer.ask(ORDER)).status == 200
    assert world.listener.connections == 3
    assert world.metrics.counts["pixeld_refused_connections_total"] == 5
    assert [(record.getMessage(), record.open, record.refused) for record in caplog.records] == [
        ("connections are refused; see max_connections", 3, 1)
    ]


async def test_a_place_that_is_given_back_is_taken_again(start, fast_path):
    world = await start(fast_path=fast_path, max_connections=1)
    for _ in range(5):
        peer = await world.peer()
        assert (await peer.ask(ORDER)).status == 200
        await peer.close()
        await until(lambda: world.listener.connections == 0)


def test_refusals_are_told_once_a_minute(caplog):
    room = server.Room(1, lambda _: None)
    assert room.enter(0)
    assert not any(room.enter(now) for now in (0, 1, 59.9, 60, 61, 119, 120))
    assert [record.refused for record in caplog.records] == [1, 3, 3]


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "got", "raised"),
    [
        pytest.param(65_536, 65_536, 10_000, 10_000, None, id="enough"),
        pytest.param(1024, 65_536, 10_000, 10_000, (10_256, 65_536), id="the limit is raised as far as needed"),
        pytest.param(1024, 4096, 10_000, 3840, (4096, 4096), id="as far as it may be"),
        pytest.param(1024, -1, 10_000, 10_000, (10_256, -1), id="no hard limit"),
        pytest.param(-1, -1, 10_000, 10_000, None, id="no limit"),
        pytest.param(64, 64, 10_000, 1, (64, 64), id="hardly any files"),
    ],
)
def test_open_files(soft, hard, wanted, got, raised, monkeypatch, caplog):
    """Peers never take the last file: the spill needs one, and Redis."""
    done = []
    monkeypatch.setattr(server.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(server.resource, "setrlimit", lambda _, to: done.append(to))
    assert server._affordable(wanted) == got
    assert done == ([raised] if raised else [])
    assert bool(caplog.records) is (got < wanted)


# Time


async def dribble(peer, raw, every_s=0.02):
    """Send byte by byte, slowly, until the other end has had enough."""
    for n in range(len(raw)):
        if peer.closed:
            return
        peer.transport.write(raw[n : n + 1])
        await asyncio.sleep(every_s)


@pytest.mark.parametrize("before", [0, 1], ids=["the first", "a later one"])
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET /t/acme/o.gif?order=" + b"1" * 1000, id="request line"),
        pytest.param(ORDER[:-2] + b"A: b\r\n" * 1000, id="headers"),
        pytest.param(ORDER[:-2] + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000, id="body"),
        pytest.param(ORDER[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000, id="chunks"),
        pytest.param(b"\r\n" * 1000, id="empty lines"),
    ],
)
async def test_a_request_that_does_not_arrive_in_time(raw, before, start, fast_path):
    """However slowly it comes, its connection ends; keepalive_s, which any byte might put off elsewhere, is far away."""
    world = await start(fast_path=fast_path, request_s=1 if before else 0.3)
    begun = asyncio.get_running_loop().time()
    peer = await world.peer()
    if before:
        assert (await peer.ask(ORDER)).status == 200
    await dribble(peer, raw)
    assert peer.closed  # before it was all sent, which takes 20 s
    assert asyncio.get_running_loop().time() - begun > 0.25
    await until(lambda: not world.connections)


async def test_a_first_byte_puts_nothing_off(start, fast_path):
    world = await start(fast_path=fast_path, request_s=2)
    peer = await world.peer()
    await asyncio.sleep(0.1)
    later = await world.peer()  # whose time begins before that byte, and ends after the other's
    await asyncio.sleep(0.3)
    await peer.send(ORDER[:20])
    assert await later.rest() == b""
    assert peer.closed


async def test_a_peer_that_says_nothing(start, fast_path):
    world = await start(fast_path=fast_path, request_s=0.1)
    assert await (await world.peer()).rest() == b""
    assert world.metrics.counts["pixeld_slow_requests_total"] == 1


async def test_a_body_that_a_handler_waits_for(start, fast_path):
    """aiohttp would let it wait for ever."""
    seen = []

    async def reading(request):
        try:
            return server.web.Response(text=(await request.read()).decode())
        except BaseException as error:
            seen.append(type(error))
            raise

    world = await start(fast_path=fast_path, request_s=0.5, routes=[server.web.post("/read", reading)])
    peer = await world.peer()
    await peer.send(request("/read", "Content-Length: 5", method="POST", body=b"he"))
    assert await peer.rest() == b""
    await until(lambda: not world.connections)
    assert len(seen) == 1
    other = await world.peer()
    await other.send(request("/read", "Content-Length: 5", method="POST", body=b"he"))
    await turns(10)
    await other.send(b"llo")
    assert (await other.reply()).body == b"hello"


async def test_a_reply_that_takes_longer_than_a_request_may(start, fast_path):
    """The time is for what the peer sends, not for what it waits for; a part of its next request changes nothing about that."""
    world = await start(fast_path=fast_path, request_s=1, manual=True)
    peer = await world.peer()
    await peer.send(click(1)[0] + click(2)[0][:30])
    await world.intake.holds(1)
    await peer.send(click(2)[0][30:50])
    await asyncio.sleep(1.5)
    world.intake.commit()
    assert told(await peer.reply()) == "click 1"
    await peer.send(click(2)[0][50:])
    await world.intake.holds(1)
    world.intake.commit()
    assert told(await peer.reply()) == "click 2"


async def test_an_idle_connection_has_keepalive_s(start, fast_path):
    world = await start(fast_path=fast_path, request_s=0.5, keepalive_s=60)
    peer = await world.peer()
    assert (await peer.ask(ORDER)).status == 200
    await asyncio.sleep(1)
    assert (await peer.ask(ORDER)).status == 200


async def test_a_handshake_has_request_s(start, tmp_path):
    cert, key = certificate(tmp_path, "localhost")
    world = await start(request_s=1, tls_cert=cert, tls_key=key)
    peer = await world.peer()  # without TLS
    assert await peer.rest() == b""
    trust = ssl.create_default_context(cafile=cert)
    assert (await (await world.peer(ssl=trust, server_hostname="localhost")).ask(ORDER)).status == 200


@pytest.mark.parametrize("many", [N, 40], ids=["many replies", "a few"])
@pytest.mark.parametrize("closing", [False, True], ids=["", "that wants no more"])
async def test_a_peer_that_takes_nothing_of_its_replies(many, closing, start, fast_path):
    """The kernel gives it up; its connection and what was to be sent go with it."""
    world = await start(fast_path=fast_path, keepalive_s=0.5, request_s=0.5)
    peer, conn = await slow_peer(world)
    transport = conn.transport
    peer.transport.write(refused(1)[0] * many + (request("/t/", "Connection: close") if closing else b""))
    await until(lambda: sum(world.outcomes.values()) > 0)
    assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 500
    await until(lambda: not world.connections)
    assert (await (await world.peer()).ask(ORDER)).status == 200


# How often


FORWARDED = "X-Forwarded-For: {}".format
CLICK, SHOWN, BOUGHT = "/t/acme/c/blog", "/t/acme/i/blog.gif", "/t/acme/o.gif?order=1&amount=1"


@pytest.fixture
def limited(start, fast_path):
    """A listener behind a trusted proxy on which an address may have two events stored."""

    async def make(burst=2):
        origin = Origin([ip_network("127.0.0.0/8")])
        return await start(fast_path=fast_path, origin=origin, limiter=Limiter(1, burst, lambda: 0.0))

    return make


async def ask(world, target, address="192.0.2.1", *headers):
    return await (await world.peer()).ask(get(target, *([FORWARDED(address)] if address else []), *headers))


async def test_a_click_too_many_still_leads_to_the_shop_and_earns_its_order(limited):
    world = await limited()
    replies = [await ask(world, CLICK) for _ in range(4)]
    assert [reply.headers["X-Pixeld"] for reply in replies] == ["ok", "ok"] + ["dropped; reason=rate_limited"] * 2
    assert all(reply.status == 302 and "pxid=" in reply.headers["Location"] for reply in replies)
    cookie = replies[3].headers["Set-Cookie"].partition(";")[0]
    assert (await ask(world, BOUGHT, "192.0.2.1", f"Cookie: {cookie}")).headers["X-Pixeld"] == "ok"
    events = world.intake.events
    assert [kind for kind, _ in events] == ["click", "click", "order"]
    assert (events[2][1]["partner"], events[2][1]["method"]) == ("blog", "cookie")
    assert world.outcomes == {("click", "human"): 2, ("click", "rate_limited"): 2, ("order", "human"): 1}


async def test_an_impression_too_many_gets_its_gif(limited):
    world = await limited()
    replies = [await ask(world, SHOWN) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    assert len({reply.body for reply in replies}) == 1
    assert replies[2].headers["X-Pixeld"] == "dropped; reason=rate_limited"
    assert "Retry-After" not in replies[2].headers
    assert len(world.intake.events) == 2


@pytest.mark.parametrize("query", ["", "&test=1"])
async def test_an_order_is_never_limited(query, limited):
    world = await limited()
    for _ in range(2):
        await ask(world, CLICK)
    for n in range(20):
        assert (await ask(world, f"/t/acme/o.gif?order={n}&amount=1{query}")).headers["X-Pixeld"] == "ok"
    assert len(world.intake.events) == 22


async def test_what_is_not_stored_anyway_takes_no_token(limited):
    world = await limited()
    for target in ("/t/nobody/c/blog", "/t/", "/t/acme/o.gif"):
        for _ in range(3):
            await ask(world, target)
    assert [(await ask(world, CLICK)).headers["X-Pixeld"] for _ in range(2)] == ["ok", "ok"]


async def test_each_address_has_its_own(limited):
    world = await limited(1)
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"):
        assert (await ask(world, CLICK, address)).headers["X-Pixeld"] == "ok"
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::2", "2001:db8:0:1::2"):
        assert (await ask(world, CLICK, address)).headers["X-Pixeld"] == "dropped; reason=rate_limited"


async def test_a_proxy_that_names_nobody_is_no_visitor(limited):
    world = await limited(1)
    assert [(await ask(world, CLICK, "")).headers["X-Pixeld"] for _ in range(3)] == ["ok"] * 3


async def test_a_visitor_cannot_choose_a_bucket(start, fast_path):
    world = await start(fast_path=fast_path, limiter=Limiter(1, 1, lambda: 0.0))  # no proxy is trusted
    said = [(await ask(world, CLICK, f"192.0.2.{n}")).headers["X-Pixeld"] for n in range(2)]
    assert said == ["ok", "dropped; reason=rate_limited"]


async def test_a_route_that_is_not_ours_is_guarded_too(start, fast_path):
    world = await start(fast_path=fast_path, routes=noting(asked := []), max_request_bytes=1024)
    reply = await (await world.peer()).ask(request("/cold", *["X: " + "a" * 400] * 3))
    assert reply.status == 400 and asked == []


async def test_a_head_without_end_is_refused_before_it_ends(start, fast_path):
    """What is waited for is held in memory."""
    world = await start(fast_path=fast_path, max_request_bytes=8192)
    peer = await world.peer()
    await peer.send(ORDER[:-2])
    for _ in range(8):
        assert not peer.received
        await peer.send(b"X: " + b"a" * 1000 + b"\r\n")
        await turns(10)
    await peer.send(b"X: " + b"a" * 1000)
    assert b" 400 Bad Request\r\n" in await peer.rest()
