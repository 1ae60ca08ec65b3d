"""Rows as Isaac Lab Arena's converter writes them (`reference_exact`) open in LeRobot 0.3.3, with every value."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import read_marker
from robotrove.tests.judges.releases import BACKENDS, V21_RELEASES, Seen, run_script
from robotrove.tests.support.pipelines.joint_spaces import G1, G1_POLICY
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

EPISODES, FRAMES = 2, 12


@pytest.mark.parametrize("release", V21_RELEASES)
def test_every_value(release: str, tmp_path: Path) -> None:
    [path] = write_sample("arena_g1", tmp_path, episodes=EPISODES, frames=FRAMES + 1, height=48, width=64)
    run_shipped("arena_g1_locomanip", [path], tmp_path / "lerobot")
    done = run_script(release, "judge.py", tmp_path / "lerobot", tmp_path / "seen.npz", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = Seen(tmp_path / "seen.npz", release)
    with h5py.File(path) as file:

        def recorded(key: str) -> np.ndarray:
            return np.concatenate([file[f"data/demo_{n}/{key}"][:-1] for n in range(EPISODES)])

        order = [G1.index(name) for name in G1_POLICY]
        expected = {
            "observation.state": recorded("obs/robot_joint_pos")[:, order],
            "action": recorded("processed_actions")[:, order],
            "teleop.base_height_command": recorded("action/base_height_cmd"),
        }
    for backend in BACKENDS:
        for key, values in expected.items():
            np.testing.assert_array_equal(seen[f"{backend}/{key}"].reshape(values.shape), values, err_msg=key)
        pictures = seen[f"{backend}/observation.images.ego_view"]
        assert [read_marker(picture) for picture in pictures] == [(row, 0) for row in range(FRAMES)] * EPISODES
