"""Encoders must not take the machine for themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: what another test of this one did to its threads must not count.
ENCODE = """
import os, sys
from pathlib import Path
import numpy as np
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings

def policies():
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}

def batches():
    yield np.zeros((2, 64, 64, 3), np.uint8)
    assert policies() == {os.SCHED_OTHER}, policies()  # the encoder is open
    yield np.zeros((2, 64, 64, 3), np.uint8)

make_encoder(VideoSettings(codec="libsvtav1")).encode(Path(sys.argv[1]), batches(), width=64, height=64, fps=30)
assert policies() == {os.SCHED_OTHER}, policies()
"""


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler") or os.geteuid() != 0, reason="only root may do it on Linux")
def test_svt_av1_does_not_keep_real_time_priority(tmp_path: Path) -> None:
    ordinary = ["chrt", "--other", "0"]  # whoever runs the tests may have been given another one
    command = [*ordinary, sys.executable, "-c", ENCODE, str(tmp_path / "a.mp4")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
