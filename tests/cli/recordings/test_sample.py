from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest


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


def test_sample_never_replaces_a_file(robotrove: Callable, tmp_path: Path) -> None:
    (tmp_path / "episode_1.hdf5").write_text("mine")
    options = ("--episodes", 2, "--frames", 2, "--height", 48, "--width", 48)
    found = robotrove("sample", "aloha", tmp_path, *options)
    assert (found.code, found.out) == (2, "")
    assert f"{tmp_path}/episode_1.hdf5: already exists" in found.err
    assert {path.name: path.read_bytes()[:4] for path in tmp_path.iterdir()} == {"episode_1.hdf5": b"mine"}
    (tmp_path / "episode_1.hdf5").rename(tmp_path / "other.hdf5")
    assert robotrove("sample", "aloha", tmp_path, *options).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"episode_0.hdf5", "episode_1.hdf5", "other.hdf5"}


@pytest.mark.parametrize("folder", ["/proc/samples", "/proc/self/fd", "file/below"])
def test_sample_into_a_folder_that_cannot_be_written(robotrove: Callable, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    found = robotrove("sample", "aloha", tmp_path / folder, "--frames", 2)
    assert (found.code, found.out) == (2, "")
    assert f"{tmp_path / folder}: cannot be written: " in found.err
    assert "expected: a folder that can be written" in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
