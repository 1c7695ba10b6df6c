"""The worker thread of the module, at the end of its life."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

ENDING = """
import sys, time
sys.path.insert(0, {module!r})
from MedSAM2SlicerLib.Jobs import Jobs
jobs = Jobs()
def work(job):
    while not job.cancelled:
        time.sleep(0.02)
    time.sleep(0.3)
    print("ended by itself", flush=True)
jobs.submit(work)
time.sleep(0.1)
{end}
"""


@pytest.mark.parametrize(
    "end", ["jobs.stop()", "", "jobs.stop(lambda: print('closed', flush=True))"]
)
def test_python_ends_only_after_the_worker_has(repository, end):
    code = ENDING.format(module=str(repository / "MedSAM2Slicer"), end=end)
    begun = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert answer.stdout.split("\n")[0] == "ended by itself"
    assert ("closed" in answer.stdout) == ("closed" in end)
    assert answer.stderr == ""
    assert time.monotonic() - begun < 8
