"""Time of conversions and merges with digests and without, in pairs.

    python benchmarks/checksums.py [--pairs 5] [--frames 400] [--merge]

Converts five episodes of two 256x256 cameras to AV1 with two workers, and with --merge also merges 1.2 GB of 640x480
video. In one run of a pair each digest is a constant that costs nothing (a `sitecustomize.py` on PYTHONPATH changes
`core/checksums.py` in every process), in the other it is SHA-256; the order alternates. The target: the median of the
ratios is at most 1.02 for the conversion. CPU seconds are printed too: other processes disturb them less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from statistics import median

from datasets import make_datasets, size_mb
from measure import Measured, make_source, measure

TARGET = 1.02
EPISODES = 5
NONE = "0" * 64
SITE = "from robotrove.core import checksums\n"  # on both sides: the import takes time
WITHOUT = f"""
import os
checksums._sum = lambda stream: checksums.FileSum(os.fstat(stream.fileno()).st_size, "{NONE}")
"""


def compare(root: Path, name: str, command: list[str], pairs: int) -> float:
    """Run a command in pairs, and return the median of the ratios of their seconds, with digests to without."""
    sides = {"with": SITE, "without": SITE + WITHOUT}
    for side, code in sides.items():
        (root / side).mkdir(exist_ok=True)
        (root / side / "sitecustomize.py").write_text(code)
    ratios, cpu_ratios = [], []
    for number in range(pairs):
        runs: dict[str, Measured] = {}
        for side in sorted(sides, reverse=number % 2 == 1):
            out = root / f"{name}-{side}"
            os.environ["PYTHONPATH"] = str(root / side)
            os.sync()
            runs[side] = measure([*command, str(out)])
            if (NONE in (out / "meta/robotrove/checksums.jsonl").read_text()) != (side == "without"):
                raise SystemExit(f"{out}: the digests are not those of the side {side!r}")
            shutil.rmtree(out)
            shutil.rmtree(f"{out}.run")
        ratios.append(runs["with"].seconds / runs["without"].seconds)
        cpu_ratios.append(runs["with"].cpu_s / runs["without"].cpu_s)
        told = ", ".join(f"{run.seconds:.2f} s (CPU {run.cpu_s:.2f} s) {side}" for side, run in runs.items())
        print(f"{name}: {told}, ratio {ratios[-1]:.3f}", flush=True)
    del os.environ["PYTHONPATH"]
    print(f"{name}: median {median(ratios):.3f}, of CPU seconds {median(cpu_ratios):.3f}", flush=True)
    return median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=400, help="frames of each episode of the conversion")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the files go for the time being")
    args = parser.parse_args()
    own = ["-m", "robotrove.cli"]
    with tempfile.TemporaryDirectory(prefix="robotrove-bench-", dir=args.folder) as folder:
        root = Path(folder)
        make_source(root / "source.hdf5", "--size", "256x256", "--episodes", EPISODES, "--frames", args.frames)
        pipeline = {"source": {"files": [str(root / "source.hdf5")], "layout": "isaaclab", "task": "bench", "fps": 30}}
        (root / "pipeline.yaml").write_text(json.dumps(pipeline))
        run = [*own, "run", str(root / "pipeline.yaml"), "--workers", "2", "--output"]
        ratio = compare(root, "conversion", run, args.pairs)
        print(f"{EPISODES * args.frames} frames of two cameras: target at most {TARGET}", flush=True)
        if args.merge:
            video = {"codec": "libx264", "preset": "ultrafast", "crf": 8}
            inputs = make_datasets(root, count=8, episodes=6, frames=300, size="480x640", video=video)
            volume = sum(map(size_mb, inputs))
            merge = [*own, "aggregate", *map(str, inputs), "--on-duplicate", "keep", "--workers", "2", "-o"]
            print(f"merge of {volume:.0f} MB", flush=True)
            compare(root, "merge", merge, args.pairs)
    raise SystemExit(ratio > TARGET)


if __name__ == "__main__":
    main()
