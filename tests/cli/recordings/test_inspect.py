from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.samples import write_sample


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["by"] = "me"
        file["numbers/x"] = np.array([[1.5, 2.0], [np.nan, -3.0]])
        file.create_dataset("numbers/y", data=np.arange(10, dtype=np.uint8), chunks=(5,), compression="gzip")
        file["note"] = "hello"
        file["alias"] = h5py.SoftLink("/numbers")
    return tmp_path / "a.hdf5"


def test_tree_with_values_and_attributes(robotrove: Callable, recording: Path) -> None:
    found = robotrove("inspect", recording, "--attrs", "--preview")
    assert (found.code, found.err) == (0, "")
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert lines[0].endswith("no known layout")
    assert lines[1:] == [
        "/ group, 3 members",
        '@by = "me"',
        "alias link to /numbers",
        "note () string, 16 B, contiguous",
        "numbers group, 2 members",
        "x (2, 2) float64, 32 B, contiguous",
        "first [1.5, 2.0]",
        "last [NaN, -3.0]",
        "from -3.0 to 2.0, 1 value not finite",
        f"y (10,) uint8, {h5py.File(recording)['numbers/y'].id.get_storage_size()} B, chunks (5,), gzip",
        "first 0",
        "last 9",
        "from 0 to 9",
    ]


def test_json(robotrove: Callable, recording: Path) -> None:
    document = robotrove("inspect", recording, "--json", "--preview", "--max-level", 2).json
    assert (document["layout"], document["episodes"], document["size"]) == (None, 0, recording.stat().st_size)
    objects = {entry["path"]: entry for entry in document["objects"]}
    assert objects["/numbers/x"]["preview"]["last"] == ["nan", -3.0]
    assert objects["/numbers/y"]["chunks"] == [5]
    assert objects["/note"]["preview"] is None
    assert "attrs" not in objects["/"]
    shallow = robotrove("inspect", recording, "--json", "--max-level", 1, "--attrs").json["objects"]
    assert [entry["path"] for entry in shallow] == ["/", "/alias", "/note", "/numbers"]
    assert shallow[0]["attrs"] == {"by": "me"}


def test_layout_and_episodes(robotrove: Callable, tmp_path: Path) -> None:
    (path,) = write_sample("piper", tmp_path, episodes=11, frames=1, height=48, width=48, cameras=("top",))
    found = robotrove("inspect", path, "--max-level", 1)
    assert "layout piper, 11 episodes" in found.out
    names = [line.split()[0] for line in found.out.splitlines()[2:]]
    assert names == [f"episode_{number}" for number in range(11)]  # 10 comes last


def test_files_that_are_none(robotrove: Callable, tmp_path: Path) -> None:
    text = tmp_path / "a.hdf5"
    text.write_text("no data")
    for path, message in (
        (text, f"error: {text} does not begin like an HDF5 file (not_hdf5)"),
        (tmp_path / "no.hdf5", f"error: {tmp_path}/no.hdf5 does not exist (missing_file)"),
        (tmp_path, f"error: {tmp_path}: is a folder"),
    ):
        found = robotrove("inspect", path, "--json")
        assert (found.code, found.out) == (2, "")
        assert found.err.startswith(message)


def test_a_truncated_file(robotrove: Callable, recording: Path) -> None:
    recording.write_bytes(recording.read_bytes()[:-100])
    found = robotrove("inspect", recording)
    assert found.code == 2
    assert "(truncated_file)" in found.err


def test_names_that_are_no_text(robotrove: Callable, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file[b"n\xff"] = [1]
    assert r"n\xff" in robotrove("inspect", tmp_path / "a.hdf5").out
    assert robotrove("inspect", tmp_path / "a.hdf5", "--json").json["objects"]
