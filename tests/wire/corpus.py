"""What the tracking addresses answer, byte by byte: one row for each rule of the wire contract, its id saying the rule."""

from base64 import b64decode
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.conftest import START_MS
from tests.wire.conftest import DAY_S, KEYS, P3P
from tests.wire.peer import request

NOW_S = START_MS // 1000
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
GIF = b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
LANDING = "https://shop.example/welcome?lang=de{and_id}#top"
MAX_AGE_S = 30 * DAY_S


@dataclass(frozen=True)
class Rule:
    """A request, the whole reply, what is counted, and of what is stored the columns that the rule is about."""

    id: str
    raw: bytes
    reply: bytes
    outcome: tuple
    event: dict | None = None
    world: dict = field(default_factory=dict)  # what else than the ordinary world it takes


def signed(client="acme", partner="blog", age_s=0, nonce=1):
    """A click id as the tracker makes them."""
    return KEYS.sign(client, partner, NOW_S - age_s, nonce.to_bytes(8))


def get(target, *headers, method="GET", agent=CHROME):
    """A browser's request."""
    return request(target, *([f"User-Agent: {agent}"] if agent else []), "Accept-Language: de-DE,de;q=0.9", *headers, method=method)


def redirect(location, cookie="", said="ok", client="acme", max_age_s=MAX_AGE_S):
    """The reply to a click."""
    if cookie:
        cookie = f"Set-Cookie: pxref={cookie}; Path=/t/{client}/; Max-Age={max_age_s}; Secure; HttpOnly; SameSite=None\r\n"
    return (
        f"HTTP/1.1 302 Found\r\nX-Pixeld: {said}\r\nLocation: {location}\r\n{cookie}P3P: {P3P}\r\nCache-Control: no-store\r\n"
        "Referrer-Policy: strict-origin-when-cross-origin\r\nX-Robots-Tag: noindex, nofollow\r\nContent-Length: 0\r\n"
        f"Date: {DATE}\r\n\r\n"
    ).encode()


def gif(dropped="", status="200 OK", body=GIF, cookie="", max_age_s=MAX_AGE_S):
    """The reply to a pixel."""
    said = f"dropped; reason={dropped}" if dropped else "ok"
    retry = "Retry-After: 5\r\n" if status.startswith("503") else ""
    if cookie:
        cookie = (
            f"Set-Cookie: pxref-landing={cookie}; Path=/; Max-Age={max_age_s}; Secure; HttpOnly; SameSite=None; Partitioned\r\n"
        )
    return (
        f"HTTP/1.1 {status}\r\nX-Pixeld: {said}\r\n{retry}{cookie}P3P: {P3P}\r\nCache-Control: no-store\r\n"
        "Cross-Origin-Resource-Policy: cross-origin\r\nContent-Type: image/gif\r\nContent-Length: 43\r\n"
        f"Date: {DATE}\r\n\r\n"
    ).encode() + body


def text(status, dropped, words, retry=""):
    """The reply where neither redirect nor GIF makes sense."""
    return (
        f"HTTP/1.1 {status}\r\nX-Pixeld: dropped; reason={dropped}\r\n{retry}P3P: {P3P}\r\nCache-Control: no-store\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(words) + 1}\r\nDate: {DATE}\r\n\r\n{words}\n"
    ).encode()


def without_body(reply):
    return reply[: reply.index(b"\r\n\r\n") + 4]


# Clicks


def click(id, query, *headers, agent=CHROME, location=None, cookie=None, quality="human", partner="blog", **event):
    """A click of an approved partner: sent on with a new click id, which the cookie holds before those it held."""
    new = signed(partner=partner)
    location = LANDING.format(and_id=f"&pxid={new}") if location is None else location.format(id=new)
    stored = {"kind": "click", "partner": partner, "quality": quality, "click_id": new, "at_ms": START_MS, **event}
    raw = get(f"/t/acme/c/{partner}{query}", *headers, agent=agent)
    return Rule(f"click: {id}", raw, redirect(location, cookie or new), ("click", quality), stored)


