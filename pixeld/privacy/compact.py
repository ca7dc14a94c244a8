"""The compact policy: derived from the data map, linted, and judged as the browsers that read it would judge.

"REC" is the W3C Recommendation P3P1.0 of 16 April 2002. Internet Explorer's rule is told from what Microsoft
and the Fiddler proxy's privacy scanner say of it, Mozilla's from nsCompactPolicy.cpp and nsP3PService.cpp.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pixeld.errors import PolicyError
from pixeld.privacy import vocabulary as p3p
from pixeld.privacy.datamap import DataMap, Practice

POLICY_FILE_PATH = "/w3c/p3p.xml"


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of the Recommendation: the rule, the tokens or the group that break it, and a sentence."""

    code: str
    subject: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a browser takes the cookie, and the tokens that decided it if it doesn't."""

    accepted: bool
    tokens: tuple[str, ...] = ()
    sentence: str = ""


class Consent(StrEnum):
    """The classes that Mozilla's P3P mode sorts cookies into; its preferences say what becomes of each."""

    NO_POLICY = "no_policy"
    INVALID = "invalid"
    NO_CONSENT = "no_consent"
    IMPLICIT = "implicit"
    EXPLICIT = "explicit"
    NON_PII = "non_pii"


def compact_policy(data_map: DataMap) -> str:
    """The tokens of REC 4.2: access, disputes, remedies, NID, purposes, recipients, retention, categories.

    Inside a group the order is the vocabulary's; of one practice, bare before opt-in before opt-out. All
    statements are joined, and every token that holds for one of them is told (REC 4.5), also one practice
    with different consent.
    """
    statements = data_map.statements
    anonymous = all(statement.non_identifiable for statement in statements)
    remedies = {remedy for dispute in data_map.disputes for remedy in dispute.remedies}
    purposes = {purpose for statement in statements for purpose in statement.purposes}
    recipients = {recipient for statement in statements for recipient in statement.recipients}
    retentions = {statement.retention for statement in statements}
    categories = {name for statement in statements for item in statement.data for name in item.categories}
    return " ".join([
        p3p.ACCESS[data_map.access].token,
        *([p3p.DISPUTES_TOKEN] if data_map.disputes else []),
        *_tokens(p3p.REMEDIES, remedies),
        *([p3p.NON_IDENTIFIABLE_TOKEN] if anonymous else []),
        *_practice_tokens(p3p.PURPOSES, purposes),
        *_practice_tokens(p3p.RECIPIENTS, recipients),
        *_tokens(p3p.RETENTIONS, retentions),
        *_tokens(p3p.CATEGORIES, categories),
    ])


def _tokens(terms: Mapping[str, p3p.Term], names: Collection[str]) -> list[str]:
    return [term.token for name, term in terms.items() if name in names]


def _practice_tokens(terms: Mapping[str, p3p.Term], practices: Collection[Practice]) -> list[str]:
    return [
        term.token + suffix
        for name, term in terms.items()
        for required, suffix in p3p.REQUIRED.items()
        if Practice(name, required) in practices
    ]


def header(compact: str, public_url: str | None = None) -> str:
    """The value of the one P3P header: both directives, separated by the comma that REC 2.2.2 asks for.

    `policyref` is absolute where the server's public address is known. Raises PolicyError for what would
    break out of the quotes or out of the header.
    """
    policyref = f"{(public_url or '').rstrip('/')}{POLICY_FILE_PATH}"
    for value in (policyref, compact):
        if not (value.isascii() and value.isprintable()) or '"' in value:
            raise PolicyError(f"{value!r} cannot stand in a P3P header. Use printable ASCII without quotes.")
    return f'policyref="{policyref}", CP="{compact}"'


def _all_tokens(terms: Mapping[str, p3p.Term]) -> tuple[str, ...]:
    return tuple(term.token for term in terms.values())


# The groups of which a policy needs at least one token.
_GROUPS = {
    "ACCESS": _all_tokens(p3p.ACCESS),
    "PURPOSE": _all_tokens(p3p.PURPOSES),
    "RECIPIENT": _all_tokens(p3p.RECIPIENTS),
    "RETENTION": _all_tokens(p3p.RETENTIONS),
    "CATEGORIES": _all_tokens(p3p.CATEGORIES),
}
_REMEDIES = _all_tokens(p3p.REMEDIES)
_FLAGS = frozenset({p3p.DISPUTES_TOKEN, p3p.NON_IDENTIFIABLE_TOKEN, p3p.TEST_TOKEN})
_KNOWN = _FLAGS.union(_REMEDIES, *_GROUPS.values())
_WITH_SUFFIX = frozenset((*_GROUPS["PURPOSE"], *_GROUPS["RECIPIENT"])) - {"CUR", "OUR"}
_IDENTIFIED = frozenset(p3p.CATEGORIES[name].token for name in p3p.IDENTIFIED_CATEGORIES)


