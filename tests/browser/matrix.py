"""Which ways to carry a referral work in which browser: tried, and told in docs/attribution.md and the README.

    python -m tests.browser.matrix      # writes both tables anew
"""

import asyncio
import logging
import re
import tempfile
from functools import partial
from pathlib import Path
from urllib.parse import quote

from tests.browser.engines import chromium, firefox, webkit
from tests.browser.sites import BLOG, PARTNER, SHOP, TRACKER, WAYS, running

log = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "attribution.md", ROOT / "README.md")
BEGIN, END = "<!-- matrix -->\n", "<!-- /matrix -->"
BROWSERS = {
    "Chromium": chromium,
    "Chromium, other sites' cookies allowed": partial(chromium, **{"profile.cookie_controls_mode": 0}),
    "Firefox": firefox,
    "WebKitGTK": webkit,
    "WebKitGTK, tracking prevention on": partial(webkit, tracking_prevention=True),
}
_HEAD = ("Browser", "cookie of the link", "cookie of the landing beacon", "click id in the order pixel", "shop's own cookie")
_METHODS = {"redirect": "cookie", "landing": "cookie", "click": "click", "own": "click"}
_WORDS = {True: "credited", False: "–"}


async def tried(sites, browser, number):
    """For each way, whether its order was credited to the partner whose link the browser had followed. Orders begin with the
    browser's number.
    """
    found = {}
    for way in WAYS:
        order = f"{number}-{way}"
        landing = f"https://{SHOP}/{way}/landing"
        link = f"https://{TRACKER}/t/{way}/c/{PARTNER}?u={quote(f'{landing}?order={order}', safe='')}"
        # The cookie of the link would hide what the landing beacon's does.
        to = await sites.landing_url(link) if way == "landing" else link
        await browser.open(f"https://{BLOG}/?to={quote(to, safe='')}")
        await browser.click("link", landing)
        await browser.click("order", f"https://{SHOP}/{way}/thanks")
        partner, method = await sites.credit(way, order)
        assert (partner, method) in ((PARTNER, _METHODS[way]), (None, None)), f"{way}: {partner} by {method}"
        found[way] = partner == PARTNER
    return found


def row(name, found):
    """A browser's line of the table."""
    return _line(name, *(_WORDS[found[way]] for way in WAYS))


def _line(*cells):
    return f"| {' | '.join(cells)} |"


def told(page):
    """The lines of a page's table, without its head."""
    return re.findall(r"^\|.*\|$", page.read_text().partition(BEGIN)[2].partition(END)[0], re.M)[2:]


def write(rows):
    """Put the table into both pages."""
    table = "\n".join((_line(*_HEAD), _line(*("---" for _ in _HEAD)), *rows))
    for page in PAGES:
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        assert begin and end, f"{page} lacks the marks between which the table stands"
        page.write_text(f"{before}{begin}{table}\n{end}{after}")


async def seen(directory):
    """Every browser's line, from driving them one after the other; `directory` takes what they write."""
    rows = []
    async with running(directory) as sites:
        for number, (name, engine) in enumerate(BROWSERS.items()):
            async with engine(sites.proxy, tempfile.mkdtemp(dir=directory)) as browser:
                rows.append(row(name, await tried(sites, browser, number)))
                log.info("%s: %s", browser.version, rows[-1])
    return rows


def main():
    """Write both tables anew."""
    logging.basicConfig(level=logging.INFO)
    with tempfile.TemporaryDirectory() as directory:
        write(asyncio.run(seen(Path(directory))))


if __name__ == "__main__":
    main()
