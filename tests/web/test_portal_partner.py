"""A partner's pages: what is shown, what forms do, and what they say. Registry and accounts on a real Valkey, reports in chDB."""

import csv
import io
import threading
from urllib.parse import parse_qsl, quote, urlsplit

import orjson
import pytest

from pixeld.domain.events import CLICK, DECISION, ORDER
from pixeld.domain.registry import Status
from pixeld.web.api import sheets
from pixeld.web.portal import figures, pages
from pixeld.web.portal.formats import money
from tests import accounts, portal
from tests.conftest import START_MS
from tests.portal import CLIENT, PARTNER

NOW_S = START_MS // 1000
MORE = {
    "tea": {"name": "Tea & Co.", "landing_url": "https://tea.example/", "currency": "USD", "commission": [{"flat": "2.50"}]},
    "hidden": {"name": "Hidden", "landing_url": "https://hidden.example/", "listed": False},
}


def record(kind, event_id, **values):
    """An encoded row of `kind`: zeros and empty texts but for `values`."""
    integers = dict.fromkeys(("visitor", "clicked_at", "amount_minor", "commission_minor", "locks_at"), 0)
    row = {name: integers.get(name, "") for name in kind.columns} | {"at_ms": START_MS, "client": "shop"} | values
    assert row.keys() == set(kind.columns)
    return orjson.dumps((*row.values(), event_id))


async def insert(warehouse, kind, *rows):
    await warehouse.insert(kind.table, (*kind.columns, "event_id"), [record(kind, f"{kind.code}{n}", **row) for n, row in enumerate(rows)], kind.name)


@pytest.fixture
async def partner(made, browser):
    """A partner who has logged in; "shop" pays 8 %, "tea" 2.50, "hidden" is in no directory."""
    await portal.people(made)
    await made.registry.change_client("shop", {"currency": "EUR", "commission": [{"percent": "8"}]}, "admin")
    for id, client in MORE.items():
        await made.registry.add_client({"id": id} | client, "admin")
    return await browser().log_in(PARTNER)


async def join(made, client, status="approved"):
    await made.registry.set_member(client, "blog", {"status": status}, "admin")


# ---- clients and memberships


async def test_the_directory_shows_who_is_listed_and_what_it_pays(partner):
    page = await partner.get("/portal/partner/clients")
    assert [heading.text for heading in page.all("h2")] == ["Shop", "Tea & Co."]
    assert "8\u00a0% of an order" in page.body.decode() and "2.50\u00a0USD an order" in page.body.decode()


SOUGHT = {"tea": ["Tea & Co."], "TEA & C": ["Tea & Co."], "sho": ["Shop"], "hidden": [], "<b>": [], " ": ["Shop", "Tea & Co."]}


@pytest.mark.parametrize(("sought", "found"), SOUGHT.items())
async def test_the_directory_is_searched_by_name(partner, sought, found):
    page = await partner.get(f"/portal/partner/clients?q={quote(sought)}")
    assert [heading.text for heading in page.all("h2")] == found
    assert page.one("input", name="q").get("value") == sought.strip()


async def test_a_partner_applies_and_sees_the_answer(made, partner):
    await partner.submit("/portal/partner/clients", "/portal/partner/clients/shop/apply")
    page = await partner.follow()
    assert "You have applied to Shop" in page.text and "Waiting for an answer" in page.text
    assert made.registry.snapshot.members == {("shop", "blog"): Status.APPLIED}
    (change,) = await made.registry.audit(1)
    assert (change["who"], change["what"]) == ("partner:blog", "members/shop/blog")
    await join(made, "shop")
    assert "Approved" in (await partner.get("/portal/partner/memberships")).text


APPLIES = {
    "to a client that is not listed": ("hidden", None, 404),
    "to nobody": ("nobody", None, 404),
    "to one that has declined": ("shop", "declined", 409),
    "to one that has approved": ("shop", "approved", 409),
    "again": ("shop", "applied", 409),
    "after an end": ("shop", "ended", 303),
    "to one that is not listed any more, after an end": ("hidden", "ended", 303),
}


