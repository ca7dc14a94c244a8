"""The visitor's own pages in a real browser that runs no script: seen, deleted, opted out, opted in. And open to everybody."""

import os
from importlib.resources import files
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.browser.conftest import CLIENT, TRACKER

pytestmark = pytest.mark.browser
AXE = files("axe_core_python") / "axe.min.js"
OWN = f"/t/{CLIENT}/my-data"
REFERRAL = "__Secure-pxref"
CARD = f"iframe[src^='{OWN}']"


@pytest.fixture
def someone(visitor):
    """A visitor who has followed a partner's link, and whose browser runs no script of any page from now on."""
    found = visitor()
    found.follow("coffee-blog")
    found.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield found
    found.driver.switch_to.default_content()
    found.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def press(someone, button):
    someone.press(someone.driver.find_element(By.CSS_SELECTOR, f"button[value={button}]"))


def says(someone):
    return someone.driver.find_element(By.TAG_NAME, "main").text


def into_card(someone):
    someone.driver.switch_to.default_content()
    someone.driver.switch_to.frame(someone.driver.find_element(By.CSS_SELECTOR, CARD))


def test_every_shop_s_cookie_is_seen_in_one_place_and_deleted(someone):
    assert REFERRAL in someone.cookies()
    someone.open(TRACKER, "/my-data")
    into_card(someone)
    assert "you followed a link of" in says(someone) and "You can opt out" not in says(someone)
    press(someone, "delete")
    into_card(someone)
    assert "The cookies are deleted." in says(someone) and "This browser carries nothing" in says(someone)
    assert REFERRAL not in someone.cookies()


def test_opting_out_deletes_what_is_there_and_can_be_taken_back(someone):
    someone.open(TRACKER, "/opt-out")
    press(someone, "opt-out")
    assert "You have opted out." in says(someone)
    into_card(someone)
    assert "deleted what was there" in says(someone)
    cookies = someone.cookies()
    assert REFERRAL not in cookies and (cookies["ID"]["value"], cookies["ID"]["path"]) == ("OPT_OUT", "/")
    someone.open(TRACKER, OWN)
    assert "You have opted out." in says(someone) and "This browser carries nothing" in says(someone)
    press(someone, "opt-in")
    assert "You have opted in again." in says(someone) and "ID" not in someone.cookies()


def test_a_shop_s_own_page_does_it_all_at_once(someone):
    someone.open(TRACKER, f"/t/{CLIENT}/opt-out")
    assert "you followed a link of" in says(someone)
    press(someone, "opt-out")
    assert "You have opted out." in says(someone) and "This browser carries nothing" in says(someone)
    assert REFERRAL not in someone.cookies() and "ID" in someone.cookies()


def test_what_was_bought_is_seen_and_forgotten(site, someone):
    site.api("PATCH", f"/api/clients/{CLIENT}", {"categories": ["coffee", "tea"]})
    someone.open(TRACKER, f"/t/{CLIENT}/o.gif?order=affinity-1&amount=1&cat=coffee&consent=1")
    site.api("POST", "/api/flush")
    someone.open(TRACKER, OWN)
    assert "to count what many people buy: coffee." in says(someone)
    press(someone, "forget")
    assert "What you bought is forgotten." in says(someone) and "coffee." not in says(someone)
    assert "you followed a link of" in says(someone) and REFERRAL in someone.cookies()


def test_another_site_can_neither_press_a_button_nor_frame_a_page(visitor):
    someone = visitor()
    someone.follow("coffee-blog")
    someone.driver.get(
        f"data:text/html,<form method=post action='https://{TRACKER}{OWN}'><button name=do value=delete>Win a prize</button></form>"
        f"<iframe src='https://{TRACKER}{OWN}'></iframe>"
    )
    someone.driver.switch_to.frame(0)
    assert not someone.driver.find_elements(By.TAG_NAME, "main")
    someone.driver.switch_to.default_content()
    press(someone, "delete")
    someone.wait(lambda: "nothing was changed" in someone.driver.page_source)
    assert TRACKER in someone.driver.current_url and REFERRAL in someone.cookies()


@pytest.mark.parametrize("width", [320, 360, 390, 700, 1280])
def test_a_card_shows_a_click_whole(visitor, width):
    someone = visitor()
    someone.follow("coffee-blog")
    someone.emulate(width, 800, "light")
    someone.open(TRACKER, "/my-data")
    into_card(someone)
    someone.wait(lambda: "you followed a link of" in says(someone))
    needs, has = someone.driver.execute_script("const page = document.documentElement; return [page.scrollHeight, page.clientHeight]")
    assert needs <= has


PAGES = {"my-data": "/my-data", "opt-out": "/opt-out", "shop": OWN, "card": f"{OWN}?view=card", "none": "/t/nobody/my-data", "privacy": "/privacy"}
WINDOWS = {"phone": (390, 844), "small": (320, 640), "desktop": (1280, 900)}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_open_to_everybody(visitor, page):
    """axe-core finds nothing, nothing is wider than the window, and nothing is stopped by the page's own policy."""
    someone = visitor()
    for chosen in (False, True):
        someone.follow("coffee-blog")
        if chosen:
            someone.driver.execute_cdp_cmd(
                "Network.setCookie", {"name": "ID", "value": "OPT_OUT", "url": f"https://{TRACKER}/", "secure": True, "sameSite": "None"}
            )
        for window, (width, height) in WINDOWS.items():
            for scheme in ("light", "dark"):
                someone.emulate(width, height, scheme)
                someone.open(TRACKER, PAGES[page])
                assert someone.driver.execute_script("return document.documentElement.scrollWidth") <= width, window
                someone.driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
                someone.driver.execute_script(AXE.read_text())
                found = someone.driver.execute_async_script("axe.run().then(r => arguments[0](r.violations))")
                assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], (window, scheme)
                if folder := os.environ.get("SCREENSHOTS"):
                    someone.driver.save_screenshot(str(Path(folder, f"{page}-{'out' if chosen else 'in'}-{window}-{scheme}.png")))
    refused = [entry["message"] for entry in someone.driver.get_log("browser") if "Content Security Policy" in entry["message"]]
    assert refused == []
