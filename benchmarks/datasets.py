"""Finished datasets for benchmarks: one is converted by robotrove, the others are copies of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from measure import make_source


def make_datasets(
    folder: Path, *, count: int, episodes: int, frames: int, size: str, video: dict[str, object]
) -> list[Path]:
    """Write `count` datasets of two cameras with the same content and return their folders.

    Args:
        folder: Where they go.
        count: Number of datasets.
        episodes: Episodes of each.
        frames: Frames of each episode.
        size: Height x width of both cameras.
        video: Encoder settings.
    """
    source, first = folder / "source.hdf5", folder / "shard-000"
    make_source(source, "--size", size, "--episodes", episodes, "--frames", frames)
    pipeline = {
        "source": {"files": [str(source)], "layout": "isaaclab", "task": "bench", "fps": 30},
        "writer": {"video": video},
    }
    (folder / "pipeline.yaml").write_text(json.dumps(pipeline))
    robotrove("run", str(folder / "pipeline.yaml"), "--output", str(first))
    source.unlink()
    shutil.rmtree(folder / "shard-000.run")
    copies = [folder / f"shard-{number:03d}" for number in range(1, count)]
    for copy in copies:
        shutil.copytree(first, copy)
    return [first, *copies]


def robotrove(*arguments: str) -> None:
    """Run a command of robotrove; its output is shown if it fails."""
    done = subprocess.run([sys.executable, "-m", "robotrove.cli", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"robotrove {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def size_mb(folder: Path, pattern: str = "*") -> float:
    """Return the size of the files below a folder in MB of 2^20 bytes."""
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file()) / 2**20
