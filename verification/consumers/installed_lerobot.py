"""Installed LeRobot: reads a dataset from the first frame to the last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from ...core.errors import UsageError
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from . import lerobot_subprocess


@dataclass(frozen=True, slots=True)
class Seen:
    """Result of reading a dataset with LeRobot.

    Attributes:
        lerobot: Its version.
        frames: Frames that its DataLoader gave.
        problem: What is wrong, empty if nothing is.
    """

    lerobot: str
    frames: int
    problem: str


def seen_by_lerobot(dataset: Dataset, python: str = sys.executable) -> Seen:
    """Open a dataset with LeRobot and iterate it with PyTorch's DataLoader, in a process of its own.

    Args:
        dataset: The dataset.
        python: The Python in which LeRobot is installed.

    Raises:
        UsageError: If LeRobot is not installed, or reads no dataset of this version.
        Damaged: If the number of frames and episodes cannot be read.
    """
    if dataset.version != paths_v30.CODEBASE_VERSION:
        expected = f"a dataset of {paths_v30.CODEBASE_VERSION}, which the LeRobot of robotrove[lerobot] reads"
        raise UsageError(
            str(dataset.root), f"is of version {dataset.version}", expected, "robotrove convert … --to v3.0"
        )
    wanted = (len(dataset.lengths), int(dataset.lengths.sum()))
    # -P: its folder has a module named lerobot too.
    command = [python, "-P", lerobot_subprocess.__file__, str(dataset.root.absolute())]
    # Otherwise it would look for missing files on the Hub.
    done = subprocess.run(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    if done.returncode:
        return Seen("", 0, f"ended with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if "missing" in found:
        raise UsageError(
            "--with-lerobot",
            found["missing"],
            "LeRobot and PyTorch beside robotrove",
            "pip install 'robotrove[lerobot]'",
        )
    if "error" in found:
        return Seen(found["lerobot"], 0, found["error"])
    if (found["episodes"], found["frames"]) != wanted:
        text = f"gives {found['frames']} frames of {found['episodes']} episodes, not {wanted[1]} of {wanted[0]}"
        return Seen(found["lerobot"], found["frames"], text)
    missing = [key for key in dataset.features if key not in found["keys"]]
    return Seen(found["lerobot"], found["frames"], f"does not give {', '.join(missing)}" if missing else "")
