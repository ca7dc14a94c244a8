"""Fixtures that every group may use: a real Valkey, a frozen clock."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.redis import connect

# An example that takes long says that the machine is busy, and nothing of what is tried.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
START_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC


class FrozenClock:
    """A clock that moves when it is told to."""

    def __init__(self, ms=START_MS):
        self.ms = ms

    def __call__(self):
        return self.ms

    def forward(self, seconds):
        self.ms += int(seconds * 1000)


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    """A Valkey of this run's own; its URL."""
    server = EmbeddedRedis(Path(tmp_path_factory.mktemp("valkey")))
    asyncio.run(server.start())
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture
async def redis(valkey):
    """A connection to an empty Valkey."""
    client = connect(valkey, 60.0)
    await client.execute_command("FLUSHALL", "SYNC")  # else Valkey frees it later, and who fills its memory reads too large a figure
    yield client
    await client.aclose()


def require(found, what):
    """Skip because of a missing service, or fail where none may be missing (`REQUIRE_SERVICES=1`)."""
    if not found:
        reason = f"{what} is not installed"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
