"""Load-test an installation: clicks, impressions and orders at a rate of your choice, and the books at the end.

An open loop: every request is sent when it is due, whatever became of those before it, and its latency counts from then, so
that no wait is left out. Requests are real browsers': visitors follow the partner's link first, and carry the cookie
that they got. A request takes the connection that has been idle longest; when all are busy, it is sent behind others on the
next in turn. At the end everything is flushed and the report asked: what was answered `X-Pixeld: ok` must be there, to the
cent. The events stay: use a client and a partner of their own.

On one machine, beside `pixeld serve`, this is all it takes:

    python -m bench.load --register

Elsewhere, say where, who, and how much:

    python -m bench.load --url https://track.example --i-own-this-host --client shop --partner blog --rate 5000 --duration 30
        --connections 256 --mix click=1,impression=5,order=2,reload=0.2 --admin-url http://127.0.0.1:8001 --token …

Exit code: 0 when the books are equal (or nobody asked), 1 when they differ, 2 when there was no load.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import resource
import secrets
import socket
import ssl
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench import books, machine, openloop, results, summary
from bench.openloop import Outcome, Plan
from bench.visitors import parse_mix
from bench.wire import Door, LoadError
from pixeld import settings
from pixeld.cli import Refused
from pixeld.cli.server import Server
from pixeld.errors import PixeldError

_OTHER_FILES = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    where = parser.add_argument_group("where")
    where.add_argument("--url", default="http://127.0.0.1:8000", help="the public listener (%(default)s)")
    where.add_argument("--i-own-this-host", action="store_true", help="needed for any host but this machine")
    where.add_argument("--ca", type=Path, metavar="FILE", help="certificates to believe (PEM); otherwise the system's")
    where.add_argument("--client", default="load-test", help="whose pixel (%(default)s)")
    where.add_argument("--partner", default="load-test", help="whose link (%(default)s)")
    where.add_argument("--register", action="store_true", help="first add client, partner and membership if missing")
    much = parser.add_argument_group("how much")
    much.add_argument("--rate", type=_number(0.1, 1e6), default=1000.0, help="requests a second (1000)")
    much.add_argument("--duration", type=_number(0.1, 7 * 86_400), default=10.0, metavar="SECONDS", help="(10)")
    much.add_argument("--connections", type=_whole(1, 60_000), default=64, help="kept open all the time (%(default)s)")
    much.add_argument("--visitors", type=_whole(1, 100_000), default=500, help="how many browsers take turns (%(default)s)")
    much.add_argument(
        "--mix", type=parse_mix, default=parse_mix("click=1,impression=5,order=2"), metavar="click=1,impression=5,order=2",
        help="how often each comes; `reload` loads the thank-you page of an order again",
    )  # fmt: skip
    much.add_argument("--poisson", action="store_true", help="come at random, as independent visitors do; evenly otherwise")
    asked = parser.add_argument_group("the books")
    asked.add_argument("--admin-url", help="the admin listener; otherwise what the settings say: http://127.0.0.1:8001")
    asked.add_argument("--token", help="the admin token; otherwise PIXELD_ADMIN_TOKEN, or the data directory's")
    asked.add_argument("--data-dir", type=Path, help="the server's data directory, where its admin token is (pixeld-data)")
    asked.add_argument("--no-books", action="store_true", help="don't ask for reports")
    asked.add_argument(
        "--settle", type=_number(0, 3600), default=60.0, metavar="SECONDS", help="a backlog may take so long (60)"
    )


def _number(low: float, high: float):
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} must be from {low:g} to {high:g}")
        return value

    return parse


def _whole(low: int, high: int):
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {low} to {high}")
        return int(text)

    return parse


def run(options: argparse.Namespace) -> None:
    """Make the load, print what came of it; exits with the code that the books say."""
    try:
        equal = _load(options)
    except LoadError as error:
        _end(str(error))
    except PixeldError as error:
        said = str(error).replace("--url", "--admin-url")  # pixeld's own client of that API calls it so
        _end(f"{said} (--no-books does without)")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if equal else 1)


def _end(message: str) -> None:
    print(f"bench.load: {message}", file=sys.stderr)
    sys.exit(2)


def _load(options: argparse.Namespace) -> bool:
    plan = _plan(options)
    server = _server(options, plan)
    if server is not None:
        if options.register:
            register(server, plan.client, plan.partner)
        server.get("clients", plan.client)  # so that a wrong token is told now, and not after the load
    allow_files(plan.connections)
    first = datetime.now(UTC).date()
    outcome = drive(plan)
    text, late = summary.report(plan, outcome), summary.lateness(outcome)
    print(f"\n{text}\n")
    if late:
        print(f"warning: {late}\n", file=sys.stderr)
    said, equal = "The books were not asked for.", True
    if server is not None:
        said, equal = balance(server, plan, outcome, first, options.settle)
    print(said)
    if options.save:
        results.save("load", "One load", f"```\n{text}\n```\n\n{late}\n\n{said}\n\n{machine.described()}")
    return equal


def _plan(options: argparse.Namespace) -> Plan:
    try:
        parts = urlsplit(options.url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.path not in ("", "/"):
        raise LoadError(f"--url is {options.url!r}; it must be like https://track.example or http://127.0.0.1:8000")
    if not options.i_own_this_host:
        _own(host)
    return Plan(
        door=Door(host, port, _tls(options.ca) if parts.scheme == "https" else None),
        client=options.client,
        partner=options.partner,
        run=f"load-{secrets.token_hex(5)}",
        mix=options.mix,
        rate=options.rate,
        duration_s=options.duration,
        connections=options.connections,
        visitors=options.visitors,
        poisson=options.poisson,
    )


def _own(host: str) -> None:
    try:
        found = {str(address[4][0]) for address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise LoadError(f"there is no host {host!r}: {error.strerror}") from None
    if not all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found):
        raise LoadError(
            f"{host} is not this machine. Load on a server is an attack on it unless its owner wants it: "
            "if that is you, say --i-own-this-host"
        )


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise LoadError(f"--ca {ca} can't be used: {error.strerror or error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _server(options: argparse.Namespace, plan: Plan) -> Server | None:
    """Whom to ask for reports; None when nobody is to be asked."""
    if options.no_books:
        return None
    if options.admin_url is None and options.i_own_this_host:
        raise LoadError("say with --admin-url (and --token) whom to ask what was stored, or do without: --no-books")
    given = {"admin_token": options.token, "data_dir": options.data_dir}
    return Server(settings.load(os.environ, given), options.admin_url)


def register(server: Server, client: str, partner: str) -> None:
    """Make sure of client, partner and membership; the client is on no public list. PixeldError when the server says no."""
    shop = {"id": client, "name": client, "landing_url": "https://shop.example/", "currency": "EUR", "listed": False}
    for path, body in (("clients", shop), ("partners", {"id": partner, "name": partner})):
        try:
            server.get(path, body["id"])
        except Refused as error:
            if error.problem.get("status") != 404:
                raise
            server.post(path, body=body)
    server.put("clients", client, "partners", partner, body={"status": "approved"})


def allow_files(connections: int) -> None:
    """Raise this process's limit of open files to what so many connections need. LoadError when that isn't allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise LoadError(f"{connections:,} connections need {wanted:,} open files, and `ulimit -Hn` allows {hard:,}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def drive(plan: Plan) -> Outcome:
    """Carry a plan out, with progress on standard error."""
    before = [0, 0]

    def tell(outcome: Outcome, in_flight: int) -> None:
        before[0] += 1
        rate, before[1] = outcome.sent - before[1], outcome.sent
        p50, p99 = (outcome.latency.percentile(percent) * 1000 for percent in (50, 99))
        print(
            f"{before[0]:>4} s  {rate:>8,}/s  {outcome.failed:,} failed  {in_flight:,} in flight  "
            f"p50 {p50:.2f} ms  p99 {p99:.2f} ms",
            file=sys.stderr,
        )

    return uvloop.run(openloop.drive(plan, tell))


def balance(server: Server, plan: Plan, outcome: Outcome, first: date, settle_s: float) -> tuple[str, bool]:
    """(what the books say, whether they are equal). PixeldError when the reports can't be had."""
    books.flush(server, settle_s)
    last = datetime.now(UTC).date()
    stored, wrong = books.settled(
        outcome.ledger, lambda: books.read(server, plan.client, plan.partner, plan.run, first, last), min(settle_s, 5.0)
    )
    left = outcome.ledger.open()
    counts = f"{stored.clicks:,} clicks, {stored.impressions:,} impressions, {stored.orders:,} orders"
    found = f"{counts}, {stored.revenue_minor / 100:,.2f} EUR"
    if wrong:
        lines = [f"THE BOOKS DIFFER (s1={plan.run}):", *(f"  {line}" for line in wrong), f"  stored: {found}"]
        return "\n".join(lines), False
    more = f" ({left.clicks + left.impressions + left.orders:,} more were left open)" if left != books.Books() else ""
    return f"Books equal: {found} answered and stored{more}; s1={plan.run}.", True


def main() -> None:
    """`python -m bench.load`."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    arguments(parser)
    parser.add_argument("--save", action="store_true", help="keep the result in bench/results/load.md")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
