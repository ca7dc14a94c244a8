"""What hostile peers send changes nothing: not the next honest answer, not a log line, not what is held in memory."""

import re

import pytest

from tests.wire.hostile import ATTACKS
from tests.wire.peer import request

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

SPLIT_UP_TO = 30_000  # bytes: longer ones come in pieces of this size instead of one by one


async def everything(world, raw, pieces=None):
    """All that comes back for `raw` and a last request, which ends the connection if `raw` hasn't; dates taken out."""
    peer = await world.peer()
    await peer.send(raw, pieces)
    await peer.send(request("/t/last", "Connection: close"))
    return re.sub(rb"\r\nDate: [^\r]{29}\r\n", b"\r\n", await peer.rest())


async def honest(world):
    """Whether the very next visitor gets what every visitor gets."""
    reply = await (await world.peer()).ask(request("/t/acme/o.gif?order=honest&amount=1"))
    return reply.status == 200 and reply.headers["X-Pixeld"] == "ok"


def orders(world):
    return "".join(event["order_id"] for _, event in world.intake.events)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
async def test_attack(attack, start, caplog):
    said = {}
    for fast_path in (True, False):
        for bytewise in (False, True):
            statuses, stored = attack.bytewise if bytewise and attack.bytewise else (attack.statuses, attack.orders)
            world = await start(fast_path=fast_path)
            n = len(attack.raw)
            piece = n if not bytewise else 1 if n < SPLIT_UP_TO else SPLIT_UP_TO
            replies = await everything(world, attack.raw, [piece] * (n // piece + 1))
            assert tuple(int(status) for status in re.findall(rb"HTTP/\d\.\d (\d{3}) ", replies)) == statuses
            assert orders(world) == stored
            assert not re.search(rb"aiohttp|Python|Traceback|EVIL|secret", replies)
            assert await honest(world)
            said[fast_path, bytewise] = replies
    assert said[True, False] == said[False, False]
    assert said[True, True] == said[False, True]
    assert caplog.text == ""
