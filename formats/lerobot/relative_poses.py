"""Poses of end effectors relative to a reference, as GR00T computes them (gr00t/data/state_action/pose.py).

T_ref⁻¹ · T in float64. GR00T takes rotations through SciPy's quaternions and normalises those of float32 columns in
float32, so its numbers may differ from these by 1e-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
# Names of GR00T's ActionFormat.
PoseFormat: TypeAlias = Literal["DEFAULT", "XYZ_ROT6D", "XYZ_ROTVEC"]
POSE_WIDTHS: Mapping[str, int] = {"DEFAULT": 16, "XYZ_ROT6D": 9, "XYZ_ROTVEC": 6}


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
