"""What hostile peers send changes nothing: not the next honest answer, not a log line, not what is held in memory."""

import asyncio
import gc
import re
import socket
import time
import tracemalloc
from base64 import urlsafe_b64decode, urlsafe_b64encode
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import pytest

from pixeld.domain.tokens import Keyring
from pixeld.tracking import audience
from pixeld.web.origin import Origin
from tests.wire.conftest import until
from tests.wire.corpus import MAX_AGE_S, NOW_S, signed
from tests.wire.hostile import ATTACKS
from tests.wire.peer import request

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

SPLIT_UP_TO = 30_000  # bytes: longer ones come in pieces of this size instead of one by one


async def everything(world, raw, pieces=None):
    """All that comes back for `raw` and a last request, which ends the connection if `raw` hasn't; dates taken out."""
    peer = await world.peer()
    await peer.send(raw, pieces)
    await peer.send(request("/t/last", "Connection: close"))
    return re.sub(rb"\r\nDate: [^\r]{29}\r\n", b"\r\n", await peer.rest())


async def honest(world):
    """Whether the very next visitor gets what every visitor gets."""
    reply = await (await world.peer()).ask(request("/t/acme/o.gif?order=honest&amount=1"))
    return reply.status == 200 and reply.headers["X-Pixeld"] == "ok"


def orders(world):
    return "".join(event["order_id"] for _, event in world.intake.events)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
