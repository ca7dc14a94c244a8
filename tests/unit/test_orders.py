"""The life of an order: what becomes of it, and who may still decide."""

import pytest

from pixeld.domain.orders import MAX_REASON, OrderStatus, check_decision, check_pending, order_status
from pixeld.errors import BadInput, Conflict

NOW_S = 1_800_000_000
PENDING, APPROVED, REJECTED = OrderStatus


@pytest.mark.parametrize(
    ("decided", "locks_at", "status"),
    [
        pytest.param("", NOW_S + 1, PENDING, id="nobody decided, not locked yet"),
        pytest.param("", NOW_S, APPROVED, id="approved by itself in the second in which it is locked"),
        pytest.param("", 0, PENDING, id="never locked"),
        pytest.param("rejected", NOW_S + 1, REJECTED, id="rejected"),
        pytest.param("rejected", NOW_S - 1, REJECTED, id="a lock doesn't undo a rejection"),
        pytest.param("approved", 0, APPROVED, id="approved by somebody"),
    ],
)
def test_what_an_order_has_come_to(decided, locks_at, status):
    assert order_status(decided, locks_at, NOW_S) is status


@pytest.mark.parametrize(
    ("status", "reason", "field"),
    [
        pytest.param("pending", "", "status", id="back to pending"),
        pytest.param("paid", "", "status", id="no such status"),
        pytest.param(None, "", "status", id="no status"),
        pytest.param(["approved"], "", "status", id="status is a list"),
        pytest.param("rejected", "", "reason", id="rejected without a reason"),
        pytest.param("rejected", "  ", "reason", id="a reason of spaces"),
        pytest.param("rejected", "a\nb", "reason", id="a reason of two lines"),
        pytest.param("approved", None, "reason", id="reason is null"),
        pytest.param("approved", "x" * (MAX_REASON + 1), "reason", id="too long"),
    ],
)
def test_a_decision_that_breaks_a_rule_names_the_field(status, reason, field):
    with pytest.raises(BadInput) as told:
        check_decision(status, reason)
    assert told.value.field == field


def test_a_reason_is_needed_for_a_rejection_only():
    assert check_decision("approved", "") == (APPROVED, "")
    assert check_decision("rejected", " returned ") == (REJECTED, "returned")


@pytest.mark.parametrize(
    ("status", "seen", "decided", "message"),
    [
        pytest.param(APPROVED, "pending", True, "somebody has decided so", id="decided meanwhile"),
        pytest.param(REJECTED, "rejected", True, "somebody has decided so", id="a decision is for good"),
        pytest.param(APPROVED, "pending", False, "it is locked", id="locked meanwhile"),
        pytest.param(PENDING, "approved", False, "you saw it approved", id="saw what never was"),
    ],
)
def test_a_conflict_is_told(status, seen, decided, message):
    with pytest.raises(Conflict, match=message):
        check_pending(status, seen, decided)


def test_only_what_is_pending_and_was_seen_so_is_decided_about():
    check_pending(PENDING, "pending", False)
    with pytest.raises(BadInput):
        check_pending(PENDING, "perhaps", False)
