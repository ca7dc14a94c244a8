"""What the tracker stores with an order: what it earns, and when it locks."""

import pytest

from pixeld.domain.commission import Terms
from pixeld.domain.events import decode
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.tokens import Keyring
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Browser, Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.replies import Replies

NOW_MS = 1_800_000_000_999  # 2027-01-15
KEYS = Keyring({1: b"k" * 32}, 1)
COOKIES = Cookies("pxref", "pxref-landing")
CHROME = Browser.of("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36", "de", ahead=False)


def ordered(query, partner="blog", own=(), **fields):
    """The columns of an order that came through `partner`, whose membership has `own` terms."""
    shop = Client("shop", "Shop", "https://shop.example/", currency="EUR", **fields)
    members = {("shop", "blog"): Status.APPROVED, ("shop", "deals"): Status.APPROVED}
    partners = {name: Partner(name, name) for name in ("blog", "deals")}
    snapshot = Snapshot(1, {"shop": shop}, partners, members, {("shop", "blog"): own} if own else {})
    tracker = Tracker(snapshot, KEYS, Replies(None), Visitors(lambda n: b"s" * n), lambda n: b"r" * n, COOKIES)
    click = KEYS.sign("shop", partner, NOW_MS // 1000 - 60, b"12345678") if partner else ""
    facts = ("GET", f"/t/shop/o.gif?order=1&click={click}&{query}", "", CHROME, "192.0.2.1", "", NOW_MS)
    ((kind, values),) = decode(tracker.answer(facts)[1])
    return dict(zip(kind.columns, values, strict=True))


TEN = (Terms("10", "1.00"),)


@pytest.mark.parametrize(
    ("query", "given", "minor"),
    [
        pytest.param("amount=49.90", {}, 0, id="nothing was agreed on"),
        pytest.param("amount=49.90", {"commission": TEN}, 599, id="the client's terms"),
        pytest.param("amount=49.90&currency=USD", {"commission": TEN}, 499, id="no flat amount in another currency"),
        pytest.param("amount=49.90&currency=eur", {"commission": TEN}, 599, id="the same currency in small letters"),
        pytest.param("amount=49.90", {"commission": TEN, "own": (Terms("20"),)}, 998, id="the membership's own"),
        pytest.param("amount=49.90", {"commission": TEN, "own": (Terms("20"),), "partner": "deals"}, 599, id="somebody else's"),
        pytest.param(
            "amount=49.90", {"commission": TEN, "own": (Terms("20", until_day="2027-01-14"),)}, 599, id="its own have ended"
        ),
        pytest.param("amount=49.90", {"commission": TEN, "partner": ""}, 0, id="an order that nobody earned"),
        pytest.param("amount=49.90&test=1", {"commission": TEN}, 599, id="a test shows what it would be"),
    ],
)
def test_what_an_order_earns_is_decided_when_it_comes(query, given, minor):
    assert ordered(query, **given)["commission_minor"] == minor


@pytest.mark.parametrize(
    ("days", "locks_at"),
    [(30, NOW_MS // 1000 + 30 * 86_400), (1, NOW_MS // 1000 + 86_400), (0, 0)],
    ids=["by default", "a day", "never"],
)
def test_an_order_locks_so_many_days_after_it_came(days, locks_at):
    assert ordered("amount=1", lock_days=days)["locks_at"] == locks_at
