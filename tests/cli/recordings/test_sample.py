from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import h5py


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
