"""Robot manifests: joints in order, groups, units, limits, cameras, and how GR00T sees the robot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import ConfigError, Problem, UsageError, nearest
from ..core.source_file import PathMark
from ..core.validation_messages import mistakes
from ..core.yaml_source import KeyPath, read_yaml, show_path, text_of

Gr00tVersion: TypeAlias = Literal["n1", "n1.5", "n1.6", "n1.7"]
# Owner of a published configuration: Isaac Lab Arena, GR00T itself, or piper_gr00t.
Owner: TypeAlias = Literal["arena", "gr00t", "piper"]
_SUFFIXES = (".yaml", ".yml")
HORIZON = 16  # actions predicted at a time, as in GR00T's own examples


class Slice(BaseModel):
    """Consecutive values of a column.

    Attributes:
        start: First of its values.
        end: The one after the last.
    """

    start: int = Field(ge=0)
    end: int

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        return self


class RobotPart(Slice):
    """Values of a column, as modality.json has them.

    Attributes:
        column: Feature of the dataset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str


class Parts(BaseModel):
    """Keys of modality.json that are no joint groups; those of columns that a dataset lacks are left out.

    Attributes:
        state: Key to a part of a column.
        action: Key to a part of a column.
        video: Key to a camera's feature, or to several: the first that the dataset has; other cameras are called as
            their features end.
        annotation: Key to a column of whole numbers; other annotations are called as their columns.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: dict[str, RobotPart] = {}
    action: dict[str, RobotPart] = {}
    video: dict[str, str | list[str]] = {}
    annotation: dict[str, str] = {}


class PolicyKeys(BaseModel):
    """Keys of modality.json that a policy is trained with, in their order; all where a list is not given.

    Attributes:
        state: What it sees.
        action: What it predicts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: list[str] | None = None
    action: list[str] | None = None


class PublishedConfig(BaseModel):
    """A configuration that somebody trains this robot with in one release of GR00T.

    Attributes:
        source: Project, file and commit.
        tag: Embodiment tag.
        state: Keys of modality.json that the policy sees, in their order.
        action: Keys that it predicts.
        sin_cos: States that it sees as sine and cosine; the others are scaled by minimum and maximum.
        relative: Actions that it learns relative to the state of the same name.
        horizon: Actions that it predicts at a time.
        video: Keys of the cameras.
        language: Key of the instruction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    tag: str
    state: list[str]
    action: list[str]
    sin_cos: list[str] = []
    relative: list[str] = []
    horizon: int = Field(default=HORIZON, ge=1)
    video: list[str]
    language: str


class Gr00t(BaseModel):
    """The section `gr00t` of a robot manifest.

    Attributes:
        tags: GR00T version to embodiment tag.
        parts: Keys beside the groups.
        policy: Keys that training takes where nobody publishes a configuration.
        relative: Actions that N1.6 and N1.7 then learn relative to the state of the same name.
        like: Owner to GR00T version to published configuration; the first owner that has the version is the default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: dict[Gr00tVersion, str] = {}
    parts: Parts = Parts()
    policy: PolicyKeys = PolicyKeys()
    relative: list[str] = []
    like: dict[Owner, dict[Gr00tVersion, PublishedConfig]] = {}

    def published(self, version: Gr00tVersion) -> PublishedConfig | None:
        """Return the configuration of the first owner that has a release, the default one."""
        return next((releases[version] for releases in self.like.values() if version in releases), None)

    def named(self) -> list[tuple[tuple[str, ...], list[str], list[str]]]:
        """Return every list of keys: where it is, its keys, and the keys that `parts` has for it."""
        states, actions = list(self.parts.state), list(self.parts.action)
        both = [key for key in actions if key in states]
        found: list[tuple[tuple[str, ...], list[str], list[str]]] = [
            (("policy", "state"), self.policy.state or [], states),
            (("policy", "action"), self.policy.action or [], actions),
            (("relative",), self.relative, both),
        ]
        for owner, releases in self.like.items():
            for version, one in releases.items():
                place = ("like", owner, version)
                found += [((*place, "state"), one.state, states), ((*place, "action"), one.action, actions)]
                found += [((*place, "sin_cos"), one.sin_cos, states), ((*place, "relative"), one.relative, both)]
        return found


