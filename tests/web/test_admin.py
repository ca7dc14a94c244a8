"""The admin listener: who may ask, what is answered, and errors that say what to do. Registry on a real Valkey."""

import asyncio
from datetime import date

import pytest

from pixeld.domain.orders import OrderStatus
from pixeld.domain.reports import Scope
from pixeld.errors import Conflict, NotFound, QueueAway
from pixeld.metrics import Metrics
from pixeld.storage.registry import Registry
from pixeld.web import admin, keys

TOKEN = "the-admin-token"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
SHOP = {"id": "shop", "name": "Shop", "landing_url": "https://shop.example/"}


class Reports:
    """Writes down what it is asked, and answers with one row."""

    def __init__(self):
        self.asked, self.rows, self.next = [], [], None

    async def performance(self, scope, query, clients):
        self.asked.append((scope, query, clients))
        row = {"partner": "=cmd()|'/c calc'!A0", "currency": "EUR", "clicks": 3, "revenue": "-1.00"}
        return {"columns": list(row), "rows": [row], "totals": []}

    async def refusals(self, scope, query, clients):
        self.asked.append((scope, query, clients))
        return {"columns": ["partner", "requests"], "rows": [{"partner": "=1", "requests": 3}]}

    async def orders(self, scope, query, clients=None):
        self.asked.append((scope, query))
        return {"rows": self.rows, "next": self.next}


class Decisions:
    """Writes down what it is asked to decide; there is one order, `A/1`."""

    def __init__(self):
        self.asked, self.rows, self.next = [], [], None

    async def decide(self, scope, client, order, status, reason, seen, who):
        self.asked.append((scope, client, order, status, reason, seen, who))
        if order != "A/1":
            raise NotFound("no such order")
        if seen != "pending":
            raise Conflict("the order is approved already")
        return OrderStatus(status)


class Operations:
    """A server whose dependencies are as well as a test wants."""

    well, breaks = True, None

    async def health(self):
        return {"redis": keys.Health(True, {"durable": True}), "clickhouse": keys.Health(self.well, {"reason": "away"})}

    async def flush(self):
        return 42

    async def sql(self, statement):
        return [{"n": 1, "of": statement}]

    async def tail(self):
        yield {"kind": "click", "client": "shop", "country": "CH", "visitor": 7, "visit": "new"}
        if self.breaks:
            raise self.breaks

    def today(self):
        return date(2027, 1, 15)


@pytest.fixture
async def client(aiohttp_client, redis, clock, request):
    app = admin.application()
    app[keys.SINGLE] = getattr(request, "param", "") == "single events"
    registry = Registry(redis, clock, changed=lambda _: None, keep=lambda _: None, kept=None)
    await registry.refresh()
    app[keys.REGISTRY], app[keys.REPORTS], app[keys.METRICS] = registry, Reports(), Metrics()
    app[keys.OPERATIONS], app[keys.ADMIN_TOKEN], app[keys.DECISIONS] = Operations(), TOKEN, Decisions()
    return await aiohttp_client(app, headers=AUTH)


API = [
    (resource.method, resource.resource.canonical)
    for resource in admin.application().router.routes()
    if resource.resource.canonical.startswith("/api/") and resource.method != "HEAD"
]


