"""Every rule of the wire contract, hot and cold, whole and byte by byte: the same bytes."""

import pytest

from pixeld.web.fastpath import HotParser
from tests.wire.conftest import tracker
from tests.wire.corpus import RULES
from tests.wire.peer import request

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
async def test_rule(rule, start, fast_path, split):
    world = await start(fast_path=fast_path, **({"snapshot": None} if "unread" in rule.world else {}))
    world.intake.full, world.intake.failing = "full" in rule.world, "fails" in rule.world
    peer = await world.peer()

    reply = await peer.ask(rule.raw, [1] * len(rule.raw) if split else None)

    assert reply.raw == rule.reply
    assert world.cold_requests == (0 if fast_path and rule.raw.startswith(b"GET") else 1)
    assert world.outcomes == {rule.outcome: 1}
    events = [{"kind": kind} | columns for kind, columns in world.intake.events]
    if rule.event is None:
        assert events == []
    else:
        assert len(events) == 1
        assert {name: events[0][name] for name in rule.event} == rule.event


GOLDEN = {
    "click": (
        request("/t/acme/c/blog?u=https%3A%2F%2Fm.shop.example%2Fa%3Fb%3Dc%23d"),
        b"HTTP/1.1 302 Found\r\n"
        b"X-Pixeld: ok\r\n"
        b"Location: https://m.shop.example/a?b=c&pxid=E2tJ0gAAAAAAAAAAAWIZIqI0uEpHRRViblog#d\r\n"
        b"Set-Cookie: pxref=E2tJ0gAAAAAAAAAAAWIZIqI0uEpHRRViblog; Path=/t/acme/; Max-Age=2592000; Secure; HttpOnly; SameSite=None\r\n"
        b'P3P: policyref="/w3c/p3p.xml", CP="NON DSP"\r\n'
        b"Cache-Control: no-store\r\n"
        b"Referrer-Policy: strict-origin-when-cross-origin\r\n"
        b"X-Robots-Tag: noindex, nofollow\r\n"
        b"Content-Length: 0\r\n"
        b"Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"
        b"\r\n",
    ),
    "impression": (
        request("/t/acme/i/blog.gif"),
        b"HTTP/1.1 200 OK\r\n"
        b"X-Pixeld: ok\r\n"
        b'P3P: policyref="/w3c/p3p.xml", CP="NON DSP"\r\n'
        b"Cache-Control: no-store\r\n"
        b"Cross-Origin-Resource-Policy: cross-origin\r\n"
        b"Content-Type: image/gif\r\n"
        b"Content-Length: 43\r\n"
        b"Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"
        b"\r\n"
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00"
        b"\x00\x02\x02D\x01\x00;",
    ),
    "landing": (
        request("/t/acme/l.gif?click=E2tJ0gAAAAAAAAAAAWIZIqI0uEpHRRViblog"),
        b"HTTP/1.1 200 OK\r\n"
        b"X-Pixeld: ok\r\n"
        b"Set-Cookie: pxref-landing=E2tJ0gAAAAAAAAAAAWIZIqI0uEpHRRViblog; Path=/; Max-Age=2592000; Secure; HttpOnly; "
        b"SameSite=None; Partitioned\r\n"
        b'P3P: policyref="/w3c/p3p.xml", CP="NON DSP"\r\n'
        b"Cache-Control: no-store\r\n"
        b"Cross-Origin-Resource-Policy: cross-origin\r\n"
        b"Content-Type: image/gif\r\n"
        b"Content-Length: 43\r\n"
        b"Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"
        b"\r\n"
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00"
        b"\x00\x02\x02D\x01\x00;",
    ),
    "order that is dropped": (
        request("/t/acme/o.gif?order=1&amount=1,5"),
        b"HTTP/1.1 200 OK\r\n"
        b"X-Pixeld: dropped; reason=bad_amount\r\n"
        b'P3P: policyref="/w3c/p3p.xml", CP="NON DSP"\r\n'
        b"Cache-Control: no-store\r\n"
        b"Cross-Origin-Resource-Policy: cross-origin\r\n"
        b"Content-Type: image/gif\r\n"
        b"Content-Length: 43\r\n"
        b"Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"
        b"\r\n"
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00"
        b"\x00\x02\x02D\x01\x00;",
    ),
}


@pytest.mark.parametrize(("raw", "reply"), GOLDEN.values(), ids=GOLDEN)
async def test_golden(raw, reply, start, fast_path):
    """What merchants, partners and load scripts depend on, spelled out."""
    world = await start(fast_path=fast_path)
    assert (await (await world.peer()).ask(raw)).raw == reply


async def test_byte_by_byte_means_that(start, monkeypatch):
    """The server does read single bytes, where the tests say so."""
    read, feed = [], HotParser.feed_data
    monkeypatch.setattr(HotParser, "feed_data", lambda self, data: (read.append(data), feed(self, data))[1])
    raw = request("/t/acme/i/blog.gif")
    await (await (await start()).peer()).ask(raw, [1] * len(raw))
    assert read == [raw[n : n + 1] for n in range(len(raw))]


async def test_a_whole_url_as_target_is_understood(start, fast_path):
    """No browser sends one to an origin server, but every server has to take it (RFC 9112 §3.2.2)."""
    world = await start(fast_path=fast_path)
    reply = await (await world.peer()).ask(request("http://track.example/t/acme/o.gif?order=1&amount=1"))
    assert reply.headers["X-Pixeld"] == "ok"
    assert [event["order_id"] for _, event in world.intake.events] == ["1"]


async def test_two_clicks_have_two_click_ids(start, fast_path):
    world = await start(fast_path=fast_path)
    peer = await world.peer()
    first, second = [(await peer.ask(request("/t/acme/c/blog"))).headers["Location"] for _ in range(2)]
    assert first != second


async def test_the_date_is_the_clocks(start, fast_path):
    world = await start(fast_path=fast_path)
    peer = await world.peer()
    dates = []
    for seconds in (0.999, 0.001, 86_400):
        world.clock.forward(seconds)
        dates.append((await peer.ask(request("/t/acme/i/blog.gif"))).headers["Date"])
    assert dates == ["Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:00:01 GMT", "Sat, 16 Jan 2027 08:00:01 GMT"]


async def test_a_new_tracker_answers_on_open_connections(start, fast_path):
    """A change of the registry is seen by the next request."""
    world = await start(fast_path=fast_path, snapshot=None)
    peer = await world.peer()
    assert (await peer.ask(request("/t/acme/c/blog"))).status == 503
    world.desk.tracker = tracker()
    assert (await peer.ask(request("/t/acme/c/blog"))).status == 302
