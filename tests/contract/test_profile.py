"""The stages of an order that `bench profile` times are the product's own, on a real queue."""

from bench import pixeld, profile
from pixeld.domain.events import ORDER, ChunkId, decode
from pixeld.storage.redis_queue import RedisQueue


async def test_what_is_timed_is_credited_and_stored(redis):
    queue = RedisQueue(redis, "b" * 12)
    found = await profile.stages(queue, times=1)
    assert found.keys() == profile.STAGES.keys()
    assert all(us > 0 for stage, us in found.items() if stage != "carry")  # a difference, which a busy machine may spoil
    events = [event for _, data in await queue.read(ChunkId(0, 0), count=1000) for event in decode(data)]
    partner = ORDER.columns.index("partner")
    assert [(kind, values[partner]) for kind, values in events] == [(ORDER, pixeld.PARTNER)] * 2 * profile.ORDERS


def test_the_rest_is_what_no_stage_takes():
    found = dict.fromkeys(profile.STAGES, 1.0)
    parts = sum(not name.startswith("–") for name in profile.STAGES.values())
    said = profile.table(found, loop_us=6.0 + parts + 0.5, beside_us=1.2, sockets_us=6.0)
    assert "the rest | 0.5 |" in said and f"under load** | {6.5 + parts} |" in said