@pytest.mark.parametrize(("method", "path"), API)
@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="no credential"),
        pytest.param("Bearer", id="no token"),
        pytest.param("Bearer wrong", id="another token"),
        pytest.param(f"Basic {TOKEN}", id="another scheme"),
        pytest.param(f"Bearer {TOKEN[:-1]}", id="the token's beginning"),
        pytest.param(f"Bearer {TOKEN}é", id="not ASCII"),
    ],
)
async def test_nothing_of_the_api_is_for_strangers(client, method, path, header):
    path = path.replace("{client}", "shop").replace("{partner}", "blog")
    response = await client.request(method, path, headers={"Authorization": header or ""})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.content_type == "application/problem+json"
    body = await response.json()
    assert body["code"] == "unauthorized" and "admin-token" in body["detail"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_health_needs_no_token(client, path):
    response = await client.get(path, headers={"Authorization": ""})
    assert response.status == 200
    assert "Server" not in response.headers


async def test_readiness_names_what_fails(client):
    client.app[keys.OPERATIONS].well = False
    response = await client.get("/readyz")
    assert response.status == 503
    body = await response.json()
    assert body["status"] == "not ready"
    assert body["clickhouse"] == {"ok": False, "reason": "away"} and body["redis"]["ok"]
    assert (await client.get("/livez")).status == 200


async def test_register_read_and_change(client):
    assert (await client.post("/api/clients", json=SHOP)).status == 201
    assert (await client.post("/api/partners", json={"id": "blog", "name": "Blog"})).status == 201
    set_member = await client.put("/api/clients/shop/partners/blog", json={"status": "approved"})
    assert await set_member.json() == {"client": "shop", "partner": "blog", "status": "approved"}
    changed = await client.patch("/api/clients/shop", json={"window_days": 7})
    assert (await changed.json())["window_days"] == 7
    assert (await (await client.get("/api/clients/shop")).json())["window_days"] == 7
    assert [c["id"] for c in (await (await client.get("/api/clients")).json())["clients"]] == ["shop"]
    assert (await (await client.get("/api/partners/blog")).json())["name"] == "Blog"
    assert (await (await client.patch("/api/partners/blog", json={"name": "B"})).json())["name"] == "B"
    assert (await (await client.get("/api/partners")).json())["partners"] == [{"id": "blog", "name": "B"}]
    members = await (await client.get("/api/clients/shop/partners")).json()
    assert members == {"partners": [{"partner": "blog", "status": "approved"}]}
    changes = (await (await client.get("/api/audit")).json())["changes"]
    assert [change["what"] for change in changes][-1] == "clients/shop" and len(changes) == 5


async def test_the_audit_log_is_read_page_by_page(client):
    await client.post("/api/clients", json=SHOP)
    for n in range(4):
        await client.patch("/api/clients/shop", json={"name": f"Shop {n}"})
    everything = (await (await client.get("/api/audit")).json())["changes"]
    read, before = [], ""
    for size in (2, 2, 1):
        page = await (await client.get(f"/api/audit?limit=2{before}")).json()
        assert len(page["changes"]) == size
        read, before = read + page["changes"], f"&before={page['next']}"
    assert read == everything and page["next"] is None
    assert (await (await client.get("/api/audit?limit=5")).json()) == {"changes": everything, "next": None}


async def test_an_order_is_decided_about_as_the_operator(client):
    asked = {"order": "A/1", "status": "rejected", "reason": " returned ", "seen": "pending"}
    response = await client.post("/api/clients/shop/decisions", json=asked)
    assert response.status == 200
    assert await response.json() == {"client": "shop", "order": "A/1", "status": "rejected", "reason": "returned"}
    ((scope, *rest),) = client.app[keys.DECISIONS].asked
    assert (scope, rest) == (Scope.operator(), ["shop", "A/1", "rejected", " returned ", "pending", "admin"])


async def test_a_membership_with_terms_of_its_own_shows_them(client):
    await client.post("/api/clients", json=SHOP)
    await client.post("/api/partners", json={"id": "blog", "name": "Blog"})
    asked = {"status": "approved", "commission": [{"percent": "12.5"}]}
    told = await (await client.put("/api/clients/shop/partners/blog", json=asked)).json()
    terms = [{"percent": "12.5", "flat": "0", "from_day": "", "until_day": ""}]
    assert told == {"client": "shop", "partner": "blog", "status": "approved", "commission": terms}
    await client.put("/api/clients/shop/partners/blog", json={"status": "ended"})
    members = await (await client.get("/api/clients/shop/partners")).json()
    assert members == {"partners": [{"partner": "blog", "status": "ended", "commission": terms}]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "field"),
    [
        pytest.param("POST", "/api/clients", SHOP, 409, "already_exists", None, id="id taken"),
        pytest.param("POST", "/api/clients", SHOP | {"id": "A"}, 400, "bad_input", "id", id="broken rule"),
        pytest.param("POST", "/api/clients", [], 400, "bad_input", None, id="not an object"),
        pytest.param("POST", "/api/partners", "{", 400, "bad_input", None, id="not JSON"),
        pytest.param("GET", "/api/clients/none", None, 404, "not_found", None, id="no such client"),
        pytest.param("GET", "/api/partners/none", None, 404, "not_found", None, id="no such partner"),
        pytest.param("PATCH", "/api/clients/none", {"name": "x"}, 404, "not_found", None, id="change of nothing"),
        pytest.param("PUT", "/api/clients/shop/partners/none", {"status": "approved"}, 404, "not_found", None, id="nobody"),
        pytest.param("PUT", "/api/clients/shop/partners/none", {}, 400, "bad_input", "status", id="no status"),
        pytest.param("GET", "/api/reports/performance?by=shoe", None, 400, "bad_input", "by", id="no such dimension"),
        pytest.param("GET", "/api/audit?limit=0", None, 400, "bad_input", "limit", id="no changes"),
        pytest.param("GET", "/api/audit?limit=1001", None, 400, "bad_input", "limit", id="too many changes"),
        pytest.param("GET", f"/api/audit?limit={'9' * 5000}", None, 400, "bad_input", "limit", id="a number too long to be read"),
        pytest.param("GET", "/api/audit?before=now", None, 400, "bad_input", "before", id="no change's id"),
        pytest.param("GET", "/api/audit?before=1-0&before=2-0", None, 400, "bad_input", "before", id="two pages at once"),
        pytest.param("GET", "/api/reports/orders?limit=0", None, 400, "bad_input", "limit", id="no such limit"),
        pytest.param("GET", "/api/reports/orders?status=paid", None, 400, "bad_input", "status", id="no such status of orders"),
        pytest.param("POST", "/api/clients/shop/decisions", {}, 400, "bad_input", "order", id="a decision about nothing"),
        pytest.param("POST", "/api/clients/shop/decisions", ["A/1"], 400, "bad_input", "order", id="a decision that is a list"),
        pytest.param("POST", "/api/clients/shop/decisions", {"order": "A/1", "seem": "x"}, 400, "bad_input", "seem", id="a misspelt field"),
        pytest.param("POST", "/api/clients/shop/decisions", {"order": "x"}, 404, "not_found", None, id="no such order"),
        pytest.param("POST", "/api/clients/shop/decisions", {"order": "A/1"}, 409, "conflict", None, id="decided meanwhile"),
        pytest.param("POST", "/api/sql", {}, 400, "bad_input", "sql", id="no statement"),
        pytest.param("POST", "/api/sql-access", {"change": "made"}, 400, "bad_input", "login", id="no login"),
        pytest.param("POST", "/api/sql-access", {"login": "a b", "change": "made"}, 400, "bad_input", "login", id="no login's name"),
        pytest.param("POST", "/api/sql-access", {"login": "a"}, 400, "bad_input", "change", id="no change of a login"),
        pytest.param("POST", "/api/sql-access", {"login": "a", "what": ""}, 400, "bad_input", "what", id="an entry of one's own"),
        pytest.param("GET", "/api/nothing", None, 404, "not_found", None, id="no such address"),
        pytest.param("DELETE", "/api/clients", None, 405, "method_not_allowed", None, id="no such method"),
    ],
)
async def test_an_error_is_a_problem_with_a_stable_code(client, method, path, body, status, code, field):
    await client.post("/api/clients", json=SHOP)
    kwargs = {"data": body} if isinstance(body, str) else {"json": body} if body is not None else {}
    response = await client.request(method, path, **kwargs)
    assert (response.status, response.content_type) == (status, "application/problem+json")
    told = await response.json()
    assert (told["code"], told.get("field"), told["status"]) == (code, field, status)
    assert told["detail"]


