"""GPP strings: a section that objects is never missed, nothing but ValueError is raised, and signals never raise at all."""

from urllib.parse import quote

from pixeld.domain.consent import Say
from pixeld.tracking import gpp, signals
from pixeld.tracking.audience import Browser
from tests import consent
from tests.fuzz import text

BROWSER = Browser.of("", "", ahead=False)
OPTED_OUT = consent.gpp({8: "BVYAAAAA"}), 8


def said(string, applicable, vendor=0):
    """What a string says; None for one that can't be read."""
    try:
        return gpp.says(string, applicable, vendor)
    except ValueError:
        return None


def check(data):
    """A string and a list of sections that are anything; the same bytes as bodies of sections beside one that objects."""
    place = (data or b"\0")[0] % 40
    string, ids = text(data[1:]), text(data[1:9])
    for each in (string, "DBAA~" + string, "DBAB" + string, consent.gpp({7: string.replace("~", "."), 8: "BVoAAAAA"})):
        everything, nothing = said(each, None), said(each, ())
        assert nothing in (None, Say.NOTHING)
        if everything is not None:
            found = gpp._contents(each.split("~")[0], each.count("~"))
            single = {section: said(each, [section]) for section in found}
            assert None not in single.values()
            assert (everything is Say.NO) == (Say.NO in single.values())
            assert found == sorted(set(found)) and all(section > 0 for section in found)
        assert said(each, [*range(-1, 40)]) is None  # there is no 0
    # Whatever stands beside it, an objection is one, or nothing can be read.
    beside = consent.gpp({8: OPTED_OUT[0].split("~")[1], 9 + place: string.replace("~", ".") or "A"})
    assert said(beside, [8]) is Say.NO
    assert said(beside, None) in (None, Say.NO)
    try:
        assert all(isinstance(section, int) and section != -1 for section in gpp.section_ids(ids))
    except ValueError:
        pass
    for query in (f"gpp={string}&gpp_sid={ids}", f"gpp={quote(string, errors='surrogateescape')}", f"gpp_sid={ids}", string):
        signals.read(query, string, BROWSER, honour_dnt=False, vendor=place)
