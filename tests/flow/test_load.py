"""The load generator: open loop on a server that misbehaves, and the books with one that does not, and with one that lies."""

import asyncio
import gc
import re
import ssl
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench import openloop
from bench.books import Books
from bench.visitors import parse_mix
from bench.wire import Door, LoadError
from tests.certificates import certificate
from tests.process import TOKEN, pixeld

ROOT = Path(__file__).parents[2]
GIF = b"HTTP/1.1 200 OK\r\nX-Pixeld: ok\r\nContent-Length: 3\r\n\r\nGIF"
REDIRECT = b"HTTP/1.1 302 Found\r\nX-Pixeld: ok\r\nSet-Cookie: pxref=x; Path=/\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def server(answer, **tls):
    """A server whose `answer(target, n)` is the reply to the n-th pixel, or None to end the connection; clicks get theirs."""
    count = 0

    async def serve(reader, writer):
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"/c/" in head.partition(b" HTTP")[0]:
                    writer.write(REDIRECT)
                    continue
                count += 1
                reply = await answer(count)
                if reply is None:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, **tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


def plan(port, **given):
    values = {
        "door": Door("127.0.0.1", port), "client": "shop", "partner": "blog", "run": "r", "mix": parse_mix("order=1"),
        "rate": 200.0, "duration_s": 1.0, "connections": 4, "visitors": 3, "patience_s": 20.0,
    }  # fmt: skip
    return openloop.Plan(**values | given)


async def load(*arguments):
    """(exit code, stdout, stderr) of `python -m bench.load`."""
    command = [sys.executable, "-m", "bench.load", *map(str, arguments)]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


STILL_S = 4.0  # so long that a machine which stands still itself for a second or two is no such server


async def test_a_server_that_stands_still_is_seen_by_everybody_who_came_meanwhile():
    still = asyncio.get_running_loop().time() + 60

    async def answer(n):
        nonlocal still
        now = asyncio.get_running_loop().time()
        if n == 20:
            still = now + STILL_S
        if n >= 20:
            await asyncio.sleep(max(still - now, 0))
        return GIF

    async with server(answer) as port:
        outcome = await openloop.drive(plan(port))
    assert (outcome.sent, outcome.failed, outcome.ledger.answered().orders) == (200, 0, 200)
    # 180 came meanwhile; a closed loop of four connections would have seen four.
    assert outcome.latency.percentile(20) > STILL_S / 4
    assert STILL_S - 0.1 < outcome.latency.max_s < STILL_S * 1.75
    assert outcome.lag.max_s < STILL_S * 0.75  # they were sent all the same


async def test_a_large_heap_delays_no_request(monkeypatch):
    async def answer(n):
        return GIF

    monkeypatch.setattr(gc, "collect", lambda: time.sleep(STILL_S))
    async with server(answer) as port:
        outcome = await openloop.drive(plan(port))
    assert outcome.lag.max_s < STILL_S * 0.75


async def test_a_connection_that_ends_loses_what_waits_on_it_and_is_opened_again():
    async def answer(n):
        return None if n % 50 == 0 else GIF

    async with server(answer) as port:
        outcome = await openloop.drive(plan(port))
    assert outcome.sent + outcome.unsent == 200
    assert outcome.lost >= 3 and outcome.failed == outcome.lost + outcome.unsent
    assert outcome.ledger.open().orders == outcome.lost
    assert outcome.ledger.answered().orders == outcome.sent - outcome.lost


async def test_what_could_not_be_sent_is_counted():
    async def answer(n):
        await asyncio.sleep(300)

    async with server(answer) as port:
        outcome = await openloop.drive(plan(port, duration_s=4.0, patience_s=3.0))  # 600 may be on their way
    assert (outcome.sent, outcome.unsent, outcome.lost) == (600, 200, 600)
    assert outcome.ledger.open().orders == 600


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        pytest.param(
            REDIRECT.replace(b"ok", b"dropped; reason=unknown_client"), "knows no client 'shop'", id="unknown client"
        ),
        pytest.param(re.sub(rb"Set-Cookie.*?\r\n", b"", REDIRECT), "is the membership approved", id="no referral"),
        pytest.param(re.sub(rb"X-Pixeld.*?\r\n", b"", REDIRECT), "is not pixeld", id="another server"),
        pytest.param(REDIRECT.replace(b"ok", b"dropped; reason=not_ready"), "was dropped (not_ready)", id="not ready"),
    ],
)
async def test_a_first_click_that_leads_nowhere_is_told(monkeypatch, reply, said):
    monkeypatch.setattr(sys.modules[__name__], "REDIRECT", reply)
    async with server(None) as port:
        with pytest.raises(LoadError, match=re.escape(said)):
            await openloop.drive(plan(port))


async def test_tls(tmp_path):
    cert, key = certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def answer(n):
        return GIF

    trusting = ssl.create_default_context(cafile=cert)
    async with server(answer, ssl=context) as port:
        outcome = await openloop.drive(plan(port, door=Door("localhost", port, trusting)))
        assert outcome.ledger.answered() == Books(3, 0, 200, outcome.ledger.answered().revenue_minor)
        with pytest.raises(LoadError, match="--ca"):
            await openloop.drive(plan(port, door=Door("localhost", port, ssl.create_default_context())))
        with pytest.raises(LoadError, match=r"closes every|not pixeld|does not answer"):
            await openloop.drive(plan(port, patience_s=3.0))


async def test_the_books_of_a_real_server_are_equal_and_a_lie_is_found(tmp_path):
    async with pixeld(tmp_path / "data") as process:
        await process.ready()
        asked = ("--admin-url", process.admin, "--token", TOKEN, "--duration", 2, "--visitors", 20)
        mix = ("--mix", "click=1,impression=3,order=2,reload=1")
        code, out, err = await load("--url", process.url, *asked, *mix, "--rate", 100, "--register")
        assert (code, "Books equal" in out) == (0, True), (out, err)
        assert "200 requests" in out and "reload: 200, X-Pixeld: ok" in out and "p99" in err
        assert not (await process.api("GET", "/api/clients/load-test"))[1]["listed"]  # it is nobody's shop
        code, _, err = await load("--url", process.url, *asked, "--client", "nobody")
        assert code == 2 and "there is no client 'nobody'" in err and "Traceback" not in err

        async def answer(n):
            return GIF  # and stores nothing

        async with server(answer) as port:
            code, out, _ = await load("--url", f"http://127.0.0.1:{port}", *asked, "--rate", 50, "--settle", 1)
        assert code == 1 and "THE BOOKS DIFFER" in out
        assert re.search(r"orders: \d+ answered, 0 stored", out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--url", "http://192.0.2.1"), "192.0.2.1 is not this machine", id="somebody else's host"),
        pytest.param(
            ("--url", "http://127.0.0.1:9", "--no-books"), "nothing listens at http://127.0.0.1:9", id="nobody there"
        ),
        pytest.param(("--url", "127.0.0.1:8000"), "it must be like", id="no URL"),
        pytest.param(("--url", "http://host.invalid"), "there is no host 'host.invalid'", id="unknown host"),
        pytest.param(("--url", "https://127.0.0.1", "--ca", "/nowhere.pem"), "--ca /nowhere.pem", id="no such authority"),
        pytest.param(("--admin-url", "http://127.0.0.1:9"), "nothing listens there", id="nobody to ask"),
        pytest.param(("--rate", "0"), "must be from 0.1", id="no rate"),
    ],
)
async def test_what_cannot_be_is_told(arguments, said):
    code, _, err = await load(*arguments)
    assert code == 2 and said in err and "Traceback" not in err
