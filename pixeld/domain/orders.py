"""The life of an order: pending, then approved or rejected by a person, or approved by itself once it is locked."""

from __future__ import annotations

from enum import StrEnum

from pixeld.errors import BadInput, Conflict

MAX_ID, MAX_COUPON, MAX_REASON = 128, 64, 500  #: characters of an order's id, its coupon, and why it was decided so


class OrderStatus(StrEnum):
    """What an order has come to. Its commission is owed when it is approved, none is when it is rejected."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


def order_status(decided: str, locks_at: int, now_s: int) -> OrderStatus:
    """The status of an order at `now_s`. `decided` is what somebody decided, or empty; `locks_at` is when nobody can any
    more (seconds since 1970; 0 for never).
    """
    if decided:
        return OrderStatus(decided)
    return OrderStatus.APPROVED if 0 < locks_at <= now_s else OrderStatus.PENDING


def check_decision(status: object, reason: object) -> tuple[OrderStatus, str]:
    """What somebody wants to decide, as (status, reason). BadInput names what breaks a rule."""
    if not isinstance(status, str) or status not in (OrderStatus.APPROVED, OrderStatus.REJECTED):
        raise BadInput("status must be approved or rejected", "status")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
        raise BadInput(f"reason must be at most {MAX_REASON} printable characters, on one line", "reason")
    if status == OrderStatus.REJECTED and not reason.strip():
        raise BadInput("reason is missing: the partner is told why an order is rejected", "reason")
    return OrderStatus(status), reason.strip()


def check_pending(status: OrderStatus, seen: object, decided: bool) -> None:
    """Conflict when an order can't be decided about, or isn't what its decider has seen (`seen`, a status)."""
    if seen not in tuple(OrderStatus):
        raise BadInput(f"seen must be the status that you saw: one of {', '.join(OrderStatus)}", "seen")
    if status is not OrderStatus.PENDING:
        why = "somebody has decided so" if decided else "it is locked, and was approved by that"
        raise Conflict(f"the order is {status} already: {why}; nothing was changed")
    if seen != status:
        raise Conflict(f"the order is {status}, and you saw it {seen}; nothing was changed")