@pytest.mark.parametrize(("client", "before", "status"), APPLIES.values(), ids=APPLIES)
async def test_a_partner_applies(made, partner, client, before, status):
    if before:
        await join(made, client, before)
    fields = (await partner.get("/portal/partner/clients")).form("/portal/logout")
    page = await partner.post(f"/portal/partner/clients/{client}/apply", fields)
    assert page.status == status
    expected = Status.APPLIED if status == 303 else before
    assert made.registry.snapshot.members.get((client, "blog")) == expected


@pytest.mark.parametrize("before", ["approved", "applied"])
async def test_a_partner_ends_a_membership(made, partner, before):
    await join(made, "shop", before)
    await partner.submit("/portal/partner/memberships", "/portal/partner/memberships/shop/end")
    assert "has ended" in (await partner.follow()).text
    assert made.registry.snapshot.members == {("shop", "blog"): Status.ENDED}


@pytest.mark.parametrize(("client", "before", "status"), [("shop", "declined", 409), ("shop", "ended", 409), ("tea", None, 404)])
async def test_what_is_no_membership_cannot_be_ended(made, partner, client, before, status):
    if before:
        await join(made, client, before)
    fields = (await partner.get("/portal/partner/clients")).form("/portal/logout")
    assert (await partner.post(f"/portal/partner/memberships/{client}/end", fields)).status == status


@pytest.mark.parametrize(("before", "path"), [("applied", "memberships/shop/end"), ("ended", "clients/shop/apply")])
async def test_an_answer_that_this_server_has_not_seen_yet_stands(made, clock, partner, before, path):
    await join(made, "shop", before)
    fields = (await partner.get("/portal/partner/clients")).form("/portal/logout")
    other = accounts.services(made.redis, clock)  # another server, on which the client declines
    await other.registry.set_member("shop", "blog", {"status": "declined"}, "client:shop/x")
    other.passwords.close()
    assert (await partner.post(f"/portal/partner/{path}", fields)).status == 409
    await made.registry.refresh()
    assert made.registry.snapshot.members == {("shop", "blog"): Status.DECLINED}


# ---- links


async def test_a_link_carries_what_was_asked_for(made, partner):
    await join(made, "shop")
    asked = {"client": "shop", "u": "https://shop.example/tea?a=1&b=2#x", "s1": "news letter", "s2": "ü", "cr": "banner"}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
    page = await partner.get(f"/portal/partner/links?{query}")
    link = page.one("input", id="link").get("value")
    assert link.startswith("https://track.example/t/shop/c/blog?") and "readonly" in page.one("input", id="link").attrib
    assert dict(parse_qsl(urlsplit(link).query, strict_parsing=True)) == {k: v for k, v in asked.items() if k != "client"}
    assert page.one("button", data_copies="link").get("hidden") is not None  # there with JavaScript only
    assert page.one("input", name="u").get("value") == asked["u"]


async def test_an_address_is_escaped_as_browsers_do(made, partner):
    await join(made, "shop")
    page = await partner.get(f"/portal/partner/links?client=shop&u={quote('https://shop.example/tée?a=b%20c d', safe='')}")
    link = page.one("input", id="link").get("value")
    assert dict(parse_qsl(urlsplit(link).query)) == {"u": "https://shop.example/t%C3%A9e?a=b%20c%20d"}


WRONG = {
    "another host": ({"u": "https://evil.example/"}, "u"),
    "no address": ({"u": "shop.example/tea"}, "u"),
    "a script": ({"u": "javascript:alert(1)"}, "u"),
    "another host behind a backslash": ({"u": "https://evil.example\\@shop.example/"}, "u"),
    "another host behind userinfo": ({"u": "https://shop.example@evil.example/"}, "u"),
    "a client that has not approved": ({"client": "tea"}, "client"),
    "a client that is hidden": ({"client": "hidden"}, "client"),
    "a client that is not there": ({"client": "nobody"}, "client"),
    "too long a sub-id": ({"s3": "x" * 501}, "s3"),
    "too long a creative": ({"cr": "x" * 65}, "cr"),
}