def uncounted(id, raw, quality, location=None, partner="blog"):
    """A click without cookie and click id."""
    return Rule(
        f"click: {id}", raw, redirect(location or LANDING.format(and_id="")), ("click", quality),
        {"kind": "click", "partner": partner, "quality": quality, "click_id": "", "s1": "", "partner_click_id": ""},
    )  # fmt: skip


def deep(url):
    """The query that asks for a deep link."""
    return "?u=" + quote(url, safe="")


_OLD = [signed(age_s=n, nonce=n) for n in range(100, 110)]
_MAX_URL = "https://shop.example/" + "a" * (2048 - 21)
_TAKEN_LINKS = {
    "landing host": ("https://shop.example/a", "https://shop.example/a?pxid={id}"),
    "allowed host, query and fragment byte for byte": (
        "https://m.shop.example/a%2Fb?q=1+2&r=%20#/x?y",
        "https://m.shop.example/a%2Fb?q=1+2&r=%20&pxid={id}#/x?y",
    ),
    "allowed port": ("https://shop.example:8443/", "https://shop.example:8443/?pxid={id}"),
    "plain http": ("http://shop.example", "http://shop.example?pxid={id}"),
    "upper case": ("HTTPS://SHOP.example/A", "HTTPS://SHOP.example/A?pxid={id}"),
    "2,048 bytes": (_MAX_URL, _MAX_URL + "?pxid={id}"),
    "open query": ("https://shop.example/?a=1&", "https://shop.example/?a=1&pxid={id}"),
    "another one's URL in the query": (
        "https://shop.example/?r=https://evil.example/@",
        "https://shop.example/?r=https://evil.example/@&pxid={id}",
    ),
}
_REFUSED_LINKS = {
    "other host": "https://evil.example/",
    "host that ends like ours": "https://evilshop.example/",
    "host that begins like ours": "https://shop.example.evil.example/",
    "subdomain": "https://www.shop.example/",
    "userinfo": "https://shop.example@evil.example/",
    "userinfo with a password": "https://shop.example:8443@evil.example/",
    "userinfo before our own host": "https://me@shop.example/",
    "empty userinfo": "https://@shop.example/",
    "backslash for a slash": "https:\\\\shop.example/",
    "backslash before userinfo": "https://evil.example\\@shop.example/",
    "backslash in the path": "https://shop.example/\\evil.example",
    "no scheme": "//shop.example/",
    "no scheme, no slashes": "shop.example/",
    "three slashes": "https:///shop.example/",
    "one slash": "https:/shop.example/",
    "scheme without slashes": "https:shop.example/",
    "path only": "/welcome",
    "javascript": "javascript:alert(1)",
    "javascript with our host": "javascript://shop.example/%0aalert(1)",
    "data": "data:text/html,<script>alert(1)</script>",
    "ftp": "ftp://shop.example/",
    "line break in the host": "https://shop.example\r\nSet-Cookie: a=b",
    "line break in the path": "https://shop.example/\r\nLocation: https://evil.example/",
    "line feed": "https://shop.example/\nX: y",
    "tab inside the scheme": "ht\ttps://shop.example/",
    "tab before": "\thttps://shop.example/",
    "space before": " https://shop.example/",
    "space after": "https://shop.example/ ",
    "NUL": "https://shop.example/\0",
    "Cyrillic host": "https://ѕhop.example/",
    "full-width dot": "https://shop．example/",
    "ideographic full stop": "https://shop。example/",
    "soft hyphen": "https://shop\u00ad.example/",
    "not ASCII in the path": "https://shop.example/ü",
    "escaped host": "https://sh%6fp.example/",
    "port that is not on the list": "https://shop.example:444/",
    "default port spelled out": "https://shop.example:443/",
    "empty port": "https://shop.example:/",
    "port with a leading zero": "https://shop.example:08443/",
    "port out of range": "https://shop.example:99999/",
    "port that is no number": "https://shop.example:a/",
    "trailing dot": "https://shop.example./",
    "address": "https://[::1]/",
    "decimal address": "https://2130706433/",
    "over 2,048 bytes": _MAX_URL + "a",
    "empty": "",
}

