"""Consent: the strings' decoders against the IAB's own examples, and the rule against another statement of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.commission import Terms
from pixeld.domain.consent import EXPLICIT, REFUSED, SILENCE, Mode, Say, Signals, Verdict, Where, decide
from pixeld.domain.events import Drop, decode
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.tokens import Keyring
from pixeld.tracking import gpp, signals, tcf
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Browser, Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.replies import Replies
from tests import consent

NO, YES, NOTHING = Say.NO, Say.YES, Say.NOTHING


KEYS = Keyring({3: b"sixteen bytes or more"}, 3)
COOKIES = Cookies("pxref", "pxref-landing")
NOW_MS = 1_800_000_000_000
EARLIER = KEYS.sign("shop", "blog", NOW_MS // 1000 - 60, b"earlier!")
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
DELETION = b"Set-Cookie: pxref=; Path=/t/shop/; Max-Age=0; Secure; HttpOnly; SameSite=None\r\n"


class Shop:
    """A tracker with one shop, asked by one browser."""

    def __init__(self, client=None, headers=None, country="DE", settings=None):
        headers, settings = headers or {}, settings or {}
        shop = Client("shop", "S", "https://shop.example/", **client or {})
        snapshot = Snapshot(1, {"shop": shop}, {"blog": Partner("blog", "B")}, {("shop", "blog"): Status.APPROVED})
        self.tracker = Tracker(
            snapshot, KEYS, Replies('CP="NON"'), Visitors(lambda n: b"s" * n), lambda n: b"n" * n, COOKIES,
            honour_dnt=settings.get("honour_dnt") == "true", tcf_vendor_id=int(settings.get("tcf_vendor_id", 0)),
        )  # fmt: skip
        gpc, dnt = headers.get("Sec-GPC") == "1", headers.get("DNT") == "1"
        self.browser = Browser.of(CHROME, "de", ahead=False, gpc=gpc, dnt=dnt)
        self.cookies, self.country = [headers["Cookie"]] if "Cookie" in headers else [], country

    def answer(self, path, *queries, referred=False, method="GET"):
        cookie = "; ".join([*([f"pxref={EARLIER}"] if referred else []), *self.cookies])
        query = "&".join(query for query in queries if query)
        target = f"/t/shop/{path}?{query}" if query else f"/t/shop/{path}"
        return self.tracker.answer((method, target, cookie, self.browser, "192.0.2.7", self.country, NOW_MS))

    def ask(self, path, *queries, **how):
        """(head, kind, columns, what was counted)"""
        reply, line, counted = self.answer(path, *queries, **how)
        ((kind, values),) = decode(line)
        return reply.head, kind.name, dict(zip(kind.columns, values, strict=True)), counted


@pytest.mark.parametrize("referred", [False, True], ids=["without a referral", "with the referral cookie"])
@pytest.mark.parametrize("row", [*consent.rows()], ids=lambda row: f"{row.query or 'nothing'} {row.browser} {row.client['consent']} {row.country}")
def test_truth_table(row, referred):
    shop, query, deep = Shop(row.client, row.headers, row.country, row.settings), row.query, "u=https%3A%2F%2Fshop.example%2Fa"
    refused = row.verdict.startswith("refused")
    told = {"at_ms": NOW_MS, "client": "shop", "partner": "blog", "consent": row.verdict}

    head, kind, event, counted = shop.ask("c/blog", query, deep, "s1=spring", referred=referred)
    assert b"\r\nX-Pixeld: ok\r\n" in head
    if refused:
        assert head.startswith(b"HTTP/1.1 302") and b"\r\nLocation: https://shop.example/a\r\n" in head
        assert (kind, event, counted) == ("refusal", told | {"what": "click"}, ("click", row.verdict))
        assert head.count(b"Set-Cookie") == head.count(DELETION) == referred
    else:
        assert f"Location: https://shop.example/a?pxid={event['click_id']}\r\nSet-Cookie: pxref={event['click_id']}".encode() in head
        assert (kind, event["quality"], event["s1"], counted) == ("click", "human", "spring", ("click", "human"))
        assert told.items() <= event.items() and event["visitor"]

    head, kind, event, counted = shop.ask("i/blog.gif", query, "s1=spring", referred=referred)
    assert head.startswith(b"HTTP/1.1 200") and b"\r\nX-Pixeld: ok\r\n" in head
    assert head.count(b"Set-Cookie") == head.count(DELETION) == (refused and referred)
    assert told.items() <= event.items()
    assert kind == ("refusal" if refused else "impression")
    assert counted == ("impression", row.verdict if refused else "human")
    assert event == told | {"what": "impression"} if refused else event["s1"] == "spring" and event["visitor"]

    for kind in "order", "test_order":
        extra = "test=1" if kind == "test_order" else "test=0"
        head, found, event, counted = shop.ask("o.gif", query, "order=A-1&amount=12.30", extra, f"click={EARLIER}", referred=referred)
        assert (found, counted) == (kind, (kind, "human"))
        assert head.startswith(b"HTTP/1.1 200") and b"\r\nX-Pixeld: ok\r\n" in head
        assert head.count(b"Set-Cookie") == head.count(DELETION) == (refused and referred)
        assert (event["order_id"], event["amount_minor"], event["consent"]) == ("A-1", 1230, row.verdict)
        traces = [event[name] for name in ("partner", "method", "click_id", "country", "device", "browser", "os", "language")]
        assert event["clicked_at"] == (0 if refused else NOW_MS // 1000 - 60)
        assert traces == ([""] * 8 if refused else ["blog", "click", EARLIER, row.country, "desktop", "Chrome", "Windows", "de"])


GPC = {"Sec-GPC": "1"}


def test_a_refused_order_says_nothing_of_the_browser():
    shop = Shop(headers=GPC)
    shop.browser = Browser.of("Googlebot/2.1 (+http://www.google.com/bot.html)", "", ahead=False, gpc=True)
    assert shop.ask("o.gif", "order=1&amount=100")[2]["quality"] == "human"
    shop.browser = shop.browser._replace(gpc=False, objects=False)
    assert shop.ask("o.gif", "order=1&amount=100")[2]["quality"] == "bot"


def test_a_refused_order_earns_nothing():
    client = {"commission": (Terms(percent="10"),)}
    _, _, event, _ = Shop(client).ask("o.gif", "order=1&amount=100", referred=True)
    assert event["commission_minor"] == 1000
    _, _, event, _ = Shop(client, GPC).ask("o.gif", "order=1&amount=100", referred=True)
    assert event["commission_minor"] == 0


@pytest.mark.parametrize(
    ("path", "queries", "partner", "location"),
    [
        pytest.param("c/stranger", ["u=https%3A%2F%2Fshop.example%2Fa"], "", b"https://shop.example/\r\n", id="no member: landing page, nobody named"),
        pytest.param("c/blog", ["u=https%3A%2F%2Fevil.example%2F"], "blog", b"https://shop.example/\r\n", id="bad deep link: landing page"),
        pytest.param("c/blog", ["u="], "blog", b"https://shop.example/\r\n", id="empty deep link"),
        pytest.param("i/stranger.gif", [], "", b"", id="no member, impression"),
    ],
)
def test_a_refusal_leads_to_the_shop_and_names_members_only(path, queries, partner, location):
    head, kind, event, _ = Shop(headers=GPC).ask(path, *queries)
    assert kind == "refusal" and event["partner"] == partner
    assert not location or b"\r\nLocation: " + location in head


LANDED = b"Set-Cookie: pxref-landing=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=None; Partitioned\r\n"


@pytest.mark.parametrize("cookie", [None, f"pxref-landing={EARLIER}"], ids=["at first", "again"])
def test_a_refused_landing_beacon_leaves_no_cookie(cookie):
    shop = Shop(headers=GPC | ({"Cookie": cookie} if cookie else {}))
    reply, line, counted = shop.answer("l.gif", f"click={EARLIER}")
    assert (line, counted) == (None, ("landing", "refused gpc"))
    assert reply.head.startswith(b"HTTP/1.1 200") and b"\r\nX-Pixeld: ok\r\n" in reply.head
    assert reply.head.count(b"Set-Cookie") == reply.head.count(LANDED) == bool(cookie)
    reply, _, counted = Shop().answer("l.gif", f"click={EARLIER}")
    assert counted == ("landing", "ok") and f"Set-Cookie: pxref-landing={EARLIER};".encode() in reply.head


def test_both_cookies_are_deleted():
    head, _, event, _ = Shop(headers=GPC | {"Cookie": f"pxref-landing={EARLIER}"}).ask("o.gif", "order=1&amount=1", referred=True)
    assert head.count(DELETION) == head.count(LANDED) == 1 and event["partner"] == ""


def test_a_client_without_cookies_asks_for_consent_all_the_same():
    shop = Shop({"stateless": True, "consent": "require"})
    _, kind, event, _ = shop.ask("c/blog")
    assert (kind, event["consent"]) == ("refusal", "refused require")
    assert shop.ask("c/blog", "consent=1")[2]["consent"] == "allowed consent"


def test_a_malformed_referral_cookie_is_deleted_too():
    shop = Shop(headers=GPC | {"Cookie": "xpxref=1; pxref=!; pxref2=1"})
    assert DELETION in shop.ask("i/blog.gif")[0]
    shop.cookies = ["xpxref=1; pxref2=1"]
    assert b"Set-Cookie" not in shop.ask("i/blog.gif")[0]


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        pytest.param("c/blog", b"302 Found", Drop.NOT_DURABLE, id="click"),
        pytest.param("i/blog.gif", b"503 Service Unavailable", Drop.NOT_DURABLE, id="impression"),
        pytest.param("o.gif", b"503 Service Unavailable", Drop.BUFFER_FULL, id="order"),
    ],
)
def test_what_could_not_be_stored_is_deleted_all_the_same(path, status, reason):
    shop = Shop(headers=GPC)
    answer = shop.answer(path, "order=1&amount=1", referred=True)
    reply, line, counted = shop.tracker.unstored(answer, reason)
    assert reply.head.startswith(b"HTTP/1.1 " + status) and reply.head.count(DELETION) == 1 and line is None
    assert f"\r\nX-Pixeld: dropped; reason={reason}\r\n".encode() in reply.head
    assert counted == (answer[2][0], reason)
    if path != "o.gif":
        reply, line, counted = shop.tracker.limited(answer)
        assert reply.head.count(DELETION) == 1 and b"reason=rate_limited" in reply.head and line is None


LATER, STRANGE = KEYS.sign("shop", "blog", NOW_MS // 1000 - 30, b"later!!!"), KEYS.sign("tea", "blog", NOW_MS // 1000 - 9, b"strange!")
FORGED = Keyring({3: b"another sixteen bytes"}, 3).sign("shop", "blog", NOW_MS // 1000 - 60, b"earlier!")
KEPT = {"categories": ["coffee"]}


@pytest.mark.parametrize(
    ("client", "cookie", "forgotten"),
    [
        pytest.param(KEPT, f"pxref={EARLIER}", [EARLIER], id="of the referral cookie"),
        pytest.param(KEPT, f"a=b; pxref-landing={LATER}.{EARLIER}", [LATER, EARLIER], id="of the landing cookie"),
        pytest.param(KEPT, f"pxref={EARLIER}; pxref-landing={LATER}.{EARLIER}", [LATER, EARLIER], id="of both, each once"),
        pytest.param(KEPT | {"stateless": True}, f"pxref={EARLIER}", [EARLIER], id="of a client that sets none any more"),
        pytest.param(KEPT, f"pxref={FORGED}.{EARLIER}", [EARLIER], id="not by who guesses"),
        pytest.param(KEPT, f"pxref-landing={STRANGE}", [], id="not another client's"),
        pytest.param(KEPT, "pxref=!", [], id="not of a cookie that is none"),
        pytest.param(KEPT, "", [], id="nothing without a cookie"),
        pytest.param({}, f"pxref={EARLIER}", [], id="nothing where no categories are kept"),
    ],
)
@pytest.mark.parametrize(
    ("path", "query"),
    [("c/blog", ""), ("i/blog.gif", ""), ("o.gif", "order=1&amount=1"), ("o.gif", "order=1&amount=x"), ("l.gif", f"click={LATER}")],
    ids=["click", "impression", "order", "bad order", "landing beacon"],
)
def test_with_a_refusal_ends_what_was_kept_by_consent(path, query, client, cookie, forgotten):
    shop = Shop(client, {"Cookie": cookie} if cookie else {})
    reply, line, counted = shop.answer(path, query, "consent=0")
    stored = [(kind.name, values) for kind, values in decode(line or b"")]
    assert [values for kind, values in stored if kind == "forget"] == [[NOW_MS, "shop", click] for click in forgotten]
    assert [kind for kind, _ in stored if kind != "forget"] == {
        "c/blog": ["refusal"], "i/blog.gif": ["refusal"], "o.gif": [] if query.endswith("x") else ["order"], "l.gif": [],
    }[path]  # fmt: skip
    assert reply.head.count(b"Max-Age=0") == cookie.count("pxref")
    allowed = shop.answer(path, query, "consent=1")[1] or b""
    assert "forget" not in [kind.name for kind, _ in decode(allowed)]
    # What could not be stored is not half done: by the cookie, the next contact forgets. Without anything to forget it goes.
    for instead in shop.tracker.unstored((reply, line, counted), Drop.NOT_DURABLE), shop.tracker.limited((reply, line, counted)):
        assert instead[0].head.count(b"Max-Age=0") == (0 if forgotten else cookie.count("pxref"))


def test_no_text_of_a_stranger_reads_like_a_wish_to_forget():
    shop = Shop(KEPT, {"Cookie": "pxref=!"})
    answer = shop.answer("o.gif", 'order=["x",&amount=1&coupon=%0A["x","', "consent=0")
    assert DELETION in shop.tracker.unstored(answer, Drop.NOT_DURABLE)[0].head


def test_a_refused_order_that_breaks_a_rule_is_dropped_and_deleted():
    reply, line, counted = Shop(headers=GPC).answer("o.gif", "order=1&amount=x", referred=True)
    assert (line, counted) == (None, ("order", Drop.BAD_AMOUNT))
    assert DELETION in reply.head and b"reason=bad_amount" in reply.head


def test_every_verdict_has_a_row():
    assert {row.verdict for row in consent.rows()} == set(Verdict)


@given(
    said=st.builds(Signals, *[st.booleans()] * 3, *[st.sampled_from(Say)] * 2, st.sampled_from([NOTHING, NO]), st.sampled_from(Say)),
    mode=st.sampled_from(Mode),
    where=st.sampled_from(Where),
    country=st.sampled_from(["", "DE", "IS", "GB", "CH", "US", "BR", "XX"]),
)
def test_the_precedence(said, mode, where, country):
    """The same once more: of all that hold, the one that stands first in one list."""
    applies = where is Where.EVERYWHERE or country not in ("US", "BR")
    ranked = [
        (said.opt_out, "refused opt_out"),
        (said.gpc, "refused gpc"),
        (said.dnt, "refused dnt"),
        (said.tcf is NO, "refused tcf"),
        (said.gpp is NO, "refused gpp"),
        (said.us_privacy is NO, "refused us_privacy"),
        (said.consent is NO, "refused consent"),
        (said.tcf is YES, "allowed tcf"),
        (said.gpp is YES, "allowed gpp"),
        (said.consent is YES, "allowed consent"),
        (mode is Mode.REQUIRE and applies, "refused require"),
        (mode is Mode.REQUIRE, "allowed elsewhere"),
        (True, f"allowed {mode}"),
    ]
    assert decide(said, mode, where, country) == next(verdict for holds, verdict in ranked if holds)


EEA = (
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO "  # and of its regions with a code:
    "AX GF GP MF MQ RE YT"
)


@pytest.mark.parametrize("country", [*EEA.split(), "GB", "GI", "CH", "EL", "UK", "", "EU", "XX", "T1", "ZZ"])
def test_where_consent_is_the_law(country):
    assert decide(SILENCE, "require", "eea", country) == "refused require"


def test_words():
    assert {verdict for verdict in Verdict if verdict in REFUSED} == {v for v in Verdict if str(v).startswith("refused")}
    assert {str(verdict) for verdict in EXPLICIT} == {"allowed tcf", "allowed gpp", "allowed consent"}
    assert decide(SILENCE, "operator_asserts", "eea", "") == "allowed operator_asserts"


# Strings of the IAB's own reference encoder, with what its tests say of them.
TC_28 = "CPSG_8APSG_8AAAAAAENAAFgAAAAAAAAAAAAAOAAAABAAAAA.IAOABgAB.YAAAAAAAAAAA"
TC_3 = "CPTtLAAPTtLAAAKAAAENAAFgALwAAEAAAAAAAOgAgABgAAAA.IAoAAgABgAAEAQAAEAAA.d4AACEAAAAAA"
TC_722 = "CPSG_8APSG_8AAAAAAENAAFgAAAAAAAAAAAAFpQAwAAgCtAWkAAAAAAA.IFpQBQAAwAKAAsADoArQFpAA.YAAAAAAAAAAA"
ALL_US = (
    "DBACOcGA~CPSG_8APSG_8ANwAAAENAAFgAAAAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA~BPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAAAAA.YAAAAAAAA"
    "AA~1---~BAAAAAAAAQA.QA~BAAAAABA.QA~BAAAABA~BAAAAEA.QA~BAAAAAQA~BAAAAAEA.QA~BAAAAABA~BAAAAABA.QA~BAAAAAABAA.QA~BAAAAAQA.QA~BAA"
    "AAAABAA.QA~BAAAAAQA.QA~BAAAAAQA.QA~BAAAAABA.QA~BAAAAAAAQA.QA~BAAAAAQA.QA~BAAAAAQA.QA~BQAA.QA~BQAA.AAA~BQAA.AAA~BQAA.AAA"
)


@pytest.mark.parametrize(
    ("text", "vendors"),
    [
        pytest.param(TC_28, {28}, id="a bit for each"),
        pytest.param(TC_3, {11, 28, 29}, id="several"),
        pytest.param(TC_722, {1, 173, 722}, id="ranges"),
    ],
)
def test_vendors_of_reference_strings(text, vendors):
    # They consent to no purpose that matters here: those characters are ours.
    spliced = text[:25] + consent.tc((1, 7))[25:30] + text[30:]
    assert {vendor for vendor in range(1, 800) if tcf.says(spliced, vendor) is YES} == vendors
    assert tcf.says(text, 0) is NO


@pytest.mark.parametrize(
    ("restrictions", "said"),
    [
        pytest.param([], YES, id="none"),
        pytest.param([(7, 0, 75, 75)], NO, id="measuring not allowed"),
        pytest.param([(1, 0, 70, 80)], NO, id="storing not allowed, a range"),
        pytest.param([(7, 2, 75, 75)], NO, id="legitimate interest only, which isn't asked for"),
        pytest.param([(7, 1, 75, 75)], YES, id="consent only, which there is"),
        pytest.param([(2, 0, 75, 75)], YES, id="another purpose"),
        pytest.param([(7, 0, 74, 74), (7, 0, 76, 80)], YES, id="other vendors"),
        pytest.param([(2, 0, 1, 9), (7, 1, 75, 75), (7, 0, 9, 99)], NO, id="the last of several"),
    ],
)
@pytest.mark.parametrize("interests", [(), (3, 75)], ids=["no legitimate interests", "some before"])
@pytest.mark.parametrize("vendors", [{"vendors": [75, 80]}, {"ranges": [(2, 2), (70, 80)]}, {"ranges": [(75, 75), (80, 80)]}], ids=str)
def test_what_the_publisher_restricts(restrictions, said, interests, vendors):
    text = consent.tc((1, 7), **vendors, interests=interests, restrictions=restrictions)
    assert tcf.says(text, 75) is said
    assert tcf.says(text, 0) is YES, "of no vendor nothing is asked"


@pytest.mark.parametrize(
    ("consents", "restrictions", "vendor", "said"),
    [
        pytest.param((1, 7, 9), [], 75, YES, id="audience statistics, too"),
        pytest.param((1, 7), [], 0, NO, id="none"),
        pytest.param((7, 9), [], 0, NO, id="nor without a referral"),
        pytest.param((1, 7, 9), [(9, 2, 75, 75)], 75, NO, id="restricted"),
        pytest.param((1, 7, 9), [(9, 2, 74, 74)], 75, YES, id="another vendor restricted"),
    ],
)
def test_what_was_bought_asks_for_one_purpose_more(consents, restrictions, vendor, said):
    text = consent.tc(consents, [75], restrictions=restrictions)
    assert tcf.says(text, vendor, tcf.AUDIENCE) is gpp.says(consent.gpp({2: text}), None, vendor, tcf.AUDIENCE) is said


def test_a_string_that_ends_before_its_restrictions_is_cut_off():
    text = consent.tc((1, 7), [75], restrictions=[(2, 0, 75, 75)])
    for end in range(40, len(text)):
        with pytest.raises(ValueError, match="short"):
            tcf.says(text[:end], 75)


def test_sections_of_a_reference_string():
    assert gpp.says(ALL_US, range(6, 28), 0) is NOTHING
    assert gpp.says(ALL_US, [2], 0) is NO
    with pytest.raises(ValueError, match="unknown"):
        gpp.says(ALL_US, None, 0)  # Canada's is among them


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("DBABLA~BAAAVVVVUQA.QA", NOTHING, id="usnat 1, sensitive data opted out only"),
        pytest.param("DBABLA~CAAAVVVVAFBA.QA", NOTHING, id="usnat 2, sensitive data opted out only"),
        pytest.param("DBABLA~CVVVkkkkkpFY.YA", NO, id="usnat 2, opted out of all"),
        pytest.param("DBABTA~1YNN", NOTHING, id="uspv1"),
        pytest.param("DBABTA~1YYN", NO, id="uspv1, opted out"),
    ],
)
def test_reference_strings(text, said):
    assert gpp.says(text, None, 0) is said


def core(first, choices, size=60):
    """A US section's core, with `choices` from bit `first` on."""
    bits = f"{1:06b}".ljust(first, "0") + "".join(f"{choice:02b}" for choice in choices)
    return consent.base64url(bits.ljust(size, "0"))


