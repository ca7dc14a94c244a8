"""An operator's pages: what is shown, what forms do, what they say, and what they leave untold. All services are real."""

import asyncio
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestServer

from pixeld.accounts.account import Account, Contact, Role
from pixeld.accounts.outbox import NotSent
from pixeld.accounts.people import People, Person
from pixeld.accounts.sealed import SealedRecords
from pixeld.domain.changes import changes
from pixeld.domain.commission import Terms
from pixeld.domain.events import CLICK
from pixeld.domain.registry import Status
from pixeld.errors import Unauthorized, WarehouseAway
from pixeld.web.keys import Health
from pixeld.web.portal import sessions
from pixeld.web.portal.pages import ROWS
from tests import accounts, portal
from tests.portal import CLIENT, OPERATOR, PARTNER, PASSWORD, XHTML
from tests.web.test_portal_partner import insert

TODAY = "2027-01-15"
BOOKS = {"id": "books", "name": "Books", "landing_url": "https://books.example/", "currency": "GBP"}


@pytest.fixture
async def operator(made, browser):
    """An operator who has logged in; "blog" has applied to "shop"."""
    await portal.people(made)
    await made.registry.set_member("shop", "blog", {"status": "applied"}, "partner:blog")
    return await browser().log_in(OPERATOR)


async def snapshot(made):
    await made.registry.refresh()
    return made.registry.snapshot


async def audited(made):
    return (await made.registry.audit(1))[0]


def contacts(page):
    """Whose personal data a page tells."""
    body = page.body.decode().lower()
    return {who for who, told in {"partner": "quux", "client": "clara", "address": "hollow lane"}.items() if told in body}


# ---- overview, health


async def test_the_overview_counts(operator, warehouse):
    await insert(warehouse, CLICK, {"partner": "blog", "quality": "human", "visitor": 7})
    page = await operator.get("/portal/operator")
    assert "All 2 parts are well" in page.text and "1 waiting" in page.text and "Clicks 1" in page.text


class Away:
    """Reports without a warehouse."""

    async def performance(self, *_):
        raise WarehouseAway("ClickHouse does not answer")

    orders = performance


async def ill():
    return {"redis": Health(True, {"durable": True}), "clickhouse": Health(False, {"reason": "it does not answer", "others": {"spill_bytes": 1234567}})}


async def test_the_overview_is_there_when_parts_are_not(made, operator):
    async with TestServer(portal.site(portal.services(made, Away(), health=ill))) as server:
        someone = portal.Browser(server)
        await someone.log_in(OPERATOR)
        page = await someone.get("/portal/operator")
        assert page.status == 200 and "Not well: clickhouse" in page.text and "can't be read right now" in page.text
        page = await someone.get("/portal/operator/health")
        assert "it does not answer" in page.text and "others: spill bytes 1,234,567" in page.text and "Not well" in page.text
        await someone.close()


# ---- clients

NEW = "/portal/operator/clients/new"


async def test_a_client_is_registered_with_what_partners_earn(made, operator):
    fields = BOOKS | {"percent": "7.5", "flat": "0.50", "allowed_hosts": "m.books.example\r\n", "lock_days": "14"}
    page = await operator.submit(NEW, **fields)
    assert (page.status, page.location) == (303, "/portal/operator/clients/books")
    client = (await snapshot(made)).clients["books"]
    assert (client.currency, client.lock_days, client.allowed_hosts) == ("GBP", 14, ("m.books.example",))
    assert client.commission == (Terms("7.5", "0.50", TODAY),) and client.listed and client.share_contact
    entry = await audited(made)
    assert entry["who"].startswith("operator:") and entry["what"] == "clients/books"


async def test_a_client_may_be_registered_without_a_commission_and_unlisted(made, operator):
    form = (await operator.get(NEW)).form(NEW) | BOOKS
    del form["listed"]
    assert (await operator.post(NEW, form)).status == 303
    client = (await snapshot(made)).clients["books"]
    assert (client.commission, client.listed, client.share_contact, client.stateless) == ((), False, True, False)


