"""Relative actions: joints and poses relative to the state, their statistics, and the file that says which they are.

The file is GR00T's modality configuration as YAML or JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ....core.errors import ConfigError, Damaged, Problem, UsageError, nearest
from ....core.yaml_source import read_yaml, text_of
from ....manifests.robot import Slice
from ..stats.exact_quantiles import column_stats
from .gr00t_stats import column_batches, finite

Floats: TypeAlias = NDArray[np.float64]
# Names of GR00T's ActionFormat.
PoseFormat: TypeAlias = Literal["DEFAULT", "XYZ_ROT6D", "XYZ_ROTVEC"]
POSE_WIDTHS: Mapping[str, int] = {"DEFAULT": 16, "XYZ_ROT6D": 9, "XYZ_ROTVEC": 6}

RELATIVE_STATS = "meta/relative_stats.json"
RELATIVE_KEYS = ("max", "min", "q01", "q99", "mean", "std")
_FILE = "a file in YAML or JSON"
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
        pose: Format of a pose of an end effector; None for plain numbers, compared by difference.
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
    """Return the statistics of relative actions over all samples, in float64; GR00T's differ as in `gr00t_stats`.

    Its poses may differ by 1e-6 besides (see `relative_poses`). Memory holds the columns of one episode; the files are
    read up to five times.

    Args:
        files: One per episode, in the order of episodes.jsonl.
        actions: What is relative to what; all at the same offsets.

    Returns:
        Keys, sorted, to RELATIVE_KEYS, in this order, to (H, D) as lists.

    Raises:
        Damaged: If a file cannot be read, lacks a column, or has rows that are no numbers or too short.
        UsageError: If no episode is long enough for a sample.
    """
    columns = sorted({part.column for action in actions for part in (action.action, action.state)})

    def batches() -> Iterator[dict[str, Floats]]:
        for file in files:
            parts = list(column_batches(file, columns))
            if columns and parts:
                episode = {name: np.concatenate([part[name] for part in parts]) for name in columns}
                for first in range(0, len(episode[columns[0]]), _FRAMES):
                    samples = {action.key: _samples(action, episode, first, file) for action in actions}
                    if all(map(len, samples.values())):
                        yield samples

    by_key = {action.key: action for action in sorted(actions, key=lambda action: action.key)}
    found = column_stats(batches)
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


def _samples(action: RelativeAction, episode: dict[str, NDArray[Any]], first: int, file: Path) -> Floats:
    frames = slice(first, first + _FRAMES + action.deltas[-1])
    values = []
    for part in (action.action, action.state):
        rows = episode[part.column]
        if rows.shape[1] < part.end:
            where = f"{file.name}, column {part.column}"
            raise Damaged(where, f"rows have {rows.shape[1]} values; {action.key} needs {part.start} to {part.end}")
        values.append(rows[frames, part.start : part.end])
    return finite(action.samples(*values), f"{file.name}, action {action.key}")


class ActionSpec(BaseModel):
    """Representation of an action in GR00T (its ActionConfig).

    Attributes:
        rep: Only RELATIVE actions have relative statistics.
        type: EEF for poses of end effectors, NON_EEF for plain numbers.
        format: What the numbers of a pose are.
        state_key: The state that it is relative to, by default that of the same name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rep: Literal["RELATIVE", "ABSOLUTE", "DELTA"]
    type: Literal["EEF", "NON_EEF"] = "NON_EEF"
    format: PoseFormat = "DEFAULT"
    state_key: str | None = None


