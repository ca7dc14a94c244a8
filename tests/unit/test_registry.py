"""Clients and partners: every rule names the field that breaks it."""

import pytest

from pixeld.domain.commission import Terms
from pixeld.domain.registry import Client, Membership, MembershipChange, Partner, Snapshot, Status, status_of
from pixeld.errors import BadInput

SHOP = {"id": "shop", "name": "A shop", "landing_url": "https://shop.example/x?a=1#f"}


def test_defaults_are_the_contracts():
    client = Client.from_json(SHOP)
    assert client.to_json() == SHOP | {
        "allowed_hosts": [],
        "currency": "USD",
        "window_days": 30,
        "timezone": "UTC",
        "click_param": "pxid",
        "commission": [],
        "lock_days": 30,
        "listed": True,
        "share_contact": True,
        "stateless": False,
        "categories": [],
        "consent": "operator_asserts",
        "consent_where": "eea",
    }
    assert Client.from_json(client.to_json()) == client


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("id", "", id="empty id"),
        pytest.param("id", "-shop", id="id begins with a hyphen"),
        pytest.param("id", "Shop", id="upper case id"),
        pytest.param("id", "s" * 33, id="id over 32 characters"),
        pytest.param("id", "shop\n", id="line break in the id"),
        pytest.param("id", 5, id="id is a number"),
        pytest.param("name", "", id="empty name"),
        pytest.param("name", "a\x00b", id="control character in the name"),
        pytest.param("landing_url", "shop.example", id="landing URL without a scheme"),
        pytest.param("landing_url", "https://u:p@shop.example/", id="landing URL with userinfo"),
        pytest.param("landing_url", None, id="no landing URL"),
        pytest.param("allowed_hosts", ["https://shop.example"], id="host with a scheme"),
        pytest.param("allowed_hosts", ["*.shop.example"], id="wildcard host"),
        pytest.param("allowed_hosts", "shop.example", id="hosts as one text"),
        pytest.param("allowed_hosts", [5], id="host is a number"),
        pytest.param("currency", "EURO", id="unknown currency"),
        pytest.param("currency", ["EUR"], id="currency is a list"),
        pytest.param("window_days", 0, id="window of no days"),
        pytest.param("window_days", 401, id="window over the 400 days browsers keep a cookie"),
        pytest.param("window_days", 1.5, id="window of a day and a half"),
        pytest.param("window_days", True, id="window is true"),
        pytest.param("timezone", "Mars/Base", id="unknown zone"),
        pytest.param("timezone", {}, id="zone is an object"),
        pytest.param("click_param", "a b", id="parameter with a space"),
        pytest.param("click_param", "", id="empty parameter"),
        pytest.param("lock_days", -1, id="locked before it came"),
        pytest.param("lock_days", 366, id="locked after over a year"),
        pytest.param("lock_days", "30", id="days as text"),
        pytest.param("listed", 1, id="listed is a number"),
        pytest.param("share_contact", "yes", id="a preference as text"),
        pytest.param("stateless", 0, id="stateless is a number"),
        pytest.param("categories", "coffee", id="categories are no list"),
        pytest.param("categories", ["Coffee"], id="a category in capitals"),
        pytest.param("categories", [{}], id="a category that is an object"),
        pytest.param("consent", "maybe", id="no mode"),
        pytest.param("consent", None, id="no mode at all"),
        pytest.param("consent_where", ["eea"], id="places as a list"),
        pytest.param("commission", "7.5", id="commission is no list"),
        pytest.param("commission", ["7.5"], id="terms are no object"),
        pytest.param("commission", [{"percent": 7.5}], id="percent is a number"),
        pytest.param("commission", [{"percent": "7,5"}], id="percent with a comma"),
        pytest.param("commission", [{"percent": "100.0001"}], id="more than everything"),
        pytest.param("commission", [{"percent": "1.23456"}], id="percent with five decimals"),
        pytest.param("commission", [{"percent": "-1"}], id="negative percent"),
        pytest.param("commission", [{"flat": "1.005"}], id="flat with more decimals than the currency"),
        pytest.param("commission", [{"flat": "1 USD"}], id="flat with a currency"),
        pytest.param("commission", [{"rate": "1"}], id="unknown field of terms"),
        pytest.param("commission", [{"from_day": "2027-02-30"}], id="no such day"),
        pytest.param("commission", [{"from_day": "20270201"}], id="a day in another form"),
        pytest.param("commission", [{"until_day": None}], id="a day that is null"),
        pytest.param("commission", [{"from_day": "2027-02-02", "until_day": "2027-02-01"}], id="terms end before they begin"),
        pytest.param("commission", [{"percent": "1"}, {"percent": "2"}], id="two terms for ever"),
        pytest.param(
            "commission", [{"from_day": "2027-02-01"}, {"until_day": "2027-02-01"}], id="two terms on one day"
        ),
        pytest.param("commission", [{"from_day": "2027-01-01"}] * 101, id="over a hundred terms"),
    ],
)
def test_a_broken_rule_names_its_field(field, value):
    with pytest.raises(BadInput) as told:
        Client.from_json(SHOP | {field: value})
    assert told.value.field == field
    with pytest.raises(BadInput):
        Client.from_json(SHOP).changed({field: value})


