"""LIBERO: files of its own creator, and those that any4lerobot or OpenVLA regenerate from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from ....core.errors import EpisodeRejected, UsageError
from ..columns import Flip, is_camera
from ..hdf5_file import lookup, member, stores_all_rows
from ..layout import Fact, Found, check_choice, found_at, groups, json_attribute, text
from ..mapping import ColumnSpec, build_column, find_dataset
from ..stored_rows import check_rows
from .robomimic import RobomimicLayout

_Frames = Literal["upright", "rotated"]
_Observation = Literal["before", "after", "auto"]
_Numbers = NDArray[np.float64]

_CONVENTION = "macros_image_convention"
_FLIPS: Mapping[str, Mapping[str | None, Flip]] = {
    "upright": {"opengl": "vertical"},
    "rotated": {"opengl": "rotate180", "opencv": "horizontal"},
}
_NOT_SAID = (
    f"the file has no {_CONVENTION}: its frames are taken for rotated already, as any4lerobot regenerates them; "
    "for those of OpenVLA's own script write `flip: rotate180` beside `from:` of each camera"
)
_PAIRED = "the file has observations after their action: each action is paired with the observation before it"

_POSES = "obs/ee_states"
_OBSERVED = ("obs/", "robot_states")  # rewards, dones and the simulator's states belong to the action of their row
# An action moves the hand over three steps of 50 ms: by 0.46, 0.40 and 0.08 of the way, measured with robosuite 1.4.0,
# which LIBERO uses, and 1.5.2 (OSC_POSE, kp 150). So a motion correlates as well with the action before its own, and
# only a response over several steps tells both orders apart.
_STEPS = 3
_THIRD = 0.75  # of the second step: a longer response looks like one that begins a step later
_LEAST_EXPLAINED = 0.5  # of the motion, by its actions
_CLEAR = 10.0  # logarithm of how much likelier one order must be


class LiberoLayout(RobomimicLayout):
    """As robomimic; the state is ee_states and gripper_states (8), as published LIBERO datasets have it.

    Success is the last entry of `dones`. Row t of the official files (scripts/create_dataset.py at 8f1084e) has the
    observation after action t, that of regenerated files (any4lerobot at 6937315, without attributes of /data) the
    observation before it.

    Args:
        columns: Feature name to its source in the file; replaces the layout's own mapping as a whole.
        task: Instruction of episodes without one in the file.
        fps: Frames per second of episodes without a rate in the file.
        success_threshold: A label that is a number says success if it is at least this; without it only 0 and 1 count.
        frames: Orientation of the frames: "upright", or "rotated" by 180 degrees as the LIBERO environments of GR00T,
            RLinf and OpenVLA give them to a policy. The convention of the file says how they are stored; a `flip` under
            `columns` comes first.
        observation: Time of a row's observation: "before" its action, and rows stay as they are; "after" it, and each
            action is paired with the observation of the row before; or "auto", as the motion of the hand tells.
    """

    states = (("ee_states", "gripper_states"), ("joint_states", "gripper_states"))

    def __init__(
        self,
        *,
        columns: Mapping[str, ColumnSpec] | None = None,
        task: str | None = None,
        fps: int | None = None,
        success_threshold: float | None = None,
        frames: _Frames = "upright",
        observation: _Observation = "before",
    ) -> None:
        super().__init__(columns=columns, task=task, fps=fps, success_threshold=success_threshold)
        check_choice("layout libero, frames", frames, get_args(_Frames))
        check_choice("layout libero, observation", observation, get_args(_Observation))
        self.frames = frames
        self.observation = observation
        cut = [key for key, spec in (columns or {}).items() if any(part.rows for part in spec.parts)]
        if cut and observation != "before":
            found = f"observation: {observation} chooses the rows, and so does `rows` of {', '.join(cut)}"
            raise UsageError("source.options", found, "one of the two", "remove `rows`, or the option")

    @classmethod
    def matches(cls, file: h5py.File) -> bool:
        """True for /data with problem_info, or without env_args and with LIBERO's names of observations."""
        data = member(file, "data")
        if not isinstance(data, h5py.Group) or "problem_info" in data.attrs or "env_args" in data.attrs:
            return isinstance(data, h5py.Group) and "problem_info" in data.attrs
        obs = [lookup(data, f"{demo}/obs") for demo in groups(file, "data")[:1]]
        return any(isinstance(one, h5py.Group) and set(one).issuperset(cls.states[0]) for one in obs)

    def mapping(self, group: h5py.Group) -> Mapping[str, ColumnSpec]:
        """Return where the columns are, with the rows and the flips that the options choose."""
        specs = {
            key: spec.model_copy(update={"flip": self.flip(group)}) if self._is_to_turn(group, spec) else spec
            for key, spec in super().mapping(group).items()
        }
        return {key: _paired(spec) for key, spec in specs.items()} if self._is_after(group) else specs

    def flip(self, group: h5py.Group) -> Flip:
        """Return how the file's frames differ from the orientation that is wanted."""
        return _FLIPS[self.frames].get(text(group.parent.attrs.get(_CONVENTION)), "none")

    def rows(self, group: h5py.Group) -> int | None:
        """Return how many rows count; pairs are one less."""
        counted = super().rows(group)
        return counted - 1 if counted and counted > 0 and self._is_after(group) else counted

    def notes(self, group: h5py.Group, length: int) -> Iterator[str]:
        """Yield what is taken for granted, and that rows were paired."""
        if self.frames == "rotated" and _CONVENTION not in group.parent.attrs:
            yield _NOT_SAID
        if self._is_after(group):
            yield _PAIRED

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

    def _is_to_turn(self, group: h5py.Group, spec: ColumnSpec) -> bool:
        is_open = self.columns is not None and self.frames == "rotated" and "flip" not in spec.model_fields_set
        return is_open and is_camera(find_dataset(group, spec.parts[0].source))

    def _is_after(self, group: h5py.Group) -> bool:
        """True if each row has the observation after its action.

        Raises:
            EpisodeRejected: unclear_pairing if the data are to tell and do not.
        """
        if self.observation != "auto":
            return self.observation == "after"
        counted = super().rows(group)
        order = _order(*(_first_three(group, path, max(0, counted or 0) or None) for path in (_POSES, "actions")))
        if abs(order) >= _CLEAR:
            return order > 0
        raise EpisodeRejected(
            "unclear_pairing",
            f"the motion in {group.name}/{_POSES} does not tell whether row t is from before or after action t; "
            "`options: {observation: after}` is for files of LIBERO's create_dataset.py, before for regenerated ones",
        )


