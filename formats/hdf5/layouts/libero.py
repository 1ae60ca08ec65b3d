"""LIBERO: robomimic files with the instruction in problem_info and frames that may be upside down."""

from __future__ import annotations

import re
from pathlib import Path

import h5py

from ..columns import Flip
from ..layout import Fact, Found, found_at, json_attribute, text
from .robomimic import RobomimicLayout


class LiberoLayout(RobomimicLayout):
    """As robomimic; the state is ee_states and gripper_states (8), as published LIBERO datasets have it.

    Frames are flipped upright where macros_image_convention is "opengl". Success is the last entry of
    `dones`. Rows stay aligned as in the file: the official files store the observation after the action.
    """

    states = (("ee_states", "gripper_states"), ("joint_states", "gripper_states"))

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True for /data with problem_info."""
        data = file.get("data")
        return isinstance(data, h5py.Group) and "problem_info" in data.attrs

    def flip(self, group: h5py.Group) -> Flip:
        """Return "vertical" for the opengl convention."""
        return "vertical" if text(group.parent.attrs.get("macros_image_convention")) == "opengl" else "none"

    def success(self, group: h5py.Group) -> Found | None:
        """Return dones; the last entry counts. Creators keep successes, and mark their last step."""
        return found_at(group, "dataset:dones")

    def file_task(self, group: h5py.Group) -> Found | None:
        """Return the language instruction of problem_info, without the quotes that are often in it."""
        found = json_attribute(group.parent, "problem_info").get("language_instruction")
        where = f"language_instruction in attribute 'problem_info' of {group.parent.name}"
        return None if found is None else Found(where, found.strip("\"' ") if isinstance(found, str) else found)

    def fallback_task(self, group: h5py.Group) -> Fact:
        """Return the instruction that the file's name spells: KITCHEN_SCENE1_open_the_drawer_demo.hdf5."""
        name = Path(group.file.filename).stem.removesuffix("_demo")
        return Fact(re.sub(r"^.*SCENE[0-9]+_", "", name).replace("_", " "), "file_name")