async def test_a_client_may_be_registered_without_cookies(made, operator):
    assert (await operator.submit(NEW, **BOOKS, stateless="yes")).status == 303
    assert (await snapshot(made)).clients["books"].stateless
    page = await operator.get("/portal/operator/clients/books")
    assert page.form("/portal/operator/clients/books")["stateless"] == "yes"


async def test_an_operator_decides_about_the_consent_of_a_client(made, operator):
    assert (await operator.submit(NEW, **BOOKS)).status == 303
    where = "/portal/operator/clients/books"
    form = (await operator.get(where)).form(where)
    assert (form["consent"], form["consent_where"]) == ("operator_asserts", "eea")
    assert (await operator.submit(where, consent="require", consent_where="everywhere")).status == 303
    client = (await snapshot(made)).clients["books"]
    assert (client.consent, client.consent_where) == ("require", "everywhere")
    for field in ("consent", "consent_where"):
        page = await operator.submit(where, **{field: "maybe"})
        assert page.status == 400 and "Choose one" in page.problem(field)


async def test_a_currency_that_a_membership_cannot_be_paid_in_is_told_above_the_form(made, operator):
    await made.registry.set_member("shop", "blog", {"status": "approved", "commission": [{"flat": "0.50"}]}, "admin")
    page = await operator.submit(SHOP, currency="JPY")
    assert page.status == 400 and "no amount of JPY" in page.text and not page.problems


WRONG = {
    "id": ("Books!", "1 to 32"),
    "name": ("", "1 to 200"),
    "landing_url": ("//x", "plain address"),
    "allowed_hosts": ("a b/c", "name of a host"),
    "currency": ("gbp", "ISO 4217"),
    "timezone": ("Mars", "time zone"),
    "window_days": ("0", "from 1 to 400"),
    "lock_days": ("-1", "from 0"),
    "click_param": ("a b", "1 to 32"),
    "percent": ("101", "from 0 to 100"),
    "flat": ("0.555", "no amount of GBP"),
}


@pytest.mark.parametrize(("field", "typed", "says"), [(k, *v) for k, v in WRONG.items()], ids=WRONG)
async def test_a_wrong_field_of_a_new_client_is_told_beside_it(made, operator, field, typed, says):
    page = await operator.submit(NEW, **(BOOKS | {field: typed}))
    assert page.status == 400 and says in page.problem(field)
    assert page.problems <= {field, "flat"} and page.form(NEW)[field] == typed
    assert "books" not in (await snapshot(made)).clients


async def test_every_wrong_field_is_told_at_once(operator):
    page = await operator.submit(NEW, **{field: typed for field, (typed, _) in WRONG.items()})
    assert page.problems >= set(WRONG) - {"percent", "flat"}  # these can be checked once the currency is one


async def test_a_taken_id_is_told_beside_it(made, operator):
    page = await operator.submit(NEW, **(BOOKS | {"id": "shop"}))
    assert page.status == 409 and "taken" in page.problem("id")
    assert (await snapshot(made)).clients["shop"].name == "Shop"


SHOP = "/portal/operator/clients/shop"


async def test_a_client_is_changed(made, operator):
    assert (await operator.submit(SHOP, currency="EUR", click_param="click", name="Shop 2")).status == 303
    client = (await snapshot(made)).clients["shop"]
    assert (client.currency, client.click_param, client.name) == ("EUR", "click", "Shop 2")


async def test_what_somebody_has_changed_is_not_overwritten(made, operator):
    form = (await operator.get(SHOP)).form(SHOP) | {"window_days": "7"}
    await made.registry.change_client("shop", {"window_days": 90}, "client:shop/1")
    page = await operator.post(SHOP, form)
    assert page.status == 409 and "Attribution window" in page.text and "90" in page.text
    assert (await snapshot(made)).clients["shop"].window_days == 90
    assert (await operator.post(SHOP, page.form(SHOP))).status == 303


async def test_a_client_gets_its_first_account_by_a_link_that_is_shown_once(made, operator, browser):
    await made.registry.add_client(BOOKS, "admin")
    page = await operator.submit("/portal/operator/clients/books", "/portal/operator/clients/books/invite", email="bea@books.example")
    link = page.one("input", id="url").get("value")
    assert page.status == 200 and link == f"https://track.example/portal/welcome/{await accounts.token(made)}"
    new = browser()
    path = link.removeprefix("https://track.example")
    assert (await new.submit(path, contact_name="Bea", password=PASSWORD, terms="yes")).status == 303
    assert (await new.get("/portal/client")).status == 200
    assert link not in (await operator.get("/portal/operator/clients/books")).body.decode()


