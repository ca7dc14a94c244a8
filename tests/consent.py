"""docs/consent.md as data, and the IAB's strings written by other code than reads them."""

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "consent.md"


@dataclass(frozen=True)
class Row:
    """One line of a truth table."""

    query: str
    browser: str
    settings: dict
    client: dict
    country: str
    verdict: str
    why: str

    @property
    def headers(self):
        """What the browser sends, as (name, value)."""
        told = [("Cookie", self.browser)] if "=" in self.browser else [tuple(self.browser.split(": "))] if self.browser else []
        return dict(told)


def tables(header):
    """The lines of every table with these columns, as lists of cells without backticks."""
    lines = PAGE.read_text().splitlines()
    head = "| " + " | ".join(header) + " |"
    assert head in lines
    for at, line in enumerate(lines):
        if line == head:
            for row in lines[at + 2 :]:
                if not row.startswith("|"):
                    break
                yield [cell.strip().replace("`", "") for cell in row.strip("|").split("|")]


def rows():
    """Every row of the truth tables, with names of strings replaced by the strings."""
    strings = {name: text for name, text, _ in tables(("String", "Text", "What it says"))}
    for query, browser, settings, client, country, verdict, why in tables(
        ("Query", "Browser", "Settings", "Client", "Country", "Verdict", "Because")
    ):
        query = re.sub(r"\b(?:TC|GPP)_[A-Z0-9_]+", lambda found: strings[found[0]], query)
        mode, _, where = client.partition(" ")
        yield Row(
            query, browser, dict(setting.split(" = ") for setting in settings.split(", ")) if settings else {},
            {"consent": mode, "consent_where": where or "eea"}, "" if country == "unknown" else country, verdict, why,
        )  # fmt: skip


def base64url(bits):
    """Bits, as text of zeroes and ones, in the alphabet of URLs; filled up to whole characters."""
    whole = bits + "0" * (-len(bits) % 24)
    return urlsafe_b64encode(int(whole, 2).to_bytes(len(whole) // 8)).decode()[: -(-len(bits) // 6)]


def tc(purposes=(), vendors=(), ranges=None, version=2, interests=(), restrictions=()):
    """A TC string's core: consents to `purposes`, and to `vendors` or to `ranges` of them; legitimate interests; and what the
    publisher restricts: (purpose, kind, first vendor, last vendor).
    """
    most = max([*vendors, *(last for _, last in ranges or [])], default=0)
    head = f"{version:06b}" + "0" * 72 + f"{10:012b}" + "0" * 18 + f"{4:06b}{13:06b}" + f"{100:012b}{4:06b}" + "00" + "0" * 12
    assert len(head) == 152
    bits = head + "".join(str(int(n in purposes)) for n in range(1, 25)) + "0" * 24 + "0" + "0" * 12 + f"{most:016b}"
    if ranges is None:
        bits += "0" + "".join(str(int(n in vendors)) for n in range(1, most + 1))
    else:
        bits += f"1{len(ranges):012b}"
        for first, last in ranges:
            bits += f"0{first:016b}" if first == last else f"1{first:016b}{last:016b}"
    most = max(interests, default=0)
    bits += f"{most:016b}0" + "".join(str(int(n in interests)) for n in range(1, most + 1)) + f"{len(restrictions):012b}"
    for purpose, kind, first, last in restrictions:
        bits += f"{purpose:06b}{kind:02b}{1:012b}" + (f"0{first:016b}" if first == last else f"1{first:016b}{last:016b}")
    return base64url(bits)


def fibonacci(number):
    """A number of at least 1 in Fibonacci coding."""
    terms = [1, 2]
    while terms[-1] <= number:
        terms.append(terms[-1] + terms[-2])
    bits, rest = "", number
    for term in reversed(terms):
        bits = ("1" if term <= rest else "0") + bits
        rest -= term if term <= rest else 0
    return bits.rstrip("0") + "1"


def gpp(sections):
    """A GPP string of section id → body; runs of ids written as ranges."""
    ids, groups, bits, last = sorted(sections), [], "", 0
    for section in ids:
        if groups and groups[-1][1] == section - 1:
            groups[-1][1] = section
        else:
            groups.append([section, section])
    for first, final in groups:
        bits += ("1" if final > first else "0") + fibonacci(first - last) + (fibonacci(final - first) if final > first else "")
        last = final
    header = base64url(f"{3:06b}{1:06b}{len(groups):012b}" + bits)
    return "~".join([header, *(sections[section] for section in ids)])