CLICKS = [
    click("landing page with a click id before the fragment, and a cookie", ""),
    click("unknown parameters are ignored", "?utm_source=x&U=https://evil.example/"),
    *(click(f"deep link: {id}", deep(url), location=to) for id, (url, to) in _TAKEN_LINKS.items()),
    *(click(f"no open redirect: {id}", deep(url), quality="bad_deep_link") for id, url in _REFUSED_LINKS.items()),
    click("no open redirect: broken UTF-8", "?u=https://shop.example/%ff", quality="bad_deep_link"),
    click("first of two deep links stands", deep("https://shop.example/1") + "&u=//evil", location="https://shop.example/1?pxid={id}"),
    click("a script is a bot", "", agent="curl/8.5.0", quality="bot"),
    click("no user agent is a bot", "", agent="", quality="bot"),
    click("a user agent that is no UTF-8 is no error", "", agent="Mozilla/5.0 \udcff (X11; Linux)", os="Linux"),
    click("a user agent of 8,000 characters is no error", "", agent="Mozilla/5.0 " + "x" * 8000),
    click("the cookie's earlier clicks follow", "", f"Cookie: a=b; pxref={_OLD[0]}; c=d", cookie=f"{signed()}.{_OLD[0]}"),
    click(
        "the cookie holds 8 clicks", "", f"Cookie: pxref={'.'.join(_OLD[:8])}", cookie=".".join([signed(), *_OLD[:7]])
    ),
    click("a cookie of 9 clicks is not ours", "", f"Cookie: pxref={'.'.join(_OLD[:9])}"),
    click("a malformed cookie is replaced", "", 'Cookie: pxref="\\x00%0d%0aSet-Cookie: a=b"'),
    click(
        "sub ids and labels are kept",
        "?s1=a&s2=b+c&s3=%C3%A9&s4=&s5=e&cid=X-1&cr=banner",
        s1="a", s2="b c", s3="é", s4="", s5="e", partner_click_id="X-1", creative="banner",
    ),
    click(
        "labels are cut to their limits",
        f"?s1={'a' * 501}&s5={'%C3%A9' * 501}&cid={'c' * 257}&cr={'d' * 65}",
        s1="a" * 500, s5="é" * 500, partner_click_id="c" * 256, creative="d" * 64,
    ),
    click("what is derived is kept", "", device="desktop", browser="Chrome", os="Windows", language="de", country=""),
    click("bytes that are no UTF-8 are no error", "?s1=%ff", "Cookie: \udcff", s1="\ufffd"),
    Rule(
        "click: parameter name and window of the client",
        get("/t/tokyo/c/blog"),
        redirect(f"https://tokyo.example/?ref={signed('tokyo')}", signed("tokyo"), client="tokyo", max_age_s=7 * DAY_S),
        ("click", "human"),
        {"kind": "click", "client": "tokyo"},
    ),
    Rule(
        "click: a stateless client has the click id in the address only, and no cookie is taken up",
        get("/t/bare/c/blog", f"Cookie: pxref={signed('bare', age_s=5)}"),
        redirect(f"https://bare.example/?pxid={signed('bare')}"),
        ("click", "human"),
        {"kind": "click", "client": "bare", "click_id": signed("bare")},
    ),
    *(
        uncounted(f"{what} membership: landing page, no cookie", get(f"/t/acme/c/{partner}{query}"), "not_a_member", partner=partner)
        for what, partner, query in [
            ("unknown", "nobody", ""),
            ("applied", "applied", ""),
            ("declined", "declined", ""),
            ("ended", "ended", "?s1=a&cid=X-1"),
            ("ended, with a deep link", "ended", deep("https://shop.example/a")),
            ("unknown, with a bad deep link", "nobody", deep("//evil.example")),
        ]
    ),
    uncounted("HEAD is no visit", get("/t/acme/c/blog", method="HEAD"), "head"),
    uncounted(
        "HEAD with a deep link", get("/t/acme/c/blog" + deep("https://shop.example/a#b"), method="HEAD"), "head",
        "https://shop.example/a#b",
    ),
    *(
        uncounted(f"prefetch by {header}", get("/t/acme/c/blog", header), "prefetch")
        for header in (
            "Sec-Purpose: prefetch",
            "Sec-Purpose: prefetch;prerender",
            "sec-purpose: prefetch;anonymous-client-ip",
            "Purpose: prefetch",
            "X-Moz: prefetch",
            "X-moz: PREFETCH",
        )
    ),
    uncounted("prefetch wins over a bad deep link", get("/t/acme/c/blog" + deep("//evil"), "Purpose: prefetch"), "prefetch"),
    click("another purpose is a visit", "", "Sec-Purpose: navigate"),
    Rule(
        "click: unknown client",
        get("/t/nobody/c/blog"),
        text("404 Not Found", "unknown_client", "There is no such client."),
        ("click", "unknown_client"),
    ),
    *(
        Rule(
            f"path: {id}",
            get(target),
            text("404 Not Found", "bad_path", "There is no such tracking address."),
            ("none", "bad_path"),
        )
        for id, target in {
            "nothing": "/t/",
            "client only": "/t/acme",
            "slash at the end": "/t/acme/c/blog/",
            "upper case": "/t/Acme/c/blog",
            "id of 33 characters": f"/t/acme/c/{'a' * 33}",
            "id that begins with a hyphen": "/t/acme/c/-a",
            "encoded": "/t/acme/%63/blog",
            "a slash encoded": "/t/acme%2Fmy-data",
            "dots": "/t/../t/acme/c/blog",
            "two slashes": "/t//acme/c/blog",
            "line break": "/t/acme/c/blog%0a",
            "semicolon": "/t/acme/c/blog;a=b",
            "fragment": "/t/acme/c/blog#a",
            "not ASCII": "/t/acme/c/%C3%BC",
            "no GIF": "/t/acme/i/blog.png",
        }.items()
    ),
]


