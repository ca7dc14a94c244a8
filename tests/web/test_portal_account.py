"""One's own account and keys: seen, corrected, protected, taken along, removed. Accounts on a real Valkey."""

import json
import re

import pyotp
import pytest

from pixeld.errors import Unauthorized
from pixeld.web.api import tenants
from pixeld.web.portal import sessions
from tests import accounts, portal
from tests.portal import CLIENT, OPERATOR, PARTNER, PASSWORD

ACCOUNT = "/portal/account"
NEW = accounts.OTHER_PASSWORD


@pytest.fixture
async def people(made):
    return await portal.people(made)


@pytest.fixture
async def partner(people, browser):
    return await browser().log_in(PARTNER)


async def test_all_that_is_held_is_shown(partner):
    fields = (await partner.get(ACCOUNT)).form(ACCOUNT)
    held = {name: accounts.FORM[name] for name in ("name", "contact_name", "email", "postal", "site", "promotion")}
    assert {name: fields[name] for name in held} == held


async def test_a_correction_is_saved(made, people, partner):
    changed = {"name": "Teapots", "contact_name": "W. Quux", "postal": "Elsewhere 1", "site": "https://tea.example/"}
    page = await partner.submit(ACCOUNT, **changed)
    assert page.location == ACCOUNT and "Saved." in (await partner.follow()).text
    fields = (await partner.get(ACCOUNT)).form(ACCOUNT)
    assert {name: fields[name] for name in changed} == changed
    assert made.registry.snapshot.partners["blog"].name == "Teapots"


WRONG = {
    "no name": ({"contact_name": ""}, "contact_name"),
    "no trade name": ({"name": ""}, "name"),
    "no address that mail goes to": ({"email": "nobody"}, "email"),
    "a site that is none": ({"site": "blog"}, "site"),
    "too long a text": ({"promotion": "x" * 4001}, "promotion"),
}


@pytest.mark.parametrize(("changes", "field"), WRONG.values(), ids=WRONG)
async def test_a_correction_says_what_is_wrong_and_keeps_what_was_typed(made, people, partner, changes, field):
    page = await partner.submit(ACCOUNT, **changes, postal="Typed meanwhile")
    assert page.status == 400 and page.problems == {field} and page.problem(field)
    assert page.form(ACCOUNT)["postal"] == "Typed meanwhile" and page.form(ACCOUNT)[field] == changes[field]
    assert (await made.accounts.account(people["partner"].id)).contact == people["partner"].contact


async def test_two_who_correct_at_once_are_told_and_nothing_is_overwritten(made, people, partner, browser):
    fields = (await partner.get(ACCOUNT)).form(ACCOUNT)
    other = await browser().log_in(PARTNER)
    await other.submit(ACCOUNT, contact_name="Second", postal="The same")
    page = await partner.post(ACCOUNT, fields | {"contact_name": "First", "postal": "The same"})
    assert page.status == 409
    rows = [["".join(cell.itertext()) for cell in row] for row in page.one("tbody")]
    assert rows == [["Your name", "Second", "First"]]  # the address is the same in both, so there is nothing to decide
    assert (await made.accounts.account(people["partner"].id)).contact.contact_name == "Second"
    again = page.form(ACCOUNT)
    assert again["contact_name"] == "First"
    await partner.post(ACCOUNT, again)  # seen, and decided
    assert (await made.accounts.account(people["partner"].id)).contact.contact_name == "First"


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 20, "٣"])
async def test_a_form_without_its_version_is_refused(partner, version):
    page = await partner.submit(ACCOUNT, version=version)
    assert page.status == 400 and "the version that it was made from" in page.text


async def test_a_new_address_counts_once_it_is_confirmed(made, partner, browser):
    await partner.submit(ACCOUNT, email="new@quux.example", password=PASSWORD)
    assert "once you follow the link" in (await partner.follow()).text
    assert (await partner.get(ACCOUNT)).form(ACCOUNT)["email"] == PARTNER
    (mail,) = [mail for mail in await made.outbox.list(9) if mail.to == "new@quux.example"]
    someone, path = browser(), re.search(r"https://track\.example(/portal/confirm/\S+)", mail.body)[1]
    page = await someone.get(path)
    assert "new@quux.example" in page.text and PARTNER not in page.body.decode()  # whoever's mailbox it is
    page = await someone.submit(path, password="wrong")
    assert page.status == 400 and page.problem("password")
    await partner.submit(path, password=PASSWORD)
    while (page := await partner.follow()).location:
        pass
    assert "is confirmed" in page.text and "log in now" not in page.text  # who confirms it is in already
    assert (await partner.get(ACCOUNT)).form(ACCOUNT)["email"] == "new@quux.example"


