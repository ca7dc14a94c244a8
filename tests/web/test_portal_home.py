"""The home page: what it says, to whom, and what it says of a change of the policy."""

from tests import portal
from tests.portal import PARTNER


def links(page):
    return {link.get("href") for link in page.all("a")}


async def test_it_leads_in(browser):
    page = await browser().get("/")
    assert page.status == 200 and {"/portal/register", "/portal/login", "/privacy"} <= links(page)
    assert not page.cookies  # there is no form on it, and nobody has asked for anything
    assert "For partners" in page.text and "For shops" in page.text


async def test_who_has_logged_in_comes_to_their_pages(made, browser):
    await portal.people(made)
    page = await (await browser().log_in(PARTNER)).get("/")
    assert "/portal/" in links(page) and "/portal/login" not in links(page)


async def test_it_announces_the_newest_change_of_the_policy(made, browser):
    assert "policy has changed" not in (await browser().get("/")).text
    await made.policies.post("Orders are kept <400 days>", False, "", "admin")
    await made.policies.post("And clicks, too", False, "", "admin")
    page = await browser().get("/")
    assert "policy has changed" in page.text and "And clicks, too" in page.text and "Version 3" in page.text
    assert "Orders are kept" not in page.text


async def test_a_session_that_is_over_is_nobodys(made, browser, clock):
    await portal.people(made)
    someone = await browser().log_in(PARTNER)
    clock.forward(13 * 3600)
    assert "/portal/login" in links(await someone.get("/"))
