"""Files that Isaac Lab wrote."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5 import LAYOUTS
from robotrove.formats.hdf5.hdf5_file import natural_key, open_hdf5
from robotrove.formats.hdf5.layout import guess_layout
from robotrove.tests.support.places import SHARED_DATA, needs

FOLDER = SHARED_DATA / "isaaclab"
pytestmark = needs(FOLDER)


@pytest.mark.parametrize(
    ("name", "episodes", "frames", "success"),
    [("dataset.hdf5", 10, 2163, True), ("generated_dataset_small_failed.hdf5", 16, 3736, False)],
)
def test_counts_labels_and_values(name: str, episodes: int, frames: int, success: bool) -> None:
    with open_hdf5(FOLDER / name, locking=True) as file:
        assert guess_layout(file) == "isaaclab"
        layout = LAYOUTS["isaaclab"]()
        keys = layout.list(file)
        found = [layout.open(file, key) for key in keys]
        assert (len(found), sum(ep.length for ep in found)) == (episodes, frames)
        assert {ep.success for ep in found} == {success}
        assert keys == sorted(keys, key=natural_key)
        assert {(ep.fps, ep.origin.fps_source) for ep in found} == {(30, "default")}
        for ep, key in zip(found, keys, strict=True):
            with h5py.File(FOLDER / name) as plain:
                np.testing.assert_array_equal(ep["action"], plain[key]["actions"][()])
                np.testing.assert_array_equal(ep["observation.state"], plain[key]["obs/joint_pos"][()])