@pytest.mark.parametrize(("email", "missing"), [(CLIENT, "/portal/account/messages"), (OPERATOR, "/portal/account/messages")])
async def test_other_roles_have_what_concerns_them(people, browser, email, missing):
    someone = await browser().log_in(email)
    page = await someone.get(ACCOUNT)
    assert set(page.form(ACCOUNT)) == {"csrf", "version", "contact_name", "email", "password"}
    assert not [form for form in page.all("form") if form.get("action") == missing]
    await someone.submit(ACCOUNT, contact_name="Other")
    assert (await someone.get(ACCOUNT)).form(ACCOUNT)["contact_name"] == "Other"


async def test_messages_about_other_programmes_can_be_refused(made, people, partner):
    for answer in ("no", "yes"):
        page = await partner.submit(ACCOUNT, f"{ACCOUNT}/messages")
        assert page.location == ACCOUNT
        assert (await made.accounts.account(people["partner"].id)).other_programmes is (answer == "yes")


async def test_a_password_is_changed_and_other_sessions_end(people, partner, browser):
    elsewhere = await browser().log_in(PARTNER)
    page = await partner.submit(f"{ACCOUNT}/password", old="wrong", new=NEW)
    assert page.status == 400 and page.problem("old") and page.form(f"{ACCOUNT}/password")["new"] == ""
    page = await partner.submit(f"{ACCOUNT}/password", old=PASSWORD, new="short")
    assert page.problem("new")
    await partner.submit(f"{ACCOUNT}/password", old=PASSWORD, new=NEW)
    assert "password is changed" in (await partner.follow()).text
    assert (await elsewhere.get(ACCOUNT)).status == 303
    await browser().log_in(PARTNER, NEW)


