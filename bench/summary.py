"""What came of a load, for people."""

from __future__ import annotations

from bench.openloop import Outcome, Plan
from bench.visitors import KINDS

_LATE_S = 0.005  # later than that at p99, the generator is part of what was measured
_PERCENTILES = (50, 90, 99, 99.9)


def report(plan: Plan, outcome: Outcome) -> str:
    """The histogram, percentiles and replies, for people."""
    latency, lag = outcome.latency, outcome.lag
    achieved = outcome.sent / max(outcome.seconds, plan.duration_s)
    lines = [
        f"{outcome.sent:,} requests in {outcome.seconds:.1f} s on {plan.connections:,} connections: "
        f"{achieved:,.0f}/s of {plan.rate:,.0f}/s",
        f"not sent: {outcome.unsent:,}; sent and not answered: {outcome.lost:,}",
        "",
        "latency from when each request was due, in buckets of 1 %:",
        latency.text(),
        "",
    ]
    for name, found in (("latency", latency), ("sent late by", lag)):
        figures = [f"p{percent:g} {found.percentile(percent) * 1000:,.2f}" for percent in _PERCENTILES]
        lines.append(f"{name:<13}{'  '.join(figures)}  max {found.max_s * 1000:,.2f} ms")
    lines.append("")
    for (kind, status, said), count in sorted(outcome.replies.items()):
        lines.append(f"{count:>12,} {KINDS[kind]}: {status}, {f'X-Pixeld: {said}' if said else 'no X-Pixeld'}")
    return "\n".join(lines)


def lateness(outcome: Outcome) -> str:
    """What to say when the generator didn't keep its own schedule; empty when it did."""
    late = outcome.lag.percentile(99)
    if late <= _LATE_S:
        return ""
    return (
        f"this generator was late itself: 1 % of requests were sent more than {late * 1000:,.0f} ms after they were due. "
        "The latencies hold that, so that they say too much of the server. Give it a core of its own, or a lower --rate."
    )
