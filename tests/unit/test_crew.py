"""The crew's part of the visitors' salts: told in time for midnight, and no oftener than they change."""

from pixeld.metrics import Metrics
from pixeld.parts.crew import Crew
from pixeld.settings import Settings
from pixeld.tracking.audience import DAY_MS, Visitors
from tests.conftest import FrozenClock


class Heard:
    """A channel's office end; what it told."""

    def __init__(self):
        self.salts = []

    def tell(self, what, *, salts):
        assert what == "salts"
        self.salts.append(salts)


def test_a_worker_has_the_salt_of_the_next_day_before_midnight_and_loses_yesterdays_after_it():
    clock, random = FrozenClock(10 * DAY_MS), iter(range(1, 100))
    visitors = Visitors(lambda n: next(random).to_bytes(n))
    crew = Crew(Settings(workers=1), "a test", None, None, Metrics(), visitors, clock)
    (worker,), channel = crew.workers, Heard()
    worker._channel = channel
    for hours in (0, 1, 22.9):
        clock.forward(hours * 3600)
        worker.hand_out(crew.salts())
    assert [list(salts) for salts in channel.salts] == [["10", "11"]]
    clock.forward(3600)
    worker.hand_out(crew.salts())
    before, after = channel.salts
    assert list(after) == ["11", "12"] and after["11"] == before["11"] != after["12"]
