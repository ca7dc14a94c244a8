"""Whose address and country it is: a trusted proxy's word, nobody else's."""

from ipaddress import ip_network

import pytest
from multidict import CIMultiDict

from pixeld.web.origin import Origin, Peer
from pixeld.web.rate import Limiter
from tests.wire.corpus import get

PROXY, OTHER_PROXY, VISITOR, STRANGER = "10.0.0.1", "10.9.9.9", "192.0.2.7", "203.0.113.5"
NETWORKS = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


class Database:
    """A country database that counts how often it is asked."""

    def __init__(self, records):
        self.records, self.asked = records, []

    def get(self, address):
        self.asked.append(address)
        if ":" in address:
            raise ValueError("an IPv6 address in an IPv4 database")
        return self.records.get(address)


def database():
    return Database(
        {
            VISITOR: {"country": {"iso_code": "DE"}, "continent": {"code": "EU"}},
            STRANGER: {"country": "fr"},
            PROXY: {"country_code": "US"},
            "192.0.2.9": {"country": {"iso_code": "Germany"}},
            "192.0.2.10": "DE",
            "192.0.2.11": {"country": {"names": {}}},
        }
    )


def ask(origin, peer, headers):
    headers = CIMultiDict(headers)
    return origin.of(peer, origin.forwarded(headers), origin.told(headers))


def find(origin, address, *headers):
    return ask(origin, origin.peer((address, 50_000)), headers)


def forwarded(*values):
    return [("X-Forwarded-For", value) for value in values]


@pytest.mark.parametrize(
    ("peer", "values", "address"),
    [
        pytest.param(PROXY, [VISITOR], VISITOR, id="what a trusted proxy says"),
        pytest.param(VISITOR, [STRANGER], VISITOR, id="what a visitor says is not read"),
        pytest.param(PROXY, [], PROXY, id="a proxy that says nothing is the visitor"),
        pytest.param(PROXY, [f"{STRANGER}, {VISITOR}"], VISITOR, id="the rightmost: left of it is the visitor's own say"),
        pytest.param(PROXY, [f"{VISITOR}, {OTHER_PROXY}"], VISITOR, id="the rightmost that is no trusted proxy"),
        pytest.param(PROXY, [STRANGER, VISITOR], VISITOR, id="several headers are one list"),
        pytest.param(PROXY, [VISITOR, OTHER_PROXY], VISITOR, id="several headers, several proxies"),
        pytest.param(PROXY, [OTHER_PROXY], OTHER_PROXY, id="only proxies: the leftmost"),
        pytest.param(PROXY, [", ".join([VISITOR, *[OTHER_PROXY] * 15])], VISITOR, id="15 proxies"),
        pytest.param(PROXY, [VISITOR, *[OTHER_PROXY] * 15], VISITOR, id="15 proxies, a header each"),
        pytest.param(PROXY, [", ".join([VISITOR, *[OTHER_PROXY] * 16])], OTHER_PROXY, id="16 proxies: no further"),
        pytest.param(PROXY, [",".join([OTHER_PROXY] * 900)] * 128, OTHER_PROXY, id="100,000 proxies"),
        pytest.param(PROXY, [f"{VISITOR}:4711"], VISITOR, id="with a port"),
        pytest.param(PROXY, ["[2001:db8::1]:4711"], "2001:db8::1", id="IPv6 with a port"),
        pytest.param(PROXY, ["[2001:db8::1]"], "2001:db8::1", id="IPv6 in brackets"),
        pytest.param(PROXY, ["2001:DB8:0::1"], "2001:db8::1", id="one spelling of IPv6"),
        pytest.param(PROXY, [f"::ffff:{VISITOR}"], VISITOR, id="IPv4 in IPv6"),
        pytest.param(f"::ffff:{PROXY}", [VISITOR], VISITOR, id="a proxy on a dual-stack socket"),
        pytest.param("fd00::1%eth0", [VISITOR], VISITOR, id="a proxy with a zone"),
        pytest.param("fe80::1%eth0", [VISITOR], "fe80::1", id="a zone is no part of an address"),
        pytest.param(PROXY, ["unknown"], PROXY, id="no address"),
        pytest.param(PROXY, [f"{VISITOR}, unknown"], PROXY, id="no address right of one: that one is hearsay"),
        pytest.param(PROXY, [f"{VISITOR}, unknown, {OTHER_PROXY}"], OTHER_PROXY, id="no address between two"),
        pytest.param(PROXY, [""], PROXY, id="empty"),
        pytest.param(PROXY, [",,,"], PROXY, id="commas"),
        pytest.param(PROXY, ["[" * 4000], PROXY, id="brackets"),
        pytest.param(PROXY, [":" * 4000], PROXY, id="colons"),
        pytest.param(PROXY, ["1" * 8000], PROXY, id="digits"),
        pytest.param(PROXY, ["\udcff\0,\u0661.\u0662.3.4"], PROXY, id="rubbish"),
        pytest.param(PROXY, ["999.1.1.1"], PROXY, id="out of range"),
    ],
)
def test_address(peer, values, address):
    assert find(Origin(NETWORKS), peer, *forwarded(*values)) == (address, "")


