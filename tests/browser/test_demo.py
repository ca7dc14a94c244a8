"""What a shop's customers see and set off, in a real browser: tracker, shop and partner are three sites with TLS."""

import pytest

from tests.browser.conftest import REPORT_S

pytestmark = pytest.mark.browser

CREDITED = {
    "a-click-id-handed-over-decides": ("normal", True, "click"),
    "without-one-the-cookie-decides": ("normal", False, "cookie"),
    "third-party-cookies-blocked-a-click-id-still-decides": ("blocked", True, "click"),
    "third-party-cookies-blocked-and-no-click-id-is-kept-unattributed": ("blocked", False, None),
}


@pytest.mark.parametrize(("profile", "handed_over", "method"), CREDITED.values(), ids=CREDITED)
def test_credited_within_two_seconds(site, visitor, profile, handed_over, method):
    someone = visitor(profile)
    someone.follow("coffee-blog")
    if not handed_over:
        someone.forget_click_id()
    order = someone.buy()
    found = someone.wait(lambda: site.orders().get(order), REPORT_S)
    assert found == ("coffee-blog" if method else None, method)
