"""Demos of Isaac Lab made by hand, and how a layout refuses them."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.formats.hdf5 import LAYOUTS

STATE = np.arange(12, dtype=np.float32).reshape(4, 3)


def demo(file: h5py.File, name: str = "demo_0", **datasets: Any) -> h5py.Group:
    """Add an episode of 4 rows; a dataset that is None is missing."""
    group = file.require_group("data").create_group(name)
    for path, rows in {"actions": STATE, "obs/joint_pos": STATE, **datasets}.items():
        if rows is not None:
            group[path] = rows
    return group


def rejected(file: h5py.File, layout: str = "isaaclab", key: str = "data/demo_0", **options: Any) -> EpisodeRejected:
    """Return why a layout rejects an episode."""
    with pytest.raises(EpisodeRejected) as caught:
        LAYOUTS[layout](**options).open(file, key)
    return caught.value
