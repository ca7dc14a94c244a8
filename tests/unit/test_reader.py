"""Who may know of whom: what isn't a scope's own doesn't exist for it."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from pixeld.accounts.reader import Reader
from pixeld.domain.commission import Terms
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.reports import Scope
from pixeld.errors import BadInput, NotFound, Unavailable

CLIENTS = {id: Client(id, id.title(), f"https://{id}.example/") for id in ("shop", "store", "same")}
PARTNERS = {id: Partner(id, id.title()) for id in ("blog", "deals", "same")}
MEMBERS = {
    ("shop", "blog"): Status.APPROVED,
    ("shop", "deals"): Status.ENDED,
    ("store", "deals"): Status.APPLIED,
    ("same", "blog"): Status.DECLINED,
}
OWN = (Terms("5"),)
SNAPSHOT = Snapshot(1, CLIENTS, PARTNERS, MEMBERS, {("shop", "blog"): OWN})
OPERATOR, SHOP, BLOG = Scope.operator(), Scope.client("shop"), Scope.partner("blog")


def reader(scope, snapshot=SNAPSHOT, reports=None):
    return Reader(scope, SimpleNamespace(snapshot=snapshot), reports, lambda: date(2027, 1, 15))


@pytest.mark.parametrize(
    ("scope", "clients", "partners", "memberships"),
    [
        pytest.param(OPERATOR, set(CLIENTS), set(PARTNERS), set(MEMBERS), id="an operator: everybody"),
        pytest.param(SHOP, {"shop"}, {"blog", "deals"}, {("shop", "blog"), ("shop", "deals")}, id="a client: its partners"),
        pytest.param(BLOG, {"shop", "same"}, {"blog"}, {("shop", "blog"), ("same", "blog")}, id="a partner: its clients"),
        pytest.param(Scope.client("same"), {"same"}, {"blog"}, {("same", "blog")}, id="a client with a partner's id"),
        pytest.param(Scope.partner("same"), set(), {"same"}, set(), id="a partner with a client's id"),
        pytest.param(Scope.client("gone"), set(), set(), set(), id="a client that isn't registered"),
        pytest.param(Scope.partner("gone"), set(), set(), set(), id="a partner that isn't registered"),
    ],
)
def test_a_scope_knows_itself_and_those_it_has_an_agreement_with(scope, clients, partners, memberships):
    found = reader(scope)
    assert {client.id for client in found.clients()} == clients
    assert {partner.id for partner in found.partners()} == partners
    assert {(each.client.id, each.partner.id) for each in found.memberships()} == memberships
    for id in (*CLIENTS, "gone", "", "no id"):
        assert known(found.client, id) is (id in clients)
    for id in (*PARTNERS, "gone", "", "no id"):
        assert known(found.partner, id) is (id in partners)
    for client in (*CLIENTS, "gone", ""):
        for partner in (*PARTNERS, "gone", ""):
            assert known(found.membership, client, partner) is ((client, partner) in memberships)


def known(look_up, *ids):
    try:
        found = look_up(*ids)
    except NotFound:
        return False
    assert found in (CLIENTS.get(ids[-1]), PARTNERS.get(ids[-1])) or (found.client.id, found.partner.id) == ids
    return True


def counting(name):
    def look(self, *args):
        self.looks += 1
        return getattr(dict, name)(self, *args)

    return look


class Counted(dict):
    """A dict that counts what is looked at."""

    looks = 0
    __getitem__, __contains__, get = map(counting, ("__getitem__", "__contains__", "get"))
    keys = values = items = None  # whoever walks it this way is told

    def __iter__(self):
        for key in super().__iter__():
            self.looks += 1
            yield key


@pytest.mark.parametrize("scope", [Scope.client("c7"), Scope.partner("p7")], ids=["client", "partner"])
def test_a_tenant_looks_at_its_own_memberships_only(scope):
    """Its three, among 10,000 clients and as many partners."""
    clients = {f"c{n}": Client(f"c{n}", "C", "https://c.example/") for n in range(10_000)}
    partners = {f"p{n}": Partner(f"p{n}", "P") for n in range(10_000)}
    members = {(f"c{n}", f"p{(n + step) % 10_000}"): Status.APPROVED for n in range(10_000) for step in (-1, 0, 1)}
    snapshot = Snapshot(1, clients, partners, members)
    looked = {name: Counted(getattr(snapshot, name)) for name in ("clients", "partners", "members", "of_client", "of_partner")}
    for name, counted in looked.items():
        object.__setattr__(snapshot, name, counted)
    found = reader(scope, snapshot)
    assert len(found.memberships()) == 3 and len(found.clients()) + len(found.partners()) == 1 + 3
    assert 0 < sum(counted.looks for counted in looked.values()) < 50


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        pytest.param(OPERATOR, {"shop", "store", "same"}, id="an operator: everybody"),
        pytest.param(SHOP, {"shop"}, id="a client: itself"),
        pytest.param(BLOG, {"shop", "store", "same"}, id="a partner: its clients, and listed ones"),
        pytest.param(Scope.partner("same"), {"store"}, id="a partner of nobody: listed ones"),
    ],
)
def test_the_directory_leaves_out_who_doesnt_want_to_be_found(scope, found):
    clients = {id: replace(client, listed=id == "store") for id, client in CLIENTS.items()}
    assert {client.id for client in reader(scope, Snapshot(1, clients, PARTNERS, MEMBERS)).directory()} == found


def test_a_membership_has_its_own_terms():
    assert reader(SHOP).membership("shop", "blog").commission == OWN
    assert reader(SHOP).membership("shop", "deals").commission == ()


async def test_nothing_is_known_before_the_registry_is():
    found = reader(OPERATOR, snapshot=None, reports=SimpleNamespace(orders=None))
    for look in (found.clients, found.partners, found.memberships, lambda: found.client("shop"), lambda: found.partner("blog")):
        with pytest.raises(Unavailable, match="try again"):
            look()
    with pytest.raises(Unavailable):
        await found.orders({})


@pytest.mark.parametrize(
    ("scope", "known"),
    [(OPERATOR, {"shop", "store", "same"}), (SHOP, {"shop"}), (BLOG, {"shop", "same"})],
    ids=["operator", "client", "partner"],
)
async def test_a_report_is_asked_with_the_scope_and_the_clients_that_it_may_name(scope, known):
    asked = []

    class Reports:
        async def performance(self, *args):
            asked.append(args)

        orders = performance

    found = reader(scope, reports=Reports())
    await found.performance({"by": "day"})
    await found.orders({"limit": "7"})
    assert [(args[0], set(args[2])) for args in asked] == [(scope, known)] * 2
    assert (asked[0][1].last, asked[1][1].limit) == (date(2027, 1, 15), 7)


def noting(scope, exact_as=""):
    """A reader, what it asked of the reports, and what it noted."""
    asked, noted = [], []

    class Registry:
        snapshot = SNAPSHOT

        async def note(self, *args):
            noted.append(args)

    class Reports:
        async def performance(self, scope, query, clients):
            asked.append((query, len(noted)))

    return Reader(scope, Registry(), Reports(), lambda: date(2027, 1, 15), exact_as), asked, noted


@pytest.mark.parametrize("by", ["country", "device", "browser", "os", "language", "day,country", "hour"])
@pytest.mark.parametrize(
    ("scope", "exact_as"),
    [
        pytest.param(SHOP, "", id="a client"),
        pytest.param(BLOG, "", id="a partner"),
        pytest.param(SHOP, "client:shop/1", id="a client, whoever made its reader"),
        pytest.param(OPERATOR, "", id="an operator without permission"),
    ],
)
async def test_exact_counts_by_traits_are_for_operators_with_a_permission(scope, exact_as, by):
    found, asked, noted = noting(scope, exact_as)
    if (scope, by) == (OPERATOR, "hour"):
        await found.performance({"by": by})
        assert asked
    else:
        with pytest.raises(BadInput, match="audience report") as told:
            await found.performance({"by": by})
        assert told.value.field == "by" and not asked
    assert not noted


async def test_each_use_of_the_permission_is_noted_before_anything_is_read():
    found, asked, noted = noting(OPERATOR, "operator:7")
    await found.performance({"by": "day"})
    assert not noted
    await found.performance({"by": "country,day", "client": "shop", "from": "2027-01-01", "to": "2027-01-02"})
    query = {"from": "2027-01-01", "to": "2027-01-02", "by": ["country", "day"], "client": "shop"}
    assert noted == [("exact-audience", None, query, "operator:7")]
    assert [before for _, before in asked] == [0, 1]
