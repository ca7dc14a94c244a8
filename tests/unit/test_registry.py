"""Clients and partners: every rule names the field that breaks it."""

import pytest

from pixeld.domain.registry import Client, Partner, Snapshot, Status, status_of
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
    assert Client.from_store(SHOP | {"commission": "10%"}) == Client.from_json(SHOP)


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
