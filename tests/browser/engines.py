"""Browsers of three engines, each with the settings that it comes with, behind a proxy.

Each has `open(url)`, which returns when a page has loaded with its pictures, and `click(id, arriving)`, which returns when one
has whose address begins with `arriving`.
"""

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import bidi
from tests.browser.conftest import FLAGS
from tests.process import CHROME

PAGE_S = 60
PROGRAMS = ("chromium", "chromedriver", "firefox-esr", "WebKitWebDriver", "Xvfb")  # of Debian's packages


def mini_browser():
    """WebKitGTK's own small browser, which is nowhere on the path; None where it isn't installed."""
    return max(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), default=None)


class Driven:
    """A browser that a driver of its own drives."""

    def __init__(self, driver):
        self._driver = driver
        self.version = driver.capabilities["browserVersion"]

    async def open(self, url):
        await asyncio.to_thread(self._driver.get, url)

    async def click(self, element_id, arriving):
        await asyncio.to_thread(self._click, element_id, arriving)

    def _click(self, element_id, arriving):
        self._driver.find_element(By.ID, element_id).click()
        script = "return document.readyState === 'complete' && location.href.startsWith(arguments[0])"
        waiting = WebDriverWait(self._driver, PAGE_S, 0.05, [WebDriverException])  # between two pages any error may come
        waiting.until(lambda driver: driver.execute_script(script, arriving))


@asynccontextmanager
async def _driven(make, options, service):
    driver = await asyncio.to_thread(make, options, service)
    try:
        driver.set_page_load_timeout(PAGE_S)
        yield Driven(driver)
    finally:
        await asyncio.to_thread(driver.quit)


@asynccontextmanager
async def chromium(proxy, directory, **preferences):
    """Debian's Chromium; `preferences` are what a person has changed."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"user-data-dir={directory}", f"user-agent={CHROME}", f"proxy-server={proxy}"):
        options.add_argument(f"--{flag}")
    if preferences:
        options.add_experimental_option("prefs", preferences)
    async with _driven(webdriver.Chrome, options, webdriver.ChromeService(shutil.which("chromedriver"))) as driven:
        yield driven


@asynccontextmanager
async def firefox(proxy, directory):
    """Debian's Firefox."""
    async with bidi.firefox(shutil.which("firefox-esr"), directory, proxy) as session:
        yield session


@asynccontextmanager
async def webkit(proxy, directory, *, tracking_prevention=False):
    """Debian's WebKitGTK in its own small browser, which draws on a display only. Other browsers of this engine turn tracking
    prevention on.
    """
    async with _display() as display:
        options = webdriver.WebKitGTKOptions()
        options.binary_location = str(mini_browser())
        # Of its driver's own way to name a proxy nothing comes here.
        for argument in ("--automation", f"--proxy=http://{proxy}", *(["--enable-itp"] if tracking_prevention else [])):
            options.add_argument(argument)
        options.accept_insecure_certs = True
        home = {name: str(directory) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        service = webdriver.WebKitGTKService(shutil.which("WebKitWebDriver"), env=os.environ | home | {"DISPLAY": display})
        async with _driven(webdriver.WebKitGTK, options, service) as driven:
            yield driven


@asynccontextmanager
async def _display():
    read, write = os.pipe()
    child = await asyncio.create_subprocess_exec(
        shutil.which("Xvfb"), "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp",
        pass_fds=(write,), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as told:
            number = await asyncio.to_thread(told.readline)
        assert number, "Xvfb did not start"
        yield f":{number.strip()}"
    finally:
        child.terminate()
        await child.wait()
