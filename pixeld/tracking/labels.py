"""What a partner writes on its clicks and impressions."""

from __future__ import annotations

from pixeld.domain.events import CLICK, LABELS, SUB_IDS
from pixeld.tracking.query import form_text

MAX_SUB_ID, MAX_PARTNER_CLICK_ID, MAX_CREATIVE = 500, 256, 64


def labels(values: dict[str, str], plain: bool) -> tuple[str, ...]:
    """What a partner may write on a click or an impression, in the columns' order, cut to the lengths of the contract: an
    over-long label is no reason to lose it.
    """
    if not values:
        return NO_LABELS
    if not plain:
        values = {name: form_text(values[name]) for name in _NAMES if name in values}
    get = values.get
    s1, s2, s3, s4, s5 = get("s1", ""), get("s2", ""), get("s3", ""), get("s4", ""), get("s5", "")
    return (
        s1[:MAX_SUB_ID],
        s2[:MAX_SUB_ID],
        s3[:MAX_SUB_ID],
        s4[:MAX_SUB_ID],
        s5[:MAX_SUB_ID],
        get("cid", "")[:MAX_PARTNER_CLICK_ID],
        get("cr", "")[:MAX_CREATIVE],
    )


_NAMES = (*SUB_IDS, "cid", "cr")
#: What stands there when there are none.
NO_LABELS = ("",) * len(_NAMES)

assert CLICK.columns[7:14] == LABELS  # labels() writes them in this order
