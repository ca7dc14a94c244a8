"""A partner's way through the portal in a real browser: registered, approved, paid, gone. And what every page owes its readers."""

import asyncio
import re
import shutil
from contextlib import ExitStack
from importlib.resources import files

import pyotp
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.browser import gallery
from tests.browser.conftest import REPORT_S, SHOP, TRACKER, Visitor, chromium
from tests.certificates import certificate
from tests.conftest import require
from tests.process import pixeld

pytestmark = pytest.mark.browser
AXE = files("axe_core_python") / "axe.min.js"
PASSWORD = "correct horse battery"
REGISTRATION = {
    "name": "Wilhelmina's Teapots",
    "partner_id": "teapots",
    "site": "https://teapots.example/",
    "promotion": "A letter about teapots, twice a month",
    "contact_name": "Wilhelmina Quux",
    "email": "wilhelmina@quux.example",
    "postal": "Hollow Lane 99",
}
WINDOWS = {"phone": (390, 844), "small": (320, 640), "desktop": (1280, 900), "wide": (1600, 900)}
OPEN = ("/", "/portal/login", "/portal/register", "/portal/registered", "/portal/reset", "/portal/terms", "/portal/confirm/x", "/portal/nowhere")
OWN = (
    "/portal/partner", "/portal/partner/clients", "/portal/partner/memberships", "/portal/partner/links?client=shop&s1=letter",
    "/portal/partner/links?client=shop&u=x", "/portal/partner/transactions", "/portal/audience?by=device", "/portal/performance", "/portal/performance?by=s1",
    "/portal/performance?from=x", "/portal/keys", "/portal/account", "/portal/account/password", "/portal/account/two-factor",
    "/portal/account/remove",
)  # fmt: skip

STAFF = {"client": ("clara@coffee.example", "shop"), "operator": ("otto@operator.example", "")}
THEIRS = {
    "client": (
        "/portal/client", "/portal/client/partners", "/portal/client/partners/teapots", "/portal/client/partners/teapots/commission",
        "/portal/client/orders", "/portal/client/orders?days=x", "/portal/client/commission", "/portal/client/messages",
        "/portal/client/pixel", "/portal/client/settings", "/portal/client/colleagues", "/portal/audience", "/portal/performance?by=partner",
        "/portal/keys", "/portal/account",
    ),
    "operator": (
        "/portal/operator", "/portal/operator/clients", "/portal/operator/clients/new", "/portal/operator/clients/shop",
        "/portal/operator/clients/shop/commission", "/portal/operator/partners", "/portal/operator/partners/teapots",
        "/portal/operator/memberships", "/portal/operator/accounts", "/portal/operator/audit", "/portal/operator/mail",
        "/portal/operator/policies", "/portal/operator/health", "/portal/audience?by=x", "/portal/performance?by=client",
    ),
}  # fmt: skip


