"""A client's pages: what is shown, what forms do, what they say, and what isn't the client's own. All services are real."""

from datetime import date, timedelta

import pytest

from pixeld.accounts.account import Role
from pixeld.domain.commission import Terms
from pixeld.domain.events import CLICK, ORDER
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Membership, Status
from pixeld.errors import Unauthorized
from pixeld.web.portal import sessions
from tests import accounts, portal
from tests.conftest import START_MS
from tests.portal import CLIENT, PARTNER
from tests.web.test_portal_partner import insert

TODAY, YESTERDAY, NEXT = "2027-01-15", "2027-01-14", "2027-02-01"
LOCKS = START_MS // 1000 + 86_400
TEXT = {"subject": "Spring sale", "text": "Ten per cent off, from Monday on."}


@pytest.fixture
async def client(made, browser):
    """The client "shop", which pays 8 % in EUR; "blog" applied to it, "gear" is approved, "other" is another client's partner."""
    await portal.people(made)
    await made.registry.change_client("shop", {"currency": "EUR", "commission": [{"percent": "8"}]}, "admin")
    await made.registry.add_client(accounts.SHOP | {"id": "tea", "name": "Tea & Co."}, "admin")
    for id in ("gear", "other"):
        await made.registry.add_partner({"id": id, "name": id.capitalize()}, "admin")
    for client, partner, status in (("shop", "blog", "applied"), ("shop", "gear", "approved"), ("tea", "other", "approved")):
        await made.registry.set_member(client, partner, {"status": status}, "admin")
    return await browser().log_in(CLIENT)