async def test_a_second_factor_is_set_up_and_taken_away(made, people, partner, clock):
    begin, confirm, end = (f"{ACCOUNT}/two-factor/{what}" for what in ("begin", "confirm", "end"))
    page = await partner.submit(f"{ACCOUNT}/two-factor", begin, password="wrong")
    assert page.status == 400 and page.problem("password")
    page = await partner.submit(f"{ACCOUNT}/two-factor", begin, password=PASSWORD)
    secret = page.form(confirm)["secret"]
    assert page.one("input", id="secret-text").get("value") == secret
    assert page.one("img", class_="qr").get("src").startswith("data:image/svg+xml") and page.one("img", class_="qr").get("alt")
    page = await partner.post(confirm, page.form(confirm) | {"code": "000000"})
    assert page.status == 400 and page.problem("code") and page.form(confirm)["secret"] == secret  # no other scan
    page = await partner.post(confirm, page.form(confirm) | {"code": pyotp.TOTP(secret).at(clock() // 1000)})
    assert "is on" in page.text and len(page.one("textarea", id="codes").text.split()) == 10
    assert (await made.accounts.account(people["partner"].id)).totp
    page = await partner.submit(f"{ACCOUNT}/two-factor", end, password="wrong")
    assert page.status == 400 and page.problem("password")
    await partner.submit(f"{ACCOUNT}/two-factor", end, password=PASSWORD)
    assert not (await made.accounts.account(people["partner"].id)).totp


async def test_recovery_codes_are_shown_once_and_made_anew(people, made, partner, browser, clock):
    codes = f"{ACCOUNT}/two-factor/codes"
    assert "is off" in (await partner.get(codes)).text
    secret, _ = await made.accounts.begin_totp(people["partner"], PASSWORD)
    first, *_ = await made.accounts.confirm_totp(people["partner"], pyotp.TOTP(secret).at(clock() // 1000))
    someone = browser()
    page = await someone.submit("/portal/login", email=PARTNER, password=PASSWORD)
    fields = page.form("/portal/login") | {"password": PASSWORD}
    page = await someone.post("/portal/login", fields | {"recovery": "aaaa-bbbb-cccc-dddd"})
    assert page.status == 401 and page.problem("email")
    page = await someone.post("/portal/login", page.form("/portal/login") | {"password": PASSWORD, "recovery": first})
    assert page.location == "/portal/" and "9 of your recovery codes are left" in (await someone.get(f"{ACCOUNT}/two-factor")).text
    page = await someone.submit(codes, password="wrong")
    assert page.status == 400 and page.problem("password")
    page = await someone.submit(codes, password=PASSWORD)
    shown = page.one("textarea", id="codes").text.split()
    assert len(shown) == 10 and first not in shown and "don't work any more" in page.text
    assert shown[0] not in (await someone.get(codes)).text


async def test_an_operators_link_and_the_password_turn_two_factor_log_in_off(people, made, browser, clock):
    secret, _ = await made.accounts.begin_totp(people["partner"], PASSWORD)
    await made.accounts.confirm_totp(people["partner"], pyotp.TOTP(secret).at(clock() // 1000))
    mail = await made.outbox.read(await made.accounts.offer_end_of_totp(people["partner"].id, "admin"))
    path = re.search(r"https://track\.example(/portal/second-factor/\S+)", mail.body)[1]
    assert path not in str((await made.accounts.export(people["partner"]))["mails"])  # who is at the browser does not get it
    someone = browser()
    page = await someone.submit(path, password="wrong")
    assert page.status == 400 and page.problem("password")
    fields = page.form(path) | {"password": PASSWORD}
    await someone.post(path, fields)
    assert "is off" in (await someone.follow()).text
    await someone.log_in(PARTNER)
    for page in (await someone.get(path), await browser().get(path)):
        assert page.status == 404 and "doesn't work any more" in page.text


async def test_a_code_without_a_secret_is_refused(partner):
    token = (await partner.get(ACCOUNT)).form("/portal/logout")["csrf"]
    page = await partner.post(f"{ACCOUNT}/two-factor/confirm", {"csrf": token, "code": "1", "uri": "https://evil.example/"})
    assert page.status == 400 and "Begin the set-up again" in page.text


async def test_all_that_is_held_can_be_taken_along(made, people, partner):
    page = await partner.get(f"{ACCOUNT}/data.json")
    assert page.headers["Content-Disposition"] == 'attachment; filename="pixeld-blog.json"'
    assert json.loads(page.body) == json.loads(json.dumps(await made.accounts.export(people["partner"])))


async def test_an_account_is_removed_with_its_password_and_its_id(made, people, partner, browser):
    remove = f"{ACCOUNT}/remove"
    page = await partner.submit(remove, word="bog", password=PASSWORD)
    assert page.status == 400 and page.problem("word")
    page = await partner.submit(remove, word="blog", password="wrong")
    assert page.status == 400 and page.problem("password") and page.form(remove)["password"] == ""
    page = await partner.submit(remove, word="blog", password=PASSWORD)
    assert sessions.COOKIE not in partner.jar and "is removed" in (await partner.follow()).text
    with pytest.raises(Unauthorized):
        await accounts.log_in(made)
    assert made.registry.snapshot.partners["blog"].name == "blog"


# ---- the policy


QUESTION = "May we count which pages you open?"


async def test_a_question_of_the_policy_comes_before_everything_else(made, people, partner):
    await made.policies.post("Pages are counted", True, QUESTION, "admin")
    for path in ("/portal/partner", ACCOUNT, "/portal/keys", "/portal/performance"):
        assert (await partner.get(path)).location == "/portal/consent"
    await partner.post("/portal/account/messages", {})
    assert partner.page.location == "/portal/consent" and "was not saved" in (await partner.follow()).text
    page = await partner.get("/portal/consent")
    assert QUESTION in page.text and "Pages are counted" in page.text
    buttons = [button for button in page.all("button") if button.get("name") == "answer"]
    assert {button.get("value") for button in buttons} == {"yes", "no"}
    assert len({button.get("class") for button in buttons}) == 1  # neither is made to look like the one to take
    fields = page.form("/portal/consent")
    assert (await partner.post("/portal/consent", fields)).location == "/portal/consent"  # no answer is none
    page = await partner.post("/portal/consent", fields | {"answer": "no"})
    assert page.location == "/portal/"
    assert (await partner.get("/portal/partner")).status == 200
    account = await made.accounts.account(people["partner"].id)
    assert account.uses == {2: False} and not account.allows(2)


async def test_an_answer_can_be_given_anew(made, people, partner):
    await made.policies.post("Pages are counted", True, QUESTION, "admin")
    await partner.submit("/portal/consent", answer="yes")
    page = await partner.submit(ACCOUNT, "/portal/consent")
    assert page.location == ACCOUNT
    assert (await made.accounts.account(people["partner"].id)).uses == {2: False}
    assert QUESTION in (await partner.get(ACCOUNT)).text


ANSWERS = {"no such version": ("9", 404), "no number": ("x", 303), "no version": ("", 303), "no digits of ours": ("٣", 303)}


@pytest.mark.parametrize(("number", "status"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_to_a_question(made, people, partner, number, status):
    fields = (await partner.get(ACCOUNT)).form("/portal/logout") | {"policy": number, "answer": "yes"}
    assert (await partner.post("/portal/consent", fields)).status == status
    assert (await made.accounts.account(people["partner"].id)).uses == {}


async def test_a_change_that_asks_nothing_is_told_for_a_month(made, people, partner, browser, clock):
    await made.policies.post("Orders are kept 400 days", False, "", "admin")
    page = await partner.get("/portal/partner")
    assert page.status == 200 and "Orders are kept 400 days" in page.text
    clock.forward(31 * 86_400)
    assert "Orders are kept 400 days" not in (await (await browser().log_in(PARTNER)).get("/portal/partner")).text


# ---- keys


@pytest.mark.parametrize("email", [PARTNER, CLIENT])
async def test_a_key_is_shown_once_listed_and_revoked(made, people, browser, email):
    someone = await browser().log_in(email)
    page = await someone.submit("/portal/keys", name="Spreadsheet")
    text = page.one("input", id="key").get("value")
    scope = await made.keys.scope_of(text)
    assert scope == people["partner" if email == PARTNER else "client"].scope
    page = await someone.get("/portal/keys")
    assert text not in page.body.decode() and "Spreadsheet" in page.text
    (key,) = await made.keys.list(scope)
    await someone.submit("/portal/keys", f"/portal/keys/{key.id}/revoke")
    assert "is revoked" in (await someone.follow()).text
    with pytest.raises(Unauthorized):
        await made.keys.scope_of(text)


async def test_whose_keys_go_with_an_account_is_told_before(made, people, browser):
    await made.keys.create(people["client"].scope, "Clara's sheet", people["client"].who)
    made.clock.forward(1)
    await made.keys.create(people["client"].scope, "Of somebody gone", "client:shop/gone")
    clara = await browser().log_in(CLIENT)
    page = await clara.get(f"{ACCOUNT}/remove")
    assert "Clara's sheet" in page.text and "Of somebody gone" not in page.text
    rows = [" ".join("".join(row.itertext()).split()) for row in (await clara.get("/portal/keys")).one("tbody")]
    assert [("Clara " in row, "Nobody who has an account now" in row) for row in rows] == [(True, False), (False, True)]


async def test_the_example_of_how_to_use_a_key_is_a_request_that_is_answered(partner):
    page = await partner.get("/portal/keys")
    asked = re.search(r'curl .*"https?://[^/]+([^?"]+)', page.one("pre").text)[1]
    assert asked in {tenants.PREFIX + route.path for route in tenants.ROUTES}
    assert page.all("a", href=f"{tenants.PREFIX}/docs")


async def test_a_key_needs_a_name(people, partner):
    page = await partner.submit("/portal/keys", name="")
    assert page.status == 400 and page.problem("name")


async def test_anothers_key_is_no_key(made, people, partner, browser):
    await (await browser().log_in(CLIENT)).submit("/portal/keys", name="Theirs")
    (key,) = await made.keys.list(people["client"].scope)
    fields = (await partner.get("/portal/keys")).form("/portal/logout")
    assert (await partner.post(f"/portal/keys/{key.id}/revoke", fields)).status == 404
    assert len(await made.keys.list(people["client"].scope)) == 1
