"""The visitor's own pages: what they say of a browser's cookies, what their buttons do, and whom they obey."""

import re
from types import SimpleNamespace

import html5lib
import pytest

from pixeld.domain import optout
from pixeld.domain.registry import Client, Partner, Snapshot
from pixeld.domain.tokens import Keyring
from pixeld.errors import Unavailable, WarehouseAway
from pixeld.tracking.cookies import Cookies
from pixeld.web import house, public, tracking, visitor
from pixeld.web.desk import Desk
from pixeld.web.origin import Origin
from pixeld.web.rate import Limiter
from pixeld.web.visitor.keys import FRAMES
from tests.fakes import MemoryIntake
from tests.portal import FORM, XHTML, Page, flaws
from tests.wire.conftest import KEYS, P3P, Metrics, tracker

START_S = 1_764_000_000  # 24 November 2025, 16:00 UTC
SHOPS = {
    "acme": Client("acme", "Acme Coffee", "https://shop.example/"),
    "tea": Client("tea", "Tea & Co", "https://tea.example/", window_days=7),
    "quiet": Client("quiet", "Quiet", "https://quiet.example/", listed=False),
}
PARTNERS = {"blog": Partner("blog", "A <b>blog</b>")}
COOKIES = Cookies("pxref", "pxref-landing")
OWN = {"Sec-Fetch-Site": "same-origin"}
GONE = "; Max-Age=0; Secure; HttpOnly; SameSite=None"
DELETED = [f"pxref=; Path=/t/acme/{GONE}", f"pxref-landing=; Path=/{GONE}; Partitioned"]
OPTED_OUT = "ID=OPT_OUT; Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=None"
OPTED_IN = f"ID=; Path=/{GONE}"


class Affinities:
    """The port, in memory; `away` is the error that a look-up, or to forget, ends in."""

    def __init__(self):
        self.kept, self.forgotten, self.away = {}, [], None

    async def held(self, client, click_ids):
        if isinstance(self.away, WarehouseAway):
            raise self.away
        return sorted({name for click_id in click_ids for name in self.kept.get((client, click_id), ())})

    async def forget(self, client, click_ids):
        if type(self.away) is Unavailable:
            raise self.away
        self.forgotten += [(client, click_id) for click_id in click_ids]
        self.kept = {key: names for key, names in self.kept.items() if key not in self.forgotten}


class Visited(Page):
    """A page with its style in it, as it loads nothing, and forms without a session."""

    def __init__(self, reply, body):
        self.status, self.headers, self.body = reply.status, reply.headers, body
        self.location, self.set_cookies = reply.headers.get("Location", ""), reply.headers.getall("Set-Cookie", [])
        if body and reply.content_type == "text/html":
            self.tree = html5lib.HTMLParser(strict=True).parse(body, transport_encoding="utf-8")
            of_the_portal = re.compile(r"an inline style|header is there 0 times|the form to .* has 0 tokens")
            found = [flaw for flaw in flaws(self.tree) if not of_the_portal.fullmatch(flaw)]
            assert not found, found

    @property
    def text(self):
        return " ".join("".join(self.tree.find(f"{XHTML}body").itertext()).split())


def click(shop="acme", partner="blog", at_s=START_S, nonce=b"12345678", keys=KEYS):
    return keys.sign(shop, partner, at_s, nonce)


@pytest.fixture
async def browse(aiohttp_client, clock):
    """Asks the house, as a browser with these cookies and headers."""
    registry, intake = SimpleNamespace(snapshot=Snapshot(1, SHOPS, PARTNERS)), MemoryIntake(lambda settle: settle())
    affinities, limiter = Affinities(), Limiter(visitor.PER_S, visitor.BURST, lambda: clock() / 1000)
    app = house.application(Origin())
    visitor.add_routes(app, visitor.Services(registry, affinities, limiter, KEYS, COOKIES, P3P, honour_dnt=True))
    public.add_routes(app, p3p=False, https=True)
    tracking.add_routes(app, Desk(tracker(), intake, Metrics(), clock, Origin()))
    client = await aiohttp_client(app)

    async def ask(path, method="GET", cookie="", headers=None, data=None, **form):
        sent = dict(headers or {}) | ({"Cookie": cookie} if cookie else {})
        reply = await client.request(method, path, headers=sent, data=data or form or None, allow_redirects=False)
        return Visited(reply, await reply.read())

    ask.registry, ask.intake, ask.affinities = registry, intake, affinities
    return ask


