"""Runs of recordings that take data from other files: converted, watched for changes, and not appended twice."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.core.errors import RunChanged, UsageError
from robotrove.core.source_file import SourceFile, read_files
from robotrove.core.workspace import Workspace
from robotrove.formats.hdf5.hdf5_file import open_hdf5, source_digests
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.manifests.manifest import Manifest
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import (
    AtStart,
    quick_disk,  # noqa: F401 - autouse
    run_here,
    write_pipeline,
)
from robotrove.verification.source.source_check import check_source

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)
COLUMNS = {"action": "action", "observation.state": "q"}


def by_link(file: h5py.File) -> None:
    """Take the state from part.h5 through middle.h5."""
    with h5py.File("middle.h5", "w") as middle:
        middle["q"] = h5py.ExternalLink("part.h5", "/q")
    file["q"] = h5py.ExternalLink("middle.h5", "/q")


def by_virtual(file: h5py.File) -> None:
    """Take the state from part.h5 through a virtual dataset."""
    layout = h5py.VirtualLayout(ROWS.shape, "f4")
    layout[:] = h5py.VirtualSource("part.h5", "q", shape=ROWS.shape)
    file.create_virtual_dataset("q", layout)


def by_raw(file: h5py.File) -> None:
    """Take the state from a raw file."""
    file.create_dataset("q", ROWS.shape, "f4", external=[("part.h5", 0, ROWS.nbytes)])


@pytest.fixture(params=[by_link, by_virtual, by_raw])
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A recording with its state in part.h5; the current folder is another afterwards."""
    folder = tmp_path / "day"
    folder.mkdir()
    monkeypatch.chdir(folder)
    if request.param is by_raw:
        Path("part.h5").write_bytes((ROWS + 5).tobytes())
    else:
        with h5py.File("part.h5", "w") as file:
            file["q"] = ROWS + 5
    with h5py.File("a.h5", "w") as file:
        file["action"] = ROWS
        request.param(file)
    monkeypatch.chdir(tmp_path)
    return folder / "a.h5"


@pytest.fixture
def pipeline(tmp_path: Path, recording: Path) -> Path:
    return generic(tmp_path, recording)


def generic(folder: Path, *recordings: Path, **more: Any) -> Path:
    return write_pipeline(folder, recordings, "generic", source={"columns": COLUMNS, "task": "t", "fps": 10}, **more)


def states(output: Path) -> list[Any]:
    dataset = open_dataset(output)
    return [
        np.concatenate([rows["observation.state"] for rows in dataset.rows(["observation.state"], ep)]).tolist()
        for ep in dataset.episodes()
    ]


def test_data_of_other_files_are_converted_and_listed(pipeline: Path, recording: Path, tmp_path: Path) -> None:
    report = run_here(pipeline, tmp_path / "out")
    assert (report.kept, states(tmp_path / "out")) == (1, [(ROWS + 5).tolist()])
    [row] = Manifest.read(Workspace.for_output(tmp_path / "out").manifest).rows
    files = [Path(file.path).name for file in Hdf5Reader(files=["a"], layout="isaaclab").other_files_of(row)]
    assert files in (["middle.h5", "part.h5"], ["part.h5"])
    assert run_here(pipeline, tmp_path / "out").was_finished


