"""The embedded engine on a disk that fills: it stops in time, and an insert that stored nothing says so."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixeld.errors import WarehouseAway
from pixeld.storage import chdb
from pixeld.storage.engines import open_warehouse
from tests.faults.system import ROOT, Disk, can_mount

ROWS = [b"[%d]" % n for n in range(100)]


def test_an_insert_into_a_full_disk_fails_and_its_repeat_succeeds(tmp_path):
    if not can_mount(tmp_path):
        assert os.environ.get("REQUIRE_SERVICES") != "1", "this user may not mount the small disk that is to be filled"
        pytest.skip("this user may not mount a disk to fill")
    disk = Disk(tmp_path / "disk").mount(256)
    try:  # in a process of its own: an engine can have one data path only
        subprocess.run([sys.executable, "-m", __spec__.name, disk.path], cwd=ROOT, check=True, timeout=300)
    finally:
        disk.unmount()


async def _fill(disk):
    warehouse = open_warehouse(None, disk.path)
    await warehouse.command("CREATE TABLE t (visitor UInt64) ENGINE = MergeTree ORDER BY visitor")
    await warehouse.insert("t", ("visitor",), ROWS, "enough room")
    disk.fill(leave=chdb.SPARE_BYTES - (1 << 20))
    with pytest.raises(WarehouseAway, match="has 9. MiB left and an insert wants 100; make room"):
        await warehouse.insert("t", ("visitor",), ROWS, "a-token")
    disk.fill()
    chdb.SPARE_BYTES = 0
    with pytest.raises(WarehouseAway, match="not enough space"):  # its streaming insert would report success
        await warehouse.insert("t", ("visitor",), ROWS, "a-token")
    disk.free()
    await warehouse.insert("t", ("visitor",), ROWS, "a-token")
    assert await warehouse.query("SELECT count() AS n FROM t", {}) == [{"n": 2 * len(ROWS)}]
    await warehouse.close()


if __name__ == "__main__":
    asyncio.run(_fill(Disk(Path(sys.argv[1]))))