async def test_a_clients_account_is_removed_with_the_keys_it_made(made, operator):
    (clara,) = await made.accounts.of_subject("client", "shop")
    text, info = await made.keys.create(clara.scope, "A sheet", clara.who)
    invited = await operator.submit(SHOP, f"{SHOP}/invite", email="carl@shop.example")
    for page in (invited, await operator.get(SHOP)):
        assert "made 1 API key" in page.text and info.prefix in page.text and clara.contact.email not in page.text
    await operator.submit(SHOP, f"{SHOP}/accounts/{clara.id}/remove")
    assert "is removed" in (await operator.follow()).text and "Nobody can log in" in operator.page.text
    with pytest.raises(Unauthorized):
        await made.keys.scope_of(text)
    fields = (await operator.get(SHOP)).form("/portal/logout")
    for gone in (clara.id, "nobody"):
        assert (await operator.post(f"{SHOP}/accounts/{gone}/remove", fields)).status == 404


@pytest.mark.parametrize("path", [f"{SHOP}/invite", "/portal/operator/accounts"])
@pytest.mark.parametrize("email", ["", "x", CLIENT])
async def test_who_cannot_be_invited(operator, path, email):
    on = SHOP if path.startswith(SHOP) else path
    page = await operator.submit(on, path, email=email)
    assert page.status == 400 and page.problem("email")


async def test_an_operator_sets_a_clients_commission(made, operator):
    assert (await operator.submit(f"{SHOP}/commission", percent="9")).status == 303
    assert (await snapshot(made)).clients["shop"].commission == (Terms("9", "0", TODAY),)


@pytest.mark.parametrize("path", ["", "/commission"])
async def test_a_client_that_isnt_there(operator, path):
    assert (await operator.get(f"/portal/operator/clients/nobody{path}")).status == 404


# ---- partners and memberships

BLOG = "/portal/operator/partners/blog"


async def test_partners_are_found_by_name_or_id(operator):
    for sought, found in {"teapot": True, "BLO": True, "nobody": False, "": True}.items():
        assert (BLOG in (await operator.get(f"/portal/operator/partners?q={sought}")).body.decode()) is found


@pytest.mark.parametrize(
    ("path", "column", "counts"),
    [("clients", "Partners", ["2", "0"]), ("partners", "Approved by", ["1 client", "1 client", "0 clients"])],
    ids=["clients", "partners"],
)
async def test_a_list_counts_approved_memberships(made, operator, path, column, counts):
    await made.registry.add_client(accounts.SHOP | {"id": "tea", "name": "Zen tea"}, "admin")
    for partner in ("zoe", "zora"):
        await made.registry.add_partner({"id": partner, "name": partner.title()}, "admin")
    for pair, status in {"shop blog": "approved", "shop zoe": "approved", "tea zoe": "ended", "tea zora": "applied"}.items():
        await made.registry.set_member(*pair.split(), {"status": status}, "admin")
    page = await operator.get(f"/portal/operator/{path}")
    assert ["".join(cell.itertext()).strip() for cell in page.all("td", **{"data-name": column})] == counts


async def test_no_page_tells_contact_data_but_the_outbox(operator):
    for path in ("", "/clients", "/clients/shop", "/partners", "/partners/blog", "/memberships", "/accounts", "/audit", "/policies"):
        assert contacts(await operator.get(f"/portal/operator{path}")) == set(), path


async def test_a_partner_is_renamed(made, operator):
    assert (await operator.submit(BLOG, name="Teapots & Co.")).status == 303
    assert (await snapshot(made)).partners["blog"].name == "Teapots & Co."
    page = await operator.submit(BLOG, name="")
    assert page.status == 400 and "1 to 200" in page.problem("name")


