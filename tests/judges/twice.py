"""Compares a dataset with one that holds it twice, in the LeRobot of this environment; knows nothing of robotrove.

    python twice.py ONCE TWICE

Prints how many values were compared, the keys of a frame, and the first values that differ, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

PLACED = ("index", "episode_index")


def main() -> None:
    """Compare all frames, whatever their columns hold."""
    once, twice = (LeRobotDataset("nobody/nowhere", root=root, video_backend="pyav") for root in sys.argv[1:])
    known = [once[row] for row in range(len(once))]
    differing, compared = [], 0
    for row in range(len(twice)):
        frame = twice[row]
        for key, value in known[row % len(known)].items():
            compared += 1
            if key not in PLACED and not is_same(value, frame[key]):
                differing.append(f"frame {row}, {key}: {frame[key]} instead of {value}"[:300])
    print(
        json.dumps(
            {
                "frames": [len(once), len(twice)],
                "compared": compared,
                "differing": differing[:5],
                "keys": sorted(known[0]),
                "depth": list(twice.meta.depth_keys),
                "tools": once.meta.tools == twice.meta.tools,
                "entries": [sum(len(frame.get("language_events", ())) for frame in known)],
            }
        )
    )


def is_same(value: Any, other: Any) -> bool:
    """True for the same values, bit for bit."""
    if hasattr(value, "numpy"):
        return np.array_equal(value.numpy(), other.numpy())
    return bool(value == other)


if __name__ == "__main__":
    main()
