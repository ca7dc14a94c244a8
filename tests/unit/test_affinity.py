"""Which categories are kept of an order: only where the client has some, somebody earns the order, and the visitor has agreed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain import affinity
from pixeld.domain.events import decode
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.errors import BadInput
from pixeld.tracking.audience import Browser, Visitors
from tests.conftest import START_MS
from tests.consent import gpp, tc
from tests.wire.conftest import KEYS, tracker
from tests.wire.corpus import CHROME

KNOWN = ("coffee", "tea", "cups", "pots", "milk", "sugar")
CLIENTS = {
    "shop": Client("shop", "Shop", "https://shop.example/", categories=KNOWN),
    "plain": Client("plain", "Plain", "https://plain.example/"),
    "stateless": Client("stateless", "Stateless", "https://stateless.example/", categories=KNOWN, stateless=True),
}
MEMBERS = {(client, "blog"): Status.APPROVED for client in CLIENTS}
TRACKER = tracker(Snapshot(1, CLIENTS, {"blog": Partner("blog", "Blog")}, MEMBERS))
CLICK_ID = {client: KEYS.sign(client, "blog", START_MS // 1000, b"12345678") for client in CLIENTS}
EARLIER = KEYS.sign("shop", "blog", START_MS // 1000 - 60, b"earlier!")
BROWSER = Browser.of(CHROME, "de-DE", ahead=False)


def asked(query, client="shop", *, cookie=None, click=True):
    """The reply to an order pixel, and its events."""
    cookie = cookie or (f"pxref={CLICK_ID[client]}" if click else "")
    target = f"/t/{client}/o.gif?order=1&amount=5&{query}"
    reply, lines, counted = TRACKER.answer(("GET", target, cookie, BROWSER, "192.0.2.1", "DE", START_MS))
    plain = TRACKER.answer(("GET", "/t/shop/o.gif?order=1&amount=5", "", BROWSER, "", "", START_MS))[0]
    assert reply.head.startswith(plain.head) and counted[1] == "human"  # who refuses is rid of the cookie, too
    return {kind.name: dict(zip(kind.columns, values, strict=True)) for kind, values in decode(lines)}


KEPT = {
    "one": ("cat=coffee", "coffee"),
    "by a click that a cookie carries, too": (f"cat=coffee&click={CLICK_ID['shop']}", "coffee"),
    "several, in their order": ("cat=tea,coffee", "tea,coffee"),
    "a comma that is coded": ("cat=tea%2Ccoffee", "tea,coffee"),
    "twice": ("cat=tea,tea", "tea"),
    "the first five": ("cat=coffee,tea,cups,pots,milk,sugar", "coffee,tea,cups,pots,milk"),
    "five of those there are": ("cat=x,coffee,y,tea,cups,pots,milk,sugar", "coffee,tea,cups,pots,milk"),
    "a stranger among them": ("cat=coffee,beer", "coffee"),
}


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(f"gdpr_consent={tc((1, 7, 9))}", id="TCF"),
        pytest.param(f"gpp={gpp({2: tc((1, 7, 9))})}", id="GPP"),
        pytest.param(f"gdpr_consent={tc((1, 7, 9))}&consent=1", id="both ways"),
    ],
)
def test_a_consent_string_is_a_consent(query):
    assert list(asked(f"cat=coffee&{query}")) == ["order", "affinity"]


@pytest.mark.parametrize(("query", "kept"), KEPT.values(), ids=KEPT)
def test_what_is_kept(query, kept):
    events = asked(f"{query}&consent=1")
    assert list(events) == ["order", "affinity"]
    assert events["affinity"] == {
        "at_ms": START_MS, "client": "shop", "partner": "blog", "click_id": CLICK_ID["shop"],
        "visitor": Visitors(lambda n: b"s" * n).number("shop", "192.0.2.1", CHROME, START_MS), "categories": kept,
    }  # fmt: skip
    assert events["order"]["click_id"] == CLICK_ID["shop"]


NOTHING = {
    "no category": ("consent=1", {}),
    "an empty one": ("cat=&consent=1", {}),
    "strangers only": ("cat=beer,Coffee, tea&consent=1", {}),
    "no consent": ("cat=coffee", {}),
    "consent refused": ("cat=coffee&consent=0", {}),
    "consent in other words": ("cat=coffee&consent=yes", {}),
    "a string that refuses": (f"cat=coffee&gdpr_consent={tc((7,))}", {}),
    "a string that allows no statistics": (f"cat=coffee&gdpr_consent={tc((1, 7))}", {}),
    "nor within GPP": (f"cat=coffee&gpp={gpp({2: tc((1, 7))})}", {}),
    "nor beside another yes": (f"cat=coffee&consent=1&gdpr_consent={tc((1, 7))}", {}),
    "opted out": ("cat=coffee&consent=1", {"cookie": f"pxref={CLICK_ID['shop']}; ID=OPT_OUT"}),
    "nobody earns it": ("cat=coffee&consent=1", {"click": False}),
    "a click that no cookie carries": (f"cat=coffee&consent=1&click={CLICK_ID['shop']}", {"click": False}),
    "nor the one that is there": (f"cat=coffee&consent=1&click={CLICK_ID['shop']}", {"cookie": f"pxref={EARLIER}"}),
    "a client without cookies": (f"cat=coffee&consent=1&click={CLICK_ID['stateless']}", {"client": "stateless"}),
    "a client without categories": ("cat=coffee&consent=1", {"client": "plain"}),
    "a test order": ("cat=coffee&consent=1&test=1", {}),
}


@pytest.mark.parametrize(("query", "world"), NOTHING.values(), ids=NOTHING)
def test_what_is_not(query, world):
    assert [kind for kind in asked(query, **world) if kind != "forget"] == ["test_order" if "test=1" in query else "order"]


@given(st.text(st.characters(codec="ascii"), max_size=200), st.lists(st.sampled_from(KNOWN), max_size=20))
def test_never_more_than_five_and_never_what_is_not_listed(text, names):
    found = affinity.chosen(f"{text},{','.join(names)}", KNOWN).split(",")
    assert len(found) <= affinity.MAX_CHOSEN and set(found) <= {*KNOWN, ""} and len(set(found)) == len(found)


@pytest.mark.parametrize(
    "names",
    [["Coffee"], [""], ["a" * 33], ["-a"], ["a,b"], ["a b"], [1], [{}], [None], ["ä"], ["a\n"], [f"c{n}" for n in range(101)]],
    ids=str,
)
def test_what_no_client_can_list(names):
    with pytest.raises(BadInput) as caught:
        affinity.listed(names)
    assert caught.value.field == "categories"


def test_a_list_has_each_once():
    assert affinity.listed(["tea", "0-x", "tea"]) == ("tea", "0-x")