async def test_a_partner_who_was_renamed_meanwhile_is_not_renamed(made, operator):
    form = (await operator.get(BLOG)).form(BLOG) | {"name": "Mine"}
    await made.registry.change_partner("blog", {"name": "Its own"}, "partner:blog")
    page = await operator.post(BLOG, form)
    assert page.status == 409 and "Its own" in page.text and page.form(BLOG)["name"] == "Mine"
    assert (await snapshot(made)).partners["blog"].name == "Its own"


async def test_a_partner_is_removed_once_its_id_is_typed(made, operator, browser):
    page = await operator.submit(BLOG, f"{BLOG}/remove", word="bloq")
    assert page.status == 400 and page.problem("word") == "Type blog here, exactly."
    partner = await browser().log_in(PARTNER)
    assert (await operator.submit(BLOG, f"{BLOG}/remove", word="blog")).status == 303
    found = await snapshot(made)
    assert (found.partners["blog"].name, found.members["shop", "blog"]) == ("blog", Status.ENDED)
    assert await made.accounts.of_subject("partner", "blog") == []
    assert (await partner.get("/portal/partner")).status == 303  # logged out
    assert all(accounts.FORM["email"] != mail.to for mail in await made.outbox.list(100))
    assert {entry["who"][:9] for entry in await made.registry.audit(3)} == {"operator:"}
    assert (await operator.submit(BLOG, f"{BLOG}/remove", word="blog")).status == 303  # there is no account: nothing else to do


async def test_a_membership_is_set(made, operator):
    page = await operator.get("/portal/operator/memberships")
    action = "/portal/operator/memberships/shop/blog"
    form = page.form_with(action, status="approved")
    assert (await operator.post(action, form)).status == 303
    assert (await snapshot(made)).members["shop", "blog"] is Status.APPROVED
    assert (await operator.post(action, form | {"status": "declined"})).status == 409  # it isn't what was seen any more
    again = (await operator.get("/portal/operator/memberships")).form_with(action, status="ended")
    assert (await operator.post(action, again | {"status": "x"})).status == 400


@pytest.mark.parametrize(("query", "there"), [("status=applied", True), ("status=ended", False), ("client=shop", True), ("partner=x", False)])
async def test_memberships_are_filtered(operator, query, there):
    assert ("/memberships/shop/blog" in (await operator.get(f"/portal/operator/memberships?{query}")).body.decode()) is there


# ---- lists, page by page


async def a_client(made, id, n):
    await made.registry.add_client({"id": id, "name": f"Tea {n % 3}", "landing_url": "https://tea.example/"}, "admin")


async def a_partner(made, id, n):
    await made.registry.add_partner({"id": id, "name": f"Tea {n % 3}"}, "admin")


async def a_membership(made, id, n):
    await a_partner(made, id, n)
    await made.registry.set_member("shop", id, {"status": ("applied", "approved", "ended")[n % 3]}, "admin")


async def an_account(made, id, n):
    since = 10_000_000_000_000 + n % 3 * 1000 + n
    account = Account(f"{n:016x}", Role.PARTNER, id, "active", Contact("Row", f"{id}@tea.example"), True, False, 1, since, 1)
    await People(SealedRecords(made.records, made.vault), made.vault).make(Person(account, {}, ""))


LISTS = {
    "clients": (a_client, OPERATOR, "/portal/operator/clients?q=row-"),
    "partners": (a_partner, OPERATOR, "/portal/operator/partners?q=ROW-"),
    "memberships": (a_membership, OPERATOR, "/portal/operator/memberships?client=shop&partner=row-"),
    "accounts": (an_account, OPERATOR, "/portal/operator/accounts?role=partner&q=row-"),
    "a client's partners": (a_membership, CLIENT, "/portal/client/partners?q=row-"),
}
SIZES = {"none": [0], "one": [1], "a page": [ROWS], "a page and one": [ROWS, 1]}


def listed(page):
    """The ids of the rows of a list, each by its link."""
    return [id for link in page.all("a") if (id := link.get("href").rpartition("/")[2]).startswith("row-")]


def beside(page, rel):
    """Where the pages beside one are."""
    return next((link.get("href") for link in page.all("a", rel=rel)), None)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("make", "who", "path"), LISTS.values(), ids=LISTS)
