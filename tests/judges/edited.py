"""Compares a dataset with one that was edited from it, in the LeRobot of this environment; knows nothing of robotrove.

    python edited.py BEFORE AFTER EDIT.json

EDIT.json has `episodes` (numbers in BEFORE, in the order of AFTER), `names` (new to old feature) and `tasks` (number in
AFTER to its task). Prints how many values were compared, the first that differ, and what only one of both has, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main() -> None:
    """Compare all frames, whatever their columns hold."""
    before, after = (LeRobotDataset("nobody/nowhere", root=root, video_backend="pyav") for root in sys.argv[1:3])
    edit: dict[str, Any] = json.loads(Path(sys.argv[3]).read_text())
    of_episode: dict[int, list[dict[str, Any]]] = {}
    for row in range(len(before)):
        frame = before[row]
        of_episode.setdefault(int(frame["episode_index"]), []).append(frame)
    expected = [(number, frame) for number, old in enumerate(edit["episodes"]) for frame in of_episode[old]]
    renamed = {old: new for new, old in edit["names"].items()}
    differing, compared = [], 0
    for row, (number, was) in enumerate(expected):
        frame = after[row]
        for key, value in frame.items():
            compared += 1
            old = was.get(edit["names"].get(key, key))
            if key in ("index", "episode_index"):
                old = np.array(row if key == "index" else number)
            elif key == "task":
                old = edit["tasks"].get(str(number), old)
            elif key == "task_index":  # the text is compared
                continue
            elif isinstance(old, list):
                old = [{**entry, "camera": renamed.get(entry["camera"], entry["camera"])} for entry in old]
            if not is_same(value, old):
                differing.append(f"frame {row}, {key}: {value} instead of {old}"[:300])
    keys = [edit["names"].get(key, key) for key in after[0]]
    print(
        json.dumps(
            {
                "frames": [len(expected), len(after)],
                "compared": compared,
                "differing": differing[:5],
                "dropped": sorted(before[0].keys() - set(keys)),
                "robot_type": after.meta.robot_type,
                "stats": sorted(after.meta.stats),
            }
        )
    )


def is_same(value: Any, other: Any) -> bool:
    """True for the same values, bit for bit."""
    if hasattr(value, "numpy"):
        return np.array_equal(np.asarray(value), np.asarray(other))
    return bool(value == other)


if __name__ == "__main__":
    main()
