"""The ways in and out of the portal, as a browser without JavaScript goes them. Accounts on a real Valkey."""

import asyncio
import re

import pyotp
import pytest

from pixeld.web.portal import sessions
from tests import accounts, portal
from tests.portal import CLIENT, PARTNER, PASSWORD

NEW = accounts.OTHER_PASSWORD
REGISTRATION = {name: text for name, text in accounts.FORM.items() if name != "policy"}


async def link(made):
    """The path of the link in the newest mail."""
    (mail,) = await made.outbox.list(1)
    return re.search(r"https://track\.example(/portal/\S+)", mail.body)[1]


async def test_a_partner_registers_confirms_and_logs_in(made, browser):
    someone = browser()
    await someone.submit("/portal/register", **REGISTRATION)
    assert "sent you a link" in (await someone.follow()).text
    path = await link(made)
    page = await someone.get(path)  # whoever looks through mails opens links, and uses nothing up
    assert page.status == 200 and all(" ".join(REGISTRATION[name].split()) in page.text for name in ("name", "postal", "email"))
    assert "blog" not in made.registry.snapshot.partners
    page = await someone.submit(path, password="short")
    assert page.status == 400 and page.problem("password") and "blog" not in made.registry.snapshot.partners
    await someone.submit(path, password=PASSWORD)
    assert "blog" in made.registry.snapshot.partners
    assert "is confirmed" in (await someone.follow()).text
    assert "is confirmed" not in (await someone.get("/portal/login")).text  # a notice is shown once
    await someone.log_in(PARTNER)
    await someone.follow()
    assert someone.page.location == "/portal/partner"
    assert "Overview" in (await someone.follow()).text


async def test_a_link_works_once(made, browser):
    someone = browser()
    await someone.submit("/portal/register", **REGISTRATION)
    path = await link(made)
    fields = (await someone.get(path)).form(path) | {"password": PASSWORD}
    await someone.post(path, fields)
    for page in (await someone.post(path, fields), await someone.get(path)):
        assert page.status == 404 and "doesn't work any more" in page.text


WRONG = {
    "nothing typed": (dict.fromkeys(REGISTRATION, ""), {"partner_id", "name", "contact_name", "email", "terms"}),
    "an id that is none": ({"partner_id": "My Blog!"}, {"partner_id"}),
    "an address that is none": ({"email": "nobody"}, {"email"}),
    "terms not accepted": ({"terms": ""}, {"terms"}),
    "a site that is none": ({"site": "javascript:alert(1)"}, {"site"}),
    "an old version of the policy": ({"policy": "0"}, {"terms"}),
}


@pytest.mark.parametrize(("changes", "fields"), WRONG.values(), ids=WRONG)
async def test_a_registration_says_what_is_wrong_and_keeps_what_was_typed(browser, changes, fields):
    page = await browser().submit("/portal/register", **REGISTRATION | changes)
    assert page.status == 400 and page.problems == fields
    assert all(page.problem(name) for name in fields)
    kept = page.form("/portal/register")
    typed = REGISTRATION | changes
    assert {name: kept[name] for name in ("partner_id", "name", "contact_name", "email", "site")} == {
        name: typed[name] for name in ("partner_id", "name", "contact_name", "email", "site")
    }
    assert page.one("title").text.startswith("Error: ")


async def test_a_field_says_whether_it_may_be_left_out(browser):
    page = await browser().get("/portal/register")
    required = {e.get("name") for tag in ("input", "textarea") for e in page.all(tag) if "required" in e.attrib}
    assert required == WRONG["nothing typed"][1] - {"terms"}


async def test_a_known_address_gets_the_same_page(made, browser):
    await portal.people(made)
    page = await browser().submit("/portal/register", **REGISTRATION | {"partner_id": "another"})
    assert (page.status, page.location) == (303, "/portal/registered")


async def test_what_was_typed_is_text(browser):
    hostile = '"><script>alert(1)</script>'
    page = await browser().submit("/portal/register", **REGISTRATION | {"name": hostile, "email": hostile, "promotion": hostile})
    assert page.form("/portal/register")["name"] == hostile and page.form("/portal/register")["promotion"] == hostile
    assert all(script.get("src") for script in page.all("script"))