CARRIED = {
    "nothing": ("", "This browser carries nothing for Acme Coffee."),
    "a click": (f"pxref={click()}", "On 24 November 2025, 16:00 UTC you followed a link of A <b>blog</b>. An order counts for it until 24 December 2025, 16:00 UTC."),
    "a partner who is no more": (f"pxref={click(partner='gone')}", "a link of gone."),
    "a click of the landing page": (f"pxref-landing={click()}", "a link of A <b>blog</b>."),
    "another shop's click": (f"pxref={click('tea')}", "1 entry is unreadable"),
    "two of them": (f"pxref={click('tea')}.{click('tea', at_s=1)}", "2 entries are unreadable"),
    "signed elsewhere": (f"pxref={click(keys=Keyring({3: b'another sixteen bytes'}, 3))}", "1 entry is unreadable"),
    "rubbish": ("pxref=<script>", "1 entry is unreadable"),
    "among others": (f"a=b; pxref={click()}; c=d", "a link of A <b>blog</b>."),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/t/acme/my-data", "/t/acme/my-data?view=card", "/t/acme/opt-out"], ids=["page", "card", "opt-out"])
@pytest.mark.parametrize(("cookie", "said"), CARRIED.values(), ids=CARRIED)
async def test_a_shop_s_page_says_what_the_browser_carries(path, cookie, said, browse):
    page = await browse(path, cookie=cookie)
    assert page.status == 200 and said in page.text
    assert not page.set_cookies and not browse.intake.events


async def test_clicks_stand_newest_first_and_once(browse):
    ids = [click(at_s=START_S + n, nonce=bytes([n] * 8)) for n in (60, 0, 120)]
    page = await browse("/t/acme/my-data", cookie=f"pxref={ids[0]}.{ids[1]}; pxref-landing={ids[0]}.{ids[2]}.{click('tea')}")
    assert re.findall(r"16:0\d(?= UTC you)", page.text) == ["16:02", "16:01", "16:00"]
    assert "keeps this until 24 December 2025, 16:02 UTC at the latest" in page.text and "unreadable" not in page.text


BUTTONS = {
    "delete": ("/t/acme/my-data", "delete", DELETED),
    "opt out at a shop": ("/t/acme/my-data", "opt-out", [OPTED_OUT, *DELETED]),
    "opt out at a shop's own address": ("/t/acme/opt-out", "opt-out", [OPTED_OUT, *DELETED]),
    "opt in at a shop": ("/t/acme/my-data", "opt-in", [OPTED_IN]),
    "opt out of all": ("/opt-out", "opt-out", [OPTED_OUT]),
    "opt in at all": ("/my-data", "opt-in", [OPTED_IN]),
}


@pytest.mark.parametrize(("path", "do", "cookies"), BUTTONS.values(), ids=BUTTONS)
async def test_a_button_does_what_it_says(path, do, cookies, browse):
    page = await browse(path, "POST", f"pxref={click()}", OWN, do=do)
    assert page.status == 303 and page.set_cookies == cookies
    assert page.location == f"{'/my-data' if path == '/opt-out' else path}?done={do}"
    kept = "ID=OPT_OUT" if do == "opt-out" else ""
    assert (await browse(page.location, cookie=kept)).one("p", class_="notice").text


@pytest.mark.parametrize(
    ("cookie", "said"), [("ID=OPT_OUT", "You have opted out."), ("", "did not keep")], ids=["a browser that keeps it", "one that doesn't"]
)
async def test_nobody_is_told_to_have_opted_out_who_has_not(cookie, said, browse):
    for path in ("/my-data", "/t/acme/opt-out"):
        assert said in (await browse(f"{path}?done=opt-out", cookie=cookie)).one("p", class_="notice").text


async def test_a_card_stays_a_card(browse):
    page = await browse("/t/acme/my-data?view=card", cookie=f"pxref={click()}")
    assert [form.get("action") for form in page.all("form")] == ["/t/acme/my-data?view=card"] and not page.all("footer")
    page = await browse("/t/acme/my-data?view=card", "POST", f"pxref={click()}", OWN, do="delete")
    assert page.location == "/t/acme/my-data?done=delete&view=card"


ASKERS = {
    "own page": (OWN, True),
    "another site": ({"Sec-Fetch-Site": "cross-site"}, False),
    "a neighbour of the same site": ({"Sec-Fetch-Site": "same-site"}, False),
    "an address bar": ({"Sec-Fetch-Site": "none"}, False),
    "whoever claims our origin all the same": ({"Sec-Fetch-Site": "cross-site", "Origin": "http://track.example"}, False),
    "own page in a browser of old": ({"Origin": "http://track.example"}, True),
    "another site in a browser of old": ({"Origin": "https://evil.example", "Referer": "http://track.example/my-data"}, False),
    "a hidden origin": ({"Origin": "null"}, False),
    "an origin that is none": ({"Origin": "http://[track.example"}, False),
    "own page in an ancient one": ({"Referer": "http://track.example/my-data"}, True),
    "another site in an ancient one": ({"Referer": "https://evil.example/track.example"}, False),
    "nobody says": ({}, False),
}


@pytest.mark.parametrize("path", ["/opt-out", "/my-data", "/t/acme/my-data", "/t/acme/opt-out"])
@pytest.mark.parametrize(("headers", "own"), ASKERS.values(), ids=ASKERS)
async def test_a_form_counts_from_our_own_pages_only(path, headers, own, browse):
    page = await browse(path, "POST", f"pxref={click()}", {"Host": "track.example", **headers}, do="opt-out")
    assert page.status == (303 if own else 403) and bool(page.set_cookies) is own
    assert own or "nothing was changed" in page.text


NO_BUTTONS = {
    "nothing": (FORM, b""),
    "a button of another page": (FORM, b"do=delete"),
    "markup": (FORM, b"do=<script>"),
    "another field": (FORM, b"other=opt-out"),
    "no UTF-8": (FORM, b"do=\xff"),
    "no encoding that is known": (f"{FORM}; charset=no-such", b"do=opt-out"),
    "half a form of another kind": ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=do"),
    "another kind": ("application/json", b'{"do": "opt-out"}'),
}


@pytest.mark.parametrize(("kind", "data"), NO_BUTTONS.values(), ids=NO_BUTTONS)
async def test_a_form_with_no_button_of_ours_changes_nothing(kind, data, browse):
    page = await browse("/opt-out", "POST", headers=OWN | {"Content-Type": kind}, data=data)
    assert page.status == 400 and not page.set_cookies and "no such button" in page.text


REFUSALS = {
    "opted out": ("ID=OPT_OUT", {}),
    "Global Privacy Control": ("", {"Sec-GPC": "1"}),
    "Do Not Track, where it is honoured": ("", {"DNT": "1"}),
}


@pytest.mark.parametrize(("cookie", "headers"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("path", ["/t/acme/my-data?view=card", "/t/acme/opt-out"])
async def test_a_browser_that_wants_nothing_kept_is_rid_of_it(path, cookie, headers, browse):
    page = await browse(path, cookie=f"pxref={click()}; {cookie}", headers=headers)
    assert page.set_cookies == DELETED and "has deleted what was there" in page.text and "A <b>blog</b>" in page.text
    assert not [form for form in page.all("form") if "delete" in form.itertext()]
    assert not (await browse(path, cookie=cookie, headers=headers)).set_cookies


CHOICES = {
    "none yet": ("", {}, ["opt-out"], "You can opt out"),
    "opted out": ("a=b; ID=OPT_OUT", {}, ["opt-in"], "You have opted out."),
    "GPC": ("", {"Sec-GPC": "1"}, ["opt-out"], "Your browser sends Global Privacy Control."),
    "GPC and opted out": ("ID=OPT_OUT", {"Sec-GPC": "1"}, ["opt-in"], "Your browser sends Global Privacy Control."),
    "GPC, said twice": ("", {"Sec-GPC": "0, 1"}, ["opt-out"], "Your browser sends Global Privacy Control."),
    "GPC taken back": ("", {"Sec-GPC": "0"}, ["opt-out"], "You can opt out"),
    "DNT, where it is honoured": ("", {"DNT": "1"}, ["opt-out"], "Your browser sends Do Not Track."),
    "another ID": ("ID=7; MYID=OPT_OUT", {}, ["opt-out"], "You can opt out"),
}


@pytest.mark.parametrize("path", ["/my-data", "/opt-out", "/t/acme/my-data", "/t/acme/opt-out"])
@pytest.mark.parametrize(("cookie", "headers", "buttons", "said"), CHOICES.values(), ids=CHOICES)
async def test_every_page_says_what_was_chosen(path, cookie, headers, buttons, said, browse):
    page = await browse(path, cookie=cookie, headers=headers)
    assert said in page.text and [button.get("value") for button in page.all("button", name="do")] == buttons


async def test_listed_shops_are_framed_by_name(browse):
    frames = (await browse("/my-data")).all("iframe", loading="lazy")
    assert [frame.get("src") for frame in frames] == ["/t/acme/my-data?view=card", "/t/tea/my-data?view=card"]
    assert [frame.get("title") for frame in frames] == [f"What this browser carries for {SHOPS[id].name}" for id in ("acme", "tea")]
    page = await browse("/my-data?name=%20COFFEE")
    assert [frame.get("src") for frame in page.all("iframe")] == ["/t/acme/my-data?view=card"]
    assert "No shop here has “<i>” in its name." in (await browse("/my-data?name=<i>")).text
    assert (await browse("/t/quiet/my-data")).status == 200  # who knows it may ask it


async def test_many_shops_are_shown_some_at_a_time(browse):
    shops = {f"s{n:03}": Client(f"s{n:03}", f"Shop {n:03}", "https://shop.example/") for n in range(2 * FRAMES + 1)}
    browse.registry.snapshot = Snapshot(1, shops)
    seen, path = [], "/my-data?name=shop"
    while path:
        page = await browse(path)
        seen += [frame.get("src").split("/")[2] for frame in page.all("iframe")]
        path = next((link.get("href") for link in page.all("a", rel="next")), None)
    assert seen == sorted(shops) and page.all("a", rel="prev")
    for odd in ("0", "-1", "99999999", "x", "²"):
        assert (await browse(f"/my-data?page={odd}")).status == 200


async def test_nobody_caches_or_frames_a_page_and_old_browsers_see_a_policy(browse):
    for path in ("/my-data", "/opt-out", "/t/acme/my-data", "/t/acme/opt-out", "/t/nobody/my-data"):
        headers = (await browse(path)).headers
        assert headers["Cache-Control"] == "no-store" and headers["P3P"] == P3P
        assert headers["Referrer-Policy"] == "same-origin"  # `no-referrer` would make the forms' Origin "null"
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"] and "script-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Strict-Transport-Security"]


async def test_what_is_not_there_is_said(browse):
    page = await browse("/t/nobody/my-data")
    assert page.status == 404 and "No shop here has this address" in page.text
    browse.registry.snapshot = None
    for path in ("/my-data", "/t/acme/my-data"):
        page = await browse(path)
        assert page.status == 503 and page.headers["Retry-After"] and "has just started" in page.text
    assert (await browse("/opt-out", "POST", headers=OWN, do="opt-out")).set_cookies == [OPTED_OUT]


async def test_one_address_gets_so_many_shops_pages(browse, clock):
    for _ in range(visitor.BURST):
        assert (await browse("/t/acme/my-data?view=card")).status == 200
    page = await browse("/t/acme/my-data?view=card")
    assert page.status == 429 and page.headers["Retry-After"] and "Wait a moment" in page.text
    assert (await browse("/my-data")).status == 200
    clock.forward(1)
    assert (await browse("/t/acme/my-data?view=card")).status == 200


# What was bought


@pytest.fixture
def bought(browse):
    """A browser's cookie with a click that has bought coffee and cups, and another's that has bought tea."""
    mine, theirs = click(), click(nonce=b"another1")
    browse.affinities.kept = {("acme", mine): ["cups", "coffee"], ("acme", theirs): ["tea"]}
    return f"pxref={mine}"


async def test_what_was_bought_is_shown_and_forgotten(browse, bought):
    page = await browse("/t/acme/my-data", cookie=bought)
    assert "kept for some days, to count what many people buy: coffee, cups." in page.text and "tea" not in page.text
    page = await browse("/t/acme/my-data", "POST", bought, OWN, do="forget")
    assert page.status == 303 and not page.set_cookies
    assert browse.affinities.forgotten == [("acme", bought.partition("=")[2])]
    page = await browse(page.location, cookie=bought)
    assert "What you bought is forgotten." in page.text and "coffee" not in page.text and "you followed a link" in page.text


@pytest.mark.parametrize("do", ["delete", "opt-out"])
async def test_with_the_cookies_goes_what_was_bought(do, browse, bought):
    assert (await browse("/t/acme/my-data", "POST", bought, OWN, do=do)).status == 303
    assert browse.affinities.forgotten == [("acme", bought.partition("=")[2])]


async def test_a_browser_that_wants_nothing_kept_is_forgotten_too(browse, bought):
    page = await browse("/t/acme/my-data", cookie=f"{bought}; ID=OPT_OUT")
    assert "coffee, cups. They are forgotten now." in page.text and browse.affinities.forgotten and page.set_cookies == DELETED


async def test_nothing_is_written_where_nothing_can_be_kept(browse):
    await browse("/t/acme/my-data", "POST", f"pxref={click()}", OWN, do="delete")
    await browse("/t/acme/my-data", "POST", f"pxref={click('tea')}", OWN, do="delete")
    await browse("/t/acme/my-data", "POST", f"pxref={click()}", {"Sec-Fetch-Site": "cross-site"}, do="delete")
    assert not browse.affinities.forgotten
    browse.registry.snapshot = Snapshot(1, {"acme": SHOPS["acme"].changed({"categories": ["coffee"]})}, PARTNERS)
    await browse("/t/acme/my-data", "POST", f"pxref={click()}", OWN, do="delete")
    assert browse.affinities.forgotten == [("acme", click())]  # an order may be on its way to where look-ups see it


async def test_while_nobody_can_look_it_up_it_is_forgotten_all_the_same(browse, bought):
    browse.affinities.away = WarehouseAway("ClickHouse is away")
    page = await browse("/t/acme/my-data", cookie=bought)
    assert page.status == 200 and "can't be looked up at the moment" in page.text and "you followed a link" in page.text
    assert (await browse("/t/acme/my-data", "POST", bought, OWN, do="delete")).set_cookies == DELETED
    assert browse.affinities.forgotten


@pytest.mark.parametrize("do", ["delete", "forget", "opt-out"])
async def test_what_cannot_be_forgotten_is_said_and_nothing_is_half_done(do, browse, bought):
    browse.affinities.away = Unavailable("What you bought could not be forgotten.")
    page = await browse("/t/acme/my-data", "POST", bought, OWN, do=do)
    assert page.status == 503 and not page.set_cookies and "could not be forgotten" in page.text


async def test_gpc_is_promised(browse):
    page = await browse("/.well-known/gpc.json")
    assert re.fullmatch(rb'\{"gpc": true, "lastUpdate": "\d{4}-\d\d-\d\d"\}\n', page.body)
    assert page.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("cookies", "chosen"),
    [
        ("ID=OPT_OUT", True), ("a=b; ID=OPT_OUT", True), ("ID=OPT_OUT;a=b", True), (" ID=OPT_OUT ", True),
        ("", False), ("ID=OPT_OUT2", False), ("XID=OPT_OUT", False), ("ID=", False), ("a=ID=OPT_OUT", False), ("id=OPT_OUT", False),
    ],
)  # fmt: skip
def test_the_opt_out_cookie_is_known_exactly(cookies, chosen):
    assert optout.chosen(cookies) is chosen
