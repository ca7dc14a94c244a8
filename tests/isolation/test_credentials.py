"""Every route with every wrong credential: refused, and nothing of anybody's told. And each key's requests are counted apart."""

import asyncio
import io
from types import SimpleNamespace

import pytest

from pixeld.domain.registry import Status
from pixeld.domain.reports import Scope
from pixeld.web import admin
from pixeld.web.api import tenants
from tests.conftest import START_MS
from tests.isolation.networks import Network, Order, Visit
from tests.isolation.world import ADMIN, BURST, PER_S

AT_MS, AT_S = START_MS - 60_000, START_MS // 1000 - 60


def network(prefix):
    """One client, one partner, a click and its order."""
    client, partner = f"{prefix}-shop", f"{prefix}-blog"
    click = Visit(True, AT_MS, client, partner, "human", f"{prefix}-k", hash(prefix) % 2**63, f"{prefix}-s1", "", "", "DE", "")
    order = Order(
        f"{prefix}-e", AT_MS, client, f"{prefix}-o", partner, "click", click.click_id, AT_S, 1000, "EUR", 100, 0, "", "", "human", "DE", ""
    )  # fmt: skip
    return Network({client: ("EUR", "UTC")}, [partner], {(client, partner): Status.APPROVED}, [click], [order], [])


@pytest.fixture(scope="module")
def keys(runner, world):
    """Keys of two networks that have nothing in common: `ours` and `other`."""

    async def make():
        await world.hold([network("ours"), network("other")])
        return SimpleNamespace(
            **{f"{whose}_{role}": await world.key((role, f"{whose}-{name}")) for whose in ("ours", "other") for role, name in PARTIES}
        )

    return runner.run(make())


@pytest.fixture(autouse=True)
def rested(world):
    """No test is refused for what another one asked."""
    world.now += 3600


PARTIES = (("client", "shop"), ("partner", "blog"))
ROUTES = [(route.method, tenants.PREFIX + route.path) for route in tenants.ROUTES if route.roles]
WRONG = {
    "none": lambda keys: None,
    "an empty one": lambda keys: "Bearer ",
    "another scheme": lambda keys: f"Basic {keys.ours_client}",
    "no key at all": lambda keys: "Bearer ours-shop",
    "malformed": lambda keys: f"Bearer {keys.ours_client}x",
    "cut short": lambda keys: f"Bearer {keys.ours_client[:-1]}",
    "its visible part": lambda keys: f"Bearer {keys.ours_client[:12]}",
    "in capitals": lambda keys: f"Bearer {keys.ours_client.upper()}",
    "not ASCII": lambda keys: f"Bearer {keys.ours_client}é",
    "two keys": lambda keys: f"Bearer {keys.other_client} {keys.ours_client}",
    "another's id with this secret": lambda keys: f"Bearer {keys.ours_client[:12]}{keys.other_client[12:]}",
    "this id with another's secret": lambda keys: f"Bearer {keys.other_client[:12]}{keys.ours_client[12:]}",
    "an id that nobody has": lambda keys: f"Bearer pxk_zzzzzzz0{keys.ours_client[12:]}",
    "a wildcard": lambda keys: f"Bearer pxk_*{keys.ours_client[12:]}",
    "the admin's token": lambda keys: f"Bearer {ADMIN}",
}
DECISION = {"order": "ours-o", "status": "approved", "seen": "pending"}


async def ask(client, method, path, authorization, **more):
    headers = {} if authorization is None else {"Authorization": authorization}
    body = {"json": DECISION} if method == "POST" else {}
    response = await client.request(method, path, headers=headers, **body, **more)
    return response, await response.text()