class Joint(BaseModel):
    """One joint, or another degree of freedom; in YAML a name alone is short for `{name: …}`.

    Attributes:
        name: Name in the dataset.
        unit: Unit in the recording, `none` where it is not known or there is none.
        range_deg: Range in degrees that maps to `motor_range`; only where a conversion uses it.
        motor_range: Range in motor units.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: Literal["rad", "deg", "m", "m/s", "rad/s", "none"] = "rad"
    range_deg: tuple[float, float] | None = None
    motor_range: tuple[float, float] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class RobotManifest(BaseModel):
    """A robot.

    Attributes:
        name: Name in pipeline files.
        robot_type: As in info.json.
        joints: All joints of the dataset's vectors, in their order: the policy's joint space.
        spaces: Name of a recording's joint space to its joint names in order, where that is not `joints`.
        groups: Group name to joint names.
        cameras: Camera names.
        gr00t: What GR00T must know of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    robot_type: str
    joints: list[Joint] = Field(min_length=1)
    spaces: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    cameras: list[str] = []
    gr00t: Gr00t = Gr00t()

    @property
    def joint_names(self) -> list[str]:
        """Names in order."""
        return [joint.name for joint in self.joints]


def shipped_robots() -> list[str]:
    """Return the names of the robots that come with robotrove."""
    return sorted(Path(entry.name).stem for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


def _folder() -> Traversable:
    return files(__package__).joinpath("robots")


def _is_file(name: str) -> bool:
    return name.endswith(_SUFFIXES) and os.path.isfile(name)


# As blocks take a robot.
RobotName: TypeAlias = Annotated[str, PathMark(suffixes=_SUFFIXES)]


def load_robot(name: str) -> RobotManifest:
    """Load a robot by the name of a shipped manifest or by the path of a YAML file.

    Raises:
        UsageError: If there is no such robot or file.
        ConfigError: If the file is not a valid robot manifest, with every error and its line.
    """
    known = shipped_robots()
    if name in known:
        text = _folder().joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    elif _is_file(name):
        text = text_of(name, "a robot manifest in YAML")
    else:
        raise UsageError(
            f"robot {name!r}",
            f"no such robot{nearest(name, known)}",
            "one of " + ", ".join(known) + ", or the path of a YAML file",
        )
    return _parsed(text, name)


def robots_of_type(robot_type: str | None) -> list[RobotManifest]:
    """Return the shipped robots of a robot_type."""
    return [robot for robot in map(load_robot, shipped_robots()) if robot.robot_type == robot_type]


def _parsed(text: str, source: str) -> RobotManifest:
    root, problems = read_yaml(text, source)
    data = root.plain() if root else None
    if root is None or not isinstance(data, dict):
        raise ConfigError(source, [*problems, Problem(1, "is not a mapping with name, robot_type and joints")])
    robot, found = None, []
    try:
        robot = RobotManifest.model_validate(data)
        found = list(_inconsistencies(robot))
    except ValidationError as exc:
        found = [(path, words) for path, words, _ in mistakes(RobotManifest, exc, data)]
    problems += [Problem(root.at(path).line, f"{show_path(path)}: {words}") for path, words in found]
    if problems or robot is None:
        raise ConfigError(source, problems)
    return robot


def _inconsistencies(robot: RobotManifest) -> Iterator[tuple[KeyPath, str]]:
    """Yield names that are there twice, or that nothing else in the manifest knows."""
    names = robot.joint_names
    lists: dict[KeyPath, list[str]] = {("joints",): names}
    lists |= {("spaces", space): joints for space, joints in robot.spaces.items()}
    lists |= {("groups", group): joints for group, joints in robot.groups.items()}
    for path, members in lists.items():
        if doubled := sorted({name for name in members if members.count(name) > 1}):
            yield path, f"joints listed twice: {', '.join(doubled)}"
    for group, members in robot.groups.items():
        for index, member in enumerate(members):
            if member not in names:
                yield ("groups", group, index), f"names an unknown joint {member!r}{nearest(member, names)}"
    for path, keys, known in robot.gr00t.named():
        for index, key in enumerate(keys):
            if key not in (allowed := [*robot.groups, *known]):
                yield ("gr00t", *path, index), f"names an unknown group {key!r}{nearest(key, allowed)}"
    for owner, releases in robot.gr00t.like.items():
        for version, one in releases.items():
            if version in ("n1", "n1.5") and one.sin_cos and set(one.sin_cos) != set(one.state):
                words = f"GR00T {version.upper()} takes all states as sine and cosine, or none"
                yield ("gr00t", "like", owner, version, "sin_cos"), words
    recorded = [name for joints in robot.spaces.values() for name in joints]
    for index, name in enumerate(names if recorded else ()):
        if name not in recorded:
            yield ("joints", index), f"{name!r} is in none of the spaces{nearest(name, recorded)}"