async def test_an_error_of_our_own_tells_strangers_nothing(client, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(client.app[keys.OPERATIONS], "flush", broken)
    response = await client.post("/api/flush")
    assert response.status == 500
    assert "secret" not in await response.text()
    assert "a handler failed" in caplog.text


async def test_the_report_is_asked_with_the_operators_scope_and_every_clients_currency(client):
    await client.post("/api/clients", json=SHOP | {"currency": "EUR", "timezone": "Europe/Berlin"})
    assert (await client.get("/api/reports/performance?by=day,partner&from=2027-01-01&to=2027-01-02")).status == 200
    ((_, query, clients),) = client.app[keys.REPORTS].asked
    assert (query.first, query.last) == (date(2027, 1, 1), date(2027, 1, 2))
    assert clients == {"shop": ("EUR", "Europe/Berlin")}


async def test_refusals_are_asked_with_the_operators_scope(client):
    response = await client.get("/api/reports/refusals?from=2027-01-01&to=2027-01-02&client=shop")
    assert response.status == 200 and (await response.json())["rows"] == [{"partner": "=1", "requests": 3}]
    ((scope, query, _),) = client.app[keys.REPORTS].asked
    assert (scope.role, query.first, query.client) == ("operator", date(2027, 1, 1), "shop")
    assert (await (await client.get("/api/reports/refusals?format=csv")).text()).splitlines() == ["partner,requests", "'=1,3"]
    assert (await (await client.get("/api/reports/refusals?by=day")).json())["field"] == "by"


async def test_csv_is_safe_to_open(client):
    text = await (await client.get("/api/reports/performance?by=partner&format=csv")).text()
    assert text.splitlines() == ["partner,currency,clicks,revenue", "'=cmd()|'/c calc'!A0,EUR,3,-1.00"]


async def test_orders_come_as_csv_too_and_with_a_link_to_the_next_page(client):
    client.app[keys.REPORTS].rows = [{"order": "=1+1", "amount": "-5.00", "flags": ["conflict"]}]
    client.app[keys.REPORTS].next = "abc"
    response = await client.get("/api/reports/orders?limit=1&format=csv")
    head, row = (await response.text()).splitlines()
    assert head.startswith("order,client,partner,amount,") and head.endswith(",flags")
    assert row.startswith("'=1+1,,,-5.00,") and row.endswith(",conflict")
    assert str(response.links["next"]["url"].relative()) == "/api/reports/orders?limit=1&format=csv&cursor=abc"


async def test_a_parameter_given_twice_is_told(client):
    response = await client.get("/api/reports/orders?client=a&client=b")
    assert response.status == 400 and (await response.json())["field"] == "client"


async def test_a_format_that_isnt_one_is_told(client):
    response = await client.get("/api/reports/performance?format=pdf")
    assert response.status == 400 and (await response.json())["field"] == "format"


async def test_a_flush_tells_how_many_events_it_was(client):
    assert await (await client.post("/api/flush")).json() == {"events": 42}


async def test_single_events_are_for_who_may_see_them(client):
    refused = await client.post("/api/sql", json={"sql": "SELECT 1"})
    assert (refused.status, (await refused.json())["code"]) == (403, "forbidden")
    assert 'admin_permissions = "single-events"' in (await refused.json())["detail"]
    tail = await client.get("/api/tail")
    assert (tail.content_type, await tail.text()) == ("application/x-ndjson", '{"kind":"click","client":"shop"}\n')
    assert await client.app[keys.REGISTRY].audit(9) == []


@pytest.mark.parametrize("client", ["single events"], indirect=True)
async def test_each_look_at_single_events_is_noted_without_what_it_names(client):
    asked = "SELECT 1 FROM clicks WHERE click_id = 'x\\'y' AND s1='z"
    answer = await (await client.post("/api/sql", json={"sql": asked})).json()
    assert answer == {"columns": ["n", "of"], "rows": [[1, asked]]}
    tail = await client.get("/api/tail")
    assert await tail.json(content_type=None) == {"kind": "click", "client": "shop", "country": "CH", "visitor": 7, "visit": "new"}
    noted = [(change["who"], change["what"], change["after"]) for change in await client.app[keys.REGISTRY].audit(9)]
    assert noted == [
        ("admin", "single-events", {"tail": True}),
        ("admin", "single-events", {"sql": "SELECT 1 FROM clicks WHERE click_id = '…' AND s1='…'"}),
    ]


@pytest.mark.parametrize("error", [QueueAway("Redis is away"), RuntimeError("Redis is away")], ids=["told", "our own"])
async def test_a_reply_that_breaks_off_is_cut_and_looks_like_no_whole_one(client, caplog, error):
    client.app[keys.OPERATIONS].breaks = error
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(f"GET /api/tail HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    async with asyncio.timeout(60):
        reply = await reader.read()
    writer.close()
    assert reply.endswith(b'{"kind":"click","client":"shop"}\n\r\n') and reply.count(b"HTTP/1.1") == 1
    assert "a reply breaks off" in caplog.text


async def test_metrics_hold_no_id_of_anybody(client):
    metrics = client.app[keys.METRICS]
    metrics.answers["click", "human"] += 1
    metrics.add("pixeld_stored_events_total", 3)
    await client.post("/api/clients", json=SHOP)
    text = await (await client.get("/metrics")).text()
    assert 'pixeld_answers_total{kind="click",outcome="human"} 1.0' in text
    assert "pixeld_stored_events_total 3.0" in text
    assert "shop" not in text