@pytest.mark.parametrize("peername", [None, "", "/run/pixeld.sock", (), ("nonsense", 1), (None, 1), b"\0abstract"], ids=repr)
def test_a_peer_without_an_address(peername):
    origin = Origin(NETWORKS, "CF-IPCountry", database())
    assert ask(origin, origin.peer(peername), forwarded(VISITOR)) == ("", "")


def test_nobody_is_believed_without_proxies():
    origin = Origin()
    assert origin.of(origin.peer((VISITOR, 1)), STRANGER, "SE") == (VISITOR, "")


@pytest.mark.parametrize(
    ("peer", "told", "country"),
    [
        pytest.param(PROXY, "SE", "SE", id="a proxy's word beats the database"),
        pytest.param(PROXY, "se", "SE", id="capital letters"),
        pytest.param(PROXY, "SWE", "DE", id="three letters: the database"),
        pytest.param(PROXY, "T1", "DE", id="no letters: the database"),
        pytest.param(PROXY, "ÅÄ", "DE", id="not ASCII: the database"),
        pytest.param(PROXY, "", "DE", id="empty: the database"),
        pytest.param(PROXY, None, "DE", id="none: the database"),
        pytest.param(STRANGER, "SE", "FR", id="a stranger's word is not taken"),
    ],
)
def test_country(peer, told, country):
    origin = Origin(NETWORKS, "CF-IPCountry", database())
    headers = [*forwarded(VISITOR), *([("cf-ipcountry", told)] if told is not None else [])]
    assert find(origin, peer, *headers)[1] == country


@pytest.mark.parametrize(
    ("address", "country"),
    [
        pytest.param(VISITOR, "DE", id="MaxMind's layout"),
        pytest.param(STRANGER, "FR", id="a flat one"),
        pytest.param("192.0.2.8", "", id="not listed"),
        pytest.param("192.0.2.9", "", id="no code"),
        pytest.param("192.0.2.10", "", id="no record"),
        pytest.param("192.0.2.11", "", id="a record without one"),
        pytest.param("2001:db8::1", "", id="the database raises"),
    ],
)
def test_country_of_an_address(address, country):
    assert find(Origin(country_db=database()), address) == (address, country)


def test_without_database_or_header_there_is_no_country():
    assert find(Origin(NETWORKS), PROXY, *forwarded(VISITOR), ("CF-IPCountry", "SE")) == (VISITOR, "")


def test_a_visitor_behind_a_proxy_is_looked_up_once():
    db = database()
    origin = Origin(NETWORKS, country_db=db)
    peer = origin.peer((PROXY, 1))
    assert [ask(origin, peer, forwarded(VISITOR))[1] for _ in range(3)] == ["DE"] * 3
    assert db.asked == [VISITOR]


def test_no_address_is_remembered():
    origin, limiter = Origin(NETWORKS, country_db=database()), Limiter(1, 1, lambda: 0.0)
    for address in (VISITOR, "2001:db8::1"):
        assert find(origin, address) == (address, "DE" if address == VISITOR else "")
        assert limiter.allows(address) and not limiter.allows(address)
    remembered = [*origin._known, *limiter._full_at]
    assert len(remembered) == 4 and {type(each) for each in remembered} == {int}


def test_no_more_countries_are_remembered_than_stated(monkeypatch):
    monkeypatch.setattr("pixeld.web.origin._CACHE", 2)
    origin = Origin(country_db=database())
    for _ in range(2):
        for address, country in ((VISITOR, "DE"), (STRANGER, "FR"), ("192.0.2.8", "")):
            assert origin.peer((address, 1)).country == country
    assert len(origin._known) <= 2


def test_a_peer_is_what_is_known_of_a_connection():
    origin = Origin(NETWORKS, country_db=database())
    assert origin.peer((VISITOR, 1)) == Peer(VISITOR, "DE", trusted=False)
    assert origin.peer((PROXY, 1)).trusted


async def test_on_the_wire(start, fast_path):
    """Country and visitor are those of the forwarded address, and the address itself goes nowhere."""
    origin = Origin([ip_network("127.0.0.0/8")], country_db=database())
    world = await start(fast_path=fast_path, origin=origin)
    peer = await world.peer()
    for address in (VISITOR, VISITOR, STRANGER):
        await peer.ask(get("/t/acme/c/blog", f"X-Forwarded-For: {address}"))
    events = [event for _, event in world.intake.events]
    assert [event["country"] for event in events] == ["DE", "DE", "FR"]
    assert events[0]["visitor"] == events[1]["visitor"] != events[2]["visitor"]
    assert b"192.0.2" not in b"".join(world.intake.lines)
