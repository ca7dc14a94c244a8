"""Every key that pixeld keeps in Redis. The braces are Redis Cluster's hash tags: one script touches one slot only."""

from __future__ import annotations

STREAMS = "pixeld:streams"  # set of the nodes that ever had a queue, so that a lost node's queue is found and flushed

CLIENTS = "pixeld:{registry}:clients"  # hash: client id → JSON
PARTNERS = "pixeld:{registry}:partners"  # hash: partner id → JSON
MEMBERS = "pixeld:{registry}:members"  # hash: client/partner → status, or JSON with terms of its own
VERSION = "pixeld:{registry}:version"  # grows with every change
AUDIT = "pixeld:{registry}:audit"  # stream: who, when, what, before, after


def decision(client: str, order: str) -> str:
    """Who is deciding about an order (a token), then what was decided; expires by itself."""
    return f"pixeld:{{orders}}:decision:{client}/{order}"


def release(day: str) -> str:
    """Who is making the release of a day's audience (a token); expires by itself."""
    return f"pixeld:{{audience}}:release:{day}"


def queue(node: str) -> str:
    """Stream of chunks, oldest first."""
    return f"pixeld:{{{node}}}:queue"


def lease(node: str) -> str:
    """`fence owner` of the flusher that owns the stream; expires by itself."""
    return f"pixeld:{{{node}}}:lease"


def fence(node: str) -> str:
    """The newest lease's fencing token; it only grows."""
    return f"pixeld:{{{node}}}:fence"


def manifest(node: str) -> str:
    """Hash: the newest batch, open or done."""
    return f"pixeld:{{{node}}}:manifest"


def repeated(node: str) -> str:
    """The newest chunk that came again after it had been stored: a write to wait for, never read."""
    return f"pixeld:{{{node}}}:repeated"


def dead(node: str) -> str:
    """Dead-letter stream: what ClickHouse would never take."""
    return f"pixeld:{{{node}}}:dead"


def record(kind: str, id: str) -> str:
    """Hash: one record of accounts, or one of their counters."""
    return f"pixeld:{{accounts}}:{kind}:{id}"


def records(kind: str) -> str:
    """Sorted set: the ids of a kind's records, by when they end."""
    return f"pixeld:{{accounts}}:{kind}"
