"""The demo under three names, each a site of its own to a browser, and a Chromium for each kind of profile."""

import asyncio
import shutil
from contextlib import ExitStack, contextmanager

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.certificates import certificate
from tests.conftest import require
from tests.process import CHROME, pixeld

TRACKER, SHOP, BLOG = "track.tracker.test", "www.coffee-shop.test", "www.partner-blog.test"
CLIENT = "demo-shop"
PAGE_S, REPORT_S = 60, 60  # until a test has failed: beside browsers nothing is soon
THIRD_PARTY_COOKIES = {"normal": 0, "blocked": 1}  # Chromium's profile.cookie_controls_mode
FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "ignore-certificate-errors",
)  # fmt: skip


class Site:
    """The running demo, asked from outside the event loop that it is kept in."""

    def __init__(self, run, process):
        self._run, self._process = run, process
        self.port = process.port

    def api(self, method, path, body=None):
        status, answer = self._run(self._process.api(method, path, body))
        assert status == 200, answer
        return answer

    def orders(self):
        """Every order that the report has: number → (partner, method)."""
        rows = self.api("GET", f"/api/reports/orders?client={CLIENT}")["rows"]
        assert len(rows) == len({row["order"] for row in rows})
        return {row["order"]: (row["partner"], row["method"]) for row in rows}

    def order_count(self):
        """How many orders the report by partner counts in all."""
        self.api("POST", "/api/flush")
        return sum(row["orders"] for row in self.api("GET", f"/api/reports/performance?by=partner&client={CLIENT}")["rows"])

    def stored(self, statement):
        """Rows of what has been stored until now."""
        self.api("POST", "/api/flush")
        return self._run(self._process.sql(statement))


class Visitor:
    """A person with a browser: reads a partner's page, follows the link, buys."""

    def __init__(self, driver):
        self.driver = driver

    def wait(self, condition, seconds=PAGE_S):
        """What `condition` says as soon as that is true. Between two pages the driver may answer with any error: asked again."""
        waiting = WebDriverWait(self.driver, seconds, 0.05, [WebDriverException])
        return waiting.until(lambda driver: condition())

    def open(self, host, path):
        self.driver.get(f"https://{host}{path}")

    def click(self, element_id, arriving):
        """Click, and wait until a page whose path is `arriving` has loaded, its pictures too."""
        self.driver.find_element(By.ID, element_id).click()
        script = "return document.readyState === 'complete' && location.pathname === arguments[0]"
        self.wait(lambda: self.driver.execute_script(script, arriving))

    def press(self, button):
        """Press a button, and wait until the page that it leads to has loaded."""
        self.driver.execute_script("window.pressed = true")  # of this page: the next has a window of its own
        button.click()
        self.wait(lambda: self.driver.execute_script("return !window.pressed && document.readyState === 'complete'"))

    def follow(self, partner):
        self.open(BLOG, "/demo/")
        self.click(f"link-{partner}", "/demo/shop/")

    def forget_click_id(self):
        """As if the shop didn't keep the click id of its landing page."""
        assert self.driver.get_cookie("shop_click")
        self.driver.delete_cookie("shop_click")

    def buy(self, product="beans"):
        """The order's number, read from the thank-you page."""
        self.click(f"buy-{product}", "/demo/shop/checkout")
        self.click("place-order", "/demo/shop/thanks")
        return self.driver.find_element(By.ID, "order").text

    def text(self, element_id):
        """The element's text, or None while there is no such element: a page that reloads itself may be asked at any time."""
        return self.driver.execute_script("return document.getElementById(arguments[0])?.innerText", element_id)

    def emulate(self, width, height, scheme):
        """A window of that size, on a phone if it is narrow, and a person who likes that colour scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def cookies(self):
        """Every cookie of every site, by name."""
        return {cookie["name"]: cookie for cookie in self.driver.execute_cdp_cmd("Network.getAllCookies", {})["cookies"]}


@contextmanager
def chromium(port, cookie_controls_mode, directory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={directory}")
    options.add_argument(f"--user-agent={CHROME}")  # headless it would say so, and be taken for a robot
    options.add_argument(f"--host-resolver-rules=MAP *.test 127.0.0.1:{port}, MAP * ~NOTFOUND")
    options.add_experimental_option("prefs", {"profile.cookie_controls_mode": cookie_controls_mode})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as driver:
        driver.set_page_load_timeout(PAGE_S)
        yield driver


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """`pixeld demo` over TLS; its shop is on another site than the tracker."""
    require(shutil.which("chromium") and shutil.which("chromedriver"), "Chromium with its chromedriver")
    directory = tmp_path_factory.mktemp("site")
    cert, key = certificate(directory, TRACKER, SHOP, BLOG)
    settings = {"public_url": f"https://{TRACKER}:443", "tls_cert": cert, "tls_key": key}
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        manager = pixeld(directory / "data", "demo", **settings)
        process = runner.run(manager.__aenter__())
        try:
            runner.run(process.ready())
            site = Site(runner.run, process)
            site.api("PATCH", f"/api/clients/{CLIENT}", {"landing_url": f"https://{SHOP}/demo/shop/"})
            yield site
        finally:
            runner.run(manager.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def browsers(site, tmp_path_factory):
    with ExitStack() as stack:
        yield {
            profile: stack.enter_context(chromium(site.port, mode, tmp_path_factory.mktemp(profile)))
            for profile, mode in THIRD_PARTY_COOKIES.items()
        }


@pytest.fixture
def visitor(browsers):
    """A visitor who has never been here, for each profile: `visitor("normal")`."""

    def new(profile="normal"):
        driver = browsers[profile]
        driver.get("about:blank")
        driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        driver.get_log("browser")  # what is read is gone
        return Visitor(driver)

    return new
