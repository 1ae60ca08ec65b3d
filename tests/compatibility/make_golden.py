"""Golden files of a version: datasets and run directories for the tests of all later versions.

For version 0.2.1, which is commit 254d5eb:

    /usr/bin/python3 -m venv /tmp/robotrove-golden/python-0.2.1
    /tmp/robotrove-golden/python-0.2.1/bin/pip install "git+file://$PWD@254d5eb"
    python tests/compatibility/make_golden.py /tmp/robotrove-golden/python-0.2.1/bin/python

This writes tests/compatibility/golden/0.2.1.tar.xz. A second argument renames the archive. The other archives: dc010c3
(0.2.2), 54d374d (0.2.0), eb0d45a (0.1.0), e51a79d (0.1.0-e51a79d, early 0.1.0 with an older run.json). Interpreter and
output are in /tmp/robotrove-golden, because run directories contain absolute paths, and the logs of a run its
interpreter.

An archive holds, as far as its version can make it:

    recordings/   6 episodes of 8 frames from 2 cameras: demo_1 has a NaN, demo_4 no label, demo_5 failed
    more/         3 episodes with other values: demo_2 failed
    v30, v21      demo_0, demo_2 and demo_3 without their first frames, as datasets of both versions
    stopped       no dataset: `on_error: stop` ended the run after demo_0
    merged        v30 and v21, aggregated
    longer        v30 with the episodes of more/ appended
    submitted     no dataset: the jobs were given to commands that only look like Slurm's

Each dataset has its run directory beside it: v30.run, v21.run ….
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

PLACE = Path("/tmp/robotrove-golden")
GOLDEN = Path(__file__).parent / "golden"

PIPELINE = """\
source:
  files: [recordings]
  layout: isaaclab
  task: reach the cube
  columns:
    action: actions
    observation.state: obs/joint_pos
    observation.images.front: obs/front
    observation.images.wrist: obs/wrist
steps:
  - success_filter
  - frame_trimmer: {head: 1}
writer: {robot_type: sample_arm}
"""
PUT_NAN = "import h5py; h5py.File('recordings/isaaclab.hdf5', 'r+')['data/demo_1/actions'][5] = float('nan')"
SLURM = {
    "scontrol": "echo 'ClusterName = golden'; echo 'MaxArraySize = 1001'",
    "sbatch": "echo 'Submitted batch job 7'",
    "sacctmgr": "true",
    "squeue": "true",
    "srun": "true",
}


class Version:
    """An installed version of robotrove, at work in a folder of its own.

    Args:
        python: The interpreter that has it.
        name: Name of the folder, the version's number by default.
    """

    def __init__(self, python: Path, name: str | None) -> None:
        self._python = python
        self.name = name or self._said("--version", place=PLACE).split()[-1]
        self.folder = PLACE / self.name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._commands = self._said("--help")
        self._schema = self._said("schema")

    def can(self, word: str) -> bool:
        """True if it has a command, or a pipeline file of it a key."""
        return f"  {word} " in self._commands or f'"{word}"' in self._schema

    def robotrove(self, *arguments: str, code: int = 0) -> None:
        """Run a command line and make sure of its exit code."""
        found = self._run("-m", "robotrove.cli", *arguments)
        if found.returncode != code:
            raise SystemExit(f"{' '.join(arguments)}: {found.returncode} instead of {code}\n{found.stderr}")

    def python(self, script: str) -> None:
        """Run a script and make sure that it succeeds."""
        self._run("-c", script).check_returncode()

    def _said(self, *arguments: str, place: Path | None = None) -> str:
        return self._run("-m", "robotrove.cli", *arguments, place=place).stdout

    def _run(self, *arguments: str, place: Path | None = None) -> subprocess.CompletedProcess[str]:
        place = place or self.folder
        environment = {"PATH": f"{place / 'bin'}:/usr/bin:/bin", "HOME": str(place), "USER": "golden", "COLUMNS": "200"}
        return subprocess.run([self._python, *arguments], cwd=place, env=environment, capture_output=True, text=True)


def make(version: Version) -> None:
    """Have a version write everything."""
    sample = ("--frames", "8", "--height", "48", "--width", "48", "--cameras", "front,wrist")
    version.robotrove("sample", "isaaclab", "recordings", "--episodes", "6", *sample)
    version.robotrove("sample", "isaaclab", "more", "--episodes", "3", "--seed", "1", *sample)
    version.python(PUT_NAN)
    (version.folder / "pipeline.yaml").write_text(PIPELINE)
    version.robotrove("run", "pipeline.yaml", "--output", "v30", "--workers", "1", code=1)
    version.robotrove("run", "pipeline.yaml", "on_error=stop", "--output", "stopped", "--workers", "1", code=1)
    if version.can("aggregate"):
        version.robotrove("run", "pipeline.yaml", "formats=[v2.1]", "--output", "v21", "--workers", "1", code=1)
        keep = ("--on-duplicate", "keep") if version.can("on_duplicate") else ()
        version.robotrove("aggregate", "v30", "v21", "--output", "merged", "--workers", "1", *keep)
    if version.can("append_to"):
        more = ("source.files=[more]", "append_to=v30", "source.task=open the drawer")
        version.robotrove("run", "pipeline.yaml", *more, "--output", "longer", "--workers", "1")
    if version.can("slurm"):
        (version.folder / "bin").mkdir()
        for name, script in SLURM.items():
            (version.folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (version.folder / "bin" / name).chmod(0o755)
        version.robotrove("run", "pipeline.yaml", "--executor", "slurm", "--output", "submitted")
        shutil.rmtree(version.folder / "bin")
        for path in (version.folder / "submitted.run/jobs").iterdir():
            if path.name not in ("name", "submission.json"):
                path.unlink()  # what submitit leaves for the job


def pack(version: Version) -> Path:
    """Pack what was written; refuse it if a file names a folder of this machine's user or of this repository."""
    private = [os.fsencode(place) for place in (Path.home(), Path.cwd(), Path(__file__).parents[2])]
    for path in version.folder.rglob("*"):
        if path.is_file() and any(place in path.read_bytes() for place in private):
            raise SystemExit(f"{path} names a private folder")
    archive = GOLDEN / f"{version.name}.tar.xz"
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for path in sorted(version.folder.iterdir()):
            packed.add(path, path.name, filter=_without_owner)
    return archive


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    return entry.replace(uid=0, gid=0, uname="", gname="", deep=False)


if __name__ == "__main__":
    chosen = Version(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    make(chosen)
    print(f"{(written := pack(chosen))}: {written.stat().st_size} bytes")