@pytest.mark.parametrize(("changes", "field"), WRONG.values(), ids=WRONG)
async def test_a_link_that_would_not_do_is_not_made(made, partner, changes, field):
    for client, status in (("shop", "approved"), ("tea", "applied"), ("hidden", "ended")):
        await join(made, client, status)
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in ({"client": "shop"} | changes).items())
    page = await partner.get(f"/portal/partner/links?{query}")
    assert page.status == 400 and page.problems == {field} and page.problem(field) and not page.all("input", id="link")


# ---- figures


async def test_where_no_money_was_earned_the_charts_are_of_clicks_and_orders(partner, warehouse):
    assert [each.text for each in (await partner.get("/portal/partner")).all("figcaption")] == ["Clicks a day", "Orders a day"]


AMOUNTS = {("1234.50", "EUR"): "1,234.50\u00a0EUR", ("1234.50", ""): "1,234.50", ("-3", None): "\u22123", ("0", "JPY"): "0\u00a0JPY"}


@pytest.mark.parametrize(("amount", "said"), AMOUNTS.items(), ids=map(str, AMOUNTS))
def test_an_amount_is_told_with_its_currency_if_any(amount, said):
    assert money(*amount) == said


@pytest.fixture
async def orders(made, partner, warehouse):
    """Ninety clicks, and orders: 55 pending ones at "shop", one approved and one rejected, one at "tea", and others' own."""
    for client in ("shop", "tea"):
        await join(made, client)
    own = {"partner": "blog", "quality": "human"}
    clicks = [own | {"click_id": f"k{n}", "visitor": n % 45, "s1": ("a", "=b")[n % 2]} for n in range(90)]
    await insert(warehouse, CLICK, *clicks, {"partner": "other", "quality": "human", "click_id": "o", "visitor": 900})
    paid = own | {"method": "click", "click_id": "k1", "currency": "EUR", "amount_minor": 1000, "commission_minor": 80}
    paid |= {"locks_at": NOW_S + 86_400}
    rows = [paid | {"order_id": f"O-{n:02}", "at_ms": START_MS - n * 60_000} for n in range(57)]
    rows += [paid | {"client": "tea", "order_id": "T-1", "currency": "USD", "commission_minor": 250, "locks_at": 0}]
    rows += [paid | {"order_id": "X-1", "partner": "other"}, paid | {"order_id": "N-1", "partner": "", "commission_minor": 0}]
    await insert(warehouse, ORDER, *rows)
    said = {"at_ms": START_MS, "who": "client:shop/1"}
    approved, rejected = {"order_id": "O-00", "status": "approved"}, {"order_id": "O-01", "status": "rejected", "reason": "Sent <back>"}
    await insert(warehouse, DECISION, said | approved, said | rejected)
    return partner


async def test_the_overview_adds_up(orders):
    page = await orders.get("/portal/partner")
    figures_ = {"".join(f.find(f"{portal.XHTML}dt").itertext()): "".join(f.find(f"{portal.XHTML}dd").itertext()) for f in page.all("div", class_="figure")}
    assert figures_["Clicks"] == "9045 visitors" and figures_["Orders"] == "58"
    assert "44.80 EUR" in page.text and "2.50 USD" in page.text
    days = page.one("table", id="by-day").find(f"{portal.XHTML}tbody")
    assert len(days) == 30
    assert [cell.get("data-value") for cell in days[0]] == ["2027-01-15", "90", "58", "44.80", "2.50"]


async def test_transactions_are_paged_and_each_is_there_once(orders):
    page = await orders.get("/portal/partner/transactions")
    seen, pages = [], 0
    while True:
        pages += 1
        seen += [cell.text for cell in page.all("th", scope="row")]
        older = [link.get("href") for link in page.all("a", class_="button plain") if link.text == "Older"]
        if not older:
            break
        page = await orders.get(f"/portal/partner/transactions{older[0]}")
    assert pages == 2 and len(seen) == len(set(seen)) == 58
    assert set(seen) == {f"O-{n:02}" for n in range(57)} | {"T-1"}


async def test_a_transaction_tells_its_state_and_why(orders):
    page = await orders.get("/portal/partner/transactions?days=7&client=shop")
    rows = {row.find(f"{portal.XHTML}th").text: " ".join("".join(row.itertext()).split()) for row in page.one("tbody")}
    assert "Approved" in rows["O-00"] and "10.00 EUR" in rows["O-00"] and "0.80 EUR" in rows["O-00"]
    assert "Rejected" in rows["O-01"] and "Sent <back>" in rows["O-01"]
    assert "Pending" in rows["O-02"] and "until 16 Jan 2027" in rows["O-02"]
    assert "T-1" not in rows