class ActionsFile(BaseModel):
    """A configuration file.

    Attributes:
        state_delta_indices: Offsets of the states that the policy sees; the last one is the reference.
        action_delta_indices: Offsets of the actions that it predicts.
        action_horizon: Short for as many offsets, from that of the reference on.
        actions: By their names in modality.json.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_delta_indices: list[int] = Field(default=[0], min_length=1)
    action_delta_indices: list[int] | None = Field(default=None, min_length=1)
    action_horizon: int | None = Field(default=None, ge=1)
    actions: dict[str, ActionSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _offsets(self) -> ActionsFile:
        if (self.action_delta_indices is None) == (self.action_horizon is None):
            raise ValueError("give one of action_delta_indices and action_horizon")
        deltas, reference = self.deltas, self.state_delta_indices[-1]
        if list(deltas) != sorted(set(deltas)) or deltas[0] < 0:
            raise ValueError(f"action_delta_indices {list(deltas)} do not ascend from 0 or more")
        if deltas[0] != reference:
            raise ValueError(
                f"the first of action_delta_indices is {deltas[0]}, the last of state_delta_indices is {reference}: "
                "GR00T wants them to be the same"
            )
        return self

    @property
    def deltas(self) -> tuple[int, ...]:
        """Offsets of the predicted frames."""
        first = self.state_delta_indices[-1]
        return tuple(self.action_delta_indices or range(first, first + (self.action_horizon or 0)))


class _Slice(Slice):
    original_key: str | None = None

    @property
    def width(self) -> int:
        return self.end - self.start


class _Modality(BaseModel):
    state: dict[str, _Slice] = {}
    action: dict[str, _Slice] = {}


Model = TypeVar("Model", bound=BaseModel)


def read_actions(modality: Path, config: Path, content: Mapping[str, Any] | None = None) -> list[RelativeAction]:
    """Return the RELATIVE actions of a configuration file, sorted by name as GR00T writes them.

    Args:
        modality: The dataset's modality.json, which says where actions and states are.
        config: YAML or JSON, see `ActionsFile`, such as
            ``{action_horizon: 16, actions: {left_arm: {rep: RELATIVE}, left_gripper: {rep: ABSOLUTE}}}``.
        content: Content that modality.json gets, instead of what it has.

    Raises:
        UsageError: If a file cannot be read.
        ConfigError: If one says something wrong, with all mistakes of it.
    """
    slices, problems = _checked(_Modality, _load(modality) if content is None else content)
    if slices is None:
        raise ConfigError(str(modality), problems)
    data = _load(config)
    wanted, problems = _checked(ActionsFile, data)
    problems += [Problem(0, text) for text in _misfits(data, slices)]
    if wanted is None or problems:
        raise ConfigError(str(config), problems)
    return [
        RelativeAction(
            key,
            _part(slices.action[key], "action"),
            _part(slices.state[spec.state_key or key], "observation.state"),
            wanted.deltas,
            spec.format if spec.type == "EEF" else None,
        )
        for key, spec in sorted(wanted.actions.items())
        if spec.rep == "RELATIVE"
    ]


def _part(found: _Slice, column: str) -> ActionPart:
    return ActionPart(found.original_key or column, found.start, found.end)


def _load(path: Path) -> Any:
    text = text_of(str(path), _FILE)
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise UsageError(str(path), f"cannot be read: {exc}", _FILE) from exc
    root, problems = read_yaml(text, str(path))
    if problems:
        raise ConfigError(str(path), problems)
    return root and root.plain()


def _checked(model: type[Model], data: Any) -> tuple[Model | None, list[Problem]]:
    try:
        return model.model_validate(data), []
    except ValidationError as exc:
        return None, [Problem(0, _sentence(model, error)) for error in exc.errors()]


def _sentence(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        fields = list((ActionSpec if len(error["loc"]) > 1 else model).model_fields)
        return f"{where}: no such key{nearest(str(error['loc'][-1]), fields)}; keys: {', '.join(fields)}"
    return f"{where + ': ' if where else ''}{error['msg'].removeprefix('Value error, ')}"


def _misfits(data: Any, slices: _Modality) -> Iterator[str]:
    """Say where actions and modality.json do not go together; `data` may have other mistakes."""
    actions = data.get("actions") if isinstance(data, dict) else None
    for key, entry in actions.items() if isinstance(actions, dict) else ():
        if key not in slices.action:
            yield f"actions.{key}: modality.json has no such action{nearest(str(key), slices.action)}"
        spec, _ = _checked(ActionSpec, entry)
        if spec is None or spec.rep != "RELATIVE":
            continue
        state = spec.state_key or str(key)
        if state not in slices.state:
            yield f"actions.{key}.state_key: modality.json has no state {state!r}{nearest(state, slices.state)}"
        elif key in slices.action:
            yield from _wrong_widths(key, spec, slices.action[key].width, slices.state[state].width)


def _wrong_widths(key: str, spec: ActionSpec, action: int, state: int) -> Iterator[str]:
    if action != state:
        yield f"actions.{key}: the action has {action} values, its state {state}"
    if spec.type == "EEF" and action != POSE_WIDTHS[spec.format]:
        wanted = POSE_WIDTHS[spec.format]
        yield f"actions.{key}.format: a pose in {spec.format} has {wanted} values, in modality.json it has {action}"
