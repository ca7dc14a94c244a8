"""The admin API around accounts, on real services and a real Valkey."""

import pyotp
import pytest

from pixeld.web import admin, keys
from tests.accounts import PASSWORD, SHOP, URL, client, services

TOKEN = "the-admin-token"


@pytest.fixture
async def made(redis, clock):
    found = services(redis, clock)
    await found.registry.add_client(SHOP, "admin")
    yield found
    found.passwords.close()


@pytest.fixture
async def api(aiohttp_client, made):
    app = admin.application()
    app[keys.ADMIN_TOKEN], app[keys.TRACKER_URL], app[keys.PARTIES] = TOKEN, URL, made.parties
    return await aiohttp_client(app, headers={"Authorization": f"Bearer {TOKEN}"})


async def answer(response, status):
    assert response.status == status, await response.text()
    return await response.json()


async def test_an_invitation_is_mailed_shown_and_audited(api, made):
    body = {"role": "client", "subject": "shop", "email": "clara@shop.example"}
    invited = await answer(await api.post("/api/accounts/invitations", json=body), 201)
    assert invited["url"].startswith(f"{URL}/portal/welcome/nobody.")
    (mail,) = (await answer(await api.get("/api/mails"), 200))["mails"]
    assert (mail["to"], mail["state"]) == ("clara@shop.example", "kept") and "body" not in mail
    assert invited["url"] in (await answer(await api.get(f"/api/mails/{mail['id']}"), 200))["body"]
    assert (await made.registry.audit(1))[0]["who"] == "admin"


async def test_a_lost_authenticator_is_mailed_a_link(api, made):
    account = await client(made)
    said = await answer(await api.post(f"/api/accounts/{account.id}/end-two-factor"), 409)
    assert "no two-factor log-in" in said["detail"]
    secret, _ = await made.accounts.begin_totp(account, PASSWORD)
    await made.accounts.confirm_totp(account, pyotp.TOTP(secret).at(made.clock() // 1000))
    offered = await answer(await api.post(f"/api/accounts/{account.id}/end-two-factor"), 201)
    assert (await made.outbox.read(offered["mail"])).subject == "Turn two-factor log-in off"
    change = (await made.registry.audit(1))[0]
    assert (change["who"], change["what"]) == ("admin", f"accounts/{account.id}/totp/link")
    assert (await api.post("/api/accounts/nobody/end-two-factor")).status == 404


async def test_policies_are_posted_and_listed(api):
    body = {"summary": "A newsletter.", "changes_use": True, "question": "May we?"}
    assert (await answer(await api.post("/api/policies", json=body), 201))["number"] == 2
    assert [p["number"] for p in (await answer(await api.get("/api/policies"), 200))["policies"]] == [2, 1]


async def test_keys_are_rotated(api, made):
    assert await answer(await api.post("/api/vault/rotate"), 200) == {"records": 0, "key": made.vault.current, "unneeded": []}


@pytest.mark.parametrize(
    ("path", "body", "code", "field"),
    [
        pytest.param("/api/accounts/invitations", {"role": "king", "email": "a@x.example"}, "bad_input", "role", id="no role"),
        pytest.param("/api/accounts/invitations", {"role": "client", "mail": "a"}, "bad_input", "mail", id="unknown field"),
        pytest.param("/api/accounts/invitations", {"role": "operator", "email": 5}, "bad_input", "email", id="no text"),
        pytest.param("/api/accounts/invitations", {"role": "operator"}, "invalid_form", "email", id="no address"),
        pytest.param("/api/policies", {"summary": ""}, "invalid_form", "summary", id="no summary"),
        pytest.param("/api/policies", {"summary": "x", "changes_use": "yes"}, "bad_input", "changes_use", id="no switch"),
        pytest.param("/api/policies", [], "bad_input", None, id="no object"),
    ],
)
async def test_bad_input_is_named(api, path, body, code, field):
    said = await answer(await api.post(path, json=body), 400)
    assert (said["code"], said.get("field")) == (code, field)


@pytest.mark.parametrize(
    ("method", "path"), [(route.method, route.path.replace("{mail}", "m").replace("{account}", "a")) for route in admin.people.ROUTES], ids=str
)
async def test_every_route_needs_the_token_and_the_portal(api, aiohttp_client, method, path):
    assert (await api.request(method, path, headers={"Authorization": "Bearer other"})).status == 401
    app = admin.application()
    app[keys.ADMIN_TOKEN] = TOKEN
    without = await aiohttp_client(app, headers={"Authorization": f"Bearer {TOKEN}"})
    body = {"role": "operator", "email": "a@x.example"} if "invitations" in path else {}
    said = await answer(await without.request(method, path, json=body if method == "POST" else None), 404)
    assert "PIXELD_PORTAL" in said["detail"]
