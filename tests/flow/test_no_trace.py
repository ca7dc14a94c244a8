"""An end-to-end run with visitors and people who are known beforehand; then every file that the server keeps is searched for them.

Not for single values only, but in the ways they could have been written: as text, packed, in hexadecimal, in base64.
"""

import base64
import ipaddress
import os
import re
import signal
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

from tests.flow.files import contents
from tests.process import Process, pixeld

pytestmark = pytest.mark.slow
SALTED = Path(__file__).with_name("salted.py")
ADDRESSES = ("198.51.100.77", "203.0.113.214", "2001:db8:77f1:9c3e::5ad7")
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.7793.41 Safari/537.36 Zyxwave/77.31"
ROBOT = "Qwertzbot/91.7 (+https://qwertz.example/robot)"
TC_STRING = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"
REFERER = "https://search.example/find?q=where-wilhelmina-was"
PERSON = {
    "partner_id": "teapots",
    "name": "Teapots",
    "contact_name": "Wilhelmina Quuxington",
    "email": "wilhelmina.quux@teapots.example",
    "postal": "Hollow Lane 9931",
    "promotion": "A letter about porcelain",
    "site": "https://teapots.example/",
    "password": "correct horse battery 4711",
    "terms": "yes",
    "policy": "1",
}
# What is said on purpose, and therefore found: so that a search that finds nothing else has searched.
LABEL = "kept-label-8813"
PERSONAL = [PERSON[name] for name in ("contact_name", "email", "postal", "promotion", "password")]


def headers(address, agent=AGENT, **more):
    said = {"X-Forwarded-For": address, "User-Agent": agent, "Accept-Language": "de-CH,de;q=0.9", "Referer": REFERER}
    return said | more


async def visit(session, url):
    """Visitors who do all that visitors can do, well and badly."""
    for address in ADDRESSES:
        cookie = ""
        for target in (
            f"/t/shop/c/blog?s1={LABEL}",
            "/t/shop/i/blog.gif",
            "/t/shop/o.gif?order=O-1&amount=24.90",
            "/t/shop/o.gif?order=O-2&amount=24.90&test=1",
            "/t/shop/o.gif?order=O-3&amount=oops",
            "/t/shop/c/nobody",
            "/t/shop/c/blog?u=https://elsewhere.example/",
            "/t/nowhere/c/blog",
            "/t/shop/what",
            "/t/shop/l.gif?click=nothing",
            f"/t/shop/c/blog?consent=1&gdpr=1&gdpr_consent={TC_STRING}",
            "/t/shop/c/blog?consent=0",
            "/privacy",
            "/no-such-page",
            "/portal/login",
        ):
            more = {"Cookie": cookie} if cookie else {}
            async with session.get(url + target, headers=headers(address, **more), allow_redirects=False) as reply:
                await reply.read()
                if "Set-Cookie" in reply.headers and target.startswith("/t/"):
                    cookie = reply.headers["Set-Cookie"].partition(";")[0]
        for said in ({"Sec-GPC": "1"}, {"DNT": "1"}, {"Cookie": "ID=OPT_OUT"}, {"Sec-Purpose": "prefetch"}, {"X-Long": "x" * 9000}):
            async with session.get(f"{url}/t/shop/c/blog", headers=headers(address, **said), allow_redirects=False) as reply:
                await reply.read()
        async with session.get(f"{url}/t/shop/c/blog", headers=headers(address, ROBOT), allow_redirects=False) as reply:
            await reply.read()


async def register(session, url):
    """Somebody who registers as a partner, and somebody who guesses passwords."""
    async with session.get(f"{url}/portal/register", headers=headers(ADDRESSES[0])) as reply:
        page = await reply.text()
        cookies = "; ".join(value.partition(";")[0] for value in reply.headers.getall("Set-Cookie", ()))
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
    sent = headers(ADDRESSES[0], Cookie=cookies, Origin=url) | {"Referer": f"{url}/portal/register"}
    async with session.post(f"{url}/portal/register", data=PERSON | {"csrf": csrf}, headers=sent, allow_redirects=False) as reply:
        assert reply.status == 303, await reply.text()
    guess = {"email": PERSON["email"], "password": "guess 5520 guess", "csrf": csrf}
    async with session.post(f"{url}/portal/login", data=guess, headers=sent, allow_redirects=False) as reply:
        assert reply.status in (200, 400, 401, 403, 422), reply.status


