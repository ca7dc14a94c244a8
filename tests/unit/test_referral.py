"""The cookie is bounded and read strictly; the rule of attribution is a table."""

import pytest

from pixeld.domain import referral
from pixeld.domain.attribution import attribute
from pixeld.domain.events import Method
from pixeld.domain.tokens import Keyring

KEYS = Keyring({0: b"k" * 32}, 0)
NOW, WINDOW = 1_800_000_000, 30 * 86_400


def click(partner="blog", age_s=60, client="shop", nonce=0):
    return KEYS.sign(client, partner, NOW - age_s, nonce.to_bytes(8))


A, B = click("blog"), click("deals", age_s=3600)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(f"pxref={A}", [A], id="alone"),
        pytest.param(f"a=b; pxref={A}.{B}; c=d", [A, B], id="among others, newest first"),
        pytest.param(f"a=b;pxref={A}", [A], id="no space after the semicolon"),
        pytest.param(f"xpxref={A}", [], id="another name that ends alike"),
        pytest.param(f"pxref2={A}", [], id="another name that begins alike"),
        pytest.param(f"pxref={A}; pxref={B}", [A], id="twice: the first counts"),
        pytest.param("pxref=", [], id="empty"),
        pytest.param("", [], id="no cookie"),
        pytest.param("pxref", [], id="no equals sign"),
        pytest.param(f'pxref="{A}"', [], id="quoted"),
        pytest.param(f"pxref={A}\r\nSet-Cookie: x=1", [], id="line break"),
        pytest.param("pxref=" + ".".join([A] * 9), [], id="nine clicks"),
        pytest.param("pxref=" + "A" * 5000, [], id="huge"),
        pytest.param(f"pxref={A}..{B}", [], id="empty click id"),
    ],
)
def test_reading(header, expected):
    assert referral.read(header, "pxref") == expected


def test_a_cookie_holds_eight_clicks_at_most_newest_first():
    value, ids = "", []
    for n in range(12):
        ids.insert(0, click("p" * 32, nonce=n))
        value = referral.write(ids[0], referral.read(f"pxref={value}", "pxref"))
    assert referral.read(f"pxref={value}", "pxref") == ids[:8]
    assert len(value) == 8 * 64 + 7


def test_a_cookie_forgets_clicks_that_are_too_old_however_often_its_visitor_comes_back():
    new, old, older = click(age_s=0), click(age_s=WINDOW), click(age_s=WINDOW + 1)
    assert referral.write(new, [A, old, older, older], NOW - WINDOW) == f"{new}.{A}.{old}"
    assert referral.write(new, [older], NOW - WINDOW) == new


C = click("mag", age_s=7200)


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        pytest.param([[A], [B]], [A, B], id="the newest first"),
        pytest.param([[B], [A]], [A, B], id="whichever cookie holds it"),
        pytest.param([[A, C], [B]], [A, B, C], id="between two"),
        pytest.param([[A, B], [A]], [A, B], id="each once: a landing page that is loaded again"),
        pytest.param([[B], [A, B]], [A, B], id="each once: an older landing page that is loaded again"),
        pytest.param([[A], []], [A], id="one that is empty"),
        pytest.param([[A], [click("late")]], [A, click("late")], id="of one second: the first cookie's first"),
    ],
)
def test_merging(cookies, expected):
    assert referral.merged(*cookies) == expected


@pytest.mark.parametrize(
    ("clicked", "cookie", "expected"),
    [
        pytest.param("", [], None, id="nothing"),
        pytest.param("", [A, B], ("blog", Method.COOKIE), id="last click: the cookie's newest"),
        pytest.param(B, [A], ("deals", Method.CLICK), id="the click id beats the cookie"),
        pytest.param("forged", [A], ("blog", Method.COOKIE), id="a forged click id falls back to the cookie"),
        pytest.param(click(client="other"), [A], ("blog", Method.COOKIE), id="another client's click id doesn't count"),
        pytest.param("", [click("ended"), B], ("deals", Method.COOKIE), id="a partner who isn't approved is passed over"),
        pytest.param("", [click(age_s=0)], ("blog", Method.COOKIE), id="age 0"),
        pytest.param("", [click(age_s=WINDOW)], ("blog", Method.COOKIE), id="last second of the window"),
        pytest.param("", [click(age_s=WINDOW + 1)], None, id="one second too late"),
        pytest.param("", [click(age_s=-1)], None, id="from the future"),
        pytest.param(click(age_s=WINDOW + 1), [B], ("deals", Method.COOKIE), id="too late by click id, in time by cookie"),
    ],
)
def test_attribution(clicked, cookie, expected):
    earned = attribute(
        KEYS, clicked, cookie, client="shop", now_s=NOW, window_s=WINDOW, approved={"blog", "deals"}
    )
    assert ((earned[0], earned[3]) if earned[0] else None) == expected