@pytest.fixture
async def orders(warehouse, client):
    """Two pending orders and one that is locked of the shop's, and one of another client's."""
    common = {"amount_minor": 10_000, "currency": "EUR", "commission_minor": 800, "at_ms": START_MS - 1000, "partner": "gear"}
    await insert(
        warehouse,
        ORDER,
        common | {"order_id": "A/1 #ä", "locks_at": LOCKS},
        common | {"order_id": "A2", "locks_at": LOCKS, "partner": ""},
        common | {"order_id": "A3", "locks_at": START_MS // 1000 - 1},
        common | {"order_id": "T1", "client": "tea", "currency": "USD", "partner": "other"},
    )
    await insert(warehouse, CLICK, {"partner": "gear", "quality": "human", "visitor": 7})


def status(made, client="shop", partner="blog"):
    return made.registry.snapshot.members[client, partner]


async def after(made, page):
    """The registry once a form was sent, as it is read anew."""
    await made.registry.refresh()
    return made.registry.snapshot


async def audited(made):
    return (await made.registry.audit(1))[0]


# ---- overview, pixel


async def test_the_overview_tells_what_waits_and_what_happened(client, orders):
    page = await client.get("/portal/client")
    assert "Wilhelmina's Teapots wants to be your partner" in page.text and "2 orders are pending" in page.text
    assert "300.00\u00a0EUR" in page.body.decode() and "24.00\u00a0EUR" in page.body.decode()
    table = page.one("table", id="by-day")
    first = [cell.get("data-value") for cell in next(table.iter(f"{portal.XHTML}tbody"))[0]]
    assert first == [TODAY, "1", "3", "300.00"]


async def test_the_pixel_s_page_tells_of_categories_where_there_are_some(made, client):
    assert "&cat=" not in (await client.get("/portal/client/pixel")).text
    await made.registry.change_client("shop", {"categories": ["coffee", "tea"]}, "admin")
    assert "commas between them: coffee, tea." in (await client.get("/portal/client/pixel")).text


async def test_the_pixel_has_the_clients_own_id(client):
    page = await client.get("/portal/client/pixel")
    assert page.one("textarea", id="pixel").text.count("https://track.example/t/shop/o.gif?order=ORDER&amp;amount=AMOUNT") == 1
    assert "&amp;test=1" in page.one("textarea", id="test").text
    assert "https://shop.example/?pxid=<click id>" in page.text and "it is EUR" in page.text
    assert "https://track.example/t/shop/l.gif?click=CLICK" in page.one("textarea", id="beacon").text
    assert "consent=1" in page.text


async def test_a_stateless_client_has_no_landing_beacon(made, client):
    await made.registry.change_client("shop", {"stateless": True}, "admin")
    page = await client.get("/portal/client/pixel")
    assert "l.gif" not in page.body.decode() and "Your programme works without cookies" in page.text


# ---- partners


async def test_an_application_shows_site_and_promotion_and_never_an_address(client):
    for path in ("/portal/client/partners", "/portal/client/partners/blog"):
        page = await client.get(path)
        assert "https://teapots.example/" in page.text and "A letter about teapots" in page.text
        for secret in ("quux.example", "Wilhelmina Quux", "Hollow Lane", "12345 Nowhere"):  # no token holds one by chance
            assert secret.lower() not in page.body.decode().lower()
        assert "quux" not in page.text.lower()


CHANGES = {
    ("applied", "approved"): 303,
    ("applied", "declined"): 303,
    ("applied", "ended"): 400,
    ("approved", "ended"): 303,
    ("approved", "declined"): 400,
    ("declined", "approved"): 303,
    ("declined", "ended"): 400,
    ("ended", "approved"): 400,
    ("approved", "applied"): 400,
    ("applied", "nonsense"): 400,
}


@pytest.mark.parametrize(("change", "reply"), CHANGES.items(), ids=map("-".join, CHANGES))
async def test_what_a_client_may_make_of_a_membership(made, client, change, reply):
    was, wanted = change
    await made.registry.set_member("shop", "blog", {"status": was}, "admin")
    page = await client.post("/portal/client/partners/blog/status", await fields(made, client, "blog") | {"status": wanted})
    assert page.status == reply
    assert status(made) == (wanted if reply == 303 else was)
    if reply == 303:
        assert (await audited(made))["who"].startswith("client:shop/")


async def fields(made, client, partner):
    """What a form about a membership carries, wherever it is."""
    snapshot = made.registry.snapshot
    member = Membership(snapshot.members["shop", partner], snapshot.terms.get(("shop", partner), ()))
    session = await made.sessions.find(client.jar[sessions.COOKIE])
    return {"csrf": session.csrf, "version": str(fingerprint(member.to_json()))}


async def test_a_decision_about_what_has_changed_is_refused(made, client):
    page = await client.get("/portal/client/partners")
    form = page.form_with("/portal/client/partners/blog/status", status="approved")
    await made.registry.set_member("shop", "blog", {"status": "ended"}, "partner:blog")  # it withdrew meanwhile
    reply = await client.post("/portal/client/partners/blog/status", form)
    assert reply.status == 409 and "nothing was changed" in reply.text
    assert status(made) is Status.ENDED


FOREIGN = [
    ("GET", "/portal/client/partners/{}"),
    ("POST", "/portal/client/partners/{}/status"),
    ("GET", "/portal/client/partners/{}/commission"),
    ("POST", "/portal/client/partners/{}/commission"),
    ("POST", "/portal/client/partners/{}/commission/end"),
]


@pytest.mark.parametrize("partner", ["other", "nobody"])
@pytest.mark.parametrize(("method", "path"), FOREIGN, ids=[" ".join(each) for each in FOREIGN])
async def test_another_clients_partner_does_not_exist(made, client, method, path, partner):
    path, before = path.format(partner), await made.redis.get("pixeld:version")
    sent = await fields(made, client, "gear") | {"status": "ended", "percent": "1"}
    reply = await (client.get(path) if method == "GET" else client.post(path, sent))
    assert reply.status == 404
    assert await made.redis.get("pixeld:version") == before


# ---- commission

COMMISSION = "/portal/client/commission"
OVERRIDE = "/portal/client/partners/gear/commission"


@pytest.mark.parametrize("path", [COMMISSION, OVERRIDE], ids=["of the client", "of a membership"])
async def test_new_terms_begin_today_and_leave_earlier_days_alone(made, client, path):
    await made.registry.set_member("shop", "gear", {"commission": [{"percent": "8"}]}, "admin")
    assert (await client.submit(path, percent="10", flat="1.50", until_day=NEXT)).status == 303
    snapshot = await after(made, client)
    terms = snapshot.clients["shop"].commission if path == COMMISSION else snapshot.terms["shop", "gear"]
    assert terms == (Terms("8", "0", "", YESTERDAY), Terms("10", "1.50", TODAY, NEXT), Terms("8", "0", "2027-02-02", ""))
    page = await client.follow()
    assert "10\u00a0% of an order + 1.50\u00a0EUR" in page.body.decode() and "In force" in page.text and "To come" in page.text


async def test_a_membership_returns_to_its_clients_terms(made, client):
    await made.registry.set_member("shop", "gear", {"commission": [{"percent": "12"}, ]}, "admin")
    page = await client.get(OVERRIDE)
    assert "by terms of its own" in page.text
    assert (await client.post(f"{OVERRIDE}/end", page.form(f"{OVERRIDE}/end"))).status == 303
    assert "by the terms for all partners" in (await client.follow()).text
    assert made.registry.snapshot.terms["shop", "gear"] == (Terms("12", "0", "", YESTERDAY),)


WRONG_TERMS = {
    "no percentage": ({"percent": "x"}, "percent", "a number from 0 to 100"),
    "over 100": ({"percent": "101"}, "percent", "a number from 0 to 100"),
    "a comma": ({"flat": "2,50"}, "flat", "an amount of money"),
    "a third of a cent": ({"flat": "0.333"}, "flat", "no amount of EUR"),
    "no day": ({"from_day": "31.1.2027"}, "from_day", "must be a day"),
    "a week's day": ({"from_day": "2027-W01-1"}, "from_day", "must be a day"),
    "a day that was": ({"from_day": YESTERDAY}, "from_day", "today at the earliest"),
    "an end before the beginning": ({"from_day": NEXT, "until_day": TODAY}, "until_day", "before the first day"),
}


@pytest.mark.parametrize(("typed", "field", "says"), WRONG_TERMS.values(), ids=WRONG_TERMS)
@pytest.mark.parametrize("path", [COMMISSION, OVERRIDE], ids=["of the client", "of a membership"])
async def test_wrong_terms_are_told_beside_their_field(made, client, path, typed, field, says):
    before = await made.redis.get("pixeld:version")
    page = await client.submit(path, **typed)
    assert page.status == 400 and says in page.problem(field)
    assert page.form(path)[field] == typed[field]
    assert await made.redis.get("pixeld:version") == before


async def test_what_is_wrong_with_an_agreement_as_a_whole_is_told_above_the_form(made, client):
    days = [str(date(2026, 1, 1) + timedelta(n)) for n in range(100)]
    terms = [{"percent": "5", "from_day": day, "until_day": day} for day in days]
    await made.registry.change_client("shop", {"commission": terms}, "admin")
    page = await client.submit(COMMISSION, percent="7")
    assert page.status == 400 and "at most 100 terms" in page.text and not page.problems
    assert page.form(COMMISSION)["percent"] == "7"


@pytest.mark.parametrize("path", [COMMISSION, OVERRIDE], ids=["of the client", "of a membership"])
@pytest.mark.parametrize("tail", ["", "/end"])
async def test_terms_that_somebody_has_changed_are_not_overwritten(made, client, path, tail):
    await made.registry.set_member("shop", "gear", {"commission": [{"percent": "8"}]}, "admin")
    form = (await client.get(path)).form(path + tail) | {"percent": "99"}
    await made.registry.change_client("shop", {"commission": [{"percent": "3"}]}, "admin")
    await made.registry.set_member("shop", "gear", {"commission": [{"percent": "3"}]}, "admin")
    page = await client.post(path + tail, form)
    assert page.status == 409 and "Nothing of yours has been saved" in page.text
    snapshot = await after(made, client)
    assert snapshot.clients["shop"].commission == snapshot.terms["shop", "gear"] == (Terms("3"),)
    again = page.form(path)
    assert again["percent"] == "99" and again["version"] != form["version"]
    assert (await client.post(path, again | {"percent": "99"})).status == 303


# ---- orders


def boxes(page):
    return {box.get("name"): box.get("value") for box in page.all("input", type="checkbox")}


async def test_orders_are_the_clients_own_and_only_pending_ones_are_for_ticking(client, orders):
    page = await client.get("/portal/client/orders")
    assert boxes(page) == {"order A/1 #ä": "pending", "order A2": "pending"}
    assert "A3" in page.text and "T1" not in page.text and "Tea &" not in page.text


FILTERS = {"status=approved": {"A3"}, "status=pending": {"A/1 #ä", "A2"}, "partner=gear": {"A/1 #ä", "A3"}, "status=rejected": set()}


@pytest.mark.parametrize(("query", "shown"), FILTERS.items(), ids=FILTERS)
async def test_orders_are_filtered(client, orders, query, shown):
    page = await client.get(f"/portal/client/orders?{query}")
    found = {heading.text for heading in page.all("th", class_="order")}
    assert found == shown and page.status == 200


@pytest.mark.parametrize("query", ["days=3", "status=x", "partner=%FF", "cursor=x"])
async def test_a_wrong_filter_is_told(client, orders, query):
    assert (await client.get(f"/portal/client/orders?{query}")).status == 400


async def test_several_orders_are_decided_at_once(made, client, orders):
    page = await client.get("/portal/client/orders?status=pending")
    reply = await client.post("/portal/client/orders", page.form("/portal/client/orders", post=True) | boxes(page) | {"decision": "approved"})
    assert (reply.status, reply.location) == (303, "/portal/client/orders?status=pending")
    assert "2 orders are approved" in (await client.follow()).text
    page = await client.get("/portal/client/orders")
    assert boxes(page) == {} and page.text.count("Approved") >= 3
    entry = await audited(made)
    assert (entry["what"], entry["after"]) == ("decisions/shop", {"orders": 2, "decision": "approved"})


async def test_a_rejection_has_a_reason_which_is_kept_beside_the_order(client, orders):
    page = await client.get("/portal/client/orders")
    form = page.form("/portal/client/orders", post=True) | {"order A2": "pending", "decision": "rejected"}
    for reason in ("", "  ", "two\nlines", "x" * 501):
        reply = await client.post("/portal/client/orders", form | {"reason": reason})
        assert reply.status == 400 and "in one line" in reply.problem("reason")
        assert boxes(reply) == boxes(page) and "checked" in reply.one("input", name="order A2").attrib
    assert (await client.post("/portal/client/orders", form | {"reason": "Returned"})).status == 303
    assert "Returned" in (await client.get("/portal/client/orders?status=rejected")).text


CONFLICTS = {"decided meanwhile": "A2", "locked meanwhile": "A3"}


@pytest.mark.parametrize("order", CONFLICTS.values(), ids=CONFLICTS)
async def test_what_was_decided_meanwhile_is_told_and_stays(client, orders, order):
    page = await client.get("/portal/client/orders")
    form = page.form("/portal/client/orders", post=True)
    if order == "A2":
        await client.post("/portal/client/orders", form | {"order A2": "pending", "decision": "approved"})
    more = {f"order {order}": "pending", "order A/1 #ä": "pending", "decision": "rejected", "reason": "Late"}
    reply = await client.post("/portal/client/orders", form | more)
    assert reply.status == 409 and "1 order is rejected" in reply.text and f"{order}: " in reply.text and "nothing was changed" in reply.text
    assert {h.text for h in (await client.get("/portal/client/orders?status=rejected")).all("th", class_="order")} == {"A/1 #ä"}


NOTHING = {"nothing ticked": ({"decision": "approved"}, 400), "no decision": ({"order A2": "pending"}, 400)}
NOTHING |= {"more than a page has": ({f"order {n}": "pending" for n in range(51)} | {"decision": "approved"}, 400)}
NOTHING |= {f"order {order}": ({f"order {order}": "pending", "decision": "approved"}, 404) for order in ("T1", "nothing", "")}


@pytest.mark.parametrize(("sent", "reply"), NOTHING.values(), ids=NOTHING)
async def test_what_cannot_be_decided(client, orders, sent, reply):
    form = (await client.get("/portal/client/orders")).form("/portal/client/orders", post=True)
    assert (await client.post("/portal/client/orders", form | sent)).status == reply


# ---- settings

SETTINGS = "/portal/client/settings"


async def test_settings_are_saved(made, client):
    changes = {"landing_url": "https://shop.example/new", "allowed_hosts": "M.shop.example\r\n cdn.example ", "window_days": "14", "lock_days": "0"}
    changes["categories"] = "coffee\r\ntea coffee"
    assert (await client.submit(SETTINGS, **changes, timezone="Europe/Berlin", name="The Shop")).status == 303
    shop = (await after(made, client)).clients["shop"]
    assert (shop.landing_url, shop.allowed_hosts, shop.window_days) == ("https://shop.example/new", ("m.shop.example", "cdn.example"), 14)
    assert shop.categories == ("coffee", "tea") and (await client.get(SETTINGS)).form(SETTINGS)["categories"].split() == ["coffee", "tea"]
    assert (shop.lock_days, shop.timezone, shop.name, shop.currency) == (0, "Europe/Berlin", "The Shop", "EUR")
    assert (await audited(made))["who"].startswith("client:shop/")


async def test_cookies_are_the_clients_to_refuse(made, client):
    assert (await client.submit(SETTINGS, stateless="yes")).status == 303
    assert (await after(made, client)).clients["shop"].stateless
    form = (await client.get(SETTINGS)).form(SETTINGS)
    assert form.pop("stateless") == "yes"
    assert (await client.post(SETTINGS, form)).status == 303  # a box that isn't ticked isn't sent
    assert not (await after(made, client)).clients["shop"].stateless


WRONG = {
    "landing_url": ("javascript:alert(1)", "plain address"),
    "allowed_hosts": ("https://x.example/", "name of a host"),
    "window_days": ("401", "from 1 to 400"),
    "lock_days": ("soon", "from 0 (never) to 365"),
    "categories": ("Coffee & tea", "each 1 to 32 of a-z"),
    "timezone": ("Mars", "time zone"),
    "name": ("", "1 to 200"),
}


@pytest.mark.parametrize(("field", "typed", "says"), [(k, *v) for k, v in WRONG.items()], ids=WRONG)
async def test_a_wrong_setting_is_told_beside_its_field(made, client, field, typed, says):
    page = await client.submit(SETTINGS, **{field: typed, "lock_days": typed if field == "lock_days" else "7"})
    assert page.status == 400 and page.problems == {field} and says in page.problem(field)
    assert page.form(SETTINGS)["lock_days"] == (typed if field == "lock_days" else "7")
    assert (await after(made, client)).clients["shop"].lock_days == 30


async def test_every_wrong_setting_is_told_at_once(client):
    page = await client.submit(SETTINGS, **{field: typed for field, (typed, _) in WRONG.items()})
    assert page.problems == set(WRONG)


async def test_what_isnt_the_clients_to_set_is_not_set(made, client):
    await client.submit(SETTINGS, currency="USD", click_param="x", id="tea", commission="[]", consent="require")
    shop = (await after(made, client)).clients["shop"]
    assert (shop.currency, shop.click_param, shop.commission) == ("EUR", "pxid", (Terms("8"),))
    assert shop.consent == "operator_asserts"
    assert "The operator answers for it" in (await client.get(SETTINGS)).text


async def test_settings_that_somebody_has_changed_are_shown_beside_ones_own(made, client):
    form = (await client.get(SETTINGS)).form(SETTINGS) | {"lock_days": "7"}
    await made.registry.change_client("shop", {"lock_days": 60}, "operator:1")
    page = await client.post(SETTINGS, form)
    assert page.status == 409 and "Days to decide" in page.text and "60" in page.text
    assert (await after(made, client)).clients["shop"].lock_days == 60
    assert (await client.post(SETTINGS, page.form(SETTINGS))).status == 303
    assert (await after(made, client)).clients["shop"].lock_days == 7


async def test_what_is_shared_is_the_clients_to_say(made, client):
    page = await client.get(SETTINGS)
    form = {name: value for name, value in page.form(f"{SETTINGS}/sharing").items() if name in ("csrf", "version")}
    assert (await client.post(f"{SETTINGS}/sharing", form | {"listed": "yes"})).status == 303
    shop = (await after(made, client)).clients["shop"]
    assert (shop.listed, shop.share_contact) == (True, False)
    assert (await client.post(f"{SETTINGS}/sharing", form)).status == 409  # made from what isn't there any more


# ---- messages


async def test_a_message_reaches_a_partner_and_tells_no_address(made, client):
    await made.registry.set_member("shop", "blog", {"status": "approved"}, "admin")
    assert (await client.submit("/portal/client/messages?partner=blog", "/portal/client/messages", **TEXT)).status == 303
    (mail,) = await made.outbox.list(1)
    assert mail.to == accounts.FORM["email"] and TEXT["text"] in mail.body and CLIENT not in mail.body
    entry = await audited(made)
    assert (entry["what"], TEXT["text"] in str(entry)) == ("messages/shop/blog", False)


REFUSED = {
    "own programme, not approved": ("applied", True, "own", "isn't an approved partner"),
    "another programme, opted out": ("approved", False, "other", "doesn't want messages about other programmes"),
    "another programme, opted out and not approved": ("declined", False, "other", "doesn't want messages about other programmes"),
}
TAKEN = {
    "own programme, opted out of others": ("approved", False, "own"),
    "another programme": ("declined", True, "other"),
}


async def set_up(made, status, other_programmes):
    await made.registry.set_member("shop", "blog", {"status": status}, "admin")
    (account,) = await made.accounts.of_subject("partner", "blog")
    await made.accounts.set_other_programmes(account, other_programmes)
    return len(await made.outbox.list(100))


@pytest.mark.parametrize(("status", "other", "about", "says"), REFUSED.values(), ids=REFUSED)
async def test_a_message_that_may_not_be_sent_is_refused_and_told(made, client, status, other, about, says):
    before = await set_up(made, status, other)
    page = await client.submit("/portal/client/messages", partner="blog", about=about, **TEXT)
    assert page.status == 403 and says in page.text
    assert page.form("/portal/client/messages")["subject"] == TEXT["subject"]
    assert len(await made.outbox.list(100)) == before


@pytest.mark.parametrize(("status", "other", "about"), TAKEN.values(), ids=TAKEN)
async def test_a_message_that_may_be_sent(made, client, status, other, about):
    before = await set_up(made, status, other)
    assert (await client.submit("/portal/client/messages", partner="blog", about=about, **TEXT)).status == 303
    assert len(await made.outbox.list(100)) == before + 1


async def test_a_message_to_all_says_who_did_not_get_it(made, client):
    await set_up(made, "approved", True)
    assert (await client.submit("/portal/client/messages", partner="*", **TEXT)).status == 303
    assert "Sent to 1 of 2 partners" in (said := (await client.follow()).text) and "Gear has no account" in said


async def test_nobodys_mailbox_is_flooded_with_messages_and_who_is_left_out_is_told(made, client, browser):
    await set_up(made, "approved", True)
    for _ in range(10):
        assert (await client.submit("/portal/client/messages", partner="blog", **TEXT)).status == 303
    page = await client.submit("/portal/client/messages", partner="blog", **TEXT)
    assert page.status == 403 and "as many as one gets" in page.text
    await made.accounts.accept(
        (await made.accounts.invite(Role.PARTNER, "gear", "gear@x.example", "admin")).rpartition("/")[2],
        {"contact_name": "Gerd", "email": "gear@x.example", "password": portal.PASSWORD, "terms": "yes"},
    )
    assert (await client.submit("/portal/client/messages", partner="*", **TEXT)).status == 303
    assert "Sent to 1 of 2 partners" in (said := (await client.follow()).text) and "Teapots: there have been 10 messages" in said
    partner = await browser().log_in(PARTNER)  # the other way is counted apart
    statuses = [(await partner.submit("/portal/partner/messages/shop", **TEXT)).status for _ in range(11)]
    assert statuses == [303] * 10 + [429]


@pytest.mark.parametrize(("field", "typed"), [("subject", ""), ("subject", "a\nb"), ("text", ""), ("text", "x" * 4001), ("about", "x"), ("partner", "")])
async def test_a_wrong_message_is_told_beside_its_field(made, client, field, typed):
    await set_up(made, "approved", True)
    page = await client.submit("/portal/client/messages", **({"partner": "blog", "about": "own"} | TEXT | {field: typed}))
    assert page.status == 400 and page.problem(field)


@pytest.mark.parametrize("partner", ["other", "nobody"])
async def test_nobody_elses_partner_is_written_to(made, client, partner):
    assert (await client.submit("/portal/client/messages", partner=partner, **TEXT)).status == 404


PARTNERS = {"approved": ("approved", True, 303), "the client takes none": ("approved", False, 403), "not approved": ("applied", True, 403)}


@pytest.mark.parametrize(("status", "share", "reply"), PARTNERS.values(), ids=PARTNERS)
async def test_a_partner_writes_to_a_client_that_lets_it(made, client, browser, status, share, reply):
    await made.registry.set_member("shop", "blog", {"status": status}, "admin")
    partner = await browser().log_in(PARTNER)
    form = (await partner.get("/portal/partner/messages/shop")).form("/portal/partner/messages/shop") | TEXT
    await made.registry.change_client("shop", {"share_contact": share}, "admin")
    page = await partner.post("/portal/partner/messages/shop", form)
    assert page.status == reply
    (mail,) = await made.outbox.list(1)
    assert (mail.to == CLIENT and PARTNER not in mail.body and TEXT["text"] in mail.body) == (reply == 303)
    assert (await partner.get("/portal/partner/messages/tea")).status == 404


# ---- colleagues


async def test_a_colleague_is_invited_by_mail(made, client, browser):
    assert (await client.submit("/portal/client/colleagues", email="carl@shop.example")).status == 303
    assert "carl@shop.example is on its way" in (await client.follow()).text
    path = f"/portal/welcome/{await accounts.token(made)}"
    new = browser()
    assert (await new.submit(path, contact_name="Carl", password=portal.PASSWORD, terms="yes")).status == 303
    assert (await new.get("/portal/client/settings")).status == 200
    page = await client.get("/portal/client/colleagues")
    assert "Carl" in page.text and "Clara" in page.text and PARTNER.lower() not in page.text.lower()


async def test_a_colleague_is_removed_with_the_keys_made(made, client, browser):
    dora = await accounts.client(made, "dora@shop.example")
    text, info = await made.keys.create(dora.scope, "Dora's sheet", dora.who)
    hers = await browser().log_in("dora@shop.example")
    page, path = await client.get("/portal/client/colleagues"), f"/portal/client/colleagues/{dora.id}/remove"
    assert [link.get("href") for link in page.all("a") if link.get("href").endswith("/remove")] == ["/portal/account/remove", path]
    page = await client.submit(path, password="wrong")
    assert page.status == 400 and page.problem("password") and "Dora's sheet" in page.text and info.prefix in page.text
    assert (await client.submit(path, password=portal.PASSWORD)).location == "/portal/client/colleagues"
    assert "is removed" in (await client.follow()).text and "dora@" not in client.page.text
    assert (await hers.get("/portal/client")).status == 303
    with pytest.raises(Unauthorized):
        await made.keys.scope_of(text)
    (clara,) = await made.accounts.of_subject("client", "shop")
    await client.submit(f"/portal/client/colleagues/{clara.id}/remove", password=portal.PASSWORD)
    assert client.page.location == "/portal/login" and "__Host-pixeld" not in client.jar


async def test_an_invitation_tells_nobody_which_addresses_have_accounts(made, client):
    await client.submit("/portal/client/colleagues", email=PARTNER)
    assert client.page.status == 303 and f"{PARTNER} is on its way" in (await client.follow()).text
    (mail,) = await made.outbox.list(1)
    assert (mail.to, mail.subject) == (PARTNER, "You have an account already")
    assert (await audited(made))["what"] == "invitations"


async def test_a_client_cannot_flood_mailboxes_with_invitations(made, client):
    for n in range(39):  # and one was her own
        await made.accounts.invite("client", "shop", f"c{n}@shop.example", "admin")
    page = await client.submit("/portal/client/colleagues", email="one.more@shop.example")
    assert page.status == 429 and "please wait" in page.text
    assert "one.more@shop.example" not in {mail.to for mail in await made.outbox.list(50)}
    await made.accounts.invite(Role.OPERATOR, "", "olga@track.example", "admin")  # others' are counted apart


@pytest.mark.parametrize("email", ["", "x", CLIENT], ids=["none", "no address", "a colleague's"])
async def test_whom_one_cannot_invite(client, email):
    page = await client.submit("/portal/client/colleagues", email=email)
    assert page.status == 400 and page.problem("email")
