"""From the vectors of a dataset to a simulator's by the robot's manifest alone, without the run that made it."""

from __future__ import annotations

from ..core.errors import UsageError, nearest
from ..core.features import Feature
from ..manifests.robot import RobotManifest, load_robot, robot_of_type
from .way_back import Entry, WayBack, motor_units


def way_of_robot(actions: Feature, robot_type: str | None, robot: str | None, space: str | None) -> WayBack:
    """Return the way back from actions to the joints of a simulator.

    A robot with motor ranges is taken to be in motor units, as LeRobot's datasets of it are. Actions of a keyboard, a
    gamepad or a state machine are the simulator's own already, and stay as they are: they have neither the names nor
    the number of the joints.

    Args:
        actions: What the dataset has; without the robot's joint names it is taken in its order.
        robot_type: As in info.json; the shipped robot of that type is taken if none is named.
        robot: Robot manifest, name or YAML file.
        space: Joint space of the simulator; by default `action` or the only one, or the robot's joints if it has none.

    Raises:
        UsageError: If there is no such robot or space, or the actions are not those of the robot.
    """
    manifest = load_robot(robot) if robot is not None else robot_of_type(robot_type)
    if manifest is None:
        raise UsageError(
            "robot_type of meta/info.json",
            f"is {robot_type!r}, and no robot manifest has it",
            "a robot that is known",
            "say which with --robot NAME or FILE, or give --source RUN_DIR",
        )
    names = list(actions.names or ())
    if not names or not set(names) <= set(manifest.joint_names):
        if actions.shape != (len(manifest.joints),):
            if robot is None and names and not set(names) & set(manifest.joint_names):
                return WayBack(tuple(Entry(name, column) for column, name in enumerate(names)))
            raise UsageError(
                "action",
                f"has {actions.shape[0]} entries ({', '.join(names[:3]) or 'without names'} …), "
                f"which are not the joints of robot {manifest.name}",
                f"{len(manifest.joints)}: {', '.join(manifest.joint_names)}",
                "--robot NAME or FILE of the robot that it is, or --source RUN_DIR",
            )
        names = manifest.joint_names
    changes = dict(zip(names, motor_units(manifest, names, actions.dtype), strict=True))
    entries = []
    for name in _space(manifest, space):
        change = changes.get(name)
        entries.append(Entry(name, names.index(name) if name in names else None, (change,) if change else ()))
    return WayBack(tuple(entries))


def _space(robot: RobotManifest, space: str | None) -> list[str]:
    if space is None:
        if not robot.spaces:
            return robot.joint_names
        space = "action" if "action" in robot.spaces or len(robot.spaces) > 1 else next(iter(robot.spaces))
    if space not in robot.spaces:
        found = f"robot {robot.name} has no joint space {space!r}{nearest(space, robot.spaces)}"
        raise UsageError(
            "--space", found, "one of " + ", ".join(robot.spaces) if robot.spaces else "none: leave it out"
        )
    return robot.spaces[space]
