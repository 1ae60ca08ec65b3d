"""How long `robotrove status` takes for a run of thousands of ranks, most of them done.

python benchmarks/status.py [--ranks 3000] [--done 2000] [--episodes 10]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from measure import make_source, measure

from robotrove.tests.support.pipelines.many_ranks import create_run, pretend_done, pretend_failed

FAILED, REPEATS = 20, 3


def main() -> None:
    """Print the seconds of each command, the fastest of three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=3000)
    parser.add_argument("--done", type=int, default=2000)
    parser.add_argument("--episodes", type=int, default=10, help="episodes of each rank")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_source(Path(folder, "source.hdf5"), "--size", "64x64", "--episodes", 1, "--frames", 200)
        pipeline = Path(folder, "pipeline.yaml")
        pipeline.write_text(f"source: {{files: [{folder}/source.hdf5], layout: isaaclab, task: bench, fps: 30}}\n")
        workspace = create_run(pipeline, Path(folder, "out"), options.ranks, episodes=options.episodes)
        pretend_done(workspace, options.done)
        pretend_failed(workspace, range(options.done, options.done + FAILED))
        print(f"{options.ranks} ranks of {options.episodes} episodes, {options.done} done, {os.cpu_count()} CPUs")
        for more in ([], ["--json"]):
            command = ["-m", "robotrove.cli", "status", str(workspace.run_dir), *more]
            best = min((measure(command) for _ in range(REPEATS)), key=lambda measured: measured.seconds)
            print(
                f"{' '.join(['robotrove status RUN_DIR', *more]):34}"
                f"{best.seconds:6.2f} s  {best.cpu_s:6.2f} s CPU  {best.peak_mb:5.0f} MB"
            )


if __name__ == "__main__":
    main()
