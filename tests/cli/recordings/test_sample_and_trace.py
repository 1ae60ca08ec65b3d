from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from robotrove.formats.hdf5.hdf5_file import open_hdf5, source_digest


def test_sample_writes_what_was_asked_for(robotrove: Callable, tmp_path: Path) -> None:
    options = ("--episodes", 2, "--frames", 5, "--height", 48, "--width", 64, "--cameras", "top, side", "--seed", 3)
    found = robotrove("sample", "aloha", tmp_path / "a b", *options)
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[:2] == [str(tmp_path / "a b" / f"episode_{number}.hdf5") for number in range(2)]
    assert lines[-1] == f"next: robotrove init '{tmp_path}/a b'"
    with h5py.File(lines[1]) as file:
        images = file["observations/images"]
        assert {name: images[name].shape for name in images} == {"top": (5, 48, 64, 3), "side": (5, 48, 64, 3)}


def test_sample_seeds_differ(robotrove: Callable, tmp_path: Path) -> None:
    digests = set()
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        assert robotrove("sample", "isaaclab", folder, "--cameras", "", "--seed", seed).code == 0
        digests.add(hashlib.sha256((folder / "isaaclab.hdf5").read_bytes()).hexdigest())
    assert len(digests) == 2


def test_sample_mistakes(robotrove: Callable, tmp_path: Path) -> None:
    found = robotrove("sample", "aloah", tmp_path / "x")
    assert found.code == 2
    assert "did you mean 'aloha'?" in found.err
    assert robotrove("sample", "aloha", tmp_path / "x", "--height", 7).code == 2
    assert not (tmp_path / "x").exists()


def test_trace_leads_to_the_recording(robotrove: Callable, converted: Path) -> None:
    found = robotrove("trace", converted / "dataset", 1, "--json").json
    with open_hdf5(converted / "isaaclab.hdf5", locking=False) as file:
        assert found["source_digest"] == source_digest(file["data/demo_1"])
    assert (found["source_name"], found["source_key"]) == ("isaaclab.hdf5", "data/demo_1")
    assert (found["source_path"], found["source_is_there"]) == (str(converted / "isaaclab.hdf5"), True)
    assert (found["first_row"], found["last_row"], found["source_length"]) == (0, 7, 8)
    assert found["success"] is True
    text = robotrove("trace", converted / "dataset", 1)
    assert text.code == 0
    assert "rows:        0..7, 8 of 8" in text.out


def test_trace_without_the_run_directory(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted / "dataset", tmp_path / "moved")
    assert robotrove("trace", tmp_path / "moved", 0, "--json").json["source_path"] is None
    assert f"no run directory {tmp_path}/moved.run" in robotrove("trace", tmp_path / "moved", 0).out


@pytest.mark.parametrize(
    ("dataset", "episode", "message"),
    [("dataset", 2, "has no episode 2"), ("dataset.run", 0, "is not a dataset"), ("missing", 0, "is not a dataset")],
)
def test_trace_of_what_is_not_there(
    robotrove: Callable, converted: Path, dataset: str, episode: int, message: str
) -> None:
    found = robotrove("trace", converted / dataset, episode)
    assert (found.code, found.out) == (2, "")
    assert message in found.err


def test_trace_of_a_foreign_dataset(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted / "dataset", tmp_path / "foreign")
    shutil.rmtree(tmp_path / "foreign/meta/robotrove")
    found = robotrove("trace", tmp_path / "foreign", 0)
    assert found.code == 2
    assert "does not say where its episodes come from" in found.err
