"""What tests of accounts share: services over a real Valkey, a cheap hasher, and made-up people."""

import re
from types import SimpleNamespace

from argon2 import PasswordHasher

from pixeld.accounts.account import Role
from pixeld.accounts.parties import open_parties
from pixeld.accounts.passwords import Passwords
from pixeld.accounts.vault import Vault, new_secret
from pixeld.storage.records import RedisRecords
from pixeld.storage.registry import Registry

URL = "https://track.example"
PASSWORD = "correct horse battery"
OTHER_PASSWORD = "staple correct horse"
PEER = "192.0.2.7"
SHOP = {"id": "shop", "name": "Shop", "landing_url": "https://shop.example/"}
FORM = {
    "partner_id": "blog",
    "name": "Wilhelmina's Teapots",
    "contact_name": "Wilhelmina Quux",
    "email": "Wilhelmina@quux.example",
    "postal": "Hollow Lane 99\n12345 Nowhere",
    "site": "https://teapots.example/",
    "promotion": "A letter about teapots",
    "terms": "yes",
    "policy": "1",
}
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # 8 KiB: what it costs is looked at elsewhere


def services(redis, clock, *, keys=None, post=None, keep=lambda _: None, renew=None):
    """All services, as a server has them. The registry is not followed, but refreshed by every change."""
    vault = Vault(keys or new_secret())
    registry = Registry(redis, clock, changed=lambda _: None, keep=keep, kept=None)
    records, passwords = RedisRecords(redis, clock), Passwords(CHEAP)

    async def nothing():
        return None

    parties = open_parties(records, registry, vault, passwords, clock, url=URL, post=post, renew=renew or nothing)
    return SimpleNamespace(
        **{name: getattr(parties, name) for name in ("accounts", "sessions", "keys", "outbox", "policies", "rotate")},
        parties=parties, registry=registry, vault=vault, records=records, passwords=passwords, redis=redis, clock=clock,
    )  # fmt: skip


async def token(made):
    """The token in the newest mail; the next one is newer."""
    (mail,) = await made.outbox.list(1)
    made.clock.forward(0.001)
    return re.search(r"/portal/[\w-]+/(\S+)", mail.body)[1]


async def partner(made, *, password=PASSWORD, **changes):
    """A registered and confirmed partner's account."""
    await made.registry.refresh()
    await made.accounts.register(FORM | changes, PEER)
    return await made.accounts.confirm(await token(made), password)


async def client(made, email="clara@shop.example", subject="shop"):
    """An account of a client, by invitation."""
    await made.registry.refresh()
    if subject not in made.registry.snapshot.clients:
        await made.registry.add_client(SHOP | {"id": subject}, "admin")
    path = await made.accounts.invite(Role.CLIENT, subject, email, "admin")
    made.clock.forward(0.001)
    form = {"contact_name": "Clara", "email": email, "password": PASSWORD, "terms": "yes"}
    return await made.accounts.accept(path.rpartition("/")[2], form)


async def log_in(made, email=FORM["email"], password=PASSWORD, code="", address=PEER):
    return await made.accounts.log_in(email, password, code, address)
