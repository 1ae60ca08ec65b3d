"""Conversion against a bare loop of decode and PyAV encode on the same frames, settings and processes.

    python benchmarks/throughput.py [--codec libsvtav1] [--layout isaaclab] [--size 256] [--workers 2]

Both sides run in one go, in turn; the ratio of their rates is printed with the peak memory of the
largest process. The target is 85 % of the bare loop, start-up, statistics, rows, checks, joining
and syncing included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from measure import make_source, measure

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", default="libsvtav1", choices=["libsvtav1", "libx264"])
    parser.add_argument("--layout", default="isaaclab", choices=["isaaclab", "piper"])
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="robotrove-bench-") as folder:
        root = Path(folder)
        source = root / "source.hdf5"
        what = make_source(
            source,
            *("--size", f"{args.size}x{args.size}", "--layout", args.layout),
            *("--episodes", args.episodes, "--frames", args.frames),
        )
        steps = ["success_filter"] if args.layout == "isaaclab" else []
        pipeline = {
            "source": {"files": [str(source)], "layout": args.layout, "task": "bench", "fps": 30},
            "steps": steps,
            "writer": {"video": {"codec": args.codec}},
        }
        (root / "pipeline.yaml").write_text(json.dumps(pipeline))
        ratios = []
        for turn in range(args.repeat):
            (root / f"bare{turn}").mkdir()
            bare = measure(
                [str(HERE / "bare_loop.py"), str(source), str(root / f"bare{turn}"), args.codec, str(args.workers)]
            )
            output = root / f"out{turn}"
            command = ["-m", "robotrove.cli", "run", str(root / "pipeline.yaml")]
            ours = measure([*command, "--output", str(output), "--workers", str(args.workers)])
            report = json.loads((root / f"out{turn}.run" / "report.json").read_text())
            info = json.loads((output / "meta/info.json").read_text())
            images = report["frames"] * sum(f["dtype"] == "video" for f in info["features"].values())
            ratios.append(bare.seconds / ours.seconds)
            print(
                f"{args.codec} {args.size}x{args.size} {args.layout} ({what}), {images} images, "
                f"{args.workers} workers: "
                f"bare loop {images / bare.seconds:.0f} images/s ({bare.peak_mb:.0f} MB), "
                f"robotrove {images / ours.seconds:.0f} images/s ({ours.peak_mb:.0f} MB), ratio {ratios[-1]:.2f}, "
                f"of CPU time {bare.cpu_s / ours.cpu_s:.2f}",
                flush=True,
            )
        print(f"median ratio {statistics.median(ratios):.2f} (target 0.85)")


if __name__ == "__main__":
    main()