REFUSED = {
    "a wrong password": (PARTNER, "a wrong password"),
    "an unknown address": ("nobody@nowhere.example", PASSWORD),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("email", "password"), REFUSED.values(), ids=REFUSED)
async def test_a_log_in_is_refused_in_the_same_words(made, browser, email, password):
    await portal.people(made)
    page = await browser().submit("/portal/login", email=email, password=password)
    assert page.status == 401 and page.problem("email").startswith("The e-mail address, the password or the code is wrong")
    assert page.form("/portal/login")["email"] == email and page.form("/portal/login")["password"] == ""


async def test_too_many_log_ins_are_told_when_to_come_back(made, browser):
    someone = browser()
    await portal.people(made)
    for _ in range(100):
        page = await someone.submit("/portal/login", email=PARTNER, password="a wrong password")
        if page.status == 429:
            break
    assert page.status == 429 and int(page.headers["Retry-After"]) > 0
    assert page.one("h1").text == "Too many attempts"


NEXT = {
    "a page of the portal": ("/portal/account", "/portal/account"),
    "with its question": ("/portal/partner/clients?q=a%20b", "/portal/partner/clients?q=a%20b"),
    "another site": ("https://evil.example/", "/portal/"),
    "another site without its scheme": ("//evil.example/", "/portal/"),
    "another site behind a backslash": ("/portal/\\evil.example", "/portal/"),
    "another site behind a line break": ("/portal/\r\nLocation: //evil.example", "/portal/"),
    "no page of the portal": ("/t/shop/c/blog", "/portal/"),
    "log-in again": ("/portal/login?next=/portal/login", "/portal/"),
    "nothing": ("", "/portal/"),
}


@pytest.mark.parametrize(("asked", "leads_to"), NEXT.values(), ids=NEXT)
async def test_a_log_in_leads_to_pages_of_the_portal_only(made, browser, asked, leads_to):
    await portal.people(made)
    page = await browser().submit("/portal/login", email=PARTNER, password=PASSWORD, next=asked)
    assert page.location == leads_to


async def test_who_asks_for_a_page_comes_to_it_through_log_in(made, browser):
    await portal.people(made)
    someone = browser()
    page = await someone.get("/portal/partner/clients?q=shop")
    assert page.location == "/portal/login?next=%2Fportal%2Fpartner%2Fclients%3Fq%3Dshop"
    page = await someone.submit(page.location, "/portal/login", email=PARTNER, password=PASSWORD)
    assert page.location == "/portal/partner/clients?q=shop"