def test_the_landing_pages_host_is_allowed_as_long_as_it_is_the_landing_pages():
    client = Client.from_json(SHOP | {"allowed_hosts": ["M.shop.example"]})
    assert client.hosts == {"shop.example", "m.shop.example"}
    assert client.changed({"landing_url": "https://new.example/"}).hosts == {"new.example", "m.shop.example"}


def test_a_newer_versions_fields_are_left_alone():
    assert Client.from_store(SHOP | {"newer": "10%"}) == Client.from_json(SHOP)


def test_an_unknown_field_suggests_the_nearest():
    with pytest.raises(BadInput, match="did you mean 'landing_url'"):
        Client.from_json(SHOP | {"landing_uri": "https://shop.example"})


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_that_is_no_object(body):
    with pytest.raises(BadInput, match="JSON object"):
        Partner.from_json(body)


@pytest.mark.parametrize("missing", ["id", "name", "landing_url"])
def test_a_missing_field_is_named(missing):
    with pytest.raises(BadInput) as told:
        Client.from_json({k: v for k, v in SHOP.items() if k != missing})
    assert told.value.field == missing


def test_an_id_never_changes():
    with pytest.raises(BadInput, match="links and pixels"):
        Partner("blog", "Blog").changed({"id": "blog2"})


def test_a_change_leaves_the_rest():
    assert Client.from_json(SHOP).changed({"window_days": 7}) == Client.from_json(SHOP | {"window_days": 7})


@pytest.mark.parametrize("body", [{"status": "maybe"}, {}, None, {"status": None}, {"status": ["approved"]}])
def test_status_is_one_of_four(body):
    with pytest.raises(BadInput, match="applied, approved, declined, ended"):
        status_of(body)


def test_only_approved_members_count():
    members = {("a", "p"): Status.APPROVED, ("a", "q"): Status.ENDED, ("b", "p"): Status.APPLIED, ("a", "r"): Status.APPROVED}
    assert Snapshot(members=members).approved == {"a": frozenset({"p", "r"})}


TERMS = ({"percent": "5", "flat": "0", "from_day": "", "until_day": ""},)


@pytest.mark.parametrize(
    ("stored", "body", "after"),
    [
        pytest.param(None, {"status": "applied"}, "applied", id="a new one has no terms of its own"),
        pytest.param("applied", {"status": "approved"}, "approved", id="a bare status stays one"),
        pytest.param(
            "approved", {"commission": [{"percent": "5"}]}, {"status": "approved", "commission": [*TERMS]}, id="terms alone"
        ),
        pytest.param(
            {"status": "approved", "commission": [*TERMS]},
            {"status": "ended"},
            {"status": "ended", "commission": [*TERMS]},
            id="a change of status keeps the terms",
        ),
        pytest.param({"status": "ended", "commission": [*TERMS]}, {"commission": []}, "ended", id="none means the client's"),
        pytest.param(
            None,
            {"status": "approved", "commission": [{"percent": "5"}]},
            {"status": "approved", "commission": [*TERMS]},
            id="both at once",
        ),
    ],
)
def test_a_membership_becomes_what_was_asked_and_keeps_the_rest(stored, body, after):
    before = None if stored is None else Membership.from_store(stored)
    changed = MembershipChange.from_json(body).applied(before, "EUR")
    assert changed.to_json() == after
    assert Membership.from_store(changed.to_json()) == changed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "status", id="nothing"),
        pytest.param({"status": "perhaps", "commission": []}, "status", id="no such status"),
        pytest.param({"commission": [], "terms": []}, "terms", id="unknown field"),
        pytest.param({"commission": []}, "status", id="a new one without a status"),
        pytest.param({"status": "applied", "commission": [{"flat": "0.005"}]}, "commission", id="not the client's currency"),
    ],
)
def test_a_membership_that_breaks_a_rule_names_the_field(body, field):
    with pytest.raises(BadInput) as told:
        MembershipChange.from_json(body).applied(None, "EUR")
    assert told.value.field == field


def test_what_a_newer_version_stored_of_terms_is_left_alone():
    newer = {"status": "approved", "commission": [{"percent": "5", "cap": "100"}]}
    assert Membership.from_store(newer).commission == (Terms("5"),)
    assert Client.from_store(SHOP | {"commission": [{"percent": "5", "cap": "100"}]}).commission == (Terms("5"),)