# Impressions

IMPRESSIONS = [
    Rule(
        "impression: a GIF",
        get("/t/acme/i/blog.gif?s1=a&cid=X-1&cr=b"),
        gif(),
        ("impression", "human"),
        {"kind": "impression", "partner": "blog", "s1": "a", "partner_click_id": "X-1", "creative": "b", "quality": "human"},
    ),
    Rule(
        "impression: not a member, nobody to keep labels for",
        get("/t/acme/i/ended.gif?s1=a&cid=X-1&cr=b"),
        gif(),
        ("impression", "not_a_member"),
        {"kind": "impression", "quality": "not_a_member", "s1": "", "partner_click_id": "", "creative": ""},
    ),
    Rule(
        "impression: HEAD",
        get("/t/acme/i/blog.gif", method="HEAD"),
        without_body(gif()),
        ("impression", "head"),
        {"kind": "impression", "quality": "head"},
    ),
    Rule(
        "impression: prefetch",
        get("/t/acme/i/blog.gif", "X-Moz: prefetch"),
        gif(),
        ("impression", "prefetch"),
        {"kind": "impression", "quality": "prefetch"},
    ),
    Rule("impression: unknown client", get("/t/nobody/i/blog.gif"), gif("unknown_client"), ("impression", "unknown_client")),
]


# Orders


def order(id, query, *headers, agent=CHROME, client="acme", kind="order", quality="human", **event):
    """An order that is taken."""
    raw = get(f"/t/{client}/o.gif?{query}", *headers, agent=agent)
    return Rule(f"order: {id}", raw, gif(), (kind, quality), {"kind": kind, "client": client, "quality": quality, **event})


def dropped(id, query, reason, client="acme", kind="order"):
    """An order that is not."""
    return Rule(f"order dropped: {id}", get(f"/t/{client}/o.gif?{query}"), gif(reason), (kind, reason))


def credited(id, *headers, click="", client="acme", partner="blog", method="cookie", click_id):
    """An order that a partner earns."""
    query = "order=1&amount=1" + (f"&click={click}" if click else "")
    clicked_at = KEYS.verify(click_id, client)[1]
    return order(
        f"credit: {id}", query, *headers, client=client, partner=partner, method=method, click_id=click_id, clicked_at=clicked_at
    )


