"""Aggregation against LeRobot's aggregate_datasets, and against copying and syncing the same bytes.

    python benchmarks/aggregation.py --lerobot PYTHON      50 shards of 50 episodes of 10 s, two cameras of 96x96
    python benchmarks/aggregation.py --large               2 GB of 640x480 video against cp -r and sync
    python benchmarks/aggregation.py --scaling             time and memory for 5,000 to 80,000 tiny episodes

PYTHON is that of an environment with lerobot 0.4.4 (.ci/judges.sh makes one). The targets: at least 50
times as fast as LeRobot, at most 3 times as long as cp and sync (start-up aside), at most 4.4 times as
long for 4 times as many episodes, at most 1 KB of memory for each while planning. Both sides work on the
same shards, in one go. LeRobot's time is that of the call alone, without the import of lerobot, and
without a sync; ours is given with start-up, sync and all, and start-up aside, which is what one shard
alone takes. Of three turns, the middle one counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from datasets import make_datasets, size_mb
from measure import Measured, measure

AV1 = {"codec": "libsvtav1"}
# Much data in little time: what is measured is copying.
BULKY = {"codec": "libx264", "preset": "ultrafast", "crf": 8}
THEIRS = """
import sys, time
from pathlib import Path
from lerobot.datasets.aggregate import aggregate_datasets
roots = [Path(root) for root in sys.argv[2:]]
started = time.perf_counter()
aggregate_datasets([root.name for root in roots], "bench", roots=roots, aggr_root=Path(sys.argv[1]))
print(time.perf_counter() - started)
"""
PLAN = """
import sys
from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.executors.executor import Executor
from robotrove.executors.rank_runner import RankRunner
from robotrove.pipelines.pipeline import Pipeline

class FirstStage(Executor):
    def launch(self, stage, on_poll):
        RankRunner(stage).run()
        sys.exit()

aggregator = Aggregator(datasets=sys.argv[2:], on_duplicate="keep")
Pipeline(dataset=[aggregator]).run(output=sys.argv[1], executor=FirstStage())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lerobot", metavar="PYTHON")
    parser.add_argument("--frames", type=int, default=300, help="of each episode, for --lerobot")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the files go for the time being")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="robotrove-bench-", dir=args.folder) as folder:
        if args.lerobot:
            against_lerobot(Path(folder) / "small", args.lerobot, args.frames, args.workers)
        if args.large:
            against_cp(Path(folder) / "large", args.workers)
        if args.scaling:
            scaling(Path(folder) / "scaling", args.workers)


def aggregate(shards: list[Path], out: Path, workers: int) -> Measured:
    """Measure the whole command, start-up included."""
    command = ["-m", "robotrove.cli", "aggregate", *map(str, shards), "-o", str(out), "--workers", str(workers)]
    return measure([*command, "--on-duplicate", "keep"])


def against_lerobot(folder: Path, python: str, frames: int, workers: int) -> None:
    folder.mkdir()
    episodes = 50
    shards = make_datasets(folder, count=50, episodes=episodes, frames=frames, size="96x96", video=AV1)
    volume = sum(size_mb(shard) for shard in shards)
    startups, runs, copies = [], [], []
    for turn in range(3):
        startups.append(aggregate(shards[:1], folder / f"one-{turn}", workers).seconds)
        runs.append(aggregate(shards, folder / f"ours-{turn}", workers))
        copies.append(copy(shards, folder / f"copy-{turn}"))
    startup, ours = median(startups), sorted(runs, key=lambda run: run.seconds)[1]
    done = subprocess.run(
        [python, "-P", "-c", THEIRS, str(folder / "theirs"), *map(str, shards)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    theirs = float(done.stdout.split()[-1])
    packets = 50 * episodes * frames * 2
    print(
        f"50 shards x {episodes} episodes x {frames} frames, two cameras of 96x96, {volume:.0f} MB, {workers} workers: "
        f"LeRobot's aggregate_datasets {theirs:.1f} s, robotrove {ours.seconds:.2f} s with start-up (one shard alone: "
        f"{startup:.2f} s), ratio {theirs / ours.seconds:.0f}, start-up aside {theirs / (ours.seconds - startup):.0f} "
        f"(target 50); cp -r and sync of the same {median(copies):.2f} s; "
        f"{ours.cpu_s / packets * 1e6:.1f} µs of CPU per packet, all included, peak {ours.peak_mb:.0f} MB",
        flush=True,
    )


def copy(shards: list[Path], target: Path) -> float:
    """Return the seconds that cp -r and sync take."""
    os.sync()
    started = time.perf_counter()
    target.mkdir()
    subprocess.run(["cp", "-r", *map(str, shards), str(target)], check=True)
    os.sync()
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    os.sync()
    return seconds


def against_cp(folder: Path, workers: int) -> None:
    folder.mkdir()
    shards = make_datasets(folder, count=16, episodes=6, frames=300, size="480x640", video=BULKY)
    volume = sum(size_mb(shard) for shard in shards)
    startup = aggregate(shards[:1], folder / "one", workers).seconds
    for turn in range(3):
        copied = copy(shards, folder / f"copy-{turn}")
        run = aggregate(shards, folder / f"ours-{turn}", workers)
        print(
            f"{volume:.0f} MB of 640x480 in 16 shards, {workers} workers: cp -r and sync {copied:.1f} s, "
            f"robotrove {run.seconds:.1f} s with start-up (one shard alone: {startup:.1f} s), "
            f"ratio {run.seconds / copied:.2f} (target 3), peak {run.peak_mb:.0f} MB",
            flush=True,
        )


def scaling(folder: Path, workers: int) -> None:
    folder.mkdir()
    shards = make_datasets(folder, count=200, episodes=100, frames=8, size="32x32", video=AV1)
    runs, plans = [], []
    for count in (50, 200, 400, 800):
        given = (4 * shards)[:count]
        runs.append(aggregate(given, folder / f"ours-{count}", workers))
        plans.append(measure(["-P", "-c", PLAN, str(folder / f"planned-{count}"), *map(str, given)]))
        print(
            f"{count * 100} episodes of 8 frames: {runs[-1].seconds:.1f} s, peak {runs[-1].peak_mb:.0f} MB; "
            f"planning alone {plans[-1].peak_mb:.0f} MB",
            flush=True,
        )
    plan_kb = (plans[-1].peak_mb - plans[0].peak_mb) * 1024 / 75_000
    print(
        f"4 times as many episodes take {runs[1].seconds / runs[0].seconds:.2f} times as long (target 4.4); "
        f"planning takes {plan_kb:.2f} KB per episode (target 1)"
    )


if __name__ == "__main__":
    main()
