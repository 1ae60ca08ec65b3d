"""Relative actions: joints and poses relative to the state, and their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....core.errors import Damaged, UsageError
from ..stats.float32_stats import Table, finite_float32, float32_stats
from .gr00t_stats import column_batches

Floats: TypeAlias = NDArray[np.float64]
# Names of GR00T's ActionFormat.
PoseFormat: TypeAlias = Literal["DEFAULT", "XYZ_ROT6D", "XYZ_ROTVEC"]
POSE_WIDTHS: Mapping[str, int] = {"DEFAULT": 16, "XYZ_ROT6D": 9, "XYZ_ROTVEC": 6}

RELATIVE_STATS = "meta/relative_stats.json"
RELATIVE_KEYS = ("max", "min", "q01", "q99", "mean", "std")
_FRAMES = 4096  # samples are some offsets times larger than the frames: those of long episodes are made in pieces


def relative_poses(poses: Floats, reference: Floats, form: PoseFormat) -> Floats:
    """Return T_ref⁻¹ · T in the format of its arguments.

    Args:
        poses: (..., D): XYZ_ROT6D is xyz and the first two rows of the rotation matrix, XYZ_ROTVEC is
            xyz and a rotation vector in radians, DEFAULT a homogeneous matrix, row by row.
        reference: The same, in a shape that broadcasts.
        form: Decides D (see POSE_WIDTHS).

    Returns:
        Like `poses`; NaN where a rotation is none.
    """
    rotation, position = _split(poses, form)
    reference_rotation, origin = _split(reference, form)
    inverse = np.swapaxes(reference_rotation, -1, -2)
    return _joined(inverse @ rotation, (inverse @ (position - origin)[..., None])[..., 0], form)


def _split(poses: Floats, form: PoseFormat) -> tuple[Floats, Floats]:
    """Return rotation matrices (..., 3, 3) and positions (..., 3)."""
    if form == "DEFAULT":
        matrix = poses.reshape(*poses.shape[:-1], 4, 4)
        return matrix[..., :3, :3], matrix[..., :3, 3]
    rotation = poses[..., 3:]
    return (_from_rot6d if form == "XYZ_ROT6D" else _from_rotvec)(rotation), poses[..., :3]


def _joined(rotation: Floats, position: Floats, form: PoseFormat) -> Floats:
    if form == "DEFAULT":
        matrix = np.zeros((*rotation.shape[:-2], 4, 4))
        matrix[..., :3, :3], matrix[..., :3, 3], matrix[..., 3, 3] = rotation, position, 1
        return matrix.reshape(*matrix.shape[:-2], 16)
    if form == "XYZ_ROT6D":
        return np.concatenate([position, rotation[..., 0, :], rotation[..., 1, :]], axis=-1)
    return np.concatenate([position, _to_rotvec(rotation)], axis=-1)


def _from_rot6d(rows: Floats) -> Floats:
    """Gram-Schmidt: the first row keeps its direction, the second its plane."""
    with np.errstate(invalid="ignore"):
        first = rows[..., :3] / np.linalg.norm(rows[..., :3], axis=-1, keepdims=True)
        second = rows[..., 3:] - (first * rows[..., 3:]).sum(axis=-1, keepdims=True) * first
        second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def _from_rotvec(vector: Floats) -> Floats:
    """Rodrigues' formula, I + sin(a)/a K + (1 - cos(a))/a² K² with K the matrix of the cross product."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vector.shape, 3)
    # np.sinc(x) is sin(πx)/(πx), and (1 - cos a)/a² = sinc(a/2)²/2: both are exact at 0.
    half = np.sinc(angle / (2 * np.pi))
    rotation: Floats = np.eye(3) + np.sinc(angle / np.pi) * cross + half**2 / 2 * (cross @ cross)
    return rotation


def _to_rotvec(rotation: Floats) -> Floats:
    """Return rotation vectors (..., 3) of at most π, through the quaternion, which is exact near 0 and near π."""
    r = np.moveaxis(rotation, (-2, -1), (0, 1))
    trace = r[0, 0] + r[1, 1] + r[2, 2]
    # Four multiples (x, y, z, w) of the same quaternion; the one by its largest entry has no cancellation.
    multiples = np.stack(
        [
            [1 + 2 * r[0, 0] - trace, r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], 1 + 2 * r[1, 1] - trace, r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], 1 + 2 * r[2, 2] - trace, r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + trace],
        ]
    )
    best = np.argmax([r[0, 0], r[1, 1], r[2, 2], trace], axis=0)
    quaternion = np.take_along_axis(multiples, best[None, None], axis=0)[0]
    quaternion = np.where(quaternion[3] < 0, -quaternion, quaternion)
    sine = np.linalg.norm(quaternion[:3], axis=0)
    angle = 2 * np.arctan2(sine, quaternion[3])
    with np.errstate(invalid="ignore"):
        scale = np.where(sine > 0, angle / sine, 0)
    return np.moveaxis(quaternion[:3] * scale, 0, -1)


