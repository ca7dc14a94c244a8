"""Every rule of the wire contract, hot and cold, whole and byte by byte: the same bytes."""

import pytest

from tests.wire.corpus import DATE, GIF, RULES, get

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


@pytest.mark.parametrize("split", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
async def test_rule(rule, start, fast_path, split):
    world = await start(fast_path=fast_path, **({"snapshot": None} if "unread" in rule.world else {}))
    world.intake.full, world.intake.failing = "full" in rule.world, "fails" in rule.world
    peer = await world.peer()

    reply = await peer.ask(rule.raw, [1] * len(rule.raw) if split else None)

    assert reply.raw == rule.reply
    assert world.outcomes == {rule.outcome: 1}
    events = [{"kind": kind} | columns for kind, columns in world.intake.events]
    if rule.event is None:
        assert events == []
    else:
        assert len(events) == 1
        assert {name: events[0][name] for name in rule.event} == rule.event
