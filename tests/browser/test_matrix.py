"""Each way to carry a referral, in browsers of three engines as they come: what is told of it is what happens."""

import shutil

import pytest
import pytest_asyncio

from tests.browser import matrix, sites
from tests.browser.engines import PROGRAMS, mini_browser
from tests.conftest import require

pytestmark = pytest.mark.browser
ANEW = "run `python -m tests.browser.matrix`, look at what has changed, and commit it"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def places(tmp_path_factory):
    require(all(map(shutil.which, PROGRAMS)) and mini_browser(), "one of Chromium, Firefox, WebKitGTK, their drivers and Xvfb")
    async with sites.running(tmp_path_factory.mktemp("sites")) as running:
        yield running


@pytest.mark.filterwarnings("ignore:setting remote_server_addr:DeprecationWarning")  # Selenium's own class for WebKitGTK does
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("browser", matrix.BROWSERS)
async def test_the_table_says_what_a_browser_does(places, browser, tmp_path):
    async with matrix.BROWSERS[browser](places.proxy, tmp_path) as driven:
        seen = await matrix.tried(places, driven, list(matrix.BROWSERS).index(browser))
    told = [line for line in matrix.told(matrix.PAGES[0]) if line.startswith(f"| {browser} |")]
    assert told == [matrix.row(browser, seen)], ANEW


def test_both_pages_have_every_browser_and_the_same_table():
    tables = [matrix.told(page) for page in matrix.PAGES]
    assert tables[0] == tables[1], ANEW
    assert [line.split(" | ")[0].removeprefix("| ") for line in tables[0]] == list(matrix.BROWSERS), ANEW