class Server:
    """The running server, asked from outside the event loop that it is kept in."""

    def __init__(self, run, process):
        self._run, self._process = run, process
        self.port = process.port

    def api(self, method, path, body=None):
        status, answer = self._run(self._process.api(method, path, body))
        assert status < 300, answer
        return answer

    def link(self, to):
        """The path of the link in the newest mail to somebody."""
        mails = self.api("GET", "/api/mails")["mails"]
        mail = next(self.api("GET", f"/api/mails/{mail['id']}") for mail in mails if mail["to"] == to)
        return re.search(rf"https://{TRACKER}(?::443)?(/portal/\S+)", mail["body"])[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """pixeld over TLS with its portal; the shop is a site of its own."""
    require(shutil.which("chromium") and shutil.which("chromedriver"), "Chromium with its chromedriver")
    directory = tmp_path_factory.mktemp("portal")
    cert, key = certificate(directory, TRACKER, SHOP)
    settings = {"public_url": f"https://{TRACKER}:443", "tls_cert": cert, "tls_key": key, "portal": "true"}
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        manager = pixeld(directory / "data", "serve", **settings)
        process = runner.run(manager.__aenter__())
        try:
            runner.run(process.ready())
            found = Server(runner.run, process)
            shop = {"name": "Coffee shop", "landing_url": f"https://{SHOP}/", "commission": [{"percent": "8"}]}
            found.api("PATCH", "/api/clients/shop", shop)
            yield found
        finally:
            runner.run(manager.__aexit__(None, None, None))


class Partner(Visitor):
    """A person in front of the portal."""

    def go(self, path):
        self.open(TRACKER, path)

    def fill(self, **fields):
        for name, text in fields.items():
            field = self.driver.find_element(By.ID, name)
            if field.tag_name == "select":
                Select(field).select_by_value(text)
            elif field.get_attribute("type") == "checkbox":
                field.click()
            else:
                field.clear()
                field.send_keys(text)

    def press(self, button, within="main"):
        """Press what begins with those words, and wait for the page that it leads to."""
        named = f'//{within}//*[self::button or self::a][starts-with(normalize-space(.), "{button}")]'
        super().press(next(each for each in self.driver.find_elements(By.XPATH, named) if each.is_displayed()))

    @property
    def says(self):
        return self.driver.find_element(By.TAG_NAME, "main").text

    def log_in(self):
        self.go("/portal/login")
        self.fill(email=REGISTRATION["email"], password=PASSWORD)
        self.press("Log in")


@pytest.fixture(scope="module")
def someone(server, tmp_path_factory):
    with ExitStack() as stack:
        yield Partner(stack.enter_context(chromium(server.port, 0, tmp_path_factory.mktemp("profile"))))


@pytest.fixture(scope="module")
def staff(server, tmp_path_factory):
    """Somebody of the shop and an operator, each in front of a browser of their own."""
    with ExitStack() as stack:
        found = {}
        for role, (email, subject) in STAFF.items():
            server.api("POST", "/api/accounts/invitations", {"role": role, "subject": subject, "email": email})
            browser = Partner(stack.enter_context(chromium(server.port, 0, tmp_path_factory.mktemp(role))))
            look(browser, server.link(email))
            browser.emulate(*WINDOWS["desktop"], "light")
            browser.fill(contact_name=role.capitalize(), password=PASSWORD, terms="yes")
            browser.press("Make my account")
            found[role] = browser
        yield found


@pytest.fixture(scope="module")
def partner(server, someone, staff):
    """Registered and confirmed by hand, a member of the shop, with one order."""
    someone.go("/")
    someone.press("Become a partner")
    someone.fill(**REGISTRATION, terms="yes")
    someone.press("Register")
    assert "sent you a link" in someone.says
    confirmation = server.link(REGISTRATION["email"])
    look(someone, confirmation)
    someone.emulate(*WINDOWS["desktop"], "light")
    someone.fill(password=PASSWORD)
    someone.press("Confirm")
    assert "is confirmed" in someone.says
    someone.log_in()
    someone.go("/portal/partner/clients")
    someone.press("Apply")
    assert "You have applied to Coffee shop" in someone.says
    shop = staff["client"]
    shop.go("/portal/client/partners")
    assert REGISTRATION["promotion"] in shop.says and REGISTRATION["email"] not in shop.says
    shop.press("Approve")
    assert "Approved" in shop.says
    someone.go("/portal/partner/links")
    someone.fill(client="shop")
    someone.press("Make the link")
    link = someone.driver.find_element(By.ID, "link").get_attribute("value")
    someone.driver.get(link)
    click = re.search(r"pxid=([\w-]+)", someone.driver.current_url)[1]
    someone.driver.get(f"https://{TRACKER}/t/shop/o.gif?order=A-1&amount=49.90&currency=EUR&click={click}")
    return someone


def test_both_sides_see_an_order_pending_and_then_approved_with_equal_amounts(partner, staff):
    shop = staff["client"]

    def row(whose, path):
        whose.go(path)
        return next((row.text for row in whose.driver.find_elements(By.CSS_SELECTOR, "tbody tr") if "A-1" in row.text), "")

    def both(state):
        seen = row(partner, "/portal/partner/transactions"), row(shop, "/portal/client/orders")
        return seen if all(state in each for each in seen) else None

    def amounts(seen):
        return [re.findall(r"\d+\.\d\d", each) for each in seen]

    assert amounts(partner.wait(lambda: both("Pending"), REPORT_S)) == [["49.90", "3.99"]] * 2
    shop.driver.find_element(By.CSS_SELECTOR, "td.tick input").click()
    shop.press("Approve ticked")
    assert "1 order is approved" in shop.says
    assert amounts(partner.wait(lambda: both("Approved"), REPORT_S)) == [["49.90", "3.99"]] * 2
    for whose, path in ((partner, "/portal/partner"), (shop, "/portal/client")):
        whose.go(path)
        assert "3.99 EUR" in whose.says.replace("\u00a0", " ")


def test_charts_are_drawn_from_the_table(partner):
    partner.driver.get_log("browser")  # what was read is gone
    partner.go("/portal/partner")
    partner.emulate(1280, 900, "light")
    partner.wait(lambda: len(partner.driver.find_elements(By.CSS_SELECTOR, ".chart canvas")) == 2)
    assert partner.driver.get_log("browser") == []  # nor does the policy for scripts and styles stop anything


def test_the_copy_button_copies(partner):
    partner.go("/portal/partner/links?client=shop")
    button = partner.driver.find_element(By.CSS_SELECTOR, "[data-copies=link]")
    noting = "const [button] = arguments; window.said = []; new MutationObserver(() => said.push(button.textContent))"
    partner.driver.execute_script(f"{noting}.observe(button, {{childList: true}})", button)  # it says so for two seconds only
    button.click()
    partner.wait(lambda: "Copied" in partner.driver.execute_script("return said"))


def test_the_menu_opens_on_a_phone(partner):
    partner.emulate(*WINDOWS["phone"], "dark")
    partner.go("/portal/partner")
    menu = partner.driver.find_element(By.ID, "menu")
    assert not menu.is_displayed()
    partner.driver.find_element(By.CSS_SELECTOR, ".menu-button").click()
    assert menu.is_displayed()
    partner.press("Memberships", "nav")
    assert "Approved" in partner.says


def test_a_problem_is_where_the_eyes_and_the_keyboard_are(partner):
    partner.go("/portal/keys")
    partner.press("Make a key")
    assert partner.driver.switch_to.active_element.get_attribute("id") == "problems"
    partner.driver.find_element(By.CSS_SELECTOR, "#problems a").click()
    assert partner.driver.execute_script("return location.hash") == "#name"


LOOKS = [(window, scheme) for window in WINDOWS for scheme in ("light", "dark")]


@pytest.mark.parametrize("path", [*OPEN, *OWN])
def test_a_page_is_open_to_everybody(partner, path):
    look(partner, path)


@pytest.mark.parametrize(("role", "path"), [(role, path) for role, paths in THEIRS.items() for path in paths])
def test_a_page_of_clients_and_operators_is_open_to_them_all(staff, role, path):
    look(staff[role], path)


LONG = {
    "client": ("", "/partners", "/partners/teapots", "/partners/teapots/commission", "/orders", "/messages"),
    "operator": ("", "/partners", "/partners/teapots", "/memberships", "/audit"),
}


@pytest.mark.parametrize(("role", "paths"), LONG.items())
def test_a_name_without_a_space_widens_no_page(server, partner, staff, role, paths):
    server.api("PATCH", "/api/partners/teapots", {"name": "W" * 200})
    someone, wide = staff[role], []
    for path in (f"/portal/{role}{path}" for path in paths):
        for window, (width, height) in WINDOWS.items():
            someone.emulate(width, height, "light")
            someone.go(path)
            someone.driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
            if someone.driver.execute_script("return document.documentElement.scrollWidth") > width:
                wide.append((path, window))
    server.api("PATCH", "/api/partners/teapots", {"name": REGISTRATION["name"]})
    assert wide == []


def look(partner, path, *, stays=False):
    """axe-core finds nothing, nothing is wider than the window, and nothing is stopped by the page's own policy. `stays`: on the
    page that is shown, which is no page to go to, and of which no picture is kept: it may show what is shown once.
    """
    for window, scheme in LOOKS:
        width, height = WINDOWS[window]
        partner.emulate(width, height, scheme)
        if not stays:
            partner.go(path)
        partner.driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
        partner.wait(lambda: partner.driver.execute_script("return document.getAnimations().length === 0"))
        wide = partner.driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, (path, window)
        if window in ("phone", "desktop"):
            partner.driver.execute_script(AXE.read_text())
            found = partner.driver.execute_async_script("axe.run().then(r => arguments[0](r.violations))")
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], (path, window, scheme)
        if not stays and gallery.wanted(path, window):
            gallery.keep(partner.driver, path, window, scheme)
    refused = [entry["message"] for entry in partner.driver.get_log("browser") if "Content Security Policy" in entry["message"]]
    assert refused == []


