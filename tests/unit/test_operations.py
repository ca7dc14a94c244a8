"""What an operator is told when a flush does not come to its end in time: whose fault that is."""

import asyncio
from types import SimpleNamespace

import pytest

from pixeld import operations
from pixeld.errors import Unavailable
from pixeld.operations import ServerOperations


class Silent:
    """A node that never ships."""

    def __init__(self, name, state):
        self.name, self._state = name, state

    async def shipped(self):
        await asyncio.Event().wait()

    def state(self):
        return self._state


@pytest.mark.parametrize(
    ("problem", "state", "why"),
    [
        pytest.param("no route to host", {"ok": False, "reason": "it hangs"}, "(no route to host)", id="ClickHouse first"),
        pytest.param(None, {"ok": False, "reason": "it hangs"}, "(worker 0: it hangs)", id="a worker that isn't well"),
        pytest.param(None, {"ok": True}, "(there is more than can be flushed", id="workers that are well"),
        pytest.param(None, None, "(there is more than can be flushed", id="no workers"),
    ],
)
async def test_a_flush_that_is_late_says_why(monkeypatch, problem, state, why):
    monkeypatch.setattr(operations, "_FLUSH_S", 0.01)
    flusher = SimpleNamespace(events=0, problem=problem)
    parts = dict.fromkeys(("redis", "redis_replicas", "watch", "spill_bytes", "warehouse", "registry", "clock"))
    server = ServerOperations(**parts, nodes=[Silent("worker 0", state)], flushers={"a node": flusher})
    with pytest.raises(Unavailable) as error:
        await server.flush()
    assert why in str(error.value)
