"""Robot manifests: joints in order, groups, units, limits, cameras. A user adds one without code."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import ConfigError, Problem, UsageError, nearest


class Joint(BaseModel):
    """One joint.

    Attributes:
        name: Name in the dataset.
        unit: Unit in the recording.
        range_deg: Range in degrees that maps to `motor_range`; only where a conversion uses it.
        motor_range: Range in motor units.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: Literal["rad", "deg", "m", "none"] = "rad"
    range_deg: tuple[float, float] | None = None
    motor_range: tuple[float, float] | None = None


class RobotManifest(BaseModel):
    """A robot.

    Attributes:
        name: Name in pipeline files.
        robot_type: As in info.json.
        joints: All joints, in the order of the dataset's vectors.
        groups: Group name to joint names.
        cameras: Camera names.
        gr00t_tags: GR00T version to embodiment tag.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    robot_type: str
    joints: list[Joint] = Field(min_length=1)
    groups: dict[str, list[str]] = {}
    cameras: list[str] = []
    gr00t_tags: dict[str, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> RobotManifest:
        names = self.joint_names
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"joints listed twice: {', '.join(doubled)}")
        for group, members in self.groups.items():
            for member in members:
                if member not in names:
                    raise ValueError(f"group {group} names an unknown joint {member!r}{nearest(member, names)}")
        return self

    @property
    def joint_names(self) -> list[str]:
        """Names in order."""
        return [joint.name for joint in self.joints]


def load_robot(name: str) -> RobotManifest:
    """Load a robot by the name of a shipped manifest or by the path of a YAML file.

    Raises:
        UsageError: If there is no such robot or file.
        ConfigError: If the file is not a valid robot manifest.
    """
    shipped = files(__package__).joinpath("robots")
    known = sorted(Path(entry.name).stem for entry in shipped.iterdir() if entry.name.endswith(".yaml"))
    if name in known:
        text = shipped.joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise UsageError(
            f"robot {name!r}",
            f"there is no such robot{nearest(name, known)}",
            "one of " + ", ".join(known) + ", or the path of a YAML file",
        )
    try:
        return RobotManifest.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as exc:
        raise ConfigError(name, [Problem(0, f"is not YAML: {exc}")]) from exc
    except ValidationError as exc:
        problems = [Problem(0, f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}") for e in exc.errors()]
        raise ConfigError(name, problems) from exc
