"""ALOHA, ACT and descendants: one episode per file, /action and /observations."""

from __future__ import annotations

from collections.abc import Sequence

import h5py

from ..columns import depth_or_mask
from ..hdf5_file import lookup, member
from ..layout import Found, Layout, camera_key, found_at
from ..mapping import ColumnSpec

# Feature name to dataset; those that a file lacks are left out, except the first two.
_VECTORS = {
    "action": "action",
    "observation.state": "observations/qpos",
    "observation.velocity": "observations/qvel",
    "observation.effort": "observations/effort",
    "action.base": "base_action",
}
_REQUIRED = ("action", "observation.state")
_CAMERAS = "observations/images"


class AlohaLayout(Layout):
    """`action`, `observation.state` (qpos), `.velocity` (qvel), `.effort`, `action.base`, all cameras.

    Cameras are raw (T, H, W, 3), JPEG rows padded with zeros, or JPEG rows of variable length. The
    format has no rate (its recorder runs at 50 Hz), no label, and rarely an instruction.
    """

    default_fps = 50
    episodes_are = "/action and /observations"

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True for /action beside /observations/qpos."""
        return isinstance(member(file, "action"), h5py.Dataset) and member(file, "observations/qpos") is not None

    def keys(self, file: h5py.File) -> Sequence[str]:
        """Return the whole file as one episode."""
        return ["/"] if {"action", "observations"} & set(file) else []

    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return the vectors that exist and every camera."""
        columns = {
            key: ColumnSpec(source=path)
            for key, path in _VECTORS.items()
            if key in _REQUIRED or lookup(group, path) is not None
        }
        cameras = lookup(group, _CAMERAS)
        for name in cameras if isinstance(cameras, h5py.Group) else ():
            source, item = f"{_CAMERAS}/{name}", lookup(cameras, name)
            if not isinstance(item, h5py.Dataset) or not item.shape or not depth_or_mask(group, source):
                columns[camera_key(name)] = ColumnSpec(source=source, kind="video")
        return columns

    def file_task(self, group: h5py.Group) -> Found | None:
        """Return the attribute or the dataset `instruction`."""
        found = found_at(group, "attr:instruction")
        return found_at(group, "dataset:instruction") if found is None or found.is_empty else found