async def test_a_list_is_read_page_by_page_and_what_is_sought_stays(made, operator, browser, make, who, path, sizes):
    for n in reversed(range(sum(sizes))):
        await make(made, f"row-{n:03}", n)
    someone = operator if who == OPERATOR else await browser().log_in(who)
    pages = [await someone.get(path)]
    while where := beside(pages[-1], "next"):
        assert where == f"{path}&page={len(pages) + 1}"
        pages.append(await someone.get(where))
    assert [len(listed(page)) for page in pages] == sizes
    in_order = sorted(range(sum(sizes)), key=lambda n: (n % 3, n))  # by name, state or age, then by id
    assert [id for page in pages for id in listed(page)] == [f"row-{n:03}" for n in in_order]
    assert [f"Page {n} of {len(sizes)}" in page.text for n, page in enumerate(pages, 1)] == [len(sizes) > 1] * len(pages)
    assert [beside(page, "prev") is not None for page in pages] == [n > 0 for n in range(len(pages))]
    if len(pages) > 1:
        assert listed(await someone.get(beside(pages[1], "prev"))) == listed(pages[0])
    for odd, nearest in {"0": 0, "-1": 0, "x": 0, "\u00b2": 0, "999999": -1, "9" * 5000: 0}.items():
        assert listed(await someone.get(f"{path}&page={quote(odd)}")) == listed(pages[nearest])


# ---- accounts


async def test_ending_sessions_logs_an_account_out(made, operator, browser):
    client = await browser().log_in(CLIENT)
    (account,) = await made.accounts.of_subject("client", "shop")
    assert (await operator.submit("/portal/operator/accounts", f"/portal/operator/accounts/{account.id}/sessions/end")).status == 303
    assert (await client.get("/portal/client")).status == 303
    assert (await audited(made))["what"] == f"accounts/{account.id}/sessions"
    session = await made.sessions.find(operator.jar[sessions.COOKIE])
    assert (await operator.post("/portal/operator/accounts/nobody/sessions/end", {"csrf": session.csrf})).status == 404


async def test_the_operator_sees_for_whom_the_old_use_of_data_holds(made, operator):
    def marked(page):
        return [code.text for row in page.all("tr") if "Old use holds" in "".join(row.itertext()) for code in row.iter(f"{XHTML}code")]

    page = await operator.get("/portal/operator/accounts?role=client")
    assert "use holds" not in page.text.lower()
    (account,) = await made.accounts.of_subject("client", "shop")
    await made.policies.post("Pages are counted", True, "May we?", "admin")
    await operator.submit("/portal/consent", answer="yes")
    page = await operator.get("/portal/operator/accounts?role=client")
    assert marked(page) == [account.id] and "only as before version 2" in page.text
    await made.policies.consent(account, 2, True)
    assert marked(await operator.get("/portal/operator/accounts?role=client")) == []


async def test_an_operator_is_invited(made, operator, browser):
    page = await operator.submit("/portal/operator/accounts", email="ola@operator.example")
    path = page.one("input", id="url").get("value").removeprefix("https://track.example")
    new = browser()
    assert (await new.submit(path, contact_name="Ola", password=PASSWORD, terms="yes")).status == 303
    assert (await new.get("/portal/operator")).status == 200


# ---- audit log


async def test_the_audit_log_is_read_page_by_page(made, operator):
    for n in range(60):
        await made.registry.change_client("shop", {"name": f"Shop {n}"}, "admin")
    newest = await operator.get("/portal/operator/audit")
    assert "Shop 58" in newest.text and "Shop 59" in newest.text and "Shop 5 " not in newest.text
    (older,) = [link.get("href") for link in newest.all("a") if link.text == "Older"]
    page = await operator.get(older)
    assert "Shop 5 " in page.text and "Shop 59" not in page.text
    for wrong in ("x", "1-x", "-", "+", "9" * 40 + "-0"):
        assert (await operator.get(f"/portal/operator/audit?before={wrong}")).status == 404


CHANGES = {
    "terms": ([], [{"percent": "8", "flat": "0", "from_day": "2026-11-26", "until_day": ""}], ("none", "percent 8, flat 0, from_day 2026-11-26")),
    "names": (None, ["tea", "coffee"], ("", "tea; coffee")),
    "a number": (30, 45, ("30", "45")),
    "a box": (False, True, ("false", "true")),
}


