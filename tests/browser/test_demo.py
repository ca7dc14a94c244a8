"""What a shop's customers see and set off, in a real browser: tracker, shop and partner are three sites with TLS."""

import os
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.browser.conftest import BLOG, CLIENT, REPORT_S, SHOP, TRACKER

pytestmark = pytest.mark.browser


# Credit

CREDITED = {
    "a-click-id-handed-over-decides": ("normal", True, "click"),
    "without-one-the-cookie-decides": ("normal", False, "cookie"),
    "third-party-cookies-blocked-a-click-id-still-decides": ("blocked", True, "click"),
    "third-party-cookies-blocked-and-no-click-id-is-kept-unattributed": ("blocked", False, None),
}


@pytest.mark.parametrize(("profile", "handed_over", "method"), CREDITED.values(), ids=CREDITED)
def test_an_order_is_in_the_report(site, visitor, profile, handed_over, method):
    someone = visitor(profile)
    someone.follow("coffee-blog")
    if not handed_over:
        someone.forget_click_id()
    order = someone.buy()
    found = someone.wait(lambda: site.orders().get(order), REPORT_S)  # within two seconds on a quiet machine: tests/flow/test_process.py
    assert found == ("coffee-blog" if method else None, method)


LAST_CLICK = {
    "by-click-id": (("coffee-blog", "deal-finder"), "click"),
    "by-cookie": (("deal-finder", "coffee-blog"), "cookie"),
}


@pytest.mark.parametrize(("partners", "method"), LAST_CLICK.values(), ids=LAST_CLICK)
def test_the_last_click_wins(site, visitor, partners, method):
    someone = visitor()
    for partner in partners:
        someone.follow(partner)
    if method == "cookie":
        someone.forget_click_id()
    order = someone.buy()
    assert someone.wait(lambda: site.orders().get(order), REPORT_S) == (partners[-1], method)


def test_a_reloaded_thank_you_page_stays_one_order(site, visitor):
    someone = visitor()
    someone.follow("coffee-blog")
    before = site.order_count()
    order = someone.buy()
    for _ in range(10):
        someone.driver.refresh()
    assert site.stored(f"SELECT count() AS n FROM order_events WHERE order_id = '{order}'") == [{"n": 11}]
    assert site.orders()[order] == ("coffee-blog", "click")
    assert site.order_count() == before + 1


# What the browser gets


def test_the_landing_address_brings_the_click_id_and_the_shop_takes_it_out(site, visitor):
    someone = visitor()
    someone.follow("coffee-blog")
    assert someone.driver.current_url == f"https://{SHOP}/demo/shop/"
    kept = someone.cookies()["shop_click"]["value"]
    assert site.stored(f"SELECT partner FROM clicks WHERE click_id = '{kept}'") == [{"partner": "coffee-blog"}]


def test_a_visit_leaves_the_referral_cookie_and_the_shop_s_own(visitor):
    someone = visitor()
    someone.follow("coffee-blog")
    someone.buy()
    kept = ("domain", "path", "secure", "httpOnly", "sameSite")
    assert {name: tuple(cookie[key] for key in kept) for name, cookie in someone.cookies().items()} == {
        "__Secure-pxref": (TRACKER, f"/t/{CLIENT}/", True, True, "None"),
        "shop_click": (SHOP, "/demo/shop/", True, True, "Lax"),
    }


def test_the_pixel_is_one_pixel_and_no_page_complains(visitor):
    someone = visitor()
    someone.follow("coffee-blog")
    someone.buy()
    pixel = someone.driver.find_element(By.ID, "pixel")
    assert [pixel.get_property(name) for name in ("complete", "naturalWidth", "naturalHeight")] == [True, 1, 1]
    someone.click("see-report", "/demo/report")
    assert someone.driver.get_log("browser") == []


def test_the_privacy_page_has_its_style_though_its_policy_lets_no_other_in(visitor):
    someone = visitor()
    someone.open(TRACKER, "/privacy")
    assert someone.driver.find_element(By.TAG_NAME, "body").value_of_css_property("max-width") == "704px"
    assert [line for line in someone.driver.get_log("browser") if "Content Security Policy" in line["message"]] == []


def test_the_report_page_shows_the_order(visitor):
    someone = visitor()
    someone.follow("deal-finder")
    order = someone.buy("mill")
    someone.click("see-report", "/demo/report")
    row = someone.wait(lambda: someone.text(f"order-{order}"))  # the page reloads itself
    assert row.split("\t")[:4] == [order, "Deal finder", "click", "79.00 EUR"]


# How pages look

WINDOWS = {"desktop": (1200, 900), "phone": (390, 844)}


@pytest.mark.parametrize("window", WINDOWS)
def test_no_page_is_wider_than_its_window(visitor, window):
    someone, (width, height) = visitor(), WINDOWS[window]
    someone.follow("coffee-blog")
    order = someone.buy()
    pages = {
        "partners": (BLOG, "/demo/"),
        "shop": (SHOP, "/demo/shop/"),
        "checkout": (SHOP, "/demo/shop/checkout?product=beans"),
        "thanks": (SHOP, f"/demo/shop/thanks?order={order}&product=beans"),
        "report": (SHOP, "/demo/report?still"),
        "privacy": (TRACKER, "/privacy"),
    }
    for page, address in pages.items():
        someone.open(*address)
        for scheme in ("light", "dark"):
            someone.emulate(width, height, scheme)
            assert someone.driver.execute_script("return document.documentElement.scrollWidth") <= width, page
            if folder := os.environ.get("SCREENSHOTS"):
                someone.driver.save_screenshot(str(Path(folder, f"{page}-{window}-{scheme}.png")))