def test_at_the_end_the_account_is_removed(server, partner):
    partner.emulate(*WINDOWS["desktop"], "light")
    partner.go("/portal/account")
    partner.press("Don't let them")
    assert "can't write to you any more" in partner.says
    partner.fill(postal="Elsewhere 1")
    partner.press("Save")
    assert "Saved." in partner.says
    partner.go("/portal/account/remove")
    partner.fill(word="teapots", password=PASSWORD)
    partner.press("Remove my account for ever")
    assert "is removed" in partner.says
    assert server.api("GET", "/api/partners/teapots")["name"] == "teapots"
    assert server.api("GET", "/api/reports/orders?client=shop")["rows"][0]["partner"] == "teapots"


def test_pages_that_are_seen_once_are_open_to_everybody(server, staff):
    server.api("POST", "/api/accounts/invitations", {"role": "client", "subject": "shop", "email": "carl@coffee.example"})
    look(staff["client"], server.link("carl@coffee.example"))
    staff["client"].go("/portal/client/colleagues")
    look(staff["client"], "/portal/account/remove")
    change = {"summary": "Orders are kept longer.", "changes_use": True, "question": "May we keep your orders longer?"}
    server.api("POST", "/api/policies", change)
    look(staff["client"], "/portal/consent")
    assert change["question"] in staff["client"].says
    staff["client"].press("Yes")
    staff["client"].go("/portal/client")
    assert staff["client"].driver.current_url.endswith("/portal/client")


