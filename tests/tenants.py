"""Keys of the tenants' API on a running server, made as the portal makes them."""

from pixeld.accounts.apikeys import ApiKeys
from pixeld.accounts.sealed import SealedRecords
from pixeld.accounts.vault import Vault
from pixeld.clock import now_ms
from pixeld.storage.records import RedisRecords
from pixeld.storage.registry import Registry


async def api_key(redis, vault_keys, scope):
    """The text of a new key for `scope`, for the server with this Redis and that `vault_keys`."""
    registry = Registry(redis, now_ms, changed=lambda _: None, keep=lambda _: None, kept=None)
    text, _ = await ApiKeys(SealedRecords(RedisRecords(redis, now_ms), Vault(vault_keys)), registry, now_ms).create(
        scope, "a test", "a test"
    )
    return text