def _first_three(group: h5py.Group, path: str, stop: int | None) -> _Numbers:
    """Return entries 0 to 2 of the rows of a dataset, up to `stop`: (n, 3)."""
    dataset = find_dataset(group, path)
    if not stores_all_rows(dataset):
        check_rows(dataset, 0, min(len(dataset), stop or len(dataset)))
    return build_column(group, ColumnSpec(source=path, slice=(0, 3), dtype="float64"), path).read()[:stop]


def _paired(spec: ColumnSpec) -> ColumnSpec:
    """Return a column of pairs (observation k, action k + 1)."""
    parts = [
        part.model_copy(update={"rows": (None, -1) if part.source.strip("/").startswith(_OBSERVED) else (1, None)})
        for part in spec.parts
    ]
    if isinstance(spec.source, str):
        return spec.model_copy(update={"rows": parts[0].rows})
    return spec.model_copy(update={"source": parts})


def _order(positions: _Numbers, actions: _Numbers) -> float:
    """Return how much likelier positions follow the action of their own row than that of the row before.

    It is the logarithm of the ratio of both likelihoods; 0 if neither order explains the motion, or there is none.

    Args:
        positions: (T, 3), of the hand.
        actions: (T, 3), the changes of the position that were asked for.
    """
    steps = np.arange(_STEPS, min(len(positions), len(actions)))
    moved = positions[steps] - positions[steps - 1]
    asked = [np.clip(actions[steps - late], -1, 1) for late in range(_STEPS + 1)]  # as robosuite's controllers clip
    table = np.stack([moved, *asked])
    table = table[:, np.isfinite(table).all(axis=(0, 2))]
    motion, *commands = table.reshape(_STEPS + 2, -1)
    total = float(motion @ motion)
    left = [_unexplained(motion, commands[late : late + _STEPS]) / (total or 1.0) for late in (0, 1)]
    if not total or min(left) > 1 - _LEAST_EXPLAINED:
        return 0.0
    own, before = np.maximum(left, np.finfo(np.float32).eps ** 2)
    return float(np.count_nonzero(table[0].any(axis=1)) * np.log(before / own))


def _unexplained(motion: _Numbers, commands: list[_Numbers]) -> float:
    """Return the squares that remain of a motion, at best, after a response to commands that does not grow with time.

    Args:
        motion: (n,) of all axes.
        commands: Those of three steps, the first to act first, each (n,).
    """
    first, second, third = commands
    responses = np.stack([first, first + second, first + second + _THIRD * third], axis=1)
    left = [float(motion @ motion)]
    for count in range(1, _STEPS + 1):
        for some in combinations(range(_STEPS), count):
            weights, *_ = np.linalg.lstsq(responses[:, some], motion, rcond=None)
            if (weights >= 0).all():
                left.append(float(np.square(motion - responses[:, some] @ weights).sum()))
    return min(left)
