"""What is recognised without the parser, what isn't, and how a connection goes on after it."""

import asyncio
from ipaddress import ip_network

import pytest
from multidict import CIMultiDict

from pixeld.web import recogniser
from pixeld.web.desk import said
from pixeld.web.origin import Origin
from pixeld.web.plain import PlainRequestHandler
from pixeld.web.recogniser import Recogniser
from tests.wire.corpus import CHROME, get
from tests.wire.peer import request

LIMITS = {"max_bytes": 4000, "max_line_size": 3000, "max_field_size": 3000, "max_headers": 20}
ORIGIN = Origin([ip_network("10.0.0.0/8")], "CF-IPCountry")
ORDER = "/t/acme/o.gif?order=1&amount=1"
BROWSER = (f"User-Agent: {CHROME}", "Accept-Language: de-DE,de;q=0.9")



@pytest.fixture
def recognise():
    loop = asyncio.new_event_loop()
    yield Recogniser(ORIGIN, loop, **LIMITS).recognise
    loop.close()


SAID = said(CIMultiDict(line.split(": ") for line in BROWSER), ORIGIN)


@pytest.mark.parametrize(
    ("raw", "proxied", "found"),
    [
        pytest.param(request(ORDER, *BROWSER), False, (ORDER, "", "", SAID), id="no cookie"),
        pytest.param(request(ORDER, *BROWSER, "Cookie: a=b; c=d"), False, (ORDER, "a=b; c=d", "", SAID), id="a cookie"),
        pytest.param(request(ORDER, "cookie: a=b", *BROWSER), False, (ORDER, "a=b", "", SAID), id="its name in small letters"),
        pytest.param(
            request(ORDER, "X-Forwarded-For: 192.0.2.7", *BROWSER, "Cookie: a=b"), True, (ORDER, "a=b", "192.0.2.7", SAID),
            id="behind a proxy",
        ),
        pytest.param(request(ORDER, "X-Forwarded-For: 192.0.2.7"), False, None, id="an address that nobody asked for"),
        pytest.param(request(ORDER, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 192.0.2.8"), True, None, id="two addresses"),
        pytest.param(request(ORDER, "X-Real-IP: 192.0.2.7"), True, None, id="a visitor's address in another header"),
        pytest.param(request(ORDER, "X-Anything: at all"), False, None, id="a header that nobody knows"),
        pytest.param(request(ORDER, "Authorization: Basic x"), False, None, id="a secret"),
        pytest.param(request(ORDER, "Referer: https://shop.example/"), False, (ORDER, "", ""), id="the site it comes from"),
        pytest.param(request(ORDER, "Referer: https://shop.example/a?b=c"), False, None, id="the page it comes from"),
        pytest.param(request(ORDER, "Sec-CH-UA-Mobile: ?0"), False, (ORDER, "", ""), id="a client hint"),
        pytest.param(request(ORDER, "CF-IPCountry: DE"), True, (ORDER, "", ""), id="a country from the proxy's header"),
        pytest.param(request(ORDER, "Connection: keep-alive"), False, (ORDER, "", ""), id="keep alive"),
        pytest.param(request(ORDER, "Connection: close"), False, None, id="close"),
        pytest.param(request(ORDER, "Expect: 100-continue"), False, None, id="an expectation"),
        pytest.param(request(ORDER, "Upgrade: h2c"), False, None, id="an upgrade"),
        pytest.param(request(ORDER, "Transfer-Encoding: chunked"), False, None, id="chunks"),
        pytest.param(request(ORDER, "Content-Length: 0"), False, None, id="a length"),
        pytest.param(request(ORDER, "Cookie: a=b", "cookie: c=d"), False, None, id="two cookies"),
        pytest.param(request(ORDER, "Cookie:  a=b"), False, None, id="two spaces before a value"),
        pytest.param(request(ORDER, "Cookie: a=b "), False, None, id="a space behind a value"),
        pytest.param(request(ORDER, "Cookie: a=ä"), False, None, id="a value that is not ASCII"),
        pytest.param(request(ORDER, "Cookie: a=\x01"), False, None, id="a control in a value"),
        pytest.param(request(ORDER, "Cookie: a=b", " c=d"), False, None, id="a folded header"),
        pytest.param(request(ORDER, "Accept : a"), False, None, id="what the parser refuses"),
        pytest.param(request(ORDER).replace(b"Host: track.example\r\n", b""), False, None, id="no Host"),
        pytest.param(request(ORDER) + request(ORDER), False, None, id="two requests"),
        pytest.param(request(ORDER) + b"GET", False, None, id="a second one that has begun"),
        pytest.param(request(ORDER)[:-1], False, None, id="one that has not ended"),
        pytest.param(request(ORDER, method="HEAD"), False, None, id="HEAD"),
        pytest.param(request(ORDER, version="1.0"), False, None, id="HTTP/1.0"),
        pytest.param(request("/privacy"), False, None, id="another address"),
        pytest.param(request("/t/acme/o.gif?order=ä"), False, None, id="a target that is not ASCII"),
        pytest.param(request("/t/acme/o.gif#a"), False, None, id="a fragment"),
        pytest.param(request("/t/acme/o.gif?a=b c"), False, None, id="a space in the target"),
        pytest.param(request("/t/acme/o.gif?" + "a" * 3000), False, None, id="longer than a line may be"),
        pytest.param(request(ORDER, *["Accept: b"] * 20), False, None, id="more headers than there may be"),
        pytest.param(request(ORDER, "Accept: " + "b" * recogniser.MAX_REST), False, None, id="more than is remembered"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("known", [False, True], ids=["a new rest", "a known rest"])
def test_recognised(raw, proxied, found, known, recognise):
    if known:  # the same lines from another visitor, of whom nothing is unusual
        recognise(raw.replace(b"a=b", b"e=f").replace(b".7", b".9"), proxied)
    result = recognise(raw, proxied)
    assert (result and result[: len(found)]) == found


@pytest.mark.parametrize(
    "value", ["a=ä", "a=\x01", " a=b", "a=b ", "a=b\t", "a=\x7f", "a=\n"], ids=ascii
)
def test_a_known_rest_is_no_reason_to_take_any_cookie(value, recognise):
    assert recognise(request(ORDER, "Cookie: a=b"), False) is not None
    assert recognise(request(ORDER, f"Cookie: {value}"), False) is None


def test_a_known_rest_is_no_reason_to_take_any_address(recognise):
    assert recognise(request(ORDER, "X-Forwarded-For: 192.0.2.7"), True) is not None
    assert recognise(request(ORDER, "X-Forwarded-For: 192.0.2.7\x00"), True) is None


def test_what_is_remembered_is_bounded_and_names_nobody(recognise, monkeypatch):
    monkeypatch.setattr(recogniser, "GENERATION", 10)
    parsed = []
    whole = Recogniser._parsed
    monkeypatch.setattr(Recogniser, "_parsed", lambda self, *args: (parsed.append(1), whole(self, *args))[1])
    for n in range(100):
        recognise(request(ORDER, f"User-Agent: {n}", "Cookie: visitor=1", "X-Forwarded-For: 192.0.2.7"), True)
        recognise(request(ORDER, "User-Agent: often"), False)
    assert len(parsed) == 101, "what comes often is not forgotten"
    kept = [*recognise.__self__._young, *recognise.__self__._old]
    assert len(kept) <= 20
    assert not [rest for rest in kept if b"192.0.2" in rest or b"visitor" in rest or b"order" in rest]


async def test_the_parser_is_fed_nothing_before_it_has_to_be(start):
    """Then it has everything, and order is kept."""
    world = await start(manual=True)
    peer = await world.peer()
    for n in range(3):
        await peer.send(get(f"/t/acme/c/blog?s1={n}"))
        await world.intake.holds(n + 1)
    [connection] = world.connections
    assert isinstance(connection, PlainRequestHandler) and connection.plain
    await peer.send(request("/t/acme/c/blog?s1=3", method="HEAD"))
    await peer.send(get("/t/acme/c/blog?s1=4"))
    await world.intake.holds(3)
    assert not connection.plain
    world.intake.schedule = asyncio.get_running_loop().call_soon
    world.intake.commit()
    replies = [await peer.reply(to="HEAD" if n == 3 else "GET") for n in range(5)]
    assert [reply.status for reply in replies] == [302] * 5
    assert [event["s1"] for _, event in world.intake.events] == ["0", "1", "2", "3", "4"]
    assert world.cold_requests == 2  # what came behind it waited with it


@pytest.mark.parametrize(
    ("behind", "stays"),
    [
        pytest.param(get("/t/acme/c/blog?s1=1"), True, id="another plain one"),
        pytest.param(get("/t/acme/c/blog?s1=1") * 31, True, id="as many as a connection may have waiting"),
        pytest.param(get("/t/acme/c/blog?s1=1") * 32, False, id="one more"),
        pytest.param(get("/t/acme/c/blog?s1=1")[:-2], False, id="a part of one"),
        pytest.param(request("/t/acme/c/blog", method="HEAD"), False, id="one that is not plain"),
    ],
)
async def test_several_plain_requests_in_one_read_need_no_parser(behind, stays, start):
    """Otherwise whoever pipelines for having to wait would be served at half the speed from then on."""
    world = await start()
    peer = await world.peer()
    await peer.send(get("/t/acme/c/blog?s1=0") + behind)
    assert (await peer.reply()).status == 302
    [connection] = world.connections
    assert connection.plain is stays