@pytest.mark.parametrize("credential", WRONG)
@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda value: value.removeprefix(tenants.PREFIX))
def test_a_wrong_credential_opens_nothing(runner, world, keys, method, path, credential):
    response, text = runner.run(ask(world.public, method, path, WRONG[credential](keys)))
    assert (response.status, response.content_type) == (401, "application/problem+json")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "ours" not in text and "other" not in text


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda value: value.removeprefix(tenants.PREFIX))
@pytest.mark.parametrize("role", ["client", "partner"])
@pytest.mark.parametrize("filters", ["", "?client=ours-shop", "?partner=ours-blog"])
def test_another_tenants_key_tells_nothing_of_this_one(runner, world, keys, method, path, role, filters):
    response, text = runner.run(ask(world.public, method, path + filters, f"Bearer {getattr(keys, f'other_{role}')}"))
    assert response.status in (200, 400, 404)
    assert "ours" not in text
    assert world.decided.events == []


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda value: value.removeprefix(tenants.PREFIX))
def test_a_revoked_key_opens_nothing(runner, world, keys, method, path):
    async def revoked():
        text, info = await world.keys.create(Scope.client("ours-shop"), "short-lived", "a test")
        assert (await ask(world.public, "GET", f"{tenants.PREFIX}/me", f"Bearer {text}"))[0].status == 200
        await world.keys.revoke(Scope.client("ours-shop"), info.id, "a test")
        return await ask(world.public, method, path, f"Bearer {text}")

    response, text = runner.run(revoked())
    assert response.status == 401 and "ours" not in text


def test_the_right_keys_open_what_is_theirs(runner, world, keys):
    """Lest the tests above pass because nothing is there."""

    async def seen():
        return [
            (await ask(world.public, "GET", f"{tenants.PREFIX}/orders", f"Bearer {key}"))[1]
            for key in (keys.ours_client, keys.ours_partner)
        ]

    for text in runner.run(seen()):
        assert '"ours-o"' in text and "other" not in text


ADMIN_ROUTES = [
    (resource.method, resource.resource.canonical.replace("{client}", "ours-shop").replace("{partner}", "ours-blog"))
    for resource in admin.application().router.routes()
    if resource.resource.canonical.startswith("/api/") and resource.method != "HEAD"
]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
def test_a_tenants_key_opens_nothing_of_the_admins(runner, world, keys, method, path):
    response, text = runner.run(ask(world.private, method, path, f"Bearer {keys.ours_client}"))
    assert response.status == 401 and "ours" not in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/nothing", 404, id="no such address"),
        pytest.param("GET", "", 404, id="the bare prefix"),
        pytest.param("GET", "/clients/ours-shop", 404, id="below one"),
        pytest.param("GET", "/me/../admin", 404, id="beside one"),
        pytest.param("DELETE", "/me", 405, id="another method"),
        pytest.param("PUT", "/orders/decision", 405, id="nearly the method"),
    ],
)
def test_an_address_that_isnt_one_is_a_problem(runner, world, keys, method, path, status):
    response, text = runner.run(ask(world.public, method, tenants.PREFIX + path, f"Bearer {keys.ours_client}"))
    assert response.status == status
    if path != "/me/../admin":  # which is none below the prefix
        assert response.content_type == "application/problem+json"
    assert "ours" not in text


