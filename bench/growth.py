"""How cost grows with what it should not grow with: clients and partners, connections, the cookie, the query, browsers.

One pixeld, one quantity varied at a time, everything else as in `peers`. Rounds are interleaved over all points; figures are
medians over rounds. Plots share their axes from 0 on, so that flat looks flat.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from redis import Redis

from bench import browsers, growth_page, machine, pixeld, results, rounds, subjects, wrk
from bench.growth_page import Point
from pixeld.domain.referral import MAX_CLICKS
from pixeld.domain.registry import Client, Partner, Status
from pixeld.storage import keys
from pixeld.storage.embedded_redis import EmbeddedRedis

_CONNECTIONS, _PARTNERS_EACH, _MOST_ASKED = 256, 10, 200
_CHANGE_S, _SEEN_S, _CALMLY = 3.0, 20.0, 5_000
_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.{}.{} Safari/537.36"


@dataclass(frozen=True)
class Load:
    """What is asked at one point; how many requests warm it up, and how much longer than others a round takes."""

    series: str
    requests: Sequence[bytes]
    connections: int = _CONNECTIONS
    warm: int = 0
    longer_s: int = 0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 51), metavar="1…50")
    parser.add_argument("--seconds", type=int, default=2, choices=range(1, 61), metavar="1…60", help="of each round")
    parser.add_argument("--only", nargs="+", choices=growth_page.SWEEPS, help="what to vary; all of these by default")
    parser.add_argument(
        "--again", action="store_true", help="measure nothing; write page and plots anew from the saved figures"
    )


def run(options: argparse.Namespace) -> None:
    """Measure, print, save."""
    if options.again:
        saved = results.read_rows("growth")
        if not saved:
            sys.exit("there are no saved figures to write the page from; measure with --save first")
        run_of, points = saved[0], [Point(**row) for row in saved[1:]]
    else:
        points = _measure(options)
        run_of = {"machine": machine.described(), "rounds": options.rounds, "seconds": options.seconds}
        if options.save:
            results.save_rows("growth", [run_of, *(vars(point) for point in points)])
    page = growth_page.page(run_of, points)
    print(page)
    if options.save or options.again:
        results.save("growth", "How cost grows", page)
        growth_page.plots(results.DIRECTORY, points)


def _measure(options: argparse.Namespace) -> list[Point]:
    core, other = machine.cores()
    found = []
    with tempfile.TemporaryDirectory() as directory, pixeld.running(Path(directory), core, other) as server:
        wrk.play(other, server.public_url, _order(server), connections=_CONNECTIONS, seconds=1)  # warms up
        subjects.settle(server)
        for number in range(1, options.rounds + 1):
            for sweep in options.only or growth_page.SWEEPS:
                for x in growth_page.SWEEPS[sweep].xs:
                    stall_ms = 0.0
                    for load in _SWEEPS[sweep](server, Path(directory), x):
                        if sweep == "memberships":
                            stall_ms = _stall_ms(server)
                        if load.warm:
                            wrk.play(other, server.public_url, load.requests, connections=64, seconds=60, limit=load.warm)
                            subjects.settle(server)
                        subject = subjects.role(server, load.series, load.requests)
                        measured = rounds.measure(subject, other, number, load.connections, options.seconds + load.longer_s)
                        found.append(Point(sweep=sweep, x=x, stall_ms=stall_ms, **vars(measured)))
                        print(f"{number}: {sweep} {x:,} {measured.server:6} {measured}", file=sys.stderr)
                if sweep == "memberships":
                    _fill(server, Path(directory), _PARTNERS_EACH)
    return found


def _order(server: pixeld.Pixeld, client: str = pixeld.CLIENT, cookie: str | None = None) -> list[bytes]:
    target = subjects.ORDER.replace(pixeld.CLIENT, client)
    return [browsers.request(server.public_url, target, browsers.CHROME, server.cookie if cookie is None else cookie)]


def _memberships(server: pixeld.Pixeld, directory: Path, n: int) -> Iterator[Load]:
    """Ten partners a client; visitors of up to 200 of the clients, each with the cookie of its own."""
    clients = _fill(server, directory, n)
    asked = clients[:: max(1, len(clients) // _MOST_ASKED)][:_MOST_ASKED]
    requests = []
    for client in asked:
        cookie = _clicked(server, client, "", 1)
        requests += _order(server, client, cookie)
    yield Load("order", requests)


def _connections(server: pixeld.Pixeld, _: Path, n: int) -> Iterator[Load]:
    yield Load("order", _order(server), n, longer_s=n // 1000)  # 10,000 connect within some 3 s: the kernel's queue overflows


def _cookie(server: pixeld.Pixeld, _: Path, clicks: int) -> Iterator[Load]:
    cookie = _clicked(server, pixeld.CLIENT, "", clicks)
    yield Load("order", _order(server, cookie=cookie))
    yield Load("click", [browsers.request(server.public_url, subjects.CLICK, browsers.CHROME, cookie)])


def _query(server: pixeld.Pixeld, _: Path, size: int) -> Iterator[Load]:
    """Clicks whose sub-ids fill the query; what is kept of each is 500 characters."""
    texts = "&".join(f"s{number}={'campaign-' * (size // 5 // 9)}" for number in range(1, 6))
    target = f"/t/{pixeld.CLIENT}/c/{pixeld.PARTNER}?{texts}&cid={{n}}"
    yield Load("click", [browsers.request(server.public_url, target, browsers.CHROME, server.cookie)])


def _agents(server: pixeld.Pixeld, _: Path, n: int) -> Iterator[Load]:
    """Browsers in turn, each met once before: a browser's first request is parsed for some 0.5 ms."""
    requests = []
    for number in range(n):
        agent = ("User-Agent", _AGENT.format(number // 100, number % 100))
        headers = [agent if name == "User-Agent" else (name, value) for name, value in browsers.CHROME]
        requests.append(browsers.request(server.public_url, subjects.ORDER, headers, server.cookie))
    yield Load("order", requests, warm=max(n, _CALMLY) + _CONNECTIONS)


_SWEEPS: dict[str, Callable[[pixeld.Pixeld, Path, int], Iterator[Load]]] = {
    "memberships": _memberships,
    "connections": _connections,
    "cookie": _cookie,
    "query": _query,
    "agents": _agents,
}


def _clicked(server: pixeld.Pixeld, client: str, cookie: str, times: int) -> str:
    """The cookie of a browser that has clicked so often on one client's links; `pixeld.PARTNER` is everywhere a partner."""
    connection = http.client.HTTPConnection(urlsplit(server.public_url).netloc, timeout=10)
    for _ in range(times):
        headers = {"User-Agent": dict(browsers.CHROME)["User-Agent"], "Cookie": cookie}
        connection.request("GET", f"/t/{client}/c/{pixeld.PARTNER}", headers=headers)
        reply = connection.getresponse()
        reply.read()
        cookie = (reply.getheader("Set-Cookie") or "").partition(";")[0]
        assert cookie, f"a click on {client} set no cookie"
    connection.close()
    assert cookie.count(".") + bool(cookie) == min(times, MAX_CLICKS), "a cookie holds another number of clicks"
    return cookie


def _fill(server: pixeld.Pixeld, directory: Path, memberships: int) -> list[str]:
    """Make the registry hold so many memberships, as the API would store them; its clients. Waits until pixeld has it."""
    clients = [pixeld.CLIENT, *(f"shop-{number}" for number in range(1, memberships // _PARTNERS_EACH))]
    count = max(_PARTNERS_EACH, len(clients))
    partners = [pixeld.PARTNER, *(f"partner-{number}" for number in range(1, count))]
    stored = {client: Client(client, "Shop", "https://shop.example/").to_json() for client in clients}
    named = {partner: Partner(partner, "Blog").to_json() for partner in partners}
    members = {}
    for number, client in enumerate(clients):
        others = (partners[1 + (number + step * 7) % (count - 1)] for step in range(1, _PARTNERS_EACH))
        members |= {f"{client}/{partner}": str(Status.APPROVED) for partner in (pixeld.PARTNER, *others)}
    with Redis.from_url(EmbeddedRedis(directory / "redis").url) as redis, redis.pipeline(transaction=True) as pipe:
        pipe.delete(keys.CLIENTS, keys.PARTNERS, keys.MEMBERS)
        for key, entries in ((keys.CLIENTS, stored), (keys.PARTNERS, named)):
            pipe.hset(key, mapping={name: orjson.dumps(entry) for name, entry in entries.items()})
        pipe.hset(keys.MEMBERS, mapping=members).incr(keys.VERSION)
        version = pipe.execute()[-1]
    deadline = time.monotonic() + _SEEN_S
    while _version(server) < version:
        if time.monotonic() > deadline:
            sys.exit(f"pixeld has not read a registry of {memberships:,} memberships within {_SEEN_S:.0f} s")
        time.sleep(0.05)
    return clients


def _version(server: pixeld.Pixeld) -> int:
    try:
        with urllib.request.urlopen(f"{server.admin_url}/readyz", timeout=30) as reply:
            found = reply.read()
    except urllib.error.HTTPError as error:  # a 503 says the same
        found = error.read()
    return int(orjson.loads(found)["registry"]["version"] or 0)


def _stall_ms(server: pixeld.Pixeld) -> float:
    """The longest that one visitor waits while the registry changes; nothing else is going on."""
    change = threading.Thread(
        target=lambda: server.api("PATCH", f"/api/clients/{pixeld.CLIENT}", {"name": f"S{time.time_ns()}"})
    )
    connection = http.client.HTTPConnection(urlsplit(server.public_url).netloc, timeout=30)
    longest, end = 0.0, time.monotonic() + _CHANGE_S
    change.start()
    while time.monotonic() < end or change.is_alive():
        before = time.monotonic()
        connection.request("GET", f"/t/{pixeld.CLIENT}/o.gif")  # without an order: answered at once, nothing to store
        connection.getresponse().read()
        longest = max(longest, time.monotonic() - before)
        time.sleep(0.001)
    change.join()
    connection.close()
    return round(longest * 1000, 1)
