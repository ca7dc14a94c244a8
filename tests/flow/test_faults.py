"""A short fault campaign: nothing that was answered is lost, nothing is counted twice, whatever breaks."""

import os

import pytest

from tests.faults.campaign import run
from tests.faults.system import System, can_mount


@pytest.mark.slow
async def test_answered_is_stored_exactly_once_through_25_faults(tmp_path):
    disks = can_mount(tmp_path)  # else without the faults that fill a disk
    assert disks or os.environ.get("REQUIRE_SERVICES") != "1", "this user may not mount the small disks that are to be filled"
    result = await run("embedded", System(tmp_path, disks=disks), seed=1, faults=25, say=print)
    assert result.wrong == []
    assert result.faults.total() == 25
    assert result.stored >= result.answered > 500