def unattributed(id, *headers, click="", client="acme"):
    """An order that nobody earns."""
    query = "order=1&amount=1" + (f"&click={click}" if click else "")
    return order(
        f"no credit: {id}", query, *headers, client=client, partner="", method="", click_id="", clicked_at=0, order_id="1"
    )


_AMOUNTS = [  # client, amount, minor units
    ("acme", "0", 0), ("acme", "12", 1200), ("acme", "12.5", 1250), ("acme", "12.50", 1250), ("acme", "007.01", 701),
    ("acme", "999999999999.99", 99999999999999), ("acme", "%31", 100),
    ("tokyo", "1200", 1200), ("kuwait", "1.234", 1234), ("kuwait", "1.2", 1200), ("kuwait", "0.001", 1),
]  # fmt: skip
_BAD_AMOUNTS = [
    ("acme", "12,34"), ("acme", "1e3"), ("acme", "NaN"), ("acme", "Infinity"), ("acme", "-1"), ("acme", "%2B1"), ("acme", "+1"),
    ("acme", "%241"), ("acme", "1%E2%82%AC"), ("acme", "1.234"), ("acme", "1."), ("acme", ".5"), ("acme", "1234567890123"),
    ("acme", "1.2.3"), ("acme", "1%20"), ("acme", "%D9%A1"), ("acme", "%EF%BC%91"), ("acme", "1%0A"), ("acme", "0x1"), ("acme", ""),
    ("acme", "1_000"), ("tokyo", "12.0"), ("tokyo", "12.5"), ("kuwait", "1.2345"),
]  # fmt: skip
_MINE, _OLDER = signed(age_s=60, nonce=9), signed(partner="coupons", age_s=600, nonce=8)
_WINDOW_S = 30 * DAY_S