def written(text):
    """The ways in which a text or an address could stand in a file, in lower case where letters are."""
    forms = {text.lower().encode(), quote(text).lower().encode(), text.encode().hex().encode(), text.encode("utf-16-le").lower()}
    for shift in range(3):  # base64 of it within anything, whatever stands before: its middle is always the same
        coded = base64.b64encode(b"\0" * shift + text.encode()).rstrip(b"=")
        forms.add(coded[4 : len(coded) // 4 * 4 - 4].lower())
    try:
        packed = ipaddress.ip_address(text).packed
    except ValueError:
        return forms
    if len(packed) == 16:  # four bytes stand in any large file by chance
        forms |= {packed, packed.hex().encode()}
    return forms | {ipaddress.ip_address(text).exploded.encode()}


def told(text, known):
    """What of everything known stands in a text, in whatever way that is not so short that chance writes it, too."""
    return {name for name in known for form in written(name) if len(form) >= 8 and form in text}


def found(directory, log, known):
    """(what, where) of everything known that stands in a file, its name included."""
    seen = set()
    for path, data in [(log, log.read_bytes()), *contents(directory)]:
        whole = str(path.relative_to(directory.parent)).encode() + b"\n" + data
        seen |= {(name, path.name) for name in told(whole.lower(), known) | told(whole, known)}
    return seen


def salts(path):
    return [line.strip() for line in path.read_text().splitlines()]


async def columns(server):
    """Every row of every table as text: what stands compressed in the engine's files."""
    fields = await server.sql(
        "SELECT table, groupArray(name) AS names FROM system.columns WHERE database = currentDatabase() "
        "AND type NOT LIKE 'Aggregate%' AND default_kind != 'EPHEMERAL' GROUP BY table"
    )
    rows = [await server.sql(f"SELECT {', '.join(of['names'])} FROM {of['table']} LIMIT 1000") for of in fields]
    return repr(rows)


async def test_no_address_no_user_agent_no_mail_and_no_salt_is_on_any_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(Process, "program", ("-X", "dev", str(SALTED)))
    monkeypatch.setenv("TOLD_SALTS", str(tmp_path / "salts"))
    data, log = tmp_path / "data", tmp_path / "data.log"
    secret = [*ADDRESSES, AGENT, "Zyxwave", "7793.41", ROBOT, TC_STRING, REFERER, "wilhelmina-was", *PERSONAL, "5520 guess"]
    settings = {"trusted_proxies": "127.0.0.0/8", "log_level": "debug", "flush_keep_s": 60, "rate_per_s": 1000}
    async with pixeld(data, **settings) as server, ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(60)) as session:
        await server.ready()
        await register(session, server.url)
        await visit(session, server.url)

        # Redis away: what comes lies in the spill.
        valkey = int((data / "redis" / "redis.pid").read_text())
        os.kill(valkey, signal.SIGSTOP)
        try:
            await visit(session, server.url)
            lying = b"".join(kept for _, kept in contents(data / "spill"))
            assert LABEL.encode() in lying
            assert found(data, log, [*secret, *salts(tmp_path / "salts")]) == set()
        finally:
            os.kill(valkey, signal.SIGCONT)

        await server.ready()
        assert (await server.api("POST", "/api/flush"))[0] == 200
        stored = await columns(server)
        assert LABEL in stored
        known = [*secret, *salts(tmp_path / "salts")]
        assert told(stored.lower().encode(), known) == set()
        assert any(LABEL.encode() in kept for _, kept in contents(data / "redis"))
        assert found(data, log, known) == set()
        assert salts(tmp_path / "salts")
    assert found(data, log, known) == set()
    assert found(data, log, ["pixeld.app"])  # a logger's name: the log was searched


@pytest.mark.parametrize(
    "trace",
    [
        b"from 198.51.100.77 at",
        b"a" + base64.b64encode(b"x:198.51.100.77:y"),
        ipaddress.ip_address(ADDRESSES[2]).packed,
        AGENT.encode().hex().encode(),
    ],
    ids=["text", "base64", "packed", "hexadecimal"],
)
def test_the_search_finds(tmp_path, trace):
    (tmp_path / "data").mkdir()
    (tmp_path / "log").write_text("")
    (tmp_path / "data" / "file").write_bytes(b"\x00\x01" + trace + b"\xff")
    assert {where for _, where in found(tmp_path / "data", tmp_path / "log", [*ADDRESSES, AGENT])} == {"file"}