def lint(cp: str) -> list[Finding]:
    """Every breach of REC 4.1 and 4.2, and claims that cannot all be true. Only a space parts two tokens."""
    tokens = [token for token in cp.split(" ") if token]
    present = {token[:3] for token in tokens}
    anonymous = p3p.NON_IDENTIFIABLE_TOKEN in present
    findings = [*_malformed(tokens)]

    def find(code: str, subjects: Collection[str], sentence: str) -> None:
        findings.append(Finding(code, " ".join(subjects), sentence))

    for group, known in _GROUPS.items():
        said = _found(tokens, known)
        # REC 3.3: a non-identifiable statement may leave out all but the policy's own ACCESS.
        if not said and (group == "ACCESS" or not anonymous):
            find("missing", [group], f"No token of this group. Add one of {', '.join(known)}.")
        if group == "ACCESS" and len({token[:3] for token in said}) > 1:
            find("several-access", said, "One policy grants one kind of access. Keep one.")
    if (remedies := _found(tokens, _REMEDIES)) and p3p.DISPUTES_TOKEN not in present:
        find("remedies-without-disputes", remedies, "A remedy needs a dispute procedure. Add DSP or drop it.")
    if anonymous and (named := _found(tokens, _IDENTIFIED | {"UNI"})):
        find("nid-identifying", ["NID", *named], "NID claims anonymity. Drop it or what tells people apart.")
    if "NOI" in present and (named := _found(tokens, _IDENTIFIED)):
        find("noi-identified", ["NOI", *named], "NOI claims that nothing identified is kept. Drop one.")
    if p3p.TEST_TOKEN in present:
        find("test", [p3p.TEST_TOKEN], "It voids the whole policy (REC 3.2.3). Take it out.")
    return findings


def _malformed(tokens: Iterable[str]) -> Iterable[Finding]:
    for token in tokens:
        stem, suffix = token[:3], token[3:]
        if stem not in _KNOWN:
            yield Finding("unknown", token, "P3P has no such token; case counts. Correct it or drop it.")
        elif suffix and (suffix not in ("a", "i", "o") or stem not in _WITH_SUFFIX):
            yield Finding("suffix", token, f"{stem} takes no suffix {suffix!r}. Write {stem}.")


def _found(tokens: Iterable[str], wanted: Collection[str]) -> list[str]:
    return [token for token in tokens if token[:3] in wanted]


# A use that Internet Explorer restricts when it concerns identified data, unless it may be declined.
_IE_USES = frozenset({"SAM", "OTR", "UNR", "PUB", "IVA", "IVD", "CON", "TEL", "OTP"})


def ie6_medium(cp: str) -> Acceptance:
    """Internet Explorer 6 to 11 at its default, Medium, for a third-party cookie.

    Refused are no policy, a test policy, and identified data with a use that one cannot decline. Nothing else
    is: a token that it does not know passes, as Google's and Facebook's sentences in place of a policy did.
    """
    tokens = cp.split()
    if not tokens:
        return Acceptance(False, (), "Internet Explorer refuses a third-party cookie without a compact policy.")
    if p3p.TEST_TOKEN in {token[:3] for token in tokens}:
        return Acceptance(False, (p3p.TEST_TOKEN,), "TST: Internet Explorer takes a test policy for none.")
    identified = [token for token in tokens if token in _IDENTIFIED]
    uses = [token for token in tokens if token[:3] in _IE_USES and token[3:] in ("", "a")]
    if not (identified and uses):
        return Acceptance(True)
    blame = (*identified, *uses)
    return Acceptance(False, blame, f"{' '.join(blame)}: Internet Explorer at Medium refuses identified data "
                   "with a use that one cannot decline. Make the use opt-in or opt-out, or drop one of them.")


# Mozilla is stricter: an identifier counts as identified data, and delivery as a use. It lacks LOC, but has
# CUS of the drafts before the Recommendation.
_MOZILLA_CATEGORIES = _IDENTIFIED | {"UNI"}
_MOZILLA_USES = _IE_USES | {"DEL"}
_MOZILLA_KNOWN = _KNOWN - {"LOC", "TST"} | {"CUS"}


def mozilla(cp: str) -> Consent:
    """Mozilla's class for a cookie with this policy, in its P3P mode: the worst class that any token has."""
    tokens = cp.split()
    if any(not 3 <= len(token) <= 4 or token[:3] not in _MOZILLA_KNOWN for token in tokens):
        return Consent.INVALID
    classes = {_mozilla_class(token) for token in tokens}
    order = (Consent.NO_CONSENT, Consent.IMPLICIT, Consent.EXPLICIT, Consent.NON_PII)
    return next((consent for consent in order if consent in classes), Consent.NO_POLICY)


def _mozilla_class(token: str) -> Consent:
    stem, suffix = token[:3], token[3:]
    if stem in _MOZILLA_CATEGORIES:
        return Consent.NO_CONSENT
    if stem in _MOZILLA_USES:
        return {"o": Consent.IMPLICIT, "i": Consent.EXPLICIT}.get(suffix, Consent.NO_CONSENT)
    return Consent.NON_PII
