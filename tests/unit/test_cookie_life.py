"""How long cookies keep a click: for the client's window, and never longer than the data map says."""

import re

import pytest

from pixeld import privacy
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.tokens import Keyring
from pixeld.settings import Settings
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Browser, Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.replies import Replies

NOW_S, DAY_S = 1_800_000_000, 86_400
KEYS = Keyring({1: b"k" * 32}, 1)
CHROME = Browser.of("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36", "de", ahead=False)
DEFAULTS = Settings()
NAMES = DEFAULTS.referral_cookie, DEFAULTS.landing_cookie
SHIPPED = privacy.Policy.from_map(privacy.default_map()).cookie_days(*NAMES)


def clicked(days_ago):
    return KEYS.sign("shop", "blog", NOW_S - days_ago * DAY_S, b"12345678")


def set_cookies(window_days, cookie_days, holds):
    """(ages in days of the clicks in it, days to live) of the cookies that a click and a landing beacon set."""
    shop = Client("shop", "Shop", "https://shop.example/", window_days=window_days)
    snapshot = Snapshot(1, {"shop": shop}, {"blog": Partner("blog", "Blog")}, {("shop", "blog"): Status.APPROVED})
    tracker = Tracker(
        snapshot, KEYS, Replies(None), Visitors(lambda n: b"s" * n), lambda n: b"12345678", Cookies(*NAMES), cookie_days=cookie_days
    )
    for path, name in ((f"/t/shop/l.gif?click={clicked(0)}", NAMES[1]), ("/t/shop/c/blog", NAMES[0])):
        header = f"{name}={'.'.join(map(clicked, holds))}"
        reply, _, _ = tracker.answer(("GET", path, header, CHROME, "192.0.2.1", "", NOW_S * 1000))
        value, max_age_s = re.search(rf"Set-Cookie: {name}=(\S+);.* Max-Age=(\d+);", reply.head.decode()).groups()
        ages = [(NOW_S - KEYS.verify(click_id, "shop")[1]) // DAY_S for click_id in value.split(".")]
        yield ages, int(max_age_s) / DAY_S


@pytest.mark.parametrize(
    ("window_days", "cookie_days", "days"),
    [(30, None, 30), (30, SHIPPED, 30), (400, SHIPPED, 400), (90, 30, 30), (7, 30, 7)],
    ids=["no limit", "as it comes", "the longest window", "a map that says less", "a window that is less"],
)
def test_cookies_and_the_clicks_in_them_live_as_long_as_window_and_map_allow(window_days, cookie_days, days):
    for ages, lives in set_cookies(window_days, cookie_days, [1, days, days + 1]):
        assert (ages, lives) == ([0, 1, days], days)


def test_the_shipped_map_speaks_of_every_client():
    assert SHIPPED == 400  # the greatest window_days


def test_a_map_that_says_less_is_read():
    toml = (privacy.resources.files(privacy).joinpath("default.toml")).read_text(encoding="utf-8")
    item = 'kept_days = 400\ncookies = ["pxref", "__Secure-pxref", "pxref-landing", "__Host-pxref"]'
    assert item in toml
    policy = privacy.Policy.from_map(privacy.load(toml.replace(item, item.replace("400", "60"))))
    assert policy.cookie_days(*NAMES) == 60 and policy.cookie_days("unknown") is None
