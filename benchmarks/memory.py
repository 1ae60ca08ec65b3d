"""Peak memory of a worker on a long and on a short episode of two 640x480 cameras.

    python benchmarks/memory.py [--frames 10000]

For contiguous files and for gzip files with h5py's automatic chunks; the target is under 500 MB in
each case. Needs about 20 GB of disk for 10,000 frames.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from measure import make_source, measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--codec", default="libsvtav1")
    parser.add_argument("--folder", type=Path, help="where the files go for the time being")
    args = parser.parse_args()
    for storage in ("contiguous", "gzip"):
        for frames in (100, args.frames):
            with tempfile.TemporaryDirectory(prefix="robotrove-bench-", dir=args.folder) as folder:
                root = Path(folder)
                source = root / "source.hdf5"
                packed = ["--gzip"] if storage == "gzip" else []
                what = make_source(source, "--size", "480x640", "--episodes", 1, "--frames", frames, *packed)
                pipeline = {
                    "source": {"files": [str(source)], "layout": "isaaclab", "task": "bench"},
                    "writer": {"video": {"codec": args.codec}},
                }
                (root / "pipeline.yaml").write_text(json.dumps(pipeline))
                run = measure(
                    [
                        "-m",
                        "robotrove.cli",
                        "run",
                        str(root / "pipeline.yaml"),
                        "--output",
                        str(root / "out"),
                        "--workers",
                        "1",
                    ]
                )
                size = source.stat().st_size / 2**20
            print(
                f"{storage}, {what}: {frames} frames of 2 x 640x480 ({size:.0f} MB of HDF5), {args.codec}: "
                f"peak {run.peak_mb:.0f} MB (target 500), {2 * frames / run.seconds:.0f} images/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