ORDERS = [
    order("kept without credit", "order=A-1&amount=10", order_id="A-1", amount_minor=1000, currency="USD", method="", at_ms=START_MS),
    *(order(f"amount {amount} of {client}", f"order=1&amount={amount}", client=client, amount_minor=minor) for client, amount, minor in _AMOUNTS),
    order("currency in small letters", "order=1&amount=1&currency=eur", currency="EUR"),
    order("currency without decimals", "order=1&amount=100&currency=JPY", currency="JPY", amount_minor=100),
    order("empty currency is the client's", "order=1&amount=1&currency=", currency="USD"),
    order("id of 128 characters", f"order={'%C3%A9' * 128}&amount=1", order_id="é" * 128),
    order("id with spaces and signs", "order=A+1%2F%E2%82%AC&amount=1", order_id="A 1/€"),
    order("coupon is cut to 64", f"order=1&amount=1&coupon={'c' * 65}", coupon="c" * 64),
    order("new customer", "order=1&amount=1&customer=new", customer="new"),
    order("returning customer", "order=1&amount=1&customer=returning", customer="returning"),
    order("another word for a customer is left out", "order=1&amount=1&customer=vip", customer=""),
    order("a script's is an order", "order=1&amount=1", agent="curl/8.5.0", quality="bot"),
    order("prefetch does not matter: the shop reports a fact", "order=1&amount=1", "Purpose: prefetch", order_id="1"),
    order("test=1 is kept apart", "order=1&amount=1&test=1", kind="test_order", order_id="1"),
    order("test=0 is an order", "order=1&amount=1&test=0", order_id="1"),
    order("first of two values stands", "order=1&amount=1&amount=2", amount_minor=100),
    order("unknown parameters are ignored", "order=1&amount=1&x&=&&y=%zz", order_id="1"),
    dropped("no id", "amount=1", "bad_order"),
    dropped("empty id", "order=&amount=1", "bad_order"),
    dropped("id of 129 characters", f"order={'1' * 129}&amount=1", "bad_order"),
    dropped("control character in the id", "order=1%0a&amount=1", "bad_order"),
    dropped("id that is no UTF-8", "order=%ff&amount=1", "bad_order"),
    dropped("line separator in the id", "order=1%E2%80%A8&amount=1", "bad_order"),
    dropped("no query", "", "bad_order"),
    dropped("no amount", "order=1", "bad_amount"),
    *(dropped(f"amount {amount} of {client}", f"order=1&amount={amount}", "bad_amount", client) for client, amount in _BAD_AMOUNTS),
    dropped("unknown currency", "order=1&amount=1&currency=XXY", "bad_currency"),
    dropped("currency by its sign", "order=1&amount=1&currency=%E2%82%AC", "bad_currency"),
    dropped("test that is no flag", "order=1&amount=1&test=yes", "bad_test"),
    dropped("a test order with a bad amount", "order=1&amount=x&test=1", "bad_amount", kind="test_order"),
    dropped("unknown client", "order=1&amount=1", "unknown_client", "nobody"),
    Rule(
        "order dropped: HEAD", get("/t/acme/o.gif?order=1&amount=1", method="HEAD"), without_body(gif("head")), ("order", "head")
    ),
    credited("by click id", click=_MINE, method="click", click_id=_MINE),
    credited("by cookie", f"Cookie: pxref={_MINE}", click_id=_MINE),
    credited("click id beats cookie", f"Cookie: pxref={_MINE}", click=_OLDER, method="click", partner="coupons", click_id=_OLDER),
    credited("newest of the cookie first", f"Cookie: pxref={_MINE}.{_OLDER}", click_id=_MINE),
    credited("forged click id falls back to the cookie", f"Cookie: pxref={_MINE}", click="A" * 32 + "blog", click_id=_MINE),
    credited(
        "ended membership falls back to the next", f"Cookie: pxref={signed(partner='ended')}.{_OLDER}", partner="coupons", click_id=_OLDER
    ),
    credited("this very second", f"Cookie: pxref={signed()}", click_id=signed()),
    credited("last second of the window", f"Cookie: pxref={signed(age_s=_WINDOW_S)}", click_id=signed(age_s=_WINDOW_S)),
    credited(
        "last second of a window of 7 days", f"Cookie: pxref={signed('tokyo', age_s=7 * DAY_S)}", client="tokyo",
        click_id=signed("tokyo", age_s=7 * DAY_S),
    ),
    credited("eighth click of the cookie", f"Cookie: pxref={'.'.join([signed('tokyo')] * 7)}.{_MINE}", click_id=_MINE),
    credited("by landing cookie", f"Cookie: pxref-landing={_MINE}", click_id=_MINE),
    credited("the newer of two cookies: landing", f"Cookie: pxref={_OLDER}; pxref-landing={_MINE}", click_id=_MINE),
    credited("the newer of two cookies: referral", f"Cookie: pxref={_MINE}; pxref-landing={_OLDER}", click_id=_MINE),
    credited(
        "one cookie ended, by the other", f"Cookie: pxref={signed(partner='ended')}; pxref-landing={_OLDER}", partner="coupons",
        click_id=_OLDER,
    ),
    credited(
        "a landing cookie of another client of the site, and one's own",
        f"Cookie: pxref-landing={signed('tokyo')}.{_MINE}", click_id=_MINE,
    ),
    credited("click id beats the landing cookie", f"Cookie: pxref-landing={_MINE}", click=_OLDER, method="click", partner="coupons", click_id=_OLDER),
    credited("of a stateless client", client="bare", click=signed("bare"), method="click", click_id=signed("bare")),
    unattributed(
        "a stateless client reads no cookie", f"Cookie: pxref={signed('bare')}; pxref-landing={signed('bare')}", client="bare"
    ),
    unattributed("a second too late", f"Cookie: pxref={signed(age_s=_WINDOW_S + 1)}"),
    unattributed("a second too late for 7 days", f"Cookie: pxref={signed('tokyo', age_s=7 * DAY_S + 1)}", client="tokyo"),
    unattributed("clicked in the future", f"Cookie: pxref={signed(age_s=-1)}"),
    unattributed("another client's cookie", f"Cookie: pxref={signed('tokyo')}"),
    unattributed("another client's click id", click=signed("tokyo")),
    unattributed("another partner's signature", f"Cookie: pxref={signed()[:32]}coupons"),
    unattributed("ended membership", f"Cookie: pxref={signed(partner='ended')}"),
    unattributed("applied membership", click=signed(partner="applied")),
    unattributed("truncated", f"Cookie: pxref={signed()[:31]}"),
    unattributed("one letter changed", click=("A" if signed()[0] != "A" else "B") + signed()[1:]),
    unattributed("nine clicks are no cookie of ours", f"Cookie: pxref={'.'.join([_MINE] * 9)}"),
    unattributed("cookie of another name", f"Cookie: pxref2={_MINE}; xpxref={_MINE}"),
]


