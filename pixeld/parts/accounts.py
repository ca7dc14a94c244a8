"""Accounts: their services over Redis and the data directory, and the outbox, which delivers for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from pixeld.accounts.parties import Parties, open_parties
from pixeld.accounts.passwords import Passwords
from pixeld.accounts.post import Smtp
from pixeld.accounts.vault import Vault, new_secret
from pixeld.datadir import DataDir
from pixeld.domain.ports import Registry
from pixeld.errors import SettingsError
from pixeld.settings import Settings
from pixeld.storage.records import RedisRecords
from pixeld.storage.redis import RedisClient
from pixeld.tasks import Tasks


def open_accounts(
    stack: AsyncExitStack,
    tasks: Tasks,
    settings: Settings,
    data: DataDir,
    redis: RedisClient,
    registry: Registry,
    clock: Callable[[], int],
) -> Parties:
    """The services; they end with `stack`. SettingsError when vault_keys, or the directory's own, can't be used."""
    passwords = Passwords()
    stack.callback(passwords.close)
    try:
        vault = Vault(settings.vault_keys or data.vault_keys(new_secret))
    except ValueError as error:
        raise SettingsError(f"vault_keys cannot be used: {error}") from None

    async def renew() -> str | None:
        """A new key, where keys are the directory's own; where they are a setting, the operator has put a new one first."""
        return None if settings.vault_keys else await asyncio.to_thread(data.renew_vault_keys, new_secret)

    post = Smtp(settings.smtp_url, settings.mail_from).send if settings.smtp_url else None
    parties = open_parties(
        RedisRecords(redis, clock), registry, vault, passwords, clock, url=settings.tracker_url, post=post, renew=renew
    )
    tasks.start("outbox", parties.outbox.run())
    tasks.start("policies", parties.policies.run())
    return parties
