"""One world for each module: the embedded engine has one path a process at a time."""

import asyncio
from importlib.util import find_spec

import pytest

from tests.conftest import require
from tests.isolation.world import World


@pytest.fixture(scope="module")
def runner():
    """Of the event loop that a module's world lives in."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def world(runner, valkey, tmp_path_factory):
    require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
    world = runner.run(World(valkey, tmp_path_factory.mktemp("isolation")).open())
    yield world
    runner.run(world.close())