CHANGES: list[Callable[[Path], object]] = [
    lambda part: os.utime(part, ns=(1, 1)),
    lambda part: part.write_bytes(part.read_bytes() + b"more"),
    lambda part: part.unlink(),
    lambda part: part.rename(part.with_name("away.h5")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_planning_and_running_names_the_file(
    pipeline: Path, recording: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    part = recording.with_name("part.h5")
    with pytest.raises(UsageError, match="all 1 episodes were rejected"):
        run_here(pipeline, tmp_path / "out", watcher=AtStart(lambda: change(part)))
    [entry] = map(json.loads, (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines())
    assert (entry["reason"], str(part) in entry["detail"]) == ("source_changed", True)


def test_other_data_with_size_and_time_kept_name_the_file(pipeline: Path, recording: Path, tmp_path: Path) -> None:
    part = recording.with_name("part.h5")
    state, data = part.stat(), part.read_bytes()

    def change() -> None:
        part.write_bytes(data.replace(np.float32(5).tobytes(), np.float32(-1).tobytes(), 1))
        os.utime(part, ns=(1, state.st_mtime_ns))

    with pytest.raises(UsageError, match="all 1 episodes were rejected"):
        run_here(pipeline, tmp_path / "out", watcher=AtStart(change))
    [entry] = map(json.loads, (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines())
    assert (entry["reason"], f"{part}, with data of a.h5, has other data" in entry["detail"]) == (
        "source_changed",
        True,
    )


def test_a_changed_file_ends_the_run_that_was_planned(pipeline: Path, recording: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    os.utime(recording.with_name("part.h5"), ns=(1, 1))
    with pytest.raises(RunChanged, match=r"source .*/part.h5 was changed"):
        run_here(pipeline, tmp_path / "out")
    recording.with_name("part.h5").unlink()
    assert run_here(pipeline, tmp_path / "out").was_finished  # as without a recording: a finished run needs none


def test_data_of_other_files_are_not_appended_again(pipeline: Path, recording: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    again = generic(tmp_path / "next", recording, append_to=str(tmp_path / "out"))
    assert [row.reason for row in make_plan(load_pipeline(again)).manifest.rows] == ["already_in_dataset"]


@pytest.mark.parametrize("has_dangling_link", [False, True])
def test_a_copy_with_data_of_other_files_is_a_duplicate(
    recording: Path, tmp_path: Path, has_dangling_link: bool
) -> None:
    if has_dangling_link:
        with h5py.File(recording, "a") as file:
            file["unused"] = h5py.SoftLink("/nowhere")
    shutil.copytree(recording.parent, tmp_path / "night")
    both = generic(tmp_path / "next", recording, tmp_path / "night" / "a.h5")
    assert [row.reason for row in make_plan(load_pipeline(both)).manifest.rows] == ["", "duplicate_episode"]


def test_a_file_beside_a_fetched_recording(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["action"], file["q"] = ROWS, h5py.ExternalLink("part.h5", "/q")
    columns = {key: ColumnSpec(source=path) for key, path in COLUMNS.items()}
    reader = Hdf5Reader(files=["a.h5"], layout="generic", columns=columns)
    file = SourceFile(tmp_path / "a.h5")
    [local], [fetched] = reader.scan(file), reader.scan(replace(file, origin="hf://datasets/lab/cubes/a.h5"))
    assert local.rejection is not None
    assert fetched.rejection is not None
    assert (local.rejection.reason, "hf:" in local.rejection.detail) == ("missing_file", False)
    assert fetched.rejection.detail.startswith(local.rejection.detail)
    assert "hf://datasets/lab/cubes/a.h5 is fetched without other files" in fetched.rejection.detail


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A dataset of a recording with a link, with the digest that 0.2.2 wrote."""
    for name, shift in (("a", 5), ("b", 6)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["action"], file["store/q"], file["q"] = ROWS + shift, ROWS + shift, h5py.SoftLink("/store/q")
    run_here(generic(tmp_path, tmp_path / "a.h5"), tmp_path / "base")
    with open_hdf5(tmp_path / "a.h5", locking=False) as file:
        now, before = source_digests(file["/"])
    table = tmp_path / "base" / "meta" / "robotrove" / "episodes.parquet"
    rows = pq.read_table(table)
    assert rows["source_digest"].to_pylist() == [now]
    assert now != before
    at = rows.column_names.index("source_digest")
    pq.write_table(rows.set_column(at, "source_digest", pa.array([before])), table)
    return tmp_path / "base"


def test_a_recording_with_links_is_not_appended_again(base: Path, tmp_path: Path) -> None:
    pipeline = generic(tmp_path / "next", tmp_path / "a.h5", tmp_path / "b.h5", append_to=str(base))
    plan = make_plan(load_pipeline(pipeline))
    assert [row.reason for row in plan.manifest.rows] == ["already_in_dataset", ""]
    run_here(pipeline, tmp_path / "longer")
    assert states(tmp_path / "longer") == [(ROWS + 5).tolist(), (ROWS + 6).tolist()]


def test_only_an_allowed_folder_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("recordings", "private"):
        (tmp_path / folder).mkdir()
    with h5py.File(tmp_path / "private" / "part.h5", "w") as file:
        file["q"] = ROWS + 5
    files = [tmp_path / "recordings" / f"{name}.h5" for name in "ab"]
    for path, q in zip(files, (h5py.ExternalLink("../private/part.h5", "/q"), ROWS), strict=True):
        with h5py.File(path, "w") as file:
            file["action"], file["q"] = ROWS, q
    report = run_here(generic(tmp_path, *files), tmp_path / "out")
    assert (report.kept, report.rejected, states(tmp_path / "out")) == (1, {"outside_file": 1}, [ROWS.tolist()])
    monkeypatch.chdir(tmp_path)
    source = {"columns": COLUMNS, "task": "t", "fps": 10, "follow": ["private"]}
    pipeline = write_pipeline(tmp_path / "recordings", files, "generic", source=source)
    plan = make_plan(load_pipeline(pipeline))
    assert [Path(file).name for row in plan.manifest.rows for file, *_ in read_files(row.files)] == ["part.h5"]
    report = run_here(pipeline, tmp_path / "both")
    assert (report.kept, states(tmp_path / "both")) == (2, [(ROWS + 5).tolist(), ROWS.tolist()])
    assert check_source(tmp_path / "both", finished_run(tmp_path / "both.run")).problems == ()


def test_folders_for_fetched_recordings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"source\.follow"):
        Hdf5Reader(files=["hf://datasets/lab/cubes/a.h5"], layout="isaaclab", follow=["/data"])