@pytest.mark.parametrize(
    ("query", "field"), [("days=x", "days"), ("days=31", "days"), ("client=Nobody!", "client"), ("cursor=x", None)]
)
async def test_a_question_about_transactions_that_is_none_is_told(partner, query, field):
    page = await partner.get(f"/portal/partner/transactions?{query}")
    assert page.status == 400 and page.all("div", id="problems")
    assert page.problems == ({field} if field else set())


async def test_anothers_client_has_no_transactions(orders):
    page = await orders.get("/portal/partner/transactions?client=hidden")
    assert page.status == 200 and "No order in this period" in page.text


BY = ["day", "month", "client", "s1", "s2", "creative"]


@pytest.mark.parametrize("by", BY)
async def test_performance_adds_up_by_whatever(orders, by):
    page = await orders.get(f"/portal/performance?by={by}")
    rows = [[cell.get("data-value") for cell in row] for row in page.one("table", id="report").find(f"{portal.XHTML}tbody")]
    clicks = sum(int(row[3]) for row in rows if row[0] is not None)
    assert clicks == 90
    assert sum(int(row[5]) for row in rows if row[0] is not None) == 58
    assert page.all("a", download="")[0].get("href") == f"/portal/performance.csv?by={by}&from=2026-12-17&to=2027-01-15"


@pytest.mark.parametrize(("path", "module", "making"), [("", pages, "render"), (".csv", sheets, "csv_text")], ids=["page", "csv"])
async def test_a_report_is_made_beside_the_event_loop(orders, monkeypatch, path, module, making):
    make, threads = getattr(module, making), []
    monkeypatch.setattr(module, making, lambda *of, **values: threads.append(threading.get_ident()) or make(*of, **values))
    assert (await orders.get(f"/portal/performance{path}?by=s1")).status == 200
    assert len(threads) == 1 and threads != [threading.get_ident()]


async def test_performance_as_csv_is_safe_to_open(orders):
    page = await orders.get("/portal/performance.csv?by=s1")
    assert page.headers["Content-Type"].startswith("text/csv") and "attachment" in page.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(page.body.decode())))
    assert {row["s1"] for row in rows} == {"", "a", "'=b"} and sum(int(row["clicks"]) for row in rows) == 90


ASKED = {"by=nothing": "by", "from=x": "from", "to=2027-02-30": "to", "from=2027-01-16&to=2027-01-01": "from", "client=A!": "client"}


@pytest.mark.parametrize(("query", "field"), ASKED.items())
async def test_a_question_about_performance_that_is_none_is_told_beside_its_field(made, partner, query, field):
    await join(made, "shop")
    page = await partner.get(f"/portal/performance?{query}")
    assert page.status == 400 and page.problems == {field} and page.problem(field)
    assert (await partner.get(f"/portal/performance.csv?{query}")).status == 400


async def test_others_are_not_in_ones_figures(orders, browser):
    page = await (await browser().log_in(CLIENT)).get("/portal/performance?by=partner")
    assert "other" in page.text and "T-1" not in page.text
    page = await orders.get("/portal/performance?by=client")
    assert "Shop" in page.text and "Tea & Co." in page.text
    assert (await orders.get("/portal/performance?by=client&partner=other")).text.count("Nothing has happened") == 1


def test_terms_are_told_in_words():
    from pixeld.domain.commission import Terms

    said = {
        ("8", "0"): "8\u00a0% of an order",
        ("7.50", "0"): "7.5\u00a0% of an order",
        ("0", "2.50"): "2.50\u00a0EUR an order",
        ("10", "1"): "10\u00a0% of an order + 1\u00a0EUR",
        ("0", "0"): "No commission at present",
        ("100", "0.00"): "100\u00a0% of an order",
    }
    assert {key: figures.terms_text(Terms(*key), "EUR") for key in said} == said
    assert figures.terms_text(None, "EUR") == "No commission at present"
