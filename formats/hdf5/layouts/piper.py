"""piper_gr00t: groups at the root with action, state, cameras, and the attributes instruction and length."""

from __future__ import annotations

from collections.abc import Sequence

import h5py

from ..columns import depth_or_mask, is_camera, is_encoded
from ..hdf5_file import lookup, member
from ..layout import Found, Layout, camera_key, found_at, groups
from ..mapping import ColumnSpec


class PiperLayout(Layout):
    """`action`, `observation.state`, and every image_<name>, raw or JPEG, as `observation.images.<name>`.

    Rows 0 … length-1 count; the recorder may have left more. There is no success flag and no rate.
    """

    episodes_are = "groups at the root"
    row_counter = "length"

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True if the first group has the attributes instruction and length."""
        names = groups(file)
        first = member(file, names[0]) if names else None
        return isinstance(first, h5py.Group) and {"instruction", "length"} <= set(first.attrs)

    def keys(self, file: h5py.File) -> Sequence[str]:
        """Return the groups at the root in natural order."""
        return groups(file)

    def default_columns(self, group: h5py.Group) -> dict[str, ColumnSpec]:
        """Return action, observation.state and every camera."""
        columns = {"action": ColumnSpec(source="action"), "observation.state": ColumnSpec(source="state")}
        for name in group:
            if _is_camera(group, name):
                columns[camera_key(name.removeprefix("image_"))] = ColumnSpec(source=name, kind="video")
        return columns

    def file_task(self, group: h5py.Group) -> Found | None:
        """Return the attribute `instruction`."""
        return found_at(group, "attr:instruction")


def _is_camera(group: h5py.Group, name: str) -> bool:
    item = lookup(group, name)
    if not isinstance(item, h5py.Dataset) or not item.shape:
        return False
    return (is_camera(item) or (name.startswith("image") and is_encoded(item))) and not depth_or_mask(group, name)
