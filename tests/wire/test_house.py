"""The house: the same to a visitor in one process, and over a unix socket from a worker."""

import asyncio
import gzip
import json
from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from aiohttp import web

from pixeld.domain.tokens import ID
from pixeld.web import handon, house, server
from pixeld.web.headers import protect
from pixeld.web.origin import Origin
from tests.wire.conftest import until
from tests.wire.peer import request
from tests.wire.test_sequence import click, told

LARGE = bytes(range(256)) * 4096 * 4  # 4 MiB
FORM = "application/x-www-form-urlencoded"
PROXIES = {"nobody": (), "the peer": (ip_network("127.0.0.1"),)}


class Room:
    """A room that tells what it was asked, and what a page of it can do."""

    def __init__(self):
        self.reached, self.go_on = [], asyncio.Event()
        self.app = web.Application()
        self.app.router.add_route("*", "/echo{rest:.*}", self.echo)
        self.app.router.add_get("/cookies", self.cookies)
        self.app.router.add_get("/large", self.large)
        self.app.router.add_get("/pieces", self.pieces)
        self.app.router.add_get("/packed", self.packed)
        self.app.router.add_get("/unchanged", self.unchanged)
        self.app.router.add_get("/never", self.never)
        self.app.router.add_get("/breaks", self.breaks)
        self.app.router.add_post("/form", self.form)

    async def echo(self, request):
        headers = [(name, value) for name, value in request.headers.items()]
        body = (await request.read()).decode("latin-1")
        said = {"method": request.method, "target": request.raw_path, "headers": headers, "body": body}
        return web.json_response(said | {"address": house.address(request)})

    async def cookies(self, request):
        response = web.HTTPSeeOther("/portal/?a=1#b")
        response.headers.add("Set-Cookie", "__Host-pixeld=1; Path=/; Secure; HttpOnly; SameSite=Lax")
        response.headers.add("Set-Cookie", "other=2, 3; Path=/")
        raise response

    async def large(self, request):
        return web.Response(body=LARGE)

    async def pieces(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await self.go_on.wait()
        await response.write(b"second")
        return response

    async def packed(self, request):
        return web.Response(body=gzip.compress(b"packed"), headers={"Content-Encoding": "gzip"})

    async def unchanged(self, request):
        raise web.HTTPNotModified(headers={"ETag": '"1"'})

    async def never(self, request):
        self.reached.append("never")
        await self.go_on.wait()
        return web.Response()

    async def breaks(self, request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        await self.go_on.wait()
        request.transport.abort()
        return response

    async def form(self, request):
        return web.json_response(dict(await request.post()))


@pytest.fixture(params=["one process", "a worker"])
async def visit(request, start, tmp_path):
    """Starts a public listener with a house behind it, or in it."""
    opened = []

    async def make(proxies="nobody", **options):
        origin, room = Origin(PROXIES[proxies]), Room()
        direct = request.param == "one process"
        home = house.application(origin if direct else None)
        home.add_subapp("/portal", room.app)
        home.router.add_route("*", f"/t/{{client:{ID}}}/my-data", room.echo)
        app, office = home, None
        if not direct:
            office = await server.listen_plainly(home, server.bind_unix(tmp_path / "house.sock"))
            app = handon.application(tmp_path / "house.sock", origin)
            opened.append(office)
        app.router.add_get("/privacy", _privacy)
        protect(app, https=True)
        world = await start(application=app, **options)
        return SimpleNamespace(world=world, room=room, office=office, peer=await world.peer(), direct=direct)

    yield make
    for office in opened:
        await office.stop()


async def _privacy(request):
    return web.Response(text="here")


async def echoed(peer, raw, pieces=None):
    reply = await peer.ask(raw, pieces)
    assert reply.status == 200, reply.raw
    return json.loads(reply.body)


@pytest.mark.parametrize(
    "target",
    [
        "/portal/echo",
        "/portal/echo/a%2Fb%20c/%C3%A9?x=%C3%A9&y=a+b&&z=%00",
        "/portal/echo/a/../b/./c",
        "/portal/echo//a;b=c/:@!$&'()*,",
        "/portal/echo?next=https://other.example/?a=b",
        "/portal/echo/\"<>|\\^`{}?\"<>|\\^`{}",
    ],
)
async def test_a_target_arrives_as_it_was_sent(target, visit):
    here = await visit()
    assert (await echoed(here.peer, request(target)))["target"] == target


async def test_a_target_with_a_host_is_understood(visit):
    here = await visit()
    said = await echoed(here.peer, request("http://track.example/portal/echo?a=b"))
    assert said["target"].endswith("/portal/echo?a=b")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_methods_and_bodies(method, visit):
    here = await visit()
    body = b"" if method == "GET" else b"\x00\xff a body"
    raw = request("/portal/echo", f"Content-Length: {len(body)}", method=method, body=body)
    said = await echoed(here.peer, raw)
    assert (said["method"], said["body"]) == (method, body.decode("latin-1"))


@pytest.mark.parametrize("pieces", [None, [200, 60_000, 5_000]], ids=["at once", "in pieces"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_form_of_the_greatest_size_and_one_byte_more(framing, pieces, visit):
    here = await visit()
    for size, status in ((house.BODY_BYTES, 200), (house.BODY_BYTES + 1, 413)):
        body = b"field=".ljust(size, b"x")
        how = f"Content-Length: {size}"
        if framing == "chunks":
            how, body = "Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
        raw = request("/portal/form", how, f"Content-Type: {FORM}", method="POST", body=body)
        reply = await here.peer.ask(raw, pieces and [*pieces, len(raw) - sum(pieces)])
        assert reply.status == status
    assert "x" * 100 not in reply.body.decode()


async def test_what_peers_say_of_their_connection_goes_no_further(visit):
    here = await visit()
    mine = ("Connection: keep-alive, X-Mine", "X-Mine: 1", "TE: trailers", "Keep-Alive: timeout=5", "Proxy-Connection: x")
    theirs = ("Cookie: a=1; b=2", "Authorization: Bearer pxk_1", "X-Twice: 1", "X-Twice: 2", "Accept-Language: de")
    said = await echoed(here.peer, request("/portal/echo", *mine, *theirs))
    headers = [f"{name}: {value}" for name, value in said["headers"]]
    assert [header for header in headers if header in theirs] == list(theirs)
    assert ("Host", "track.example") in map(tuple, said["headers"])
    if not here.direct:
        assert not [header for header in headers if header in mine]
        assert {name for name, _ in said["headers"]} - {header.partition(":")[0] for header in theirs} == {"Host", "X-Pixeld-Address"}


async def test_bytes_that_are_no_text_in_a_header_do_no_harm(visit):
    here = await visit()
    said = await echoed(here.peer, request("/portal/echo", "X-Odd: \udcff\udcfe", "X-Name: Zoë"))
    assert dict(map(tuple, said["headers"]))["X-Name"] == "Zoë"


@pytest.mark.parametrize(
    ("proxies", "headers", "address"),
    [
        pytest.param("nobody", (), "127.0.0.1", id="the peer's"),
        pytest.param("nobody", ("X-Forwarded-For: 203.0.113.9",), "127.0.0.1", id="nobody's say is believed"),
        pytest.param("nobody", ("X-Pixeld-Address: 203.0.113.9",), "127.0.0.1", id="nor in the words of a worker"),
        pytest.param("the peer", ("X-Forwarded-For: 203.0.113.9",), "203.0.113.9", id="a trusted proxy's"),
        pytest.param("the peer", ("X-Forwarded-For: 1.1.1.1, 203.0.113.9", "x-pixeld-address: 2.2.2.2"), "203.0.113.9", id="both"),
    ],
)
async def test_the_visitor_s_address(proxies, headers, address, visit):
    here = await visit(proxies)
    assert (await echoed(here.peer, request("/portal/echo", *headers)))["address"] == address


async def test_a_redirect_with_several_cookies(visit):
    here = await visit()
    reply = await here.peer.ask(request("/portal/cookies"))
    lines = reply.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert reply.status == 303 and reply.headers["Location"] == "/portal/?a=1#b"
    assert [line for line in lines if line.startswith("Set-Cookie: ")] == [
        "Set-Cookie: __Host-pixeld=1; Path=/; Secure; HttpOnly; SameSite=Lax",
        "Set-Cookie: other=2, 3; Path=/",
    ]
    assert sum(line.startswith("Content-Security-Policy: ") for line in lines) == 1
    assert sum(line.startswith("Strict-Transport-Security: ") for line in lines) == 1


async def test_replies_without_a_body_and_what_comes_after_them(visit):
    here = await visit()
    reply = await here.peer.ask(request("/portal/large", method="HEAD"))
    assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(LARGE)))
    reply = await here.peer.ask(request("/portal/unchanged"))
    assert (reply.status, reply.body) == (304, b"") and b'etag: "1"\r\n' in reply.raw.lower()
    assert (await echoed(here.peer, request("/portal/echo")))["method"] == "GET"


async def test_a_large_reply_arrives_whole(visit):
    here = await visit()
    for _ in range(2):
        assert (await here.peer.ask(request("/portal/large"))).body == LARGE


async def test_what_is_packed_stays_packed(visit):
    reply = await (await visit()).peer.ask(request("/portal/packed", "Accept-Encoding: gzip"))
    assert reply.headers["Content-Encoding"] == "gzip" and gzip.decompress(reply.body) == b"packed"


async def test_a_reply_is_passed_on_as_it_comes(visit):
    here = await visit()
    await here.peer.send(request("/portal/pieces"))
    await here.peer._until(lambda: b"first" in here.peer.received)
    assert b"second" not in here.peer.received
    here.room.go_on.set()
    await here.peer._until(lambda: here.peer.received.endswith(b"0\r\n\r\n"))


async def test_half_a_reply_is_not_taken_for_a_whole_one(visit, caplog):
    here = await visit()
    await here.peer.send(request("/portal/breaks"))
    await here.peer._until(lambda: b"half" in here.peer.received)
    here.room.go_on.set()
    assert (await here.peer.rest()).endswith(b"\r\n\r\nhalf")
    assert "Traceback" not in caplog.text and "Error" not in caplog.text


async def test_tracking_and_the_listener_s_own_pages_stay_where_they_are(visit, fast_path):
    here = await visit(fast_path=fast_path)
    assert told(await here.peer.ask(click(1)[0])) == "click 1"
    assert (await here.peer.ask(request("/privacy"))).body == b"here"
    assert (await here.peer.ask(request("/privacy", "Content-Length: 0", method="POST"))).status == 405
    assert (await here.peer.ask(request("/t/acme/o.gif", "Content-Length: 0", method="POST"))).status == 405
    assert (await here.peer.ask(request("/portal/nothing"))).status == 404
    assert (await here.peer.ask(request("/"))).status == 404
    await here.peer.send(click(2)[0] + request("/portal/echo") + click(3)[0])
    assert [(await here.peer.reply()).status for _ in range(3)] == [302, 200, 302]


async def test_a_page_below_the_tracker_s_path_is_the_house_s_and_keeps_its_place(visit, fast_path):
    here = await visit(fast_path=fast_path)
    for path in ("/t/acme/my-data", "/t/nobody/my-data?view=card", "/t/acme/my%2Ddata", "/t/%61cme/%6Dy-data?x=%2F", "/%74/acme/my-data"):
        reply = await here.peer.ask(request(path, "Cookie: a=b"))
        assert reply.status == 200 and json.loads(reply.body)["target"] == path
        assert "Content-Security-Policy" in reply.headers
    raw = request("/t/acme/my-data", f"Content-Type: {FORM}", "Content-Length: 9", method="POST", body=b"do=delete")
    assert (await echoed(here.peer, raw))["body"] == "do=delete"
    fresh = await here.world.peer()  # whose first request decides that its parser is needed
    await fresh.send(click(1)[0] + request("/t/acme/my-data") + click(2)[0])
    assert [(await fresh.reply()).status for _ in range(3)] == [302, 200, 302]
    for path in ("/t/acme/my-datax", "/t/acme/my-data/", "/t//my-data", "/t/UP/my-data", "/t/acme/x/my-data", "/t/acme%2Fmy-data", "/t/acme/my%252Ddata"):
        reply = await here.peer.ask(request(path))
        assert (reply.status, reply.headers["X-Pixeld"]) == (404, "dropped; reason=bad_path"), path
        assert "Content-Security-Policy" not in reply.headers
    reply = await here.peer.ask(request("/%74/acme/c/blog"))  # below the tracker's path to the router only
    assert (reply.status, reply.headers["X-Pixeld"]) == (404, "dropped; reason=bad_path")
    assert not here.world.metrics.counts.get("pixeld_answer_errors_total")
    assert here.world.outcomes == {("click", "bot"): 2, ("none", "bad_path"): 8}


async def test_a_visitor_s_secrets_stay_his_own(visit):
    here = await visit()
    await here.peer.ask(request("/portal/cookies"))
    said = await echoed(await here.world.peer(), request("/portal/echo"))
    assert "Cookie" not in dict(map(tuple, said["headers"]))


@pytest.mark.parametrize("visit", ["a worker"], indirect=True)
class TestAway:
    """Only a worker can lose the house."""

    @pytest.mark.parametrize(
        ("path", "kind"),
        [("/portal/echo", "text/html; charset=utf-8"), ("/", "text/html; charset=utf-8"), ("/api/v1/x", "application/problem+json")],
    )
    async def test_it_is_told(self, path, kind, visit):
        here = await visit()
        await echoed(here.peer, request("/portal/echo"))
        await here.office.stop()
        for method in ("GET", "POST", "HEAD"):
            reply = await here.peer.ask(request(path, "Content-Length: 0", method=method))
            assert (reply.status, reply.headers["Content-Type"], reply.headers["Retry-After"]) == (503, kind, "5")
            assert "Strict-Transport-Security" in reply.headers and reply.headers["Cache-Control"] == "no-store"
        assert told(await here.peer.ask(click(1)[0])) == "click 1"
        long = request(path, f"Content-Length: {house.BODY_BYTES + 1}", method="POST", body=b"x" * (house.BODY_BYTES + 1))
        assert (await here.peer.ask(long)).status == 413  # nobody asks the house whether it is too long

    async def test_one_that_hangs_is_waited_for_in_bounds(self, visit, monkeypatch, tmp_path):
        monkeypatch.setattr(handon, "_ANSWER_S", 1)
        here = await visit()
        assert (await here.peer.ask(request("/portal/never"))).status == 503
        await here.peer.send(request("/portal/pieces"))
        assert b"first" in await here.peer.rest()
        here.room.go_on.set()

    async def test_more_than_it_takes_at_once_wait_and_not_for_ever(self, visit, monkeypatch):
        monkeypatch.setattr(handon, "_CONNECT_S", 1)
        monkeypatch.setattr(handon, "CONNECTIONS", 2)
        here = await visit()
        busy = [await here.world.peer() for _ in range(2)]
        for peer in busy:
            await peer.send(request("/portal/never"))
        await until(lambda: len(here.room.reached) == 2)
        assert (await here.peer.ask(request("/portal/echo"))).status == 503
        here.room.go_on.set()
        assert [(await peer.reply()).status for peer in busy] == [200, 200]
        assert (await here.peer.ask(request("/portal/echo"))).status == 200

    async def test_a_visitor_who_leaves_is_no_error(self, visit, caplog):
        here = await visit()
        await here.peer.send(request("/portal/pieces"))
        await here.peer._until(lambda: b"first" in here.peer.received)
        here.peer.reset()
        here.room.go_on.set()
        other = await here.world.peer()
        assert (await other.ask(request("/portal/large"))).body == LARGE
        await until(lambda: len(here.world.connections) == 1)
        assert "Error" not in caplog.text

    async def test_its_socket_is_for_this_user_alone_and_an_old_one_goes(self, visit, tmp_path):
        (tmp_path / "house.sock").touch(mode=0o666)
        here = await visit()
        assert (tmp_path / "house.sock").stat().st_mode & 0o777 == 0o600
        await echoed(here.peer, request("/portal/echo"))
