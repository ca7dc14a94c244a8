"""The audience in the portal and in the tenants' API: what was released, as each role is told of it."""

import json

import pytest

from tests import portal
from tests.conftest import START_MS
from tests.portal import CLIENT, OPERATOR, PARTNER

TODAY = START_MS // 86_400_000
COLUMNS = ("day", "client", "partner", "dimension", "value", "visitors", "k", "released_ms")
RELEASED = [
    ("shop", "blog", "country", "DE", 120), ("shop", "blog", "country", "FR", 60), ("shop", "blog", "country", "other", 70),
    ("shop", "", "country", "DE", 50), ("shop", "other", "country", "NL", 1230), ("tea", "blog", "country", "SE", 80),
    ("shop", "blog", "hour", "23", 60), ("shop", "blog", "hour", "7", 50), ("shop", "blog", "device", "desktop", 110),
    ("shop", "blog", "visit", "", 110), ("shop", "blog", "category", "garden-tools", 60), ("", "", "", "", 0),
]  # fmt: skip


@pytest.fixture
async def released(made, warehouse, browser):
    """Logs somebody in, to whom a day has been told of."""
    await portal.people(made)
    rows = [json.dumps((TODAY - 1, *row, 50, START_MS)).encode() for row in RELEASED]
    await warehouse.insert("audience_releases", COLUMNS, rows, "released")

    async def as_(email):
        return await browser().log_in(email)

    return as_


def told(page):
    rows = page.one("table", id="audience").find(f"{portal.XHTML}tbody")
    return {"".join(row[0].itertext()): "".join(row[1].itertext()) for row in rows}


@pytest.mark.parametrize(
    ("email", "query", "expected"),
    [
        pytest.param(PARTNER, "", {"DE": "120", "SE": "80", "FR": "60", "Other": "70"}, id="a partner: at all shops"),
        pytest.param(PARTNER, "client=tea", {"SE": "80"}, id="a partner: at one shop"),
        pytest.param(CLIENT, "", {"NL": "1,230", "DE": "170", "FR": "60", "Other": "70"}, id="a client: all partners and the pool"),
        pytest.param(CLIENT, "partner=other", {"NL": "1,230"}, id="a client: one partner"),
        pytest.param(OPERATOR, "client=tea", {"SE": "80"}, id="an operator: anybody's"),
        pytest.param(PARTNER, "by=hour", {"07:00 UTC": "50", "23:00 UTC": "60"}, id="hours in their order"),
        pytest.param(PARTNER, "by=device", {"Desktop": "110"}, id="devices"),
        pytest.param(PARTNER, "by=visit", {"(unknown)": "110"}, id="unknown is a value"),
        pytest.param(PARTNER, "by=category", {"garden-tools": "60"}, id="categories"),
    ],
)
async def test_who_is_told_what(released, email, query, expected):
    page = await (await released(email)).get(f"/portal/audience?{query}")
    assert page.status == 200 and told(page) == expected
    assert list(told(page)) == list(expected), "the largest first, hours in their order, other last"
    assert "fewer than 50 visitors" in page.text


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param("by=os", "Too few visitors", id="a day that was told of, and nobody was"),
        pytest.param("from=2027-01-15&to=2027-01-15", "some hours after its end", id="a day that isn't over"),
        pytest.param("client=other", "Too few visitors", id="another's"),
    ],
)
async def test_why_nothing_is_told(released, query, says):
    page = await (await released(PARTNER)).get(f"/portal/audience?{query}")
    assert page.status == 200 and says in page.text and not page.all("table")


ASKED = {"by=s1": "by", "by=country,device": "by", "from=x": "from", "client=A!": "client"}


@pytest.mark.parametrize(("query", "field"), ASKED.items())
async def test_a_question_that_is_none_is_told_beside_its_field(released, query, field):
    page = await (await released(OPERATOR)).get(f"/portal/audience?{query}")
    assert page.status == 400 and page.problems == {field} and page.problem(field)


@pytest.mark.parametrize("email", [PARTNER, CLIENT, OPERATOR])
async def test_exact_counts_by_a_trait_are_on_no_page(released, email):
    page = await (await released(email)).get("/portal/performance?by=country")
    assert page.status == 400 and "audience report" in page.problem("by")
    offered = {option.get("value") for option in page.one("select", id="by")}
    assert not offered & {"country", "device", "browser", "os", "language", "hour"}
