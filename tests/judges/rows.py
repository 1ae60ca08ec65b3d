"""Writes down every row of datasets as the LeRobot of this environment gives it; knows nothing of robotrove.

    python rows.py COLUMN CAMERA ROOT…

Prints, for each dataset, the values of a column, the instructions, the indices and the mean red of the upper quarter of
the frames of a camera, in [0, 255], as JSON.
"""

from __future__ import annotations

import json
import sys

from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main() -> None:
    """Read all rows in order."""
    column, camera, *roots = sys.argv[1:]
    found = []
    for root in roots:
        dataset = LeRobotDataset("nobody/nowhere", root=root, video_backend="pyav")
        rows = [dataset[row] for row in range(len(dataset))]
        red = [row[camera][0, : row[camera].shape[1] // 4] for row in rows]
        found.append(
            {
                "values": [row[column].tolist() for row in rows],
                "tasks": [row["task"] for row in rows],
                "places": [[int(row[name]) for name in ("episode_index", "frame_index", "index")] for row in rows],
                "times": [float(row["timestamp"]) for row in rows],
                "red": [255 * float(pixels.mean()) for pixels in red],
                "stats": dataset.meta.stats[column]["mean"].tolist(),
            }
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
