"""Finding the cameras of an episode, and naming their features."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from .column_spec import ColumnSpec, Flip
from .mapping import is_picture
from .source import datasets

_SUFFIXES = ("_rgb", "_image")


def camera_columns(group: h5py.Group, folders: Sequence[str], flip: Flip = "none") -> dict[str, ColumnSpec]:
    """Return a column for every uint8 (T, H, W, C) dataset below the folders.

    `obs/front_rgb` becomes `observation.images.front`, `obs/left/wrist` `observation.images.left.wrist`.
    A name that is taken already keeps its whole path.

    Args:
        group: The episode.
        folders: Paths of groups to look into, the one whose names win first.
        flip: How the frames differ from upright ones.
    """
    columns: dict[str, ColumnSpec] = {}
    for folder in folders:
        parent = group.get(folder)
        if not isinstance(parent, h5py.Group):
            continue
        for path, dataset in datasets(parent).items():
            if dataset.shape and dataset.dtype == np.uint8 and is_picture(dataset):
                source = f"{folder}/{path}"
                key = camera_key(path)
                if key in columns:
                    key = camera_key(source)
                columns[key] = ColumnSpec(source=source, flip=flip)
    return columns


def camera_key(path: str) -> str:
    """Return the feature name of the camera at `path`, without the suffixes _rgb and _image."""
    for suffix in _SUFFIXES:
        if path.endswith(suffix) and not path.endswith("/" + suffix):
            path = path.removesuffix(suffix)
            break
    return "observation.images." + path.replace("/", ".")