SECTIONS = {7: (18, 3), 11: (14, 2), 18: (14, 2)} | dict.fromkeys((8, 9, 10, *range(12, 18), *range(19, 24)), (12, 2))
SECTIONS |= dict.fromkeys(range(24, 28), (16, 2))


@pytest.mark.parametrize("section", range(7, 28))
def test_every_us_section(section):
    """What objects is exactly an opt-out of sale, sharing or targeted advertising."""
    first, count = SECTIONS[section]
    neither = [2] * count

    def said(body):
        return gpp.says(consent.gpp({section: body}), [section], 0)

    assert said(core(first, neither)) is said(core(first, [0] * count)) is NOTHING
    for place in range(count):
        choices = [*neither]
        choices[place] = 1
        assert said(core(first, choices)) is NO
        choices[place] = 3
        with pytest.raises(ValueError, match="choice"):
            said(core(first, choices))
    notices = "000001" + "01" * ((first - 6) // 2) + "10" * count + "01" * 12
    assert said(consent.base64url(notices)) is NOTHING
    assert said(core(first, neither) + ".YA") is (NOTHING if section >= 25 else NO)
    assert said(core(first, neither) + ".QA") is NOTHING
    with pytest.raises(ValueError, match="short"):
        said(core(first, neither)[: (first + 2 * count - 1) // 6])
    with pytest.raises(ValueError, match="version"):
        said("D" + core(first, neither)[1:])


purposes = st.frozensets(st.integers(1, 24))
vendors = st.frozensets(st.integers(1, 1500), max_size=30)


@given(purposes, vendors, st.booleans(), st.integers(0, 1600))
def test_what_is_written_is_read(purposes, vendors, as_ranges, asked):
    text = consent.tc(purposes, vendors, [(n, n) for n in sorted(vendors)] if as_ranges else None)
    assert (tcf.says(text, asked) is YES) == (purposes >= {1, 7} and (asked == 0 or asked in vendors))


@given(st.dictionaries(st.sampled_from([2, *range(6, 28)]), st.booleans(), min_size=1), st.data())
def test_sections_are_told_apart(objections, data):
    def body(section, objects):
        if section == 2:
            return consent.tc(() if objects else (1, 7))
        if section == 6:
            return "1-Y-" if objects else "1-N-"
        first, count = SECTIONS[section]
        return core(first, [1 if objects else 2] * count)

    text = consent.gpp({section: body(section, objects) for section, objects in objections.items()})
    applicable = data.draw(st.none() | st.frozensets(st.sampled_from(sorted(objections))))
    asked = {section: objections[section] for section in (objections if applicable is None else applicable)}
    assert gpp.says(text, applicable, 0) is (NO if any(asked.values()) else YES if 2 in asked else NOTHING)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("utf-8", "surrogateescape")))
def test_whatever_a_query_holds_is_no_error(text):
    browser = Browser.of("", "", ahead=False)
    for query in (text, f"gpp=DBA{text}&gpp_sid=2", f"gdpr_consent=C{text}", f"us_privacy=1{text}&consent={text}"):
        signals.read(query, text, browser, honour_dnt=True, vendor=7)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("gdpr_consent=" + consent.tc((1, 7), [1]) + "A" * 4096, id="a TC string over the limit"),
        pytest.param("gpp=" + consent.gpp({2: consent.tc((1, 7), [1]) + ".A" * 2048}), id="a GPP string over the limit"),
        pytest.param("gpp=DBABMA" + "~A" * 65, id="more sections than the header tells of"),
        pytest.param("gpp=DB~A&gpp_sid=" + "2_" * 4000, id="more ids than there are"),
        pytest.param("gpp=DBAB" + "A" * 3000 + "~A", id="a number without end"),
    ],
)
def test_hostile_strings_say_no(query):
    said = signals.read(query, "", Browser.of("", "", ahead=False), honour_dnt=False, vendor=1)
    assert NO in (said.tcf, said.gpp)


def test_a_header_of_endless_ids_is_not_spelled_out():
    bits = f"{3:06b}{1:06b}{1:012b}" + "1" + consent.fibonacci(2) + consent.fibonacci(3_000_000)
    with pytest.raises(ValueError, match="more ids than sections"):
        gpp.says(consent.base64url(bits) + "~" + consent.tc((1, 7)), [2], 0)
