"""The embedded engine on a disk that is full: an insert that stored nothing says so. Its streaming insert does not."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixeld.errors import WarehouseAway
from pixeld.storage.engines import open_warehouse
from tests.faults.system import ROOT, Disk, can_mount

ROWS = [(n,) for n in range(100)]


def test_an_insert_into_a_full_disk_fails_and_its_repeat_succeeds(tmp_path):
    if not can_mount(tmp_path):
        assert os.environ.get("REQUIRE_SERVICES") != "1", "this user may not mount the small disk that is to be filled"
        pytest.skip("this user may not mount a disk to fill")
    disk = Disk(tmp_path / "disk").mount(64)
    try:  # in a process of its own: an engine can have one data path only
        subprocess.run([sys.executable, "-m", __spec__.name, disk.path], cwd=ROOT, check=True, timeout=60)
    finally:
        disk.unmount()


async def _fill(disk):
    warehouse = open_warehouse(None, disk.path)
    await warehouse.command("CREATE TABLE t (visitor UInt64) ENGINE = MergeTree ORDER BY visitor")
    disk.fill()
    with pytest.raises(WarehouseAway, match="not enough space"):
        await warehouse.insert("t", ("visitor",), ROWS, "a-token")
    disk.free()
    await warehouse.insert("t", ("visitor",), ROWS, "a-token")
    assert await warehouse.query("SELECT count() AS n FROM t", {}) == [{"n": len(ROWS)}]
    await warehouse.close()


if __name__ == "__main__":
    asyncio.run(_fill(Disk(Path(sys.argv[1]))))