# Landing beacons


def landed(id, click, *headers, cookie=None, client="acme", **reply):
    """A beacon whose click id is kept."""
    raw = get(f"/t/{client}/l.gif?click={click}", *headers)
    return Rule(f"landing: {id}", raw, gif(cookie=click if cookie is None else cookie, **reply), ("landing", "ok"))


def unlanded(id, query, reason="bad_click", client="acme", **options):
    """A beacon that keeps nothing."""
    reply = gif(reason)
    raw = get(f"/t/{client}/l.gif{query}", **options)
    return Rule(
        f"landing dropped: {id}", raw, without_body(reply) if raw.startswith(b"HEAD") else reply, ("landing", reason)
    )


_TWELVE = [signed(age_s=n, nonce=n) for n in range(20, 32)]
LANDINGS = [
    landed("a cookie of the shop's site alone", _MINE),
    landed("last second of the window", signed(age_s=_WINDOW_S)),
    landed("window of the client", signed("tokyo"), client="tokyo", max_age_s=7 * DAY_S),
    landed("earlier clicks follow", _MINE, f"Cookie: a=b; pxref-landing={_OLDER}; c=d", cookie=f"{_MINE}.{_OLDER}"),
    landed("an older page comes behind", _OLDER, f"Cookie: pxref-landing={_MINE}", cookie=f"{_MINE}.{_OLDER}"),
    landed("a page that is loaded again", _MINE, f"Cookie: pxref-landing={_MINE}.{_OLDER}", cookie=f"{_MINE}.{_OLDER}"),
    landed("8 clicks at most", signed(), f"Cookie: pxref-landing={'.'.join(_TWELVE[:8])}", cookie=".".join([signed(), *_TWELVE[:7]])),
    landed("a malformed cookie is replaced", _MINE, f'Cookie: pxref-landing="{_OLDER}"'),
    landed("the referral cookie is another one", _MINE, f"Cookie: pxref={_OLDER}"),
    landed("an escaped click id", _MINE.replace("b", "%62"), cookie=_MINE),
    landed("a stateless client sets none", signed("bare"), client="bare", cookie=""),
    unlanded("no query", ""),
    unlanded("empty", "?click="),
    unlanded("forged", f"?click={'A' * 32}blog"),
    unlanded("another client's", f"?click={signed('tokyo')}"),
    unlanded("a second too late", f"?click={signed(age_s=_WINDOW_S + 1)}"),
    unlanded("clicked in the future", f"?click={signed(age_s=-1)}"),
    unlanded("ended membership", f"?click={signed(partner='ended')}"),
    unlanded("two in one", f"?click={_MINE}.{_OLDER}"),
    unlanded("a header in it", f"?click={_MINE}%0d%0aSet-Cookie:%20a=b"),
    unlanded("unknown client", f"?click={_MINE}", "unknown_client", "nobody"),
    unlanded("HEAD", f"?click={_MINE}", "head", method="HEAD"),
]


# When the event cannot be stored

