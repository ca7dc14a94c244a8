"""Accounts: their services over Redis and the data directory, and the outbox, which delivers for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

from pixeld.accounts.parties import Parties, open_parties
from pixeld.accounts.passwords import Passwords
from pixeld.accounts.post import Smtp
from pixeld.accounts.vault import Unopened, Vault, new_secret
from pixeld.datadir import DataDir
from pixeld.domain.ports import Registry
from pixeld.errors import QueueAway, SettingsError
from pixeld.settings import Settings
from pixeld.storage.records import RedisRecords
from pixeld.storage.redis import RedisClient
from pixeld.tasks import Tasks

log = logging.getLogger(__name__)


async def open_accounts(
    stack: AsyncExitStack,
    tasks: Tasks,
    settings: Settings,
    data: DataDir,
    redis: RedisClient,
    registry: Registry,
    clock: Callable[[], int],
) -> Parties | None:
    """The services; they end with `stack`. SettingsError when vault_keys can't be used, or aren't those under which the
    accounts in Redis lie.

    None, and an error in the log, when the directory's own keys aren't those: another server made the accounts. That this one
    hasn't been given the same keys must not keep it from counting orders.
    """
    passwords = Passwords()
    stack.callback(passwords.close)
    vault = open_vault(settings.vault_keys or data.vault_keys(new_secret))

    async def renew() -> str | None:
        """A new key, where keys are the directory's own; where they are a setting, the operator has put a new one first."""
        return None if settings.vault_keys else await asyncio.to_thread(data.renew_vault_keys, new_secret)

    post = Smtp(settings.smtp_url, settings.mail_from).send if settings.smtp_url else None
    parties = open_parties(
        RedisRecords(redis, clock), registry, vault, passwords, clock, url=settings.tracker_url, post=post, renew=renew
    )
    try:
        await parties.check()
    except Unopened:
        text = "the accounts in Redis lie under other keys than this server's; set vault_keys to the same on every server"
        if settings.vault_keys:
            raise SettingsError(text) from None
        log.error("no portal and no API for tenants here", extra={"reason": text})
        return None
    except QueueAway:
        log.warning("Redis is away; whether vault_keys are those of the accounts there is not known")
    tasks.start("outbox", parties.outbox.run())
    tasks.start("policies", parties.policies.run())
    return parties


def open_vault(text: str) -> Vault:
    """The vault under `vault_keys`. SettingsError when those can't be used."""
    try:
        return Vault(text)
    except ValueError as error:
        raise SettingsError(f"vault_keys cannot be used: {error}") from None


async def first_operator(parties: Parties, url: str) -> str | None:
    """Where the first operator makes an account; None while there is one, or while Redis is away."""
    try:
        path = await parties.accounts.first_link()
    except QueueAway:
        log.warning("Redis is away; ask for the first operator's link later: pixeld account first-link")
        return None
    return None if path is None else url + path