@dataclass(frozen=True, slots=True)
class ActionPart:
    """Entries start..end (exclusive) of a column of vectors."""

    column: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RelativeAction:
    """One action that the policy predicts relative to a state.

    Attributes:
        key: Its name in modality.json.
        action: Where it is.
        state: What it is relative to.
        deltas: Offsets of the predicted frames, ascending from 0 or more. The state is taken at the first one.
        pose: Format of a pose of an end effector; None for plain numbers, of which differences are taken.
    """

    key: str
    action: ActionPart
    state: ActionPart
    deltas: tuple[int, ...]
    pose: PoseFormat | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (H, D), or (H, 4, 4) for homogeneous matrices."""
        return (len(self.deltas), *((4, 4) if self.pose == "DEFAULT" else (self.action.end - self.action.start,)))

    def samples(self, actions: NDArray[Any], states: NDArray[Any]) -> NDArray[np.float64]:
        """Return the samples of an episode.

        Args:
            actions: (frames, D).
            states: (frames, D).

        Returns:
            (frames - last offset, H · D): where the episode is too short for one sample there is none.
        """
        first = np.arange(max(0, len(actions) - self.deltas[-1]))
        chosen = actions.astype(np.float64)[first[:, None] + np.array(self.deltas)]
        reference = states.astype(np.float64)[first + self.deltas[0]][:, None]
        found = chosen - reference if self.pose is None else relative_poses(chosen, reference, self.pose)
        return found.reshape(len(first), prod(self.shape))


def relative_stats(files: Sequence[Path], actions: Sequence[RelativeAction]) -> dict[str, dict[str, Any]]:
    """Return the statistics of relative actions over all samples, as GR00T computes them.

    Differences are taken in float64 and cast to float32; then see `float32_stats`. Poses may differ
    from GR00T's by 1e-6 (see `relative_poses`). Memory holds the columns of one
    episode; the files are read some five times.

    Args:
        files: One per episode, in the order of episodes.jsonl.
        actions: What is relative to what.

    Returns:
        Keys, sorted, to RELATIVE_KEYS, in this order, to (H, D) as lists.

    Raises:
        Damaged: If a file cannot be read, lacks a column, or has rows that are no numbers or too short.
        UsageError: If no episode is long enough for a sample.
    """
    columns = sorted({part.column for action in actions for part in (action.action, action.state)})

    def batches() -> Iterator[dict[str, Table]]:
        for file in files:
            parts = list(column_batches(file, columns))
            if columns and parts:
                episode = {name: np.concatenate([part[name] for part in parts]) for name in columns}
                for first in range(0, len(episode[columns[0]]), _FRAMES):
                    yield {action.key: _samples(action, episode, first, file) for action in actions}

    by_key = {action.key: action for action in sorted(actions, key=lambda action: action.key)}
    found = float32_stats(batches, list(by_key))
    for key, action in by_key.items():
        if key not in found:
            raise UsageError(
                f"action {key}",
                f"none of {len(files)} episodes has more than {action.deltas[-1]} frames",
                f"episodes with a frame at each of the offsets {action.deltas[0]} to {action.deltas[-1]}",
                "take fewer offsets, or longer episodes",
            )
    return {
        key: {name: found[key][name].reshape(action.shape).tolist() for name in RELATIVE_KEYS}
        for key, action in by_key.items()
    }


def _samples(action: RelativeAction, episode: dict[str, NDArray[Any]], first: int, file: Path) -> Table:
    frames = slice(first, first + _FRAMES + action.deltas[-1])
    values = []
    for part in (action.action, action.state):
        rows = episode[part.column]
        if rows.shape[1] < part.end:
            where = f"{file.name}, column {part.column}"
            raise Damaged(where, f"rows have {rows.shape[1]} values; {action.key} needs {part.start} to {part.end}")
        values.append(rows[frames, part.start : part.end])
    return finite_float32(action.samples(*values), f"{file.name}, action {action.key}")