_CLICKED = LANDING.format(and_id=f"&pxid={signed()}")
_UNSTORED = [
    Rule(f"{reason}: {id}", raw, reply, (kind, reason), world={how: True})
    for reason, how in (("not_durable", "fails"), ("buffer_full", "full"))
    for id, raw, reply, kind in [
        ("order", get("/t/acme/o.gif?order=1&amount=1"), gif(reason, "503 Service Unavailable"), "order"),
        ("impression", get("/t/acme/i/blog.gif"), gif(reason, "503 Service Unavailable"), "impression"),
        (
            "the visitor reaches the shop all the same, with a cookie",
            get("/t/acme/c/blog"),
            redirect(_CLICKED, signed(), f"dropped; reason={reason}"),
            "click",
        ),
        (
            "the visitor of nobody's link, too",
            get("/t/acme/c/nobody"),
            redirect(LANDING.format(and_id=""), said=f"dropped; reason={reason}"),
            "click",
        ),
    ]
]
NOT_STORED = [
    *_UNSTORED,
    Rule(
        "not_ready: click",
        get("/t/acme/c/blog"),
        text("503 Service Unavailable", "not_ready", "Starting; please try again.", "Retry-After: 5\r\n"),
        ("click", "not_ready"),
        world={"unread": True},
    ),
    Rule(
        "not_ready: order",
        get("/t/acme/o.gif?order=1&amount=1"),
        gif("not_ready", "503 Service Unavailable"),
        ("order", "not_ready"),
        world={"unread": True},
    ),
    Rule(
        "not_ready: landing",
        get(f"/t/acme/l.gif?click={signed()}"),
        gif("not_ready", "503 Service Unavailable"),
        ("landing", "not_ready"),
        world={"unread": True},
    ),
]

# Refused: docs/consent.md has every rule, and tests/unit/test_consent.py asks them all; here is how they look on the wire


def deleted(reply, client="acme"):
    """A reply that deletes the referral cookie, too."""
    line = f"Set-Cookie: pxref=; Path=/t/{client}/; Max-Age=0; Secure; HttpOnly; SameSite=None\r\n".encode()
    return reply.replace(b"Date: ", line + b"Date: ", 1)


def refused(what, id, raw, reply, verdict):
    """A click or an impression of which only one more in a count is kept."""
    stored = {"kind": "refusal", "at_ms": START_MS, "client": "acme", "partner": "blog", "what": what, "consent": verdict}
    return Rule(f"refused {what}: {id}", raw, reply, (what, verdict), stored)


_REFERRED = f"Cookie: pxref={signed(age_s=60)}"
_BARE = redirect(LANDING.format(and_id=""))
REFUSED = [
    refused("click", "Global Privacy Control", get("/t/acme/c/blog?s1=a", "Sec-GPC: 1"), _BARE, "refused gpc"),
    refused("click", "its cookie is deleted", get("/t/acme/c/blog", "Sec-GPC: 1", _REFERRED), deleted(_BARE), "refused gpc"),
    refused("click", "opted out", get("/t/acme/c/blog", "Cookie: ID=OPT_OUT"), _BARE, "refused opt_out"),
    refused("click", "by parameter", get("/t/acme/c/blog?consent=0"), _BARE, "refused consent"),
    refused("click", "HEAD", get("/t/acme/c/blog", "Sec-GPC: 1", method="HEAD"), without_body(_BARE), "refused gpc"),
    refused("impression", "Global Privacy Control", get("/t/acme/i/blog.gif", "Sec-GPC: 1"), gif(), "refused gpc"),
    refused("impression", "its cookie is deleted", get("/t/acme/i/blog.gif?us_privacy=1YYN", _REFERRED), deleted(gif()), "refused us_privacy"),
    Rule(
        "refused order: kept without a visitor", get("/t/acme/o.gif?order=1&amount=1", "Sec-GPC: 1", _REFERRED), deleted(gif()),
        ("order", "human"), {"kind": "order", "consent": "refused gpc", "partner": "", "click_id": "", "browser": "", "language": ""},
    ),
    Rule(
        "refused click: not stored", get("/t/acme/c/blog", "Sec-GPC: 1", _REFERRED),
        deleted(redirect(LANDING.format(and_id=""), said="dropped; reason=not_durable")), ("click", "not_durable"), None, {"fails": True},
    ),
    Rule(
        "refused impression: not stored", get("/t/acme/i/blog.gif", "Sec-GPC: 1", _REFERRED),
        deleted(gif("not_durable", "503 Service Unavailable")), ("impression", "not_durable"), None, {"fails": True},
    ),
    click("DNT is ignored unless a setting honours it", "", "DNT: 1", consent="allowed operator_asserts"),
    click("consented", "?consent=1", consent="allowed consent"),
]  # fmt: skip


RULES = [*CLICKS, *IMPRESSIONS, *ORDERS, *LANDINGS, *NOT_STORED, *REFUSED]
