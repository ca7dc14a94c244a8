"""Schemathesis against a running server: whatever the OpenAPI document allows is answered as it says, whatever it doesn't is
refused as it says. All of its checks, once with a client's key and once with a partner's.
"""

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pixeld.accounts.vault import new_secret
from pixeld.domain.reports import Scope
from tests.conftest import require
from tests.process import pixeld
from tests.tenants import api_key

EXAMPLES = 40  # of each operation, in each phase


async def schemathesis(url, key, cursor, cwd):
    """(exit code, what it printed)."""
    env = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.web.schemathesis_hooks", "PIXELD_CURSOR": cursor, "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "150",
    }  # fmt: skip
    # By one thread: CPython 3.11 parses source in several at once wrongly, which Hypothesis does.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/v1/openapi.json", "--checks", "all",
        "--header", f"Authorization: Bearer {key}", "--max-examples", str(EXAMPLES), "--no-color", "--continue-on-failure",
        cwd=cwd, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(400):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.slow
@pytest.mark.parametrize("role", ["client", "partner"])
async def test_the_api_is_what_its_document_says(tmp_path, redis, valkey, role):
    require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
    secret = new_secret()
    given = {"redis_url": valkey, "vault_keys": secret, "portal": "true", "api_per_s": "100000", "api_burst": "100000"}
    async with pixeld(tmp_path / "data", **given) as server:
        browser = server.browser()
        for number in range(4):
            await browser.get("/t/shop/c/blog?s1==1%2B1")
            assert (await browser.get(f"/t/shop/o.gif?order=A{number}&amount=10"))[1]["x-pixeld"] == "ok"
        await server.api("POST", "/api/flush")
        key = await api_key(redis, secret, Scope(role, "shop" if role == "client" else "blog"))
        _, page = await server.api("GET", "/api/reports/orders?limit=1")
        code, printed = await schemathesis(server.url, key, page["next"], tmp_path)
        assert code == 0, printed
        _, page = await server.api("GET", "/api/reports/orders")
        assert len(page["rows"]) == 4
