"""Durations, counted in buckets of 1 %: what a million of them need is what ten do."""

from __future__ import annotations

from math import exp, log

_PER_E = 100  # buckets for each factor of e, so that one is 1 % wide
_SIZE = 2_200  # from 1 µs up to 50 minutes
_BAR = 50


class Histogram:
    """How long things took, in seconds. A percentile is at most 1 % too high; count and maximum are exact."""

    __slots__ = ("count", "counts", "max_s")

    def __init__(self) -> None:
        self.counts, self.count, self.max_s = [0] * _SIZE, 0, 0.0

    @classmethod
    def of(cls, counts: list[int]) -> Histogram:
        """One that has these counts, such as the difference of two; its maximum is no more exact than the rest."""
        found = cls()
        found.counts, found.count = counts, sum(counts)
        found.max_s = next((exp(i / _PER_E) / 1e6 for i in range(_SIZE - 1, -1, -1) if counts[i]), 0.0)
        return found

    def add(self, seconds: float) -> None:
        """One more. What is below a microsecond counts as one."""
        self.counts[min(int(log(seconds * 1e6) * _PER_E) + 1, _SIZE - 1) if seconds > 1e-6 else 0] += 1
        self.count += 1
        if seconds > self.max_s:
            self.max_s = seconds

    def percentile(self, percent: float) -> float:
        """Seconds that so many per cent of all don't exceed; 0 when there are none."""
        wanted, seen = self.count * percent / 100, 0
        for index, count in enumerate(self.counts):
            seen += count
            if seen >= wanted and count:
                return min(exp(index / _PER_E) / 1e6, self.max_s)
        return 0.0

    def text(self) -> str:
        """A line for each power of two: up to how many milliseconds, how many, a bar, and how many per cent so far."""
        rows: dict[int, int] = {}
        for index, count in enumerate(self.counts):
            if count:
                power = max(0, -int(-(index / _PER_E) // log(2)))
                rows[power] = rows.get(power, 0) + count
        lines, seen, most = [], 0, max(rows.values(), default=1)
        for power in range(min(rows, default=0), max(rows, default=-1) + 1):
            count = rows.get(power, 0)
            seen += count
            bar = "█" * round(count / most * _BAR) or ("▏" if count else "")
            lines.append(f"≤ {2**power / 1000:>12,.3f} ms {count:>11,} {seen / self.count:>9.3%} {bar}")
        return "\n".join(lines)
