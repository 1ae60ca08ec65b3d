"""Program for the Python that has LeRobot: reads a whole dataset with PyTorch's DataLoader.

    python -P lerobot_subprocess.py FOLDER

A program of its own that knows nothing of robotrove: LeRobot and PyTorch stay out of the process that asks, and may
take it with them. Its last line of output is JSON: {"lerobot", "frames", "episodes", "keys"}, {"missing"} or {"error"}.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

_BATCH = 16


def look(root: str) -> dict[str, Any]:
    """Return what LeRobot sees."""
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
        from torch.utils.data import DataLoader
    except ImportError as exc:
        return {"missing": str(exc)}
    try:
        dataset = LeRobotDataset("nobody/nowhere", root=root)
        frames, episodes, keys = 0, set(), set()
        for batch in DataLoader(dataset, batch_size=_BATCH):
            frames += len(batch["index"])
            episodes |= set(batch["episode_index"].tolist())
            keys |= batch.keys()
    except Exception as exc:  # whatever it is, it is what a user of the dataset would meet
        return {"lerobot": version("lerobot"), "error": f"{type(exc).__name__}: {exc}"}
    return {"lerobot": version("lerobot"), "frames": frames, "episodes": len(episodes), "keys": sorted(keys)}


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1])))