def test_each_key_has_its_own_rate(runner, world, keys):
    async def spend():
        me = f"{tenants.PREFIX}/me"
        ours, forged = f"Bearer {keys.ours_client}", f"Bearer {keys.ours_client[:12]}{keys.other_client[12:]}"
        for _ in range(5):
            assert (await ask(world.public, "GET", me, forged))[0].status == 401  # uses up nothing of the key with this id
        statuses = [(await ask(world.public, "GET", me, ours))[0].status for _ in range(BURST)]
        assert statuses == [200] * BURST
        response, text = await ask(world.public, "GET", me, ours)
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert response.content_type == "application/problem+json" and f"{PER_S} requests a second" in text
        assert (await ask(world.public, "GET", me, f"Bearer {keys.other_client}"))[0].status == 200
        world.now += 1 / PER_S
        statuses = [(await ask(world.public, "GET", me, ours))[0].status for _ in range(2)]
        assert statuses == [200, 429]

    runner.run(spend())


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param("*/*", "application/json", id="anything"),
        pytest.param("text/csv", "text/csv", id="CSV"),
        pytest.param("text/csv;q=0.1, application/json", "application/json", id="rather JSON"),
        pytest.param("application/json;q=0.5, text/csv", "text/csv", id="rather CSV"),
        pytest.param("text/csv;q=0", "application/json", id="anything but CSV"),
        pytest.param("text/csv;q=much", "application/json", id="a weight that is none"),
        pytest.param("image/png", "application/json", id="nothing that there is"),
    ],
)
@pytest.mark.parametrize("path", ["/orders", "/performance", "/audience"])
def test_the_format_is_what_is_preferred(runner, world, keys, path, accept, kind):
    headers = {"Authorization": f"Bearer {keys.ours_client}", "Accept": accept}
    for query, expected in (("", kind), ("?format=csv", "text/csv"), ("?format=json", "application/json")):
        response = runner.run(world.public.get(f"{tenants.PREFIX}{path}{query}", headers=headers))
        assert response.content_type == expected


@pytest.mark.parametrize(
    ("path", "field"),
    [
        pytest.param("/me?x=1", "x", id="a parameter where there are none"),
        pytest.param("/orders?form=csv", "form", id="an unknown one"),
        pytest.param("/orders?format=", "format", id="no format"),
        pytest.param("/orders?format=pdf", "format", id="another format"),
        pytest.param("/orders?client=a&client=b", "client", id="one twice"),
        pytest.param("/orders?cursor=x", "cursor", id="a made-up cursor"),
        pytest.param("/performance?limit=1", "limit", id="another report's"),
        pytest.param("/performance?by=day,country", "by", id="exact counts by a trait"),
        pytest.param("/performance?by=hour", "by", id="exact counts by the hour"),
        pytest.param("/audience?by=country,device", "by", id="two traits"),
        pytest.param("/audience?by=day", "by", id="what is no trait"),
        pytest.param("/audience?tz=UTC", "tz", id="days that begin elsewhere"),
        pytest.param("/audience?quality=all", "quality", id="visitors who are none"),
    ],
)
def test_bad_input_is_told(runner, world, keys, path, field):
    response, text = runner.run(ask(world.public, "GET", tenants.PREFIX + path, f"Bearer {keys.ours_client}"))
    assert response.status == 400, text
    assert runner.run(response.json())["field"] == field


def test_a_body_that_is_too_large_is_a_problem(runner, world, keys):
    headers = {"Authorization": f"Bearer {keys.ours_client}"}
    response = runner.run(world.public.post(f"{tenants.PREFIX}/orders/decision", data=io.BytesIO(b"x" * (1 << 21)), headers=headers))
    assert (response.status, response.content_type) == (413, "application/problem+json")


async def decide(world, key, **changes):
    body = {name: value for name, value in (DECISION | changes).items() if value is not None}
    headers = {"Authorization": f"Bearer {key}"}
    return await world.public.post(f"{tenants.PREFIX}/orders/decision", json=body, headers=headers)


def test_a_client_decides_about_its_own_orders_only(runner, world, keys):
    async def steps():
        assert (await decide(world, keys.other_client)).status == 404
        assert (await decide(world, keys.ours_partner)).status == 404
        assert (await decide(world, keys.ours_client, status="rejected")).status == 400  # without a reason
        assert (await decide(world, keys.ours_client, clients="other-shop")).status == 400
        assert (await decide(world, keys.ours_client, seen="approved")).status == 409
        assert world.decided.events == []
        done = await decide(world, keys.ours_client)
        assert (done.status, await done.json()) == (200, {"order": "ours-o", "status": "approved"})
        await asyncio.sleep(0)
        ((kind, event),) = world.decided.events
        assert kind == "decision" and event["client"] == "ours-shop" and event["who"] == f"client:ours-shop/{keys.ours_client[:12]}"
        assert (await decide(world, keys.ours_client)).status == 409  # decided already

    runner.run(steps())