async def test_a_second_factor_is_a_second_step(made, browser, clock):
    partner = (await portal.people(made))["partner"]
    secret, _ = await made.accounts.begin_totp(partner, PASSWORD)
    codes = pyotp.TOTP(secret)
    await made.accounts.confirm_totp(partner, codes.at(clock() // 1000))
    clock.forward(60)
    someone = browser()
    page = await someone.submit("/portal/login", email=PARTNER, password=PASSWORD)
    assert page.status == 401 and not page.problems and "code" in page.form("/portal/login")
    assert sessions.COOKIE not in someone.jar
    fields = page.form("/portal/login")
    assert fields["email"] == PARTNER and fields["password"] == ""
    page = await someone.post("/portal/login", fields | {"password": PASSWORD, "code": "000000"})
    assert page.status == 401 and "code" in page.form("/portal/login")
    page = await someone.post("/portal/login", fields | {"password": PASSWORD, "code": codes.at(clock() // 1000)})
    assert page.status == 303 and sessions.COOKIE in someone.jar


async def test_a_log_in_rotates_the_session_and_ends_the_one_before(made, browser):
    await portal.people(made)
    someone = await browser().log_in(PARTNER)
    before = someone.jar[sessions.COOKIE]
    assert (await someone.get("/portal/login")).location == "/portal/"  # who is in needs no log-in
    fields = {"csrf": (await made.sessions.find(before)).csrf, "email": PARTNER, "password": PASSWORD}
    await someone.post("/portal/login", fields)
    assert someone.jar[sessions.COOKIE] != before
    assert await made.sessions.find(before) is None


async def test_a_log_out_ends_the_session_on_the_server(made, browser):
    await portal.people(made)
    someone = await browser().log_in(PARTNER)
    before = someone.jar[sessions.COOKIE]
    await someone.submit("/portal/partner", "/portal/logout")
    assert sessions.COOKIE not in someone.jar and await made.sessions.find(before) is None
    assert "You have logged out" in (await someone.follow()).text
    assert (await someone.get("/portal/logout")).status == 405  # a picture on another page must log nobody out


@pytest.mark.parametrize("typed", ["", "nobody", "x" * 300 + "@x.example"], ids=["nothing", "no address", "too much"])
async def test_a_link_is_asked_for_with_an_address(browser, typed):
    page = await browser().submit("/portal/reset", email=typed)
    assert page.status == 400 and page.problem("email") and page.form("/portal/reset")["email"] == typed


async def test_a_forgotten_password_is_set_anew_and_ends_every_session(made, browser):
    await portal.people(made)
    elsewhere = await browser().log_in(PARTNER)
    someone = browser()
    page = await someone.submit("/portal/reset", email=PARTNER)
    unknown = await someone.submit("/portal/reset", email="nobody@nowhere.example")
    assert page.status == unknown.status == 200 and page.text == unknown.text
    mails = [mail for mail in await made.outbox.list(9) if "/portal/reset/" in mail.body]
    path = re.search(r"https://track\.example(/portal/reset/\S+)", mails[0].body)[1]
    page = await someone.submit(path, password="short")
    assert page.status == 400 and page.problem("password")
    late = browser()
    form = (await late.get(path)).form(path)
    await someone.submit(path, password=NEW)
    assert "new password is set" in (await someone.follow()).text
    assert (await elsewhere.get("/portal/partner")).status == 303
    await someone.log_in(PARTNER, NEW)
    page = await browser().get(path)
    assert page.status == 404 and page.one("a", href="/portal/reset").text == "Ask for a new link"
    assert (await late.post(path, form | {"password": NEW})).status == 404


async def test_an_invitation_welcomes_and_logs_in(made, browser):
    await portal.people(made)
    path = await made.accounts.invite("client", "shop", "carl@shop.example", "admin")
    someone = browser()
    page = await someone.get(path)
    assert page.one("h1").text == "Welcome, Shop" and page.form(path)["email"] == "carl@shop.example"
    page = await someone.submit(path, contact_name="", password="short", terms="")
    assert page.problems == {"contact_name", "password", "terms"} and page.status == 400
    await someone.submit(path, contact_name="Carl", password=PASSWORD, terms="yes")
    assert sessions.COOKIE in someone.jar
    await someone.follow()
    assert someone.page.location == "/portal/client"
    assert (await browser().get(path)).status == 404


async def test_a_second_click_on_an_invitation_is_told_that_the_account_is_there(made, browser):
    await portal.people(made)
    path = await made.accounts.invite("client", "shop", "carl@shop.example", "admin")
    someone = browser()
    form = (await someone.get(path)).form(path) | {"contact_name": "Carl", "password": PASSWORD, "terms": "yes"}
    await asyncio.gather(*(someone.get(path) for _ in range(8)))  # so that no connection has to be made any more
    replies = await asyncio.gather(*(someone.post(path, form) for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [303] + [404] * 7
    assert all("If you have made your account already, log in" in reply.text for reply in replies if reply.status == 404)


async def test_an_invitation_is_for_the_address_that_it_was_sent_to(made, browser):
    await portal.people(made)
    path = await made.accounts.invite("client", "shop", "carl@shop.example", "admin")
    page = await browser().submit(path, contact_name="Carl", email=CLIENT, password=PASSWORD, terms="yes")
    assert page.problems == {"email"}
