"""The commands from a recording to a dataset of both versions, where a part of the usual system is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.tests.support.pipelines.runs import assert_same_dataset, sample, tree

pytestmark = pytest.mark.slow

EPISODES, FRAMES = 3, 5
LOCKING = "HDF5_USE_FILE_LOCKING"
# As on macOS; Python imports it at the start of every process.
NO_LINUX = """
import builtins, io, os

del os.sched_getaffinity

def hidden(call):
    def replacement(path, *arguments, **more):
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith("/proc"):
            raise FileNotFoundError(2, os.strerror(2), os.fspath(path))
        return call(path, *arguments, **more)
    return replacement

for module, names in ((builtins, ["open"]), (io, ["open"]), (os, ["open", "stat", "lstat", "listdir", "readlink"])):
    for name in names:
        setattr(module, name, hidden(getattr(module, name)))
"""


def made(folder: Path, recording: Path, env: Mapping[str, str] = os.environ, redirection: str = "") -> Path:
    """Run init, plan, run, verify, aggregate and convert in a folder that has a copy of the recording; return it."""
    folder.mkdir()
    shutil.copy2(recording, folder)

    def robotrove(*arguments: str) -> None:
        command = ["sh", "-c", f'exec "$@" {redirection}', "-", sys.executable, "-m", "robotrove.cli", *arguments]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr

    robotrove("init", recording.name, "-o", "pipeline.yaml")
    robotrove("plan", "pipeline.yaml")
    robotrove("run", "pipeline.yaml", "--output", "out", "--workers", "2")
    robotrove("verify", "out", "--source", "out.run")
    robotrove("aggregate", "out", "-o", "merged")
    robotrove("convert", "merged", "--to", "v2.1", "-o", "converted")
    return folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample(tmp_path_factory.mktemp("recording"), "demos.hdf5", EPISODES, FRAMES)


@pytest.fixture(scope="module")
def plain(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The datasets as they are made where nothing is missing."""
    folder = made(tmp_path_factory.mktemp("plain") / "made", recording)
    with h5py.File(recording) as file:
        kept = [group for group in file["data"].values() if group.attrs["success"]]  # `init` writes the filter
        actions = np.concatenate([group["actions"][:] for group in kept])
    for name in ("out", "merged", "converted"):
        tables = [pq.read_table(path) for path in sorted((folder / name / "data").rglob("*.parquet"))]
        found = np.array([row for table in tables for row in table["action"].to_pylist()], actions.dtype)
        assert np.array_equal(found, actions)
    return folder


def _check(found: Path, plain: Path) -> None:
    assert_same_dataset(found / "out", plain / "out")
    for name in ("merged", "converted"):  # their provenance has the times of the files of the dataset before
        left, right = (
            {path: content for path, content in tree(folder / name).items() if not path.startswith("meta/robotrove/")}
            for folder in (found, plain)
        )
        assert left == right


def test_without_affinity_and_proc(plain: Path, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_LINUX)
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    look = "import os; print(hasattr(os, 'sched_getaffinity'), os.path.exists('/proc/self/stat'))"
    found = subprocess.run([sys.executable, "-P", "-c", look], env=env, capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"
    _check(made(tmp_path / "made", recording, env), plain)


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams(plain: Path, recording: Path, tmp_path: Path, redirection: str) -> None:
    _check(made(tmp_path / "made", recording, redirection=redirection), plain)


@pytest.mark.parametrize("value", ["TRUE", "FALSE", "BEST_EFFORT", "1", "0", "nonsense", None])
def test_locking(plain: Path, recording: Path, tmp_path: Path, value: str | None) -> None:
    env = {name: text for name, text in os.environ.items() if name != LOCKING} | ({LOCKING: value} if value else {})
    _check(made(tmp_path / "made", recording, env), plain)