def test_two_factor_log_in_is_set_up_lost_and_turned_off(server, staff):
    shop, codes = staff["client"], "/portal/account/two-factor/codes"
    shop.go("/portal/account/two-factor")
    shop.fill(password=PASSWORD)
    shop.press("Set it up")
    look(shop, "/portal/account/two-factor/begin", stays=True)
    secret = shop.driver.find_element(By.ID, "secret-text").get_attribute("value")
    shop.fill(code=pyotp.TOTP(secret).now())
    shop.press("Turn it on")
    look(shop, codes, stays=True)
    code = shop.driver.find_element(By.ID, "codes").get_attribute("value").split()[0]
    look(shop, "/portal/account/two-factor")
    look(shop, codes)
    shop.driver.delete_all_cookies()
    shop.go("/portal/login")
    shop.fill(email=STAFF["client"][0], password=PASSWORD)
    shop.press("Log in")
    look(shop, "/portal/login", stays=True)
    shop.fill(password=PASSWORD, recovery=code)
    shop.press("Log in")
    assert shop.driver.current_url.endswith("/portal/client")
    (account,) = [each for each in server.api("GET", "/api/accounts")["accounts"] if each["email"] == STAFF["client"][0]]
    server.api("POST", f"/api/accounts/{account['id']}/end-two-factor")
    look(shop, link := server.link(STAFF["client"][0]))
    shop.go(link)
    shop.fill(password=PASSWORD)
    shop.press("Turn it off")
    shop.go("/portal/account/two-factor")
    assert "Off" in shop.says