@pytest.mark.parametrize(("before", "after", "told"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told_without_brackets(before, after, told):
    assert changes({"field": before}, {"field": after}) == [("field", *told)] and changes(before, after) == [("", *told)]


# ---- mail


@pytest.fixture
def post():
    """A mail server that is away until it is let back: (how often it was tried, whether it takes mails)."""
    return {"tried": 0, "takes": False}


async def test_a_kept_mail_is_read_here(made, operator):
    mail = next(mail for mail in await made.outbox.list(100) if mail.to == CLIENT)
    assert CLIENT in (await operator.get("/portal/operator/mail")).text
    page = await operator.get(f"/portal/operator/mail/{mail.id}")
    assert "/portal/welcome/" in page.text and "Try again" not in page.text
    session = await made.sessions.find(operator.jar[sessions.COOKIE])
    assert (await operator.post(f"/portal/operator/mail/{mail.id}/retry", {"csrf": session.csrf})).status == 409


async def test_a_mail_that_waits_is_tried_again_and_its_text_is_not_told(redis, clock, warehouse, post):
    async def send(letter):
        post["tried"] += 1
        if not post["takes"]:
            raise NotSent("the mail server says: 451 come again", away=True)

    made = accounts.services(redis, clock, post=send)
    await portal.people(made)
    async with TestServer(portal.site(portal.services(made, Away()))) as server:
        someone = await portal.Browser(server).log_in(OPERATOR)
        await made.outbox.deliver()
        mail = next(mail for mail in await made.outbox.list(100) if mail.error)
        path = f"/portal/operator/mail/{mail.id}"
        assert "451 come again" in (await someone.get("/portal/operator/mail?state=waiting")).text
        page = await someone.get(path)
        assert "451 come again" in page.text and "/portal/welcome/" in mail.body and "/portal/welcome/" not in page.text
        post["takes"] = True
        tried = post["tried"]
        assert (await someone.post(f"{path}/retry", page.form(f"{path}/retry"))).status == 303
        await made.outbox.deliver()
        assert post["tried"] > tried and (await made.outbox.read(mail.id)).state == "sent"
        await someone.close()


# ---- policies

POLICIES = "/portal/operator/policies"


async def test_a_version_is_posted_and_answers_are_counted(made, operator, browser):
    page = await operator.submit(POLICIES, summary="We keep less.", changes_use="yes", question="May we?")
    assert page.status == 303
    version = await made.policies.current()
    assert (version.number, version.changes_use, version.question) == (2, True, "May we?")
    assert "2027" not in version.summary and (await audited(made))["who"].startswith("operator:")
    for who, answer in ((PARTNER, False), (OPERATOR, True)):
        (account,) = [a for a in await made.accounts.all() if a.contact.email == who]
        await made.policies.consent(account, 2, answer)
    page = await operator.get(POLICIES)
    row = next(row for row in page.all("tr") if "Asks: May we?" in "".join(row.itertext()))
    assert [cell.text for cell in row if cell.get("class") == "n"] == ["2", "1", "1", "1"]


async def test_a_second_click_posts_no_second_version(made, operator):
    form = (await operator.get(POLICIES)).form(POLICIES) | {"summary": "We keep less."}
    replies = await asyncio.gather(*(operator.post(POLICIES, form) for _ in range(3)))
    assert sorted(reply.status for reply in replies) == [303, 409, 409]
    told = next(reply for reply in replies if reply.status == 409)
    assert "Version 2 was posted since" in told.text and told.form(POLICIES)["summary"] == form["summary"]
    assert (await made.policies.current()).number == 2


WRONG_POLICIES = {
    "no summary": ({"summary": ""}, "summary"),
    "a question is missing": ({"summary": "New", "changes_use": "yes", "question": ""}, "question"),
}


@pytest.mark.parametrize(("fields", "field"), WRONG_POLICIES.values(), ids=WRONG_POLICIES)
async def test_a_wrong_version_is_told_beside_its_field(made, operator, fields, field):
    page = await operator.submit(POLICIES, **fields)
    assert page.status == 400 and page.problem(field)
    assert (await made.policies.current()).number == 1
