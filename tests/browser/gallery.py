"""Pictures of the portal's pages for docs/portal.md, taken where SCREENSHOTS is set, of those that have no error to show."""

import base64
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "portal"
WINDOWS = {"desktop": 440, "phone": 150}  # how wide each is shown
SCHEMES = ("light", "dark")
_TOKEN = re.compile(r"/[\w.-]{40,}")  # of a link that works once
_QUALITY = 30  # of WebP: text is still sharp, and a page takes some 20 KB


def wanted(path, window):
    """Whether a picture is to be kept."""
    return "SCREENSHOTS" in os.environ and window in WINDOWS and not path.endswith(("x", "nowhere"))


def keep(driver, path, window, scheme):
    """Take the page as it stands, whole, and write the page of all pictures anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = {"format": "webp", "quality": _QUALITY, "captureBeyondViewport": True}
    name = _TOKEN.sub("", path.partition("?")[0]).strip("/").replace("/", "-") or "home"
    picture = driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
    (FOLDER / f"{name}-{window}-{scheme}.webp").write_bytes(base64.b64decode(picture))
    pages = sorted({each.name.rsplit("-", 2)[0] for each in FOLDER.glob("*.webp")}, key=lambda page: (page != "home", page))
    (FOLDER.parent / "portal.md").write_text(
        "# The portal, page by page\n\nOn a desk and on a phone, light and dark, as tests/browser/test_portal.py sees them. Again:\n"
        "`SCREENSHOTS=1 make test ARGS='-k test_portal'`.\n" + "".join(f"\n## {page}\n\n{_row(page)}\n" for page in pages)
    )


def _row(page):
    return "\n".join(
        f'<img src="portal/{page}-{window}-{scheme}.webp" width="{width}" alt="{page}, {window}, {scheme}">'
        for window, width in WINDOWS.items()
        for scheme in SCHEMES
    )
