"""Comparison of the datasets that two versions of robotrove write from the same samples.

    python -m tests.same_output OLD_PYTHON NEW_PYTHON [WORK_DIR]

Each interpreter has one version installed. The old version writes the samples. Then both convert every sample
layout, and append, merge and convert datasets, one version after the other in the same folder, because paths may
enter digests. Files must be equal byte for byte; in meta/robotrove/ the values must be equal, except those of
`robotrove_version` and `run_digest`, and except `row_runs`, which versions before 0.2.2 lack, and
`content_digest` and `input_datasets`, which those before 0.2.3 lack. The list of checksums, which those before 0.2.3
lack too, is not compared: it follows from the other files. Exits with 1 at any difference. WORK_DIR must be empty
and is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

PROVENANCE = ("meta", "robotrove")
CHECKSUMS = (*PROVENANCE, "checksums.jsonl")
MAY_DIFFER = {"robotrove_version", "run_digest"}
MAY_BE_NEW = {"row_runs", "content_digest", "code_digest", "input_datasets"}  # since 0.2.2, the others since 0.2.3
SMALL = ("--episodes", "3", "--frames", "12", "--height", "64", "--width", "64")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
PROCESSES = 2

# `robotrove init` recognises every sample but this one.
GENERIC = """
source:
  files: [FILES]
  layout: generic
  options: {episodes: /recordings/*, success: attr:ok, task_from: attr:prompt, fps_from: attr:hz}
  columns:
    observation.state: [arm/q, arm/gripper]
    action: command
    observation.images.front: {from: cams/front, color: bgr}
    observation.images.wrist: {from: cams/wrist, color: bgr, kind: image}
"""

# Outputs made from those of one layout, in this order; OTHER is a second sample of it.
BASE = "leisaac"
DERIVED = {
    "steps": "run leisaac.yaml 'steps=[success_filter, {frame_trimmer: {head: 2, tail: 1}}, "
    "{unit_converter: {robot: so101}}, {image_resizer: {height: 48, width: 64}}]'",
    "both_versions": "run leisaac.yaml formats=[v3.0,v2.1]",
    "second": "run leisaac.yaml source.files=[OTHER]",
    "appended": "run leisaac.yaml source.files=[OTHER] append_to=outputs/leisaac",
    "merged": "aggregate outputs/leisaac outputs/second",
    "h264": "run leisaac.yaml source.files=[OTHER] writer.video.codec=libx264",
    "merged_reencoded": "aggregate outputs/leisaac outputs/h264 --on-mismatch reencode",
    "to_v21": "convert outputs/merged --to v2.1",
    "to_v21_and_back": "convert outputs/to_v21 --to v3.0",
    "gr00t": "convert outputs/leisaac --to v2.1 --gr00t so101",
}


@dataclass(frozen=True, slots=True)
class Version:
    """One installed version of robotrove, and the folder it works in."""

    python: Path
    folder: Path

    def robotrove(self, *arguments: str) -> str:
        """Run a command of this version and return what it prints; exit if it fails."""
        script = self.python.with_name("robotrove")
        return self._run([str(script)] if script.exists() else [str(self.python), "-m", "robotrove.cli"], arguments)

    def installed(self) -> str:
        """Return the version and the folder of the package."""
        folder = self._run([str(self.python), "-c", "import robotrove; print(*robotrove.__path__)"], ())
        return f"{self.robotrove('--version').strip()} in {folder.strip()}"

    def _run(self, program: list[str], arguments: tuple[str, ...]) -> str:
        command = [*program, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"failed in {self.folder}: {' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout


def write_samples(version: Version, samples: Path) -> list[str]:
    """Write a sample of every layout, LAYOUT/0, and LAYOUT/1 of the base; return the layouts."""
    help_text = " ".join(version.robotrove("sample", "--help").split())
    (listed,) = re.findall(r"Layouts: ([\w, ]+)\.", help_text)
    layouts: list[str] = listed.split(", ")
    for layout in layouts:
        for seed in ("0", "1") if layout == BASE else ("0",):
            version.robotrove("sample", layout, str(samples / layout / seed), "--seed", seed, *SMALL)
    return layouts


def write_outputs(version: Version, samples: Path, layouts: list[str]) -> None:
    """Write outputs/NAME in the version's folder, for every layout and for what is derived from the base."""

    def write(layout: str) -> None:
        files, pipeline = samples / layout / "0", f"{layout}.yaml"
        if layout == "generic":
            (version.folder / pipeline).write_text(GENERIC.replace("FILES", str(files)))
        else:
            version.robotrove("init", str(files), "-o", pipeline)
        commands = {layout: f"run {pipeline}"} | (DERIVED if layout == BASE else {})
        for name, command in commands.items():
            arguments = shlex.split(command.replace("OTHER", str(samples / layout / "1")))
            folders = ("--output", f"outputs/{name}", "--run-dir", f"runs/{name}")
            version.robotrove(*arguments, *folders, "--workers", "1")

    with ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(write, sorted(layouts, key=lambda layout: layout != BASE)))


def compare(old: Path, new: Path) -> tuple[int, str]:
    """Return how many files of two folders were compared, and the first difference, '' for none."""
    old_files, new_files = ({str(path.relative_to(folder)) for path in _files(folder)} for folder in (old, new))
    for name in sorted(old_files ^ new_files):
        return 0, f"{name}: only the {'old' if name in old_files else 'new'} version wrote it"
    for number, name in enumerate(sorted(old_files), 1):
        if difference := file_difference(old / name, new / name):
            return number, f"{name}: {difference}"
    return len(old_files), "" if old_files else "no files"


def file_difference(old: Path, new: Path) -> str:
    """Return the first difference of two files, '' for none."""
    if old.parts[-3:-1] == PROVENANCE and old.suffix in (".parquet", ".json", ".jsonl"):
        return next(_value_differences(_values(old), _values(new)), "")
    old_bytes, new_bytes = old.read_bytes(), new.read_bytes()
    if old_bytes == new_bytes:
        return ""
    shorter = min(len(old_bytes), len(new_bytes))
    offset = next((at for at in range(shorter) if old_bytes[at] != new_bytes[at]), shorter)
    return f"differs from byte {offset} on (old {len(old_bytes)} bytes, new {len(new_bytes)} bytes)"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.parts[-3:] != CHECKSUMS)


def _values(path: Path) -> Any:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        types = {field.name: str(field.type) for field in table.schema}
        return {"types": types, "columns": {name: table[name].to_pylist() for name in types}}
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def _value_differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Yield every place where two values differ; `repr` tells types apart and finds NaN equal to itself."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old and key in MAY_BE_NEW:
                continue
            if key not in old or key not in new:
                yield f"{where}/{key}: only in the {'old' if key in old else 'new'} version"
            elif key not in MAY_DIFFER:
                yield from _value_differences(old[key], new[key], f"{where}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _value_differences(one, other, f"{where}/{index}")
    elif repr(old) != repr(new):
        yield f"{where}: old {_short(old)}, new {_short(new)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def main() -> int:
    """Write the outputs of both versions, print a line per output, return 1 at any difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old_python", type=Path, metavar="OLD_PYTHON")
    parser.add_argument("new_python", type=Path, metavar="NEW_PYTHON")
    parser.add_argument("work_dir", type=Path, nargs="?", metavar="WORK_DIR", help="default: a temporary folder")
    options = parser.parse_args()
    work = (options.work_dir or Path(tempfile.mkdtemp(prefix="robotrove-same-"))).absolute()
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        parser.error(f"{work} is not empty")
    current, samples = work / "current", work / "samples"
    current.mkdir()
    versions = {"old": Version(options.old_python.absolute(), current)}
    versions["new"] = Version(options.new_python.absolute(), current)
    for name, version in versions.items():
        print(f"{name}: {version.installed()}")
    layouts = write_samples(versions["old"], samples)
    for name, version in versions.items():
        started = time.monotonic()
        write_outputs(version, samples, layouts)
        current.rename(work / name)
        current.mkdir()
        print(f"{name}: outputs written in {time.monotonic() - started:.0f} s", flush=True)
    equal = print_comparison(work / "old" / "outputs", work / "new" / "outputs")
    if equal and not options.work_dir:
        shutil.rmtree(work)
    else:
        print(f"both versions' outputs are in {work}")
    return 0 if equal else 1


def print_comparison(old: Path, new: Path) -> bool:
    """Print a line per output and return whether there are outputs and all are equal."""
    names = sorted({path.name for folder in (old, new) for path in folder.iterdir()})
    differences = 0
    for name in names:
        files, difference = compare(old / name, new / name)
        print(f"{name:20}{files:4} files compared, {difference or 'equal'}")
        differences += bool(difference)
    print(f"{len(names)} outputs, {differences} different")
    return bool(names) and not differences


if __name__ == "__main__":
    sys.exit(main())
