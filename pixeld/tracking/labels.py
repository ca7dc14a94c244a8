"""What a partner writes on its clicks and impressions."""

from __future__ import annotations

from collections.abc import Sequence

from pixeld.domain.events import CLICK, LABELS, SUB_IDS
from pixeld.tracking.query import form_text

MAX_SUB_ID, MAX_PARTNER_CLICK_ID, MAX_CREATIVE = 500, 256, 64


def labels(values: dict[str, str], plain: bool) -> Sequence[str]:
    """What a partner may write on a click or an impression, in the columns' order, cut to the lengths of the contract: an
    over-long label is no reason to lose it.
    """
    if not values:
        return NO_LABELS
    found = [*NO_LABELS]
    for name, value in values.items():
        if name in _PLACES:
            place, longest = _PLACES[name]
            found[place] = (value if plain else form_text(value))[:longest]
    return found


_LONGEST = dict.fromkeys(SUB_IDS, MAX_SUB_ID) | {"cid": MAX_PARTNER_CLICK_ID, "cr": MAX_CREATIVE}
_PLACES = {name: (place, longest) for place, (name, longest) in enumerate(_LONGEST.items())}
#: What stands there when there are none.
NO_LABELS = ("",) * len(_PLACES)

assert CLICK.columns[7:14] == LABELS  # labels() writes them in this order
