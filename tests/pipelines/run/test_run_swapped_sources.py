"""Recordings that become others with size and time kept, and the same data with another inode or ctime."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.core.episode import Episode
from robotrove.core.errors import EpisodeRejected
from robotrove.core.workspace import Workspace
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.manifests.manifest import Manifest
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import (
    AtStart,
    quick_disk,  # noqa: F401 - autouse
    run_here,
    write_pipeline,
)
from robotrove.verification.source.source_check import check_source

TIME = 1_700_000_000_123_456_789
ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)
SOURCE = {"columns": {"action": "a"}, "task": "t", "fps": 10, "options": {"episodes": "/*"}}


def record(path: Path, *starts: float) -> Path:
    """Write a recording with an episode per number; all of them have the same size and time."""
    with h5py.File(path, "w") as file:
        for number, start in enumerate(starts):
            file[f"e{number}/a"] = ROWS + start
            file[f"e{number}/more"] = np.full(8, start)
    os.utime(path, ns=(TIME, TIME))
    return path


def rewrite(path: Path, dataset: str, row: int, value: float) -> None:
    """Change a row where it is, past HDF5, which keeps what it has read, and set the time back."""
    with h5py.File(path, "r", locking=False) as file:
        stored = file[dataset]
        at = stored.id.get_offset() + row * stored.nbytes // len(stored)
        data = np.full(stored.shape[1:], value, stored.dtype).tobytes()
    with open(path, "r+b") as stream:
        stream.seek(at)
        stream.write(data)
    os.utime(path, ns=(TIME, TIME))


def actions(output: Path) -> list[float]:
    """Return the first number of each episode."""
    dataset = open_dataset(output)
    return [float(next(dataset.rows(["action"], ep))["action"][0, 0]) for ep in dataset.episodes()]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [record(tmp_path / f"{name}.h5", start, start + 1) for name, start in (("a", 0), ("b", 10), ("c", 20))]


def swap(one: Path, other: Path) -> None:
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def test_recordings_that_take_each_others_name(files: list[Path], tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, files, "generic", source=SOURCE)
    report = run_here(pipeline, tmp_path / "out", watcher=AtStart(lambda: swap(*files[:2])))
    assert (report.kept, report.rejected, report.exit_code) == (2, {"source_changed": 4}, 1)
    assert actions(tmp_path / "out") == [20, 21]
    swap(*files[:2])
    report = run_here(pipeline, tmp_path / "out", retry_rejected=True)
    assert (report.kept, report.rejected, actions(tmp_path / "out")) == (6, {}, [0, 1, 10, 11, 20, 21])


def test_one_episode_that_is_written_where_it_is(files: list[Path], tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, files, "generic", source=SOURCE)
    change = AtStart(lambda: rewrite(files[1], "e0/a", 0, 99))
    report = run_here(pipeline, tmp_path / "out", watcher=change)
    assert (report.kept, report.rejected, actions(tmp_path / "out")) == (5, {"source_changed": 1}, [0, 1, 11, 20, 21])
    lines = (tmp_path / "out.run" / "rejected.jsonl").read_text()
    assert "b.h5 has other data than when the run was planned, with the same size and time" in lines


def same_data(path: Path) -> None:
    """Give a file another inode, mode and ctime."""
    copy = path.with_suffix(".copy")
    shutil.copy2(path, copy)
    copy.replace(path)
    path.chmod(0o600)


def test_the_same_data_with_another_inode_and_ctime(files: list[Path], tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, files, "generic", source=SOURCE)
    before = [file.stat().st_ino for file in files]
    report = run_here(pipeline, tmp_path / "out", watcher=AtStart(lambda: [*map(same_data, files)]))
    assert [file.stat().st_ino for file in files] != before
    assert (report.kept, report.rejected, actions(tmp_path / "out")) == (6, {}, [0, 1, 10, 11, 20, 21])
    same_data(files[0])
    assert check_source(tmp_path / "out", finished_run(tmp_path / "out.run")).problems == ()
    assert run_here(pipeline, tmp_path / "out").was_finished


def test_data_between_the_ends_where_planning_needed_them(tmp_path: Path) -> None:
    """Two episodes that begin and end alike differ by their content, and so is a later change."""
    files = [record(tmp_path / name, 0, start) for name, start in (("a.h5", 5), ("b.h5", 7))]
    rewrite(files[0], "e0/a", 3, 50)
    pipeline = write_pipeline(tmp_path, files, "generic", source=SOURCE)
    change = AtStart(lambda: rewrite(files[1], "e0/a", 4, 60))
    report = run_here(pipeline, tmp_path / "out", watcher=change)
    assert (report.kept, report.rejected) == (3, {"source_changed": 1})
    rows = Manifest.read(Workspace.for_output(tmp_path / "out").manifest).rows
    assert [len(row.content) for row in rows] == [64, 0, 64, 0]
    assert [(row.inode, row.size) for row in rows[::2]] == [(file.stat().st_ino, file.stat().st_size) for file in files]


@pytest.fixture
def reading(files: list[Path], tmp_path: Path) -> Iterator[Episode]:
    """The episodes of a.h5 as a run reads them."""
    pipeline = write_pipeline(tmp_path, files[:1], "generic", source=SOURCE)
    run_here(pipeline, tmp_path / "out")
    reader = load_pipeline(pipeline).reader
    assert isinstance(reader, Hdf5Reader)
    return reader.read(Manifest.read(Workspace.for_output(tmp_path / "out").manifest).rows)


@pytest.mark.parametrize(
    "change", [lambda file: rewrite(file, "e0/a", 0, 9), lambda file: swap(file, file.with_name("b.h5"))]
)
def test_a_change_while_an_episode_is_read(
    reading: Iterator[Episode], files: list[Path], change: Callable[[Path], None]
) -> None:
    """HDF5 shows a file that it has open as it was; the check must see it as it is."""
    first = next(reading)
    assert first["action"][0].tolist() == [0, 1, 2]
    first.check_source()
    change(files[0])
    with pytest.raises(EpisodeRejected, match=r"a\.h5 has other data"):
        first.check_source()


def test_a_change_between_two_episodes(reading: Iterator[Episode], files: list[Path]) -> None:
    next(reading).check_source()
    rewrite(files[0], "e1/more", 7, 9)
    rejection = next(reading).rejection
    assert rejection is not None
    assert (rejection.reason, rejection.error) == ("source_changed", True)


def test_another_file_of_the_same_size_that_is_no_recording(reading: Iterator[Episode], files: list[Path]) -> None:
    first = next(reading)
    other = files[0].with_suffix(".other")
    other.write_bytes(bytes(files[0].stat().st_size))
    os.utime(other, ns=(TIME, TIME))
    other.replace(files[0])
    with pytest.raises(EpisodeRejected, match=r"a\.h5 has other data"):
        first.check_source()


@pytest.mark.parametrize("row", [0, 4])
def test_verify_finds_other_data_that_no_column_has(files: list[Path], tmp_path: Path, row: int) -> None:
    pipeline = write_pipeline(tmp_path, files, "generic", source=SOURCE)
    run_here(pipeline, tmp_path / "out")
    rewrite(files[1], "e1/more", row, 3)
    report = check_source(tmp_path / "out", finished_run(tmp_path / "out.run"))
    [problem] = report.problems
    found = f"{files[1]} has other data than when the run was planned: 1 episode(s) cannot be compared"
    assert (problem.episode, problem.message, report.episodes) == (3, found, 5)
