"""Queries and deep links: read as urllib reads them, and whatever they are, the reply leads to the shop and nowhere else."""

import re
from urllib.parse import parse_qsl

from yarl import URL

from pixeld.domain import landing, orders
from pixeld.domain.events import decode
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.tokens import Keyring
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Browser, Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.labels import MAX_CREATIVE, MAX_PARTNER_CLICK_ID, MAX_SUB_ID
from pixeld.tracking.query import form_text, split, url_text
from pixeld.tracking.replies import Replies
from tests.fuzz import text

SHOP = Client("shop", "S", "https://shop.example/a?b=c#d", ("m.shop.example", "shop.example:8443"))
HOSTS = {"shop.example", "m.shop.example", "shop.example:8443"}
BROWSER = Browser.of("", "", ahead=False)
TRACKER = Tracker(
    Snapshot(1, {"shop": SHOP}, {"blog": Partner("blog", "B")}, {("shop", "blog"): Status.APPROVED}),
    Keyring({0: b"k" * 32}, 0), Replies('CP="NON"'), Visitors(lambda n: b"s" * n), lambda n: b"n" * n,
    Cookies("pxref", "pxref-landing"),
)  # fmt: skip
HEADERS = {
    "X-Pixeld", "Location", "Set-Cookie", "P3P", "Cache-Control", "Cross-Origin-Resource-Policy", "Content-Type", "Content-Length",
    "Referrer-Policy", "X-Robots-Tag",
}  # fmt: skip
LONGEST = {"partner_click_id": MAX_PARTNER_CLICK_ID, "creative": MAX_CREATIVE, "order_id": orders.MAX_ID, "coupon": orders.MAX_COUPON}
LONGEST |= dict.fromkeys(("s1", "s2", "s3", "s4", "s5"), MAX_SUB_ID)


def check(data):
    """A query on its own, as a deep link, and behind each tracking address."""
    query = text(data)
    as_urllib_reads_it(query)
    leads_to_the_shop(url_text(query))
    for target in ("/t/shop/c/blog?", "/t/shop/c/blog?u=", "/t/shop/i/blog.gif?", "/t/shop/o.gif?", "/t/shop/o.gif?order=1&amount=1&", "/t/shop/l.gif?click=", "/t/"):
        answers(target + query)


def as_urllib_reads_it(query):
    """First value of each name, `+` and escapes undone. Bytes that are no UTF-8, and escaped names, urllib reads in its own way."""
    found = split(query)
    assert all("&" not in name and "&" not in value and "=" not in name for name, value in found.items())
    assert len(found) <= query.count("&") + 1
    for value in found.values():
        decoded = form_text(value)
        decoded.encode()  # no lone surrogate is ever stored
        assert len(decoded) <= len(value)
        assert decoded == url_text(value.replace("+", "%20"))
    if query.isprintable() and not any(set(name) & {"%", "+"} for name in found):
        theirs = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            theirs.setdefault(name, value)
        assert {name: form_text(value) for name, value in found.items() if name} == {n: v for n, v in theirs.items() if n}


def leads_to_the_shop(url):
    """Whether a URL is taken, by a second reader's eyes too."""
    host = landing.host_of(url)
    if landing.allowed(url, frozenset(HOSTS)):
        assert host in HOSTS
        assert re.match(r"(?i)https?://(?:shop\.example|m\.shop\.example|shop\.example:8443)(?:[/?#]|\Z)", url)
        assert URL(url, encoded=True).host in ("shop.example", "m.shop.example")
        assert not re.search(r"[^!-~]|[\\<>\"^`{|}]", url) and len(url) <= landing.MAX_BYTES
        added = "A".join(landing.around(url, "pxid"))
        assert added.replace("?pxid=A", "", 1) == url or added.replace("&pxid=A", "", 1) == url or added.replace("pxid=A", "", 1) == url
        assert URL(added, encoded=True).raw_query_string.endswith("pxid=A")
        assert URL(added, encoded=True).raw_fragment == URL(url, encoded=True).raw_fragment
        assert landing.allowed(added, frozenset(HOSTS)) or len(added) > landing.MAX_BYTES


def answers(target):
    """The reply is one of ours whatever was asked, and what is stored is of the lengths that are promised."""
    reply, stored, _ = TRACKER.answer(("GET", target, "", BROWSER, "", "", 1_800_000_000_000))
    lines = reply.head.split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 (200 OK|302 Found|404 Not Found)", lines[0]) and lines[-1] == b""
    assert not re.search(rb"[^ -~]", b"".join(lines))
    names = [line.partition(b": ")[0].decode() for line in lines[1:-1]]
    assert set(names) <= HEADERS and len(set(names)) == len(names)
    headers = dict(line.decode().split(": ", 1) for line in lines[1:-1])
    if location := headers.get("Location"):
        assert location.startswith("https://shop.example/a?b=c&pxid=") or "u=" in target
        assert re.match(r"(?i)https?://(?:shop\.example|m\.shop\.example|shop\.example:8443)(?:[/?#]|\Z)", location)
        assert len(location) <= landing.MAX_BYTES + len("?pxid=") + 64
        assert re.search(r"[?&]pxid=[A-Za-z0-9_-]{32}blog(#.*)?\Z", location)
        assert re.fullmatch(r"pxref=[\w.-]+; Path=/t/shop/; Max-Age=\d+; Secure; HttpOnly; SameSite=None", headers["Set-Cookie"])
    if stored is not None:
        ((kind, values),) = decode(stored)
        stored = dict(zip(kind.columns, values, strict=True))
        assert all(len(stored[name]) <= most for name, most in LONGEST.items() if name in stored)
