"""Firefox by WebDriver BiDi, which it speaks itself: Debian has no driver for it. https://w3c.github.io/webdriver-bidi/"""

import asyncio
import json
import os
import re
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import ClientSession

START_S, PAGE_S = 180, 60
PREFERENCES = {
    "network.proxy.type": 1,
    "remote.prefs.recommended": False,  # a person's browser has none of those either
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
}


class Session:
    """One window. A command that fails raises AssertionError with what the browser says."""

    def __init__(self, socket):
        self._socket, self._number = socket, 0
        self.version = self._window = None

    async def begin(self):
        new = await self.command("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        self.version = new["capabilities"]["browserVersion"]
        self._window = (await self.command("browsingContext.getTree"))["contexts"][0]["context"]

    async def command(self, method, **params):
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while (said := await self._socket.receive_json()).get("id") != self._number:
            pass  # an event
        assert said["type"] == "success", f"{method}: {said}"
        return said["result"]

    async def open(self, url):
        async with asyncio.timeout(PAGE_S):
            await self.command("browsingContext.navigate", context=self._window, url=url, wait="complete")

    async def click(self, element_id, arriving):
        """As a person does, by mouse; until a page whose address begins with `arriving` has loaded."""
        locator = {"type": "css", "value": f"#{element_id}"}
        (node,) = (await self.command("browsingContext.locateNodes", context=self._window, locator=locator))["nodes"]
        there = {"type": "element", "element": {"sharedId": node["sharedId"]}}
        mouse = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": there},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        actions = [{"type": "pointer", "id": "mouse", "actions": mouse}]
        await self.command("input.performActions", context=self._window, actions=actions)
        async with asyncio.timeout(PAGE_S):
            while not await self._loaded(arriving):
                await asyncio.sleep(0.05)

    async def _loaded(self, address):
        target = {"context": self._window}
        asked = {"expression": "document.readyState + ' ' + location.href", "target": target, "awaitPromise": False}
        try:
            said = await self.command("script.evaluate", **asked)
        except AssertionError:  # one page has gone, and the next not come
            return False
        return said["result"]["value"].startswith(f"complete {address}")


@asynccontextmanager
async def firefox(program, directory, proxy):
    """A Firefox with a profile of its own in `directory`, behind the proxy `host:port`."""
    _write_profile(directory, proxy)
    child = await asyncio.create_subprocess_exec(
        program, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", str(directory), "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env={**os.environ, "HOME": str(directory)},
    )  # fmt: skip
    reading = None
    try:
        async with asyncio.timeout(START_S):
            address = await _address(child.stderr)
        reading = asyncio.create_task(child.stderr.read())  # so that it never waits for a reader
        async with ClientSession() as http, http.ws_connect(f"{address}/session", max_msg_size=0) as socket:
            session = Session(socket)
            await session.begin()
            yield session
            await session.command("browser.close")
    finally:
        with suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
        if reading:
            await reading


def _write_profile(directory, proxy):
    host, _, port = proxy.partition(":")
    preferences = dict(PREFERENCES)
    for kind in ("http", "ssl"):
        preferences |= {f"network.proxy.{kind}": host, f"network.proxy.{kind}_port": int(port)}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    Path(directory, "user.js").write_text("\n".join(lines))


async def _address(lines):
    said = b""
    while line := await lines.readline():
        said += line
        if found := re.search(rb"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1].decode()
    raise AssertionError(f"Firefox did not start: {said.decode(errors='replace')[-1000:]}")
