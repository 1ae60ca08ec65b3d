"""joint_remapper: vectors in another order, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ...core.columns import Array
from ...core.episode import Episode
from ...core.errors import EpisodeRejected, UsageError, nearest
from ...core.features import Feature
from ...manifests.robot import RobotManifest, RobotName, load_robot
from ..episode_step import DEFAULT_COLUMNS, Entries, EpisodeMap, check_width, vector


class JointRemapper(EpisodeMap):
    """Orders, selects and fills the entries of vectors by joint name.

    Args:
        robot: Robot manifest (name or YAML file); its joints, or those of `groups`, are the `order`.
        groups: Groups of the robot, in order; needs `robot`.
        order: Joint names of the result, in order; instead of `robot`.
        spaces: Column to its joint space in the recording, by the robot manifest; these columns are remapped by
            default. Needs `robot`.
        source_names: Joint names of the recording, in order; by default those of the column's space, the reader's
            names, or the robot's own order if the recording has no names.
        fill: Joint name to the constant for a joint that the recording lacks.
        columns: Columns to remap.
    """

    name = "joint_remapper"

    def __init__(
        self,
        *,
        robot: RobotName | None = None,
        groups: list[str] | None = None,
        order: list[str] | None = None,
        spaces: dict[str, str] | None = None,
        source_names: list[str] | None = None,
        fill: dict[str, float] | None = None,
        columns: list[str] | None = None,
    ) -> None:
        super().__init__()
        if (robot is None) == (order is None):
            raise UsageError("joint_remapper", "needs either robot or order", "exactly one of the two")
        for name, value in (("groups", groups), ("spaces", spaces)):
            if value is not None and robot is None:
                raise UsageError("joint_remapper", f"{name} without robot", f"robot: NAME beside {name}")
        self.robot = robot
        self.groups = groups
        self.order = order
        self.spaces = spaces
        self.source_names = source_names
        self.fill = fill
        self.columns = columns
        manifest = load_robot(robot) if robot is not None else None
        self._robot_joints = manifest.joint_names if manifest is not None else []
        self._wanted = self._from_robot(manifest) if manifest is not None else list(order or ())
        self._recorded = {
            key: _named(manifest, "joint space", space, manifest.spaces)
            for key, space in (spaces or {}).items()
            if manifest is not None
        }
        if not self._wanted or len(set(self._wanted)) < len(self._wanted):
            raise UsageError("joint_remapper", f"order {self._wanted}", "at least one joint, each once")

    def _from_robot(self, manifest: RobotManifest) -> list[str]:
        if self.groups is None:
            return manifest.joint_names
        return [joint for group in self.groups for joint in _named(manifest, "group", group, manifest.groups)]

    def apply(self, ep: Episode) -> Episode:
        """Wrap the columns.

        Raises:
            EpisodeRejected: `wrong_joint_count` or `unknown_joint`.
        """
        for key in self._keys:
            column = vector(ep, key)
            names = self._names(key, column.feature.names or ())
            check_width(key, column.feature.shape[0], names)
            picks = [self._pick(key, joint, names) for joint in self._wanted]
            fills = [pick for pick in picks if isinstance(pick, float)]
            if column.feature.dtype.startswith("int") and not all(map(float.is_integer, fills)):
                raise EpisodeRejected("bad_fill", f"{key} holds whole numbers, it cannot be filled with {fills}")
            feature = Feature(column.feature.dtype, (len(picks),), tuple(self._wanted))
            ep = ep.map_column(key, partial(_gather, picks), feature)
        return ep

    def inverse(self, key: str, names: list[str], entries: Entries) -> tuple[list[str], Entries]:
        """See the base class: entries are followed by the names of their joints."""
        if key not in self._keys:
            return names, entries
        before = self._names(key, names)
        after = {name: index for index, name in enumerate(self._wanted)}
        moved = [
            entry
            if entry.column is None
            else replace(entry, name=before[entry.column], column=after.get(before[entry.column]))
            for entry in entries
        ]
        return self._wanted, moved

    @property
    def _keys(self) -> Sequence[str]:
        return self.columns or list(self._recorded) or DEFAULT_COLUMNS

    def _names(self, key: str, found: Sequence[str]) -> list[str]:
        """Return the joint names of a column of the recording, which calls its entries `found`."""
        if given := self.source_names or self._recorded.get(key):
            return given
        names = list(found)
        is_named = set(names) & {*self._robot_joints, *self._wanted}
        # Without joint names in the recording it must be in the robot's order.
        return names if is_named or not self.robot else self._robot_joints

    def _pick(self, key: str, joint: str, names: list[str]) -> int | float:
        """Return the index of a joint in the source, or the float that fills it."""
        if joint in names:
            return names.index(joint)
        if self.fill and joint in self.fill:
            return float(self.fill[joint])
        raise EpisodeRejected(
            "unknown_joint", f"{key} has no joint {joint!r}{nearest(joint, names)}; it has {', '.join(names)}"
        )


def _named(manifest: RobotManifest, kind: str, name: str, lists: Mapping[str, list[str]]) -> list[str]:
    if name not in lists:
        found = f"robot {manifest.name} has no {kind} {name!r}{nearest(name, lists)}"
        raise UsageError("joint_remapper", found, "one of " + ", ".join(lists) if lists else f"a robot with a {kind}")
    return lists[name]


def _gather(picks: list[int | float], batch: Array) -> Array:
    out = np.empty((len(batch), len(picks)), dtype=batch.dtype)
    for column, pick in enumerate(picks):
        out[:, column] = batch[:, pick] if isinstance(pick, int) else pick
    return out
