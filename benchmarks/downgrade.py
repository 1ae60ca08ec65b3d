"""robotrove convert --to v2.1 against one `ffmpeg -ss … -t … -c copy` for each clip.

    python benchmarks/downgrade.py [--episodes 500] [--size 480x640]

The other side cuts the clips and does nothing else, one after the other as converters do: no rows, no
meta, no check, no sync. The target is 20 times as fast. Our time is given with start-up and all, and start-up
aside, which is what a dataset of one episode takes. Of three turns, the middle one counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from datasets import make_datasets, robotrove
from measure import Measured, measure

AV1 = {"codec": "libsvtav1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=500, help="at most 1,000 s in all, which is one file")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", default="96x96", help="height x width")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the files go for the time being")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="robotrove-bench-", dir=args.folder) as name:
        folder = Path(name)
        shards = make_datasets(
            folder, count=10, episodes=args.episodes // 10, frames=args.frames, size=args.size,
            video=AV1,
        )  # fmt: skip
        dataset, single = folder / "dataset", folder / "single"
        robotrove("aggregate", *map(str, shards), "-o", str(dataset))
        single.mkdir()
        make_datasets(single, count=1, episodes=1, frames=args.frames, size=args.size, video=AV1)
        startups, runs = [], []
        for turn in range(3):
            startups.append(convert(single / "shard-000", folder / f"one-{turn}", args.workers).seconds)
            runs.append(convert(dataset, folder / f"ours-{turn}", args.workers))
        startup, run = median(startups), sorted(runs, key=lambda run: run.seconds)[1]
        theirs = ffmpeg_cuts(dataset, folder / "theirs", args.episodes, args.frames)
        print(
            f"{2 * args.episodes} clips of {args.frames} frames, {args.size}, {args.workers} workers: "
            f"ffmpeg {theirs:.1f} s ({theirs / args.episodes / 2 * 1e3:.0f} ms per clip), "
            f"robotrove with rows, meta, checks, sync and start-up {run.seconds:.2f} s "
            f"({run.seconds / args.episodes / 2 * 1e3:.1f} ms per clip; one episode alone: {startup:.2f} s), "
            f"ratio {theirs / run.seconds:.1f}, start-up aside {theirs / (run.seconds - startup):.0f} (target 20), "
            f"peak {run.peak_mb:.0f} MB"
        )


def convert(dataset: Path, out: Path, workers: int) -> Measured:
    """Measure the whole command, start-up included."""
    command = ["-m", "robotrove.cli", "convert", str(dataset), "--to", "v2.1", "-o", str(out)]
    return measure([*command, "--workers", str(workers)])


def ffmpeg_cuts(dataset: Path, out: Path, episodes: int, frames: int) -> float:
    """Cut every clip with a process of its own, and return the seconds that it took."""
    info = json.loads((dataset / "meta/info.json").read_text())
    cameras = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    started = time.perf_counter()
    for key in cameras:
        (out / key).mkdir(parents=True)
        (source,) = sorted((dataset / "videos" / key).rglob("*.mp4"))
        for episode in range(episodes):
            begin, length = episode * frames / info["fps"], frames / info["fps"]
            subprocess.run(
                ["ffmpeg", "-v", "error", "-ss", f"{begin:.6f}", "-i", str(source), "-t", f"{length:.6f}",
                 "-c", "copy", "-avoid_negative_ts", "1", str(out / key / f"{episode}.mp4")],
                check=True,
            )  # fmt: skip
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
