"""What may be asked of a report, whose eyes it is for, and how its answer is shaped. The ids are the rules."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixeld.domain.report_rows import Sales, Traffic, label, order_row, performance_result
from pixeld.domain.reports import (
    Dimension,
    OrdersQuery,
    PerformanceQuery,
    Position,
    Scope,
    decode_cursor,
    encode_cursor,
    utc_days,
    whole_hours,
)
from pixeld.errors import BadInput

TODAY = dt.date(2026, 3, 31)
UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
D = Dimension


def test_without_parameters_a_report_is_30_days_by_day():
    query = PerformanceQuery.parse({}, TODAY)
    assert (query.first, query.last) == (dt.date(2026, 3, 2), TODAY)
    assert (query.by, query.client, query.partner, query.tz, query.quality) == ((D.DAY,), "", "", "", "human")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"to": "2026-01-30"}, {"first": dt.date(2026, 1, 1), "last": dt.date(2026, 1, 30)}),
        ({"from": "2026-03-31"}, {"first": TODAY, "last": TODAY}),
        ({"from": "2025-02-25"}, {"first": dt.date(2025, 2, 25)}),
        ({"by": "hour,partner,s5"}, {"by": (D.HOUR, D.PARTNER, D.S5)}),
        ({"by": ""}, {"by": ()}),
        ({"by": "day,quality"}, {"quality": "all"}),
        ({"by": "quality", "quality": "human"}, {"quality": "human"}),
        ({"quality": "all"}, {"quality": "all", "by": (D.DAY,)}),
        ({"client": "shop-1", "partner": "0"}, {"client": "shop-1", "partner": "0"}),
        ({"tz": "America/New_York"}, {"tz": "America/New_York"}),
    ],
    ids=[
        "from is 29 days before to",
        "one day",
        "400 days",
        "dimensions keep their order",
        "no dimension is one row a currency",
        "by quality shows all of it",
        "unless told otherwise",
        "all counts everything",
        "ids",
        "a zone",
    ],
)
def test_parameters_of_performance(params, expected):
    query = PerformanceQuery.parse(params, TODAY)
    assert {name: getattr(query, name) for name in expected} == expected


REFUSED = {
    "an unknown parameter suggests the nearest": ({"form": "2026-01-01"}, "form", "did you mean from?"),
    "or says what there is": ({"xyz": ""}, "xyz", "there are from, to, by,"),
    "a day has four, two and two digits": ({"from": "1.3.2026"}, "from", "such as 2026-03-31.*'1.3.2026'"),
    "and no more": ({"from": "2026-03-01T00:00"}, "from", "such as"),
    "of ASCII": ({"to": "２０２６-03-01"}, "to", "such as"),
    "a day exists": ({"to": "2026-02-30"}, "to", "such as"),
    "a day is of this century": ({"to": "1999-12-31"}, "to", "from 2000-01-01 on"),
    "from is not after to": ({"from": "2026-04-01"}, "from", r"from \(2026-04-01\) is after to \(2026-03-31\)"),
    "at most 400 days": ({"from": "2025-02-24"}, "from", "401 days; a report covers at most 400"),
    "dimensions are known": ({"by": "day,contry"}, "by", "'contry'; did you mean country"),
    "and none is empty": ({"by": "day,"}, "by", "no dimension ''"),
    "nor two of them the same": ({"by": "day,s1,day"}, "by", "twice"),
    "at most six": ({"by": "day,client,partner,s1,s2,s3,s4"}, "by", "7 dimensions; at most 6"),
    "a client is an id": ({"client": "Shop"}, "client", "1 to 32 of a-z 0-9 and -, not 'Shop'"),
    "and not empty": ({"client": ""}, "client", "must be an id"),
    "a partner is an id": ({"partner": "a b"}, "partner", "must be an id"),
    "a long value is cut": ({"partner": "x" * 5000}, "partner", "x{40}…'$"),
    "a zone is known": ({"tz": "Europe/Berln"}, "tz", "did you mean Europe/Berlin"),
    "and no path": ({"tz": "../../etc/passwd"}, "tz", "not a time zone"),
    "and not empty either": ({"tz": ""}, "tz", "not a time zone"),
    "quality is human or all": ({"quality": "bot"}, "quality", "human or all, not 'bot'"),
    "performance has no pages": ({"limit": "5"}, "limit", "there is no parameter 'limit'"),
}


@pytest.mark.parametrize(("params", "field", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_parameter_of_performance_is_named(params, field, says):
    with pytest.raises(BadInput, match=says) as caught:
        PerformanceQuery.parse(params, TODAY)
    assert caught.value.field == field
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "1e2"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"by": "day"}, "by"),
        ({"quality": "all"}, "quality"),
        ({"cursor": ""}, "cursor"),
        ({"from": "2020-01-01"}, "from"),
    ],
)
def test_a_bad_parameter_of_orders_is_named(params, field):
    with pytest.raises(BadInput) as caught:
        OrdersQuery.parse(params, TODAY)
    assert caught.value.field == field


def test_parameters_of_orders():
    query = OrdersQuery.parse({}, TODAY)
    assert (query.first, query.last, query.limit, query.after) == (dt.date(2026, 3, 2), TODAY, 100, None)
    position = Position(5, "shop", "A 'ü\n")
    query = OrdersQuery.parse({"limit": "1000", "cursor": encode_cursor(position), "client": "shop"}, TODAY)
    assert (query.limit, query.after, query.client) == (1000, position, "shop")


@given(st.integers(0, 2**42), st.text(max_size=32), st.text(st.characters(exclude_categories=["Cs"]), max_size=128))
def test_a_cursor_is_read_back(at_ms, client, order):
    text = encode_cursor(Position(at_ms, client, order))
    assert decode_cursor(text) == (at_ms, client, order)
    assert text.isascii() and text.replace("-", "").replace("_", "").isalnum()


@given(st.data())
def test_a_cursor_that_was_tampered_with_is_refused(data):
    text = encode_cursor(Position(1_774_785_600_000, "shop", "A-1"))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(sorted({*"AZaz09-_=+/ é"} - {text[at]})))
    for changed in (text[:at] + other + text[at + 1 :], text[:at], text + other, other + text):
        with pytest.raises(BadInput, match="unchanged"):
            decode_cursor(changed)


@pytest.mark.parametrize(
    "position",
    [("1", "shop", "A"), (1, 2, "A"), (1, "shop", None), (-1, "shop", "A"), (2**63, "shop", "A"), (True, "shop", "A"), (1.5, "shop", "A"), (1, [], "A")],
    ids=str,
)
def test_a_cursor_that_somebody_wrote_is_no_error_of_ours(position):
    with pytest.raises(BadInput, match="cursor"):
        decode_cursor(encode_cursor(Position(*position)))


@pytest.mark.parametrize("text", ["", "=", "AAAA", "ü", "x" * 10_000])
def test_what_never_was_a_cursor_is_refused(text):
    with pytest.raises(BadInput):
        decode_cursor(text)


@pytest.mark.parametrize(
    ("role", "id"),
    [("client", ""), ("partner", ""), ("operator", "shop"), ("", ""), ("admin", ""), ("client", "' OR 1"), ("client", "A")],
)
def test_there_is_no_scope_without_somebody(role, id):
    with pytest.raises(ValueError, match="no such scope"):
        Scope(role, id)


def test_a_scope_cannot_be_widened():
    scope = Scope.client("shop")
    with pytest.raises(AttributeError):
        scope.role = "operator"
    assert (Scope.operator().role, Scope.partner("ada")) == ("operator", Scope("partner", "ada"))


@pytest.mark.parametrize(
    ("scope", "client", "single"),
    [
        (Scope.operator(), "", ""),
        (Scope.operator(), "shop", "shop"),
        (Scope.client("shop"), "", "shop"),
        (Scope.client("shop"), "store", "shop"),
        (Scope.partner("ada"), "", ""),
        (Scope.partner("ada"), "shop", "shop"),
    ],
)
def test_the_single_client_of_a_report(scope, client, single):
    query = PerformanceQuery.parse({"client": client} if client else {}, TODAY)
    assert query.single_client(scope) == single


@pytest.mark.parametrize(
    ("zone", "day", "begin", "hours"),
    [
        ("UTC", "2026-03-08", "2026-03-08T00:00+00:00", 24),
        ("Asia/Kolkata", "2026-03-08", "2026-03-07T18:30+00:00", 24),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00+00:00", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00+00:00", 25),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00+00:00", 23),  # midnight itself is skipped
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00+00:00", 24.5),
    ],
)
def test_a_day_begins_and_ends_where_its_zone_says(zone, day, begin, hours):
    query = PerformanceQuery.parse({"from": day, "to": day}, TODAY)
    first, after = query.bounds(ZoneInfo(zone))
    assert first == dt.datetime.fromisoformat(begin).timestamp()
    assert (after - first) / 3600 == hours


@pytest.mark.parametrize(
    ("zone", "whole"),
    [
        ("UTC", True),
        ("America/New_York", True),
        ("Asia/Tokyo", True),
        ("Asia/Kolkata", False),
        ("Asia/Kathmandu", False),
        ("America/St_Johns", False),
        ("Australia/Lord_Howe", False),
    ],
)
def test_a_roll_up_by_utc_hours_serves_zones_of_whole_hours(zone, whole):
    query = PerformanceQuery.parse({"from": "2026-01-01", "to": "2026-12-31"}, TODAY)
    assert whole_hours(ZoneInfo(zone), *query.bounds(ZoneInfo(zone))) is whole


def test_half_an_hour_of_summer_is_noticed():
    lord_howe = ZoneInfo("Australia/Lord_Howe")  # +11:00 in its summer, +10:30 in its winter
    summer = PerformanceQuery.parse({"from": "2026-01-01", "to": "2026-01-31"}, TODAY).bounds(lord_howe)
    change = PerformanceQuery.parse({"from": "2026-04-01", "to": "2026-04-05"}, TODAY).bounds(lord_howe)
    assert whole_hours(lord_howe, *summer) is True
    assert whole_hours(lord_howe, *change) is False


@pytest.mark.parametrize(
    ("zone", "first", "last", "utc"),
    [
        ("UTC", "2026-01-01", "2026-12-31", True),
        ("Africa/Abidjan", "2026-01-01", "2026-12-31", True),
        ("Europe/London", "2026-01-01", "2026-03-28", True),
        ("Europe/London", "2026-01-01", "2026-03-29", False),
        ("America/New_York", "2026-01-01", "2026-01-30", False),
    ],
    ids=["UTC", "a zone without an offset", "a zone's winter", "to the day on which its clocks change", "never"],
)
def test_a_roll_up_by_utc_days_serves_zones_while_they_have_no_offset(zone, first, last, utc):
    query = PerformanceQuery.parse({"from": first, "to": last}, TODAY)
    assert utc_days(ZoneInfo(zone), *query.bounds(ZoneInfo(zone))) is utc


@pytest.mark.parametrize(
    ("dimension", "value", "zone", "shown"),
    [
        (D.HOUR, 1_793_509_200, NEW_YORK, "2026-11-01T01:00:00-04:00"),
        (D.HOUR, 1_793_512_800, NEW_YORK, "2026-11-01T01:00:00-05:00"),
        (D.DAY, 20_541, UTC, "2026-03-29"),
        (D.MONTH, 202_603, UTC, "2026-03"),
        (D.PARTNER, "ada", UTC, "ada"),
        (D.PARTNER, "", UTC, None),
        (D.S1, "", UTC, ""),
    ],
    ids=["an hour", "the same hour again", "a day", "a month", "a partner", "nobody", "no sub-id"],
)
def test_labels(dimension, value, zone, shown):
    assert label(dimension, value, zone) == shown


COUNTS = [
    *("currency", "impressions", "clicks", "unique_clicks", "orders", "revenue", "commission"),
    *("orders_pending", "orders_approved", "orders_rejected"),
    *("commission_pending", "commission_approved", "commission_rejected"),
]


def test_a_result_has_a_row_for_each_key_and_currency_sorted_and_totals_of_its_own():
    traffic = [Traffic((20_542, "ada"), "EUR", 9, 4, 3), Traffic((20_541, "bob"), "USD", 0, 1, 1)]
    totals = [Traffic((), "EUR", 9, 4, 2), Traffic((), "USD", 0, 1, 1)]  # 2, not 3: a visitor of both days is one
    sales = [
        Sales((20_541, ""), "EUR", 1, 1999, (0, 1, 0), (0, 0, 0)),
        Sales((20_542, "ada"), "EUR", 3, 5, (1, 1, 1), (10, 200, 3000)),
        Sales((20_542, "ada"), "JPY", 1, 700, (1, 0, 0), (7, 0, 0)),
    ]
    result = performance_result((D.DAY, D.PARTNER), UTC, traffic, totals, sales)
    assert result["columns"] == ["day", "partner", *COUNTS]
    assert all(list(row) == result["columns"] for row in result["rows"])
    assert [tuple(row.values()) for row in result["rows"]] == [
        ("2026-03-29", None, "EUR", 0, 0, 0, 1, "19.99", "0.00", 0, 1, 0, "0.00", "0.00", "0.00"),
        ("2026-03-29", "bob", "USD", 0, 1, 1, 0, "0.00", "0.00", 0, 0, 0, "0.00", "0.00", "0.00"),
        ("2026-03-30", "ada", "EUR", 9, 4, 3, 3, "0.05", "2.10", 1, 1, 1, "0.10", "2.00", "30.00"),
        ("2026-03-30", "ada", "JPY", 0, 0, 0, 1, "700", "7", 1, 0, 0, "7", "0", "0"),
    ]
    assert [tuple(row.values()) for row in result["totals"]] == [
        ("EUR", 9, 4, 2, 4, "20.04", "2.10", 1, 2, 1, "0.10", "2.00", "30.00"),
        ("JPY", 0, 0, 0, 1, "700", "7", 1, 0, 0, "7", "0", "0"),
        ("USD", 0, 1, 1, 0, "0.00", "0.00", 0, 0, 0, "0.00", "0.00", "0.00"),
    ]


def test_traffic_of_a_client_that_is_gone_has_no_currency():
    (row,) = performance_result((), UTC, [Traffic((), "", 0, 1, 1)], [], [])["rows"]
    assert (row["currency"], row["clicks"], row["revenue"]) == (None, 1, "0")


def test_no_events_are_no_rows():
    assert performance_result((D.DAY,), UTC, [], [], []) == {
        "columns": ["day", *COUNTS],
        "rows": [],
        "totals": [],
    }


def test_an_order_without_anything_has_nulls():
    row = dict.fromkeys(("partner", "method", "click_id", "coupon", "customer"), "") | {
        "order_id": "1",
        "client": "shop",
        "amount_minor": 700,
        "currency": "JPY",
        "clicked_at": 0,
        "at_ms": 1_774_785_600_999,
        "conflict": 0,
        "commission_minor": 0,
        "locks_at": 0,
    }
    assert order_row(row, {}, 2_000_000_000, Scope.operator()) == {
        "order": "1",
        "client": "shop",
        "partner": None,
        "amount": "700",
        "currency": "JPY",
        "commission": "0",
        "status": "pending",
        "decided_at": None,
        "decided_by": None,
        "reason": None,
        "locks_at": None,
        "method": None,
        "click_id": None,
        "clicked_at": None,
        "ordered_at": "2026-03-29T12:00:00Z",
        "coupon": None,
        "customer": None,
        "flags": [],
    }


@pytest.mark.parametrize(
    ("scope", "told"),
    [(Scope.operator(), True), (Scope.client("shop"), True), (Scope.partner("ada"), False)],
    ids=["an operator", "a client", "a partner"],
)
def test_who_decided_is_told_to_whom_it_concerns(scope, told):
    row = dict.fromkeys(("partner", "method", "click_id", "coupon", "customer"), "") | {
        "order_id": "1", "client": "shop", "amount_minor": 700, "currency": "EUR", "clicked_at": 0, "at_ms": 0, "conflict": 0,
        "commission_minor": 53, "locks_at": 1_774_785_600,
    }  # fmt: skip
    decision = {
        "decision": "rejected",
        "decision_ms": 1_774_785_599_999,
        "decision_by": "client:shop/7",
        "decision_reason": "returned",
    }
    shown = order_row(row, decision, 2_000_000_000, scope)
    assert (shown["commission"], shown["status"], shown["reason"]) == ("0.53", "rejected", "returned")
    assert (shown["decided_at"], shown["locks_at"]) == ("2026-03-29T11:59:59Z", "2026-03-29T12:00:00Z")
    assert shown.get("decided_by") == ("client:shop/7" if told else None)
    assert ("decided_by" in shown) is told
