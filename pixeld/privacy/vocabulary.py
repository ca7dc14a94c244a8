"""The words of P3P 1.0: one row per word, holding its compact token and what it means in plain English.

Every other module of this package reads its names from here, so that the compact policy, the XML, the page
and the error messages cannot drift apart. Rows stand in the order of the W3C Recommendation P3P1.0 of 16
April 2002 (sections 3.2 to 3.4 for the elements, 4.2 for the tokens), and that is the order of all output.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Term(NamedTuple):
    """One word: its compact token and a phrase that a visitor understands."""

    token: str
    prose: str


def _terms(**rows: tuple[str, str]) -> Mapping[str, Term]:
    return MappingProxyType({name.replace("_", "-"): Term(*row) for name, row in rows.items()})


# Section 3.2.5. `nonident` claims that nothing identified is kept; the others say what one may look up.
ACCESS = _terms(
    nonident=("NOI", "Nothing is kept that says who somebody is, so there is nothing personal to look up."),
    all=("ALL", "You may look up everything that is kept about you."),
    contact_and_other=("CAO", "You may look up your contact details and certain other data kept about you."),
    ident_contact=("IDC", "You may look up the contact details kept about you."),
    other_ident=("OTI", "You may look up certain data kept about you, though not your contact details."),
    none=("NON", "There is no way to look up what is kept about you."),
)

DISPUTES_TOKEN = "DSP"
NON_IDENTIFIABLE_TOKEN = "NID"
TEST_TOKEN = "TST"

# Section 3.2.6: the values of resolution-type. They have no token of their own; any of them gives DSP.
RESOLUTIONS = MappingProxyType({
    "service": "Ask us",
    "independent": "Ask an independent organisation",
    "court": "Go to court",
    "law": "Rely on the law",
})

# Section 3.2.7.
REMEDIES = _terms(
    correct=("COR", "we put the mistake right"),
    money=("MON", "we pay compensation"),
    law=("LAW", "the law decides what you are due"),
)

# Section 3.3.4.
PURPOSES = _terms(
    current=("CUR", "to do what you asked for by following the link or placing the order"),
    admin=("ADM", "to run this server and keep it healthy"),
    develop=("DEV", "to improve the service"),
    tailoring=("TAI", "to adapt the page during this one visit"),
    pseudo_analysis=("PSA", "to count and compare without finding out who anybody is"),
    pseudo_decision=("PSD", "to adapt what is shown without finding out who anybody is"),
    individual_analysis=("IVA", "to study the habits of identified people"),
    individual_decision=("IVD", "to adapt what is shown to identified people"),
    contact=("CON", "to contact you, other than by telephone"),
    historical=("HIS", "to preserve a historical record"),
    telemarketing=("TEL", "to telephone you with offers"),
    other_purpose=("OTP", "for another purpose, described above"),
)

# Section 3.3.5.
RECIPIENTS = _terms(
    ours=("OUR", "us, those who act for us, and those for whom we act"),
    delivery=("DEL", "delivery services, which may use the data for purposes of their own"),
    same=("SAM", "organisations that follow the same practices as we do"),
    other_recipient=("OTR", "organisations that answer to us but follow practices of their own"),
    unrelated=("UNR", "organisations whose practices we do not know"),
    public=("PUB", "anybody: the data is published"),
)

# Section 3.3.6.
RETENTIONS = _terms(
    no_retention=("NOR", "Kept only while the request is answered."),
    stated_purpose=("STP", "Kept until the stated purpose is met, then deleted on a timetable."),
    legal_requirement=("LEG", "Kept as long as the law demands, then deleted on a timetable."),
    business_practices=("BUS", "Kept as long as our business needs it, then deleted on a timetable."),
    indefinitely=("IND", "Kept without a time limit."),
)

# Section 3.4. `location` came by erratum; Mozilla's list lacks it.
CATEGORIES = _terms(
    physical=("PHY", "physical contact details"),
    online=("ONL", "online contact details"),
    uniqueid=("UNI", "an identifier"),
    purchase=("PUR", "purchases"),
    financial=("FIN", "financial data"),
    computer=("COM", "the computer in use"),
    navigation=("NAV", "pages and links visited"),
    interactive=("INT", "what was typed or asked for"),
    demographic=("DEM", "age, sex, income and the like"),
    content=("CNT", "the words of messages"),
    state=("STA", "a cookie or the like"),
    political=("POL", "membership of groups"),
    health=("HEA", "health"),
    preference=("PRE", "likes and dislikes"),
    location=("LOC", "the present place"),
    government=("GOV", "identifiers issued by a government"),
    other_category=("OTC", "other data, as described"),
)

# Section 3.3.4: whether one can decline. `always` has the long form `a` too, which is never emitted.
REQUIRED = MappingProxyType({"always": "", "opt-in": "i", "opt-out": "o"})

# Section 4.2: these two take no `required`, since without them there would be no service.
ALWAYS_REQUIRED = frozenset({"current", "ours"})

# Data that says who somebody is (the categories that IE and the lint treat so), and uses that the
# Recommendation defines as uses of such data (3.3.4: "combine it with identified data", contacting,
# telephoning).
IDENTIFIED_CATEGORIES = frozenset({"physical", "online", "government", "financial"})
IDENTIFIED_PURPOSES = frozenset({"individual-analysis", "individual-decision", "contact", "telemarketing"})

# Sections 5.5 and 5.6: the elements of the base data schema that a tracking server can come to hold, each
# with the categories that the schema fixes. A set has those of all its members: #dynamic.clickstream is
# demographic because it includes the partial address. None are fixed for the last two, which can mean
# anything; the map must state them.
REFS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "#dynamic.clickstream": ("computer", "navigation", "demographic"),
    "#dynamic.clickstream.uri": ("navigation",),
    "#dynamic.clickstream.timestamp": ("navigation",),
    "#dynamic.clickstream.clientip": ("computer", "demographic"),
    "#dynamic.clickstream.other": ("navigation",),
    "#dynamic.http": ("computer", "navigation"),
    "#dynamic.http.referer": ("navigation",),
    "#dynamic.http.useragent": ("computer",),
    "#dynamic.clientevents": ("navigation",),
    "#dynamic.searchtext": ("interactive",),
    "#dynamic.interactionrecord": ("interactive",),
    "#user.name": ("physical", "demographic"),
    "#user.bdate": ("demographic",),
    "#user.login": ("uniqueid",),
    "#user.cert": ("uniqueid",),
    "#user.gender": ("demographic",),
    "#user.employer": ("demographic",),
    "#user.department": ("demographic",),
    "#user.jobtitle": ("demographic",),
    "#user.home-info": ("physical", "online", "demographic"),
    "#user.home-info.postal": ("physical", "demographic"),
    "#user.home-info.telecom": ("physical",),
    "#user.home-info.online": ("online",),
    "#user.business-info": ("physical", "online", "demographic"),
    "#user.business-info.postal": ("physical", "demographic"),
    "#user.business-info.telecom": ("physical",),
    "#user.business-info.online": ("online",),
    "#dynamic.cookies": (),
    "#dynamic.miscdata": (),
})

# On what ground something may be kept, in the words of the GDPR's article 6 (1), a to f. P3P has no word for it.
GROUNDS = MappingProxyType({
    "consent": "you agreed",
    "contract": "an agreement with you needs it",
    "legal-obligation": "the law demands it",
    "vital-interests": "somebody's life depends on it",
    "public-task": "it is in the public interest",
    "legitimate-interests": "those who run this have an interest in it that yours does not outweigh",
    "anonymous": "nobody is told by it, so that no ground is needed",
})