async def test_attack(attack, start, caplog):
    caplog.set_level("DEBUG", "aiohttp")
    said = {}
    for fast_path in (True, False):
        for bytewise in (False, True):
            statuses, stored = attack.bytewise if bytewise and attack.bytewise else (attack.statuses, attack.orders)
            world = await start(fast_path=fast_path)
            n = len(attack.raw)
            piece = n if not bytewise else 1 if n < SPLIT_UP_TO else SPLIT_UP_TO
            replies = await everything(world, attack.raw, [piece] * (n // piece + 1))
            assert tuple(int(status) for status in re.findall(rb"HTTP/\d\.\d (\d{3}) ", replies)) == statuses
            assert orders(world) == stored
            assert not re.search(rb"aiohttp|Python|Traceback|EVIL|secret", replies)
            if 400 in statuses:  # and nothing of what was sent, which may be much, is sent back
                assert replies.endswith(b"\r\n\r\nThis is no request that can be understood.\n")
            assert await honest(world)
            said[fast_path, bytewise] = replies
    assert said[True, False] == said[False, False]
    assert said[True, True] == said[False, True]
    assert [record for record in caplog.records if record.name != "asyncio"] == []


# What is written into a request must not come out as a header or a log line


BREAKS = {
    "escaped line break": "%0d%0aX-Evil:%20EVIL%0d%0a%0d%0aEVIL",
    "escaped line feed": "%0aX-Evil:%20EVIL",
    "escaped carriage return": "%0dX-Evil:%20EVIL",
    "escaped twice": "%250d%250aX-Evil:%20EVIL",
    "NUL": "%00EVIL",
    "every control character": "".join(f"%{n:02x}" for n in (*range(32), 127, *range(128, 160))) + "EVIL",
    "letters whose low bytes are a line break": "%E5%98%8D%E5%98%8AX-Evil:%20EVIL",
    "Unicode's line breaks": "%C2%85%E2%80%A8%E2%80%A9X-Evil:%20EVIL",
    "overlong line break": "%C0%8D%C0%8AX-Evil:%20EVIL",
    "overlong in three bytes": "%E0%80%8D%E0%80%8AX-Evil:%20EVIL",
    "surrogates": "%ED%A0%80%ED%B0%80EVIL",
    "bytes that are no UTF-8": "%ff%fe%80EVIL",
    "UTF-7": "+AA0ACg-X-Evil:%20EVIL",
    "broken escapes": "%0%d%%0d%u000dEVIL",
    "header syntax": "EVIL;%20a=b,%20c;%20Secure:%20d",
    "quotes and brackets": "%22'%3Cscript%3EEVIL%3C/script%3E%3E",
}
PARAMETERS = {
    "/t/acme/c/blog?{}={}": ("u", "s1", "s2", "s3", "s4", "s5", "cid", "cr", "x"),
    "/t/acme/c/blog?u=https://shop.example/{}{}": ("",),
    "/t/acme/i/blog.gif?{}={}": ("s1", "cid", "cr"),
    "/t/acme/o.gif?order=1&amount=1&{}={}": ("currency", "click", "coupon", "customer", "test", "x"),
    "/t/acme/o.gif?amount=1&{}={}": ("order",),
    "/t/acme/o.gif?order=1&{}={}": ("amount",),
    "/t/{}{}/c/blog": ("",),
    "/t/acme/c/{}{}": ("",),
    "/t/acme/c/{}{}?u=https://shop.example/": ("", "blog"),
    "/t/acme/i/{}{}.gif": ("",),
    "/{}{}": ("", "w3c/", "t"),
}
HEADERS = ("X-Forwarded-For", "Cookie", "User-Agent", "Accept-Language", "Referer", "X-Evil", "Sec-Purpose", "Via", "Forwarded")
SAID = {
    "Access-Control-Allow-Origin", "Allow", "Cache-Control", "Connection", "Content-Length", "Content-Type", "Cross-Origin-Resource-Policy",
    "Date", "Location", "P3P", "Referrer-Policy", "Set-Cookie", "X-Pixeld", "X-Robots-Tag",
}  # fmt: skip


def harmless(reply):
    """Whether a reply has nothing of what was sent, unless in a Location whose characters are those of a URL."""
    names = [line.partition(b": ")[0].decode() for line in reply.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
    assert set(names) <= SAID and len(names) == len(set(names))
    location = reply.headers.get("Location", "https://shop.example/")
    assert re.fullmatch(r"https://shop\.example/[!-~]*", location)
    assert b"EVIL" not in reply.raw.replace(location.encode(), b"")
    return True


@pytest.mark.parametrize("payload", BREAKS.values(), ids=BREAKS)
async def test_nothing_escapes_from_a_parameter(payload, start, fast_path, caplog):
    caplog.set_level("DEBUG", "pixeld")
    world = await start(fast_path=fast_path, log_level="debug")
    peer = await world.peer()
    targets = [target.format(name, payload) for target, names in PARAMETERS.items() for name in names]
    for target in targets:
        assert harmless(await peer.ask(request(target)))
    assert "EVIL" not in caplog.text
    assert await honest(world)


@pytest.mark.parametrize("name", ["Host", *HEADERS])
async def test_nothing_escapes_from_a_header(name, start, fast_path, caplog):
    """A raw line break ends a header or the request; all else is a value that goes nowhere."""
    caplog.set_level("DEBUG", "pixeld")
    world = await start(fast_path=fast_path, origin=Origin([ip_network("127.0.0.0/8")]))
    peer = await world.peer()
    values = [*BREAKS.values(), "\udcff\udcfeEVIL", "\u0085\u2028EVIL", "pxref=EVIL; pxref=%0d%0aEVIL", "{}%s%n${jndi:ldap://EVIL}"]
    for target in ("/t/acme/c/blog", "/t/acme/i/blog.gif", "/t/acme/o.gif?order=1&amount=1", "/t/", "/nothing"):
        for value in values:
            raw = request(target, f"{name}: {value}")
            assert harmless(await peer.ask(raw.replace(b"Host: track.example\r\n", b"") if name == "Host" else raw))
    assert "EVIL" not in caplog.text


# Referrals that were never given


def _flipped(token):
    """The token with each bit of its signed bytes flipped in turn, and with each letter of its partner exchanged."""
    raw = urlsafe_b64decode(token[:32])
    for bit in range(8 * len(raw)):
        yield urlsafe_b64encode((int.from_bytes(raw) ^ 1 << bit).to_bytes(len(raw))).decode() + token[32:]
    for n in range(32, len(token)):
        yield token[:n] + ("x" if token[n] != "x" else "y") + token[n + 1 :]


_GOOD = signed(age_s=60)
_OF_ANOTHER_KEY = [Keyring({n: bytes([n]) * 16}, n).sign("acme", "blog", NOW_S, bytes(8)) for n in range(16)]
FORGED = {
    "a bit flipped": list(_flipped(_GOOD)),
    "truncated": [_GOOD[:n] for n in range(1, len(_GOOD))],
    "extended": [_GOOD + each for each in ("s", "-", "0", "_" + _GOOD[:-1], "A" * 29, "/../acme", "%00", "%0a", "=", "%3D")],
    "something before it": [each + _GOOD for each in ("A", "%20", ".", "%00", "pxref=", "%EF%BB%BF")],
    "another client's, with a good signature": [signed(client) for client in ("tokyo", "kuwait", "nobody")],
    "another partner's name under a good signature": [signed()[:32] + partner for partner in ("coupons", "applied", "blo", "blogg", "b")],
    "a partner who may not": [signed(partner=partner) for partner in ("applied", "declined", "ended", "stranger")],
    "a key that is not there, or another under its id": _OF_ANOTHER_KEY,
    "the future": [signed(age_s=-age) for age in (1, 60, 86_400, 2**32 - 1 - NOW_S)],
    "too old": [signed(age_s=age) for age in (MAX_AGE_S + 1, NOW_S)],
    "another spelling of its letters": [_GOOD.swapcase(), _GOOD.upper(), _GOOD[:32] + "BLOG", _GOOD[:32] + "ｂlog", _GOOD[:32] + "bl%00og"],
    "rubbish": ["A" * 64, "-" * 40, "." * 8, "A" * 8000, "%41" * 40, "null", "undefined", "0", "[]", "{{click}}"],
}


@pytest.mark.parametrize("tokens", FORGED.values(), ids=FORGED)
async def test_a_forged_referral_earns_nothing(tokens, start, fast_path):
    """Neither handed over by the shop nor in the cookie; the order is kept, without a partner."""
    world = await start(fast_path=fast_path)
    peer = await world.peer()
    for n, token in enumerate(tokens):
        assert (await peer.ask(request(f"/t/acme/o.gif?order=click-{n}&amount=1&click={quote(token, safe='%')}"))).status == 200
        assert (await peer.ask(request(f"/t/acme/o.gif?order=cookie-{n}&amount=1", f"Cookie: pxref={token}"))).status == 200
    events = [event for _, event in world.intake.events]
    assert len(events) == 2 * len(tokens)
    assert {(event["partner"], event["method"], event["click_id"], event["clicked_at"]) for event in events} == {("", "", "", 0)}


_MINE, _THEIRS = signed(age_s=60, nonce=5), signed("tokyo", age_s=60)
COOKIES = {
    "100 others before it": ("; ".join(f"a{n}=b" for n in range(100)) + f"; pxref={_MINE}", "blog"),
    "600 others before it": ("; ".join(f"a{n}=b" for n in range(600)) + f"; pxref={_MINE}", "blog"),
    "8,000 semicolons before it": (";" * 8000 + f"pxref={_MINE}", "blog"),
    "a name that begins like it": (f"pxref-x=1; xpxref=2; pxref={_MINE}", "blog"),
    "the first of two": (f"pxref={_MINE}; pxref={_THEIRS}", "blog"),
    "the first of two is another client's": (f"pxref={_THEIRS}; pxref={_MINE}", ""),
    "the first of a thousand is empty": ("pxref=; " * 1000 + f"pxref={_MINE}", ""),
    "mine behind another client's": (f"pxref={_THEIRS}.{_MINE}", "blog"),
    "eight of another client's": (f"pxref={'.'.join([_THEIRS] * 8)}", ""),
    "in quotes": (f'pxref="{_MINE}"', ""),
    "spaces around it": (f"  pxref  =  {_MINE}  ", "blog"),
    "another case of its name": (f"PXREF={_MINE}", ""),
    "its name without a value": ("pxref", ""),
    "an empty cookie": ("", ""),
}


@pytest.mark.parametrize(("cookie", "partner"), COOKIES.values(), ids=COOKIES)
async def test_cookies(cookie, partner, start, fast_path):
    world = await start(fast_path=fast_path)
    assert (await (await world.peer()).ask(request("/t/acme/o.gif?order=1&amount=1", f"Cookie: {cookie}"))).status == 200
    assert [event["partner"] for _, event in world.intake.events] == [partner]


EVASIONS = [
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\/evil.example", "\\\\evil.example", "\\evil.example",
    "https:evil.example", "https:/evil.example", "https:\\evil.example", "https:///evil.example", "https:/\\evil.example",
    "http:shop.example", "https:https://shop.example", "https://https://shop.example", "https:shop.example/@evil.example",
    "https://shop.example@evil.example", "https://shop.example%40evil.example", "https://shop.example:@evil.example",
    "https://shop.example:443@evil.example", "https://evil.example@shop.example", "https://a:b@shop.example/", "https://%61@shop.example/",
    "https://shop.example%2eevil.example", "https://shop.example%2f.evil.example", "https://shop.example%5cevil.example",
    "https://shop.example%00.evil.example", "https://shop.example%0a.evil.example", "https://shop.example\t.evil.example",
    "https://shop.example\n.evil.example", "ht\ttps://shop.example/", "ht\ntps://shop.example/", "https:\t//shop.example/", "\x01https://shop.example/",
    "https://shop.example /", " https://shop.example/", "https://shop.example/ ", "https://shop.example/\r", "https://shop.example./",
    "https://.shop.example/", "https://shop..example/", "https://shop.example..", "https://shop.example:8443.evil.example/",
    "https://shop.example:08443/", "https://shop.example:+8443/", "https://shop.example:8443%20/", "https://shop.example:/", "https://shop.example:0/",
    "https://shop.example:65536/", "https://shop.example:80/", "https://shop.example:443/", "https://shop.example:\u0668\u0664\u0664\u0663/",
    "https://xn--shop-0ra.example/", "https://\u0455hop.example/", "https://sh\u043ep.example/", "https://shop\u3002example/", "https://shop\uff0eexample/",
    "https://shop\uff61example/", "https://\uff53hop.example/", "https://sho\u0070\u0301.example/", "https://shop\u200b.example/",
    "https://shop\u2024example/", "https://shop.example\u2100evil.example/", "https://shop.example\uff0fevil.example/", "https://shop.example\uff20evil.example/",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "javascript://shop.example/%0aalert(1)", "javascript:https://shop.example/",
    "data:text/html;base64,PHNjcmlwdD4=", "vbscript:msgbox(1)", "file:///etc/passwd", "blob:https://shop.example/1", "view-source:https://shop.example/",
    "ftp://shop.example/", "ws://shop.example/", "intent://shop.example/#Intent;end", "mailto:a@shop.example", "about:blank", "//", "/", "\\", "?", "#", ":",
    "https://", "https://?", "https://#", "https://@", "https://:80", "https://[shop.example]/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://127.1/",
    "https://0x7f000001/", "https://017700000001/", "https://localhost/", "https://169.254.169.254/latest/meta-data/", "https://shop_example/", "https://shop.example_/",
    "https://-shop.example/", "https://*.shop.example/", "https://shop.example,evil.example/", "https://shop.example;evil.example/", "https://shop.example&evil.example/",
    "https://evil.example?shop.example", "https://evil.example#shop.example", "https://evil.example/shop.example", "https://evil.example\\@shop.example/",
    "https://evil.example#@shop.example/", "https://evil.example?@shop.example/", "https://evil.example%23@shop.example/", "https://wwwshop.example/",
    "https://shop.example.evil.example/", "https://m.shop.example.evil.example/", "https://evil.m.shop.example/", "https://shop-example/", "https://shopxexample/",
]  # fmt: skip


@pytest.mark.parametrize("link", EVASIONS, ids=ascii)
async def test_no_open_redirect(link, start, fast_path):
    """However a deep link is written, raw or escaped, the visitor comes to the landing page."""
    world = await start(fast_path=fast_path)
    peer = await world.peer()
    for safe in ("", "/:@?="):
        reply = await peer.ask(request("/t/acme/c/blog?u=" + quote(link, safe=safe)))
        assert re.fullmatch(r"https://shop\.example/welcome\?lang=de&pxid=[\w-]+#top", reply.headers["Location"])
    assert [event["quality"] for _, event in world.intake.events] == ["bad_deep_link"] * 2


# What it costs


_LETTERS = "".join(map(chr, range(33, 127)))
COSTS = {
    "a random user agent": [f"User-Agent: {(_LETTERS * 90)[n : n + 8000]}" for n in range(10)],
    "a user agent that nearly is many": [f"User-Agent: {n}" + "Mozilla/5.0 (Linux; Android 11; SM-" * 220 for n in range(10)],
    "a user agent of one letter": [f"User-Agent: {n}" + "a" * 8000 for n in range(10)],
    "a user agent of nearly crawlers": [f"User-Agent: {n}" + "spide crawle bo " * 490 for n in range(10)],
    "a user agent of brackets": [f"User-Agent: {n}" + "(; " * 2600 for n in range(10)],
    "1,600 languages": [f"Accept-Language: x{n}," + "de,q=1," * 1100 for n in range(10)],
    "4,000 forwarded addresses": [f"X-Forwarded-For: {n}," + "1," * 4000 for n in range(10)],
    "900 forwarded proxies": [f"X-Forwarded-For: {n}," + ",".join(["127.0.0.1"] * 800) for n in range(10)],
    "1,300 referral cookies": [f"Cookie: a={n};" + "pxref=;" * 1100 for n in range(10)],
    "99 headers": ["\r\n".join(f"A{i}: {n}" for i in range(97)) for n in range(10)],
    "30,000 bytes of headers": ["\r\n".join(f"A{i}: {n}" + "x" * 7000 for i in range(4)) for n in range(10)],
    "8,000 parameters": ["&" * 8000] * 10,
    "2,000 parameters, all different": ["&".join(f"{n:x}" for n in range(1700))] * 10,
    "2,700 escapes": ["&s1=" + "%41" * 2650] * 10,
    "8,000 broken escapes": ["&s1=" + "%" * 8000] * 10,
    "a deep link of 2,000 dots": ["&u=https://" + "a." * 1000] * 10,
}
MOST_MS = 25  # of CPU for one request, both ends of the wire included; 0.2 to 5 were measured, and 0.2 for an ordinary one


@pytest.mark.parametrize("what", COSTS.values(), ids=COSTS)
async def test_no_request_costs_much(what, start, fast_path):
    """The cheapest of ten, so that a busy machine fails no one; each differs, so that no cache helps."""
    world = await start(fast_path=fast_path, origin=Origin([ip_network("127.0.0.0/8")]))
    audience._agent.cache_clear()
    peer, spent = await world.peer(), []
    for n, text in enumerate(what):
        headers, query = ([text], "") if ": " in text else ([f"User-Agent: Mozilla/5.0 {n}"], text)
        raw = request(f"/t/acme/c/blog?s2={n}{query}", *headers)
        begun = time.process_time()
        assert (await peer.ask(raw)).status == 302
        spent.append(time.process_time() - begun)
    assert min(spent) * 1000 < MOST_MS


# What it leaves behind


def open_files():
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def test_nothing_is_left_behind(start, fast_path):
    """After the whole corpus, twice over: as many open files and tasks as before, and hardly more memory the second time."""
    world = await start(fast_path=fast_path)
    files, tasks = open_files(), len(asyncio.all_tasks())
    small = [attack for attack in ATTACKS if len(attack.raw) < SPLIT_UP_TO]

    async def once():
        for attack in small:
            await everything(world, attack.raw)
        world.intake.lines.clear()
        world.peers.clear()
        await until(lambda: not world.connections)
        gc.collect()

    await once()  # what is made once is made now
    tracemalloc.start()
    try:
        await once()
        before = tracemalloc.get_traced_memory()[0]
        await once()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000  # bytes, after some 280 attacks; caches and the interpreter's own take a few thousand
    await until(lambda: len(asyncio.all_tasks()) == tasks)
    await until(lambda: open_files() <= files)
    assert await honest(world)


ABANDONED = {
    "nothing sent": b"",
    "half a request": b"GET /t/acme/o.gif?order=1",
    "half a body": request("/t/acme/o.gif", "Content-Length: 5", method="POST", body=b"he"),
    "a request": request("/t/acme/o.gif?order=1&amount=1"),
    "rubbish": b"\0",
}


@pytest.mark.parametrize("how", ["left open", "reset", "half closed"])
@pytest.mark.parametrize("sent", ABANDONED.values(), ids=ABANDONED)
async def test_abandoned_connections(sent, how, start, fast_path):
    world = await start(fast_path=fast_path, request_s=0.5, keepalive_s=0.5)
    tasks = len(asyncio.all_tasks())
    for _ in range(50):
        peer = await world.peer()
        await peer.send(sent)
        if how == "reset":
            peer.reset()
        if how == "half closed" and not peer.closed:
            peer.transport.write_eof()
    assert await honest(world)
    await until(lambda: not world.connections)
    await until(lambda: len(asyncio.all_tasks()) == tasks)


async def test_2000_connections_opened_and_abandoned(start, fast_path):
    world = await start(fast_path=fast_path, request_s=1, keepalive_s=1)
    files, abandoned = open_files(), []
    for _ in range(2000):
        abandoned.append(socket.socket())
        abandoned[-1].setblocking(False)
        await asyncio.get_running_loop().sock_connect(abandoned[-1], ("127.0.0.1", world.port))
    assert await honest(world)
    await until(lambda: not world.connections)
    for each in abandoned:
        each.close()
    await until(lambda: open_files() <= files)
    assert await honest(world)
